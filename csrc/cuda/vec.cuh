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

// Byte i of a word as a number. What the compiler makes of a shift and a mask it cuts to a byte again at every use.
__device__ __forceinline__ uint32_t byte_of(uint32_t word, int i) { return __byte_perm(word, 0, 0x4440 + i); }
// The second bytes of four words.
__device__ __forceinline__ uint32_t second_bytes(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return __byte_perm(__byte_perm(a, b, 0x0051), __byte_perm(c, d, 0x0051), 0x5410);
}

// Element i of a pack of logits, as what sums are computed in.
template <class T, int n>
__device__ __forceinline__ Compute<T> widened(const Pack<T, n>& pack, int i) {
  if constexpr (std::is_same_v<T, BFloat16> && n == 2) {  // one instruction a half, where a load by itself is two
    const uint32_t bits = bit_cast<uint32_t>(pack);
    return bit_cast<float>(i == 0 ? bits << 16 : bits & 0xffff0000u);
  } else {
    return math::load(&pack.value[i]);
  }
}

FC_HD bool aligned(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

template <class T>
constexpr int kWordElements = 16 / sizeof(T);  // elements of the widest word that one instruction moves

// Copies `count` elements between shared memory and a tensor with all threads of a block, 16 bytes a thread;
// several loads stand before the stores that wait for them; unrolled further, the loss would spill. Another thread may
// read `to` after the next barrier. wide: does the other side begin at 16 bytes, as shared memory does?
template <int threads, class T>
__device__ __forceinline__ void copy_flat(const T* from, T* to, int count, bool wide) {
  constexpr int kBatch = 4, kWord = kWordElements<T>;
  const int words = wide ? count / kWord : 0;
  int at = threadIdx.x;
#pragma unroll 1
  for (; at + (kBatch - 1) * threads < words; at += kBatch * threads) {
    Pack<T, kWord> pack[kBatch];
#pragma unroll
    for (int u = 0; u < kBatch; u++) pack[u] = load_pack<kWord>(from + (at + u * threads) * kWord);
#pragma unroll
    for (int u = 0; u < kBatch; u++) store_pack(to + (at + u * threads) * kWord, pack[u]);
  }
#pragma unroll 1
  for (; at < words; at += threads) store_pack(to + at * kWord, load_pack<kWord>(from + at * kWord));
#pragma unroll 1
  for (int i = words * kWord + threadIdx.x; i < count; i += threads) to[i] = from[i];
}

// Elements from one pixel's channels to the next one's in shared memory: odd, so that lanes which read one channel of
// their pixels meet in no bank (16-bit ones in pairs).
FC_HD int row_stride(int bins) { return bins | 1; }

// `rows` pixels of channels_last between a tensor and shared memory, which holds them row_stride() apart; to_shared:
// the way. As copy_flat() where they lie side by side there too; else a warp a row.
template <int threads, bool to_shared, class T>
__device__ __forceinline__ void copy_rows(const T* from, T* to, int rows, int bins) {
  const int stride = row_stride(bins);
  if (stride == bins) return copy_flat<threads>(from, to, rows * bins, aligned(to_shared ? from : to, 16));
#pragma unroll 1
  for (int row = threadIdx.x / kWarpThreads; row < rows; row += threads / kWarpThreads) {
    const T* source = from + row * (to_shared ? bins : stride);
    T* target = to + row * (to_shared ? stride : bins);
#pragma unroll 4
    for (int c = threadIdx.x % kWarpThreads; c < bins; c += kWarpThreads) target[c] = source[c];
  }
}

template <int n>
struct Int {
  static constexpr int value = n;
};

// Calls f(element, Int<pixels a lane>) for logits whose lanes run over pixels: two of up to `widest` bytes where pairs
// are aligned and none straddles two channels. others: what is loaded or stored like the logits, or null.
template <size_t widest, class F>
void dispatch_planar(DType dtype, int64_t pixels, const void* logits, const void* others, F&& f) {
  if (pixels > INT32_MAX) {  // numbers of pixels are of 32 bits in these kernels
    throw std::runtime_error("too large for CUDA: " + std::to_string(pixels) + " pixels an image");
  }
  dispatch_float(dtype, [&](auto element) {
    constexpr size_t size = sizeof(element);
    if constexpr (size <= widest) {
      if (pixels % 2 == 0 && aligned(logits, 2 * size) && aligned(others, 2 * size)) return f(element, Int<2>{});
    }
    f(element, Int<1>{});
  });
}

}  // namespace fastcolor::cuda
