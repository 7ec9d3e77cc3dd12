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

// The channels that part `part` of 2^parts takes: whole groups, side by side.
struct Channels {
  int first, last;  // [first, last)
};
__device__ __forceinline__ Channels channels_of(int bins, int part, int parts) {
  static_assert(kUnroll == 8, "whose logarithm is 3");
  const int size = ((bins + (kUnroll << parts) - 1) >> (parts + 3)) * kUnroll, last = (part + 1) * size;
  return {part * size, last < bins ? last : bins};
}

// Calls f(first, count) for each group of them; count is kUnroll but for a rest at the end, so that whole groups have
// no checks.
template <class F>
__device__ __forceinline__ void each_group(const Channels& channels, F&& f) {
  int c = channels.first;
#pragma unroll 1
  for (; c + kUnroll <= channels.last; c += kUnroll) f(c, kUnroll);
  if (c < channels.last) f(c, channels.last - c);
}

// The element of channel `u` from that of the first on, `stride` from one to the next: one multiply-add. The compiler
// would add to a 64-bit address from channel to channel, which is two instructions; so it does not learn that the
// strides of two channels are the same.
template <class T>
__device__ __forceinline__ T* channel_at(T* first, int stride, int u) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+r"(stride));
#endif
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(first) + int64_t{stride} * (u * static_cast<int>(sizeof(T))));
}

// One pack of each of `count` channels, `stride` apart. Returns where the next group begins.
template <class T, int per_lane>
__device__ __forceinline__ const T* load_group(const T* logits, int stride, int count,
                                               Pack<T, per_lane> (&pack)[kUnroll]) {
#pragma unroll
  for (int u = 0; u < kUnroll; u++) {
    if (u < count) pack[u] = load_pack<per_lane>(channel_at(logits, stride, u));
  }
  return logits + kUnroll * int64_t{stride};
}
// Stores the pack of channel u of such a group, where there is one.
template <class T, int per_lane>
__device__ __forceinline__ void store_channel(T* first, int stride, int u, int count, const Pack<T, per_lane>& pack) {
  if (u < count) store_pack(channel_at(first, stride, u), pack);
}
// Element i of these packs; absent_logit() beyond `count`.
template <class T, int per_lane>
__device__ __forceinline__ void widen_group(const Pack<T, per_lane> (&pack)[kUnroll], int i, int count,
                                            Compute<T> (&logit)[kUnroll]) {
#pragma unroll
  for (int u = 0; u < kUnroll; u++) logit[u] = u < count ? widened(pack[u], i) : absent_logit<Compute<T>>();
}

}  // namespace fastcolor::cuda
