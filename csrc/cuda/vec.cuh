// Loads and stores wider than one element, where memory is aligned for them.
#pragma once

#include "../math/scalar.h"
#include "launch.cuh"

namespace fastcolor::cuda {

// n elements that move as one word: 4, 8 or 16 bytes are one instruction.
template <class T, int n>
struct alignas(sizeof(T) * n) Pack {
  T value[n];
};

template <int n, class T>
__device__ __forceinline__ Pack<T, n> load_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, n>*>(p);
}
template <int n, class T>
__device__ __forceinline__ void store_pack(T* p, const Pack<T, n>& pack) {
  *reinterpret_cast<Pack<T, n>*>(p) = pack;
}

FC_HD bool aligned(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

template <class T>
constexpr int kWordElements = 16 / sizeof(T);  // elements of the widest word that one instruction moves

// Copies `count` elements with all threads of a block, 16 bytes a thread where both sides are aligned alike; several
// loads stand before the stores that wait for them; unrolled further, the loss would spill. Another thread may read
// `to` after the next barrier.
template <class T>
__device__ __forceinline__ void copy_flat(const T* from, T* to, int count) {
  constexpr int kBatch = 4, kWord = kWordElements<T>;
  const int wide = aligned(from, 16) && aligned(to, 16) ? count / kWord : 0, threads = blockDim.x;
  int at = threadIdx.x;
#pragma unroll 1
  for (; at + (kBatch - 1) * threads < wide; at += kBatch * threads) {
    Pack<T, kWord> pack[kBatch];
#pragma unroll
    for (int u = 0; u < kBatch; u++) pack[u] = load_pack<kWord>(from + (at + u * threads) * kWord);
#pragma unroll
    for (int u = 0; u < kBatch; u++) store_pack(to + (at + u * threads) * kWord, pack[u]);
  }
#pragma unroll 1
  for (; at < wide; at += threads) store_pack(to + at * kWord, load_pack<kWord>(from + at * kWord));
  for (int i = wide * kWord + threadIdx.x; i < count; i += threads) to[i] = from[i];
}

template <int n>
struct Int {
  static constexpr int value = n;
};

// Calls f(element, Int<pixels a lane>) for logits whose lanes run over pixels: a pair of 16-bit values is one word
// where no pair straddles two channels.
template <class F>
void dispatch_planar(DType dtype, bool paired, F&& f) {
  dispatch_float(dtype, [&](auto element) {
    if constexpr (sizeof(element) == 2) {
      if (paired) return f(element, Int<2>{});
    }
    f(element, Int<1>{});
  });
}

}  // namespace fastcolor::cuda
