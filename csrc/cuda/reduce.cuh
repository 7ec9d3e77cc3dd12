// Sums over the lanes of a warp, and what threads that share out channels have in common.
#pragma once

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

// What an absent channel counts as: its exponential is 0, and it is never the largest.
template <class C>
__device__ __forceinline__ C absent_logit() {
  return static_cast<C>(-INFINITY);
}

}  // namespace fastcolor::cuda
