// Sums over the lanes of a warp, and the running softmax that a thread keeps of its channels.
#pragma once

#include <cfloat>
#include <cmath>

#include "vec.cuh"

namespace fastcolor::cuda {

constexpr int kUnroll = 8;  // independent loads before the arithmetic that waits for them

// All lanes get the result; every lane of the warp must call.
template <class C>
__device__ __forceinline__ C warp_sum(C x) {
#pragma unroll
  for (int step = kWarpThreads / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}
// Ignores NaN, which the sums that follow carry on.
template <class C>
__device__ __forceinline__ C warp_max(C x) {
#pragma unroll
  for (int step = kWarpThreads / 2; step > 0; step /= 2) x = math::max_of(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

// Note [Running softmax]. The largest logit so far and the sum of exponentials relative to it. A block of kUnroll
// logits raises the maximum once and rescales the sum once: 1 + 1 / kUnroll exponentials a logit. `largest` starts
// finite, because a difference of infinities would be NaN; it takes no NaN, which reaches the sum through exp.
template <class C>
struct Softmax {
  C largest = static_cast<C>(-FLT_MAX), sum = 0;

  __device__ __forceinline__ void add(const C (&logit)[kUnroll]) {
    C raised = largest;
#pragma unroll
    for (int u = 0; u < kUnroll; u++) raised = logit[u] > raised ? logit[u] : raised;
    C total = sum * math::exp_fast(largest - raised);
#pragma unroll
    for (int u = 0; u < kUnroll; u++) total += math::exp_fast(logit[u] - raised);
    largest = raised;
    sum = total;
  }
  __device__ __forceinline__ void merge(C other_largest, C other_sum) {
    const C raised = other_largest > largest ? other_largest : largest;
    sum = sum * math::exp_fast(largest - raised) + other_sum * math::exp_fast(other_largest - raised);
    largest = raised;
  }
};

// What an absent channel counts as: its exponential is 0, and it is never the largest.
template <class C>
__device__ __forceinline__ C absent_logit() {
  return static_cast<C>(-INFINITY);
}

}  // namespace fastcolor::cuda
