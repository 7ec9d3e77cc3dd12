// Stores that go past the caches. An ordinary store to memory that is not cached reads it first: a large output that
// nobody reads soon costs half as much written this way.
#pragma once

#include <cstring>

#include "parallel.h"
#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace fastcolor::cpu::FASTCOLOR_ISA {

// Outputs above this size would push everything else out of the caches anyway.
constexpr int64_t kStreamBytes = int64_t{16} << 20;

#ifdef __SSE2__
// One cache line; `to` is aligned to it.
inline void stream_line(char* to, const char* from) {
#if defined(__SANITIZE_ADDRESS__)
  std::memcpy(to, from, 64);  // sanitizers do not see what goes past the caches
#elif defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), _mm512_loadu_si512(from));
#elif defined(__AVX__)
  for (int i = 0; i < 64; i += 32) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i),
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i)));
  }
#else
  for (int i = 0; i < 64; i += 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  }
#endif
}
#endif

// to[0..n) = from[0..n), past the caches. Follow the last one with stream_fence().
template <class T>
inline void stream_copy(T* to_elements, const T* from_elements, int64_t n) {
  char* to = reinterpret_cast<char*>(to_elements);
  const char* from = reinterpret_cast<const char*>(from_elements);
  int64_t bytes = n * static_cast<int64_t>(sizeof(T));
#ifdef __SSE2__
  const int64_t head = std::min<int64_t>(bytes, static_cast<int64_t>(-reinterpret_cast<uintptr_t>(to) & 63));
  std::memcpy(to, from, static_cast<size_t>(head));
  to += head, from += head, bytes -= head;
  for (; bytes >= 64; bytes -= 64, to += 64, from += 64) stream_line(to, from);
#endif
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

// Asks for `runs` runs of n elements, `stride` apart, ahead of their use: a plane of channels is too short a run for
// the processor to see where reading goes next.
template <class T>
inline void prefetch_runs(const T* first, int64_t stride, int runs, int64_t n) {
  for (int run = 0; run < runs; run++) {
    const char* from = reinterpret_cast<const char*>(first + run * stride);
    for (int64_t at = 0; at < n * static_cast<int64_t>(sizeof(T)); at += 64) __builtin_prefetch(from + at, 0, 2);
  }
}

inline void stream_fence() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
