// Sums over the lanes of a warp, and what threads that share out channels have in common.
#pragma once

#include <cmath>

#include "vec.cuh"

namespace fastcolor::cuda {

// Independent loads before the arithmetic that waits for them. 4.3 TB/s at some 600 ns want 20 KB in flight on each of
// 132 multiprocessors; 8 floats by each lane of 32 to 40 warps are 32 to 40 KB, and registers for more are not there.
constexpr int kUnroll = 8;

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
