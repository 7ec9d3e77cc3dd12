// Vectors as wide as the instruction set's registers, for every loop that is written out. A compiler that may not
// forget NaN makes two instructions of x > m ? x : m; the processors' maximum is one, and its rule for NaN is the one
// wanted here.
#pragma once

#include "../math/scalar.h"
#include "parallel.h"
#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace fastcolor::cpu::FASTCOLOR_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef uint16_t Shorts __attribute__((vector_size(2 * kLanes)));

// The widest vector of a compute type: code is written for V and also instantiated with V = C, for what is left over.
template <class C>
struct WidestOf {
  using type = C;
};
template <>
struct WidestOf<float> {
  using type = Floats;
};
template <class C>
using Widest = typename WidestOf<C>::type;
template <class V>
constexpr int lanes_of() {
  return std::is_same_v<V, Floats> ? kLanes : 1;
}

#define FC_INLINE inline __attribute__((always_inline))

// ---- memory ----

template <class V, class T>
FC_INLINE V load_lanes(const T* from) {
  if constexpr (!std::is_same_v<V, Floats>) {
    return math::load(from);
  } else if constexpr (std::is_same_v<T, float>) {
    V v;
    std::memcpy(&v, from, sizeof(V));
    return v;
  } else {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, Half>) {
      return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    }
#elif defined(__F16C__)
    if constexpr (std::is_same_v<T, Half>) {
      return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
#endif
    Shorts bits;
    std::memcpy(&bits, from, sizeof(bits));
    return math::widen_bits<T, Floats>(__builtin_convertvector(bits, Words));
  }
}
// Codes of pictures and films, u8 or u16. Compilers widen them to floats piece by piece where the processor does it at
// once.
template <class T>
FC_INLINE Floats load_codes(const T* from) {
  [[maybe_unused]] constexpr bool kBytes = sizeof(T) == 1;
#if defined(__AVX512F__)
  if constexpr (kBytes) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
  } else {
    return _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
  }
#elif defined(__AVX2__)
  if constexpr (kBytes) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
  } else {
    return _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
  }
#elif defined(__SSE2__)
  __m128i four;
  if constexpr (kBytes) {
    int32_t bytes;
    std::memcpy(&bytes, from, sizeof(bytes));
    four = _mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), _mm_setzero_si128());
  } else {
    four = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  }
  return _mm_cvtepi32_ps(_mm_unpacklo_epi16(four, _mm_setzero_si128()));
#else
  Floats codes;
  for (int k = 0; k < kLanes; k++) codes[k] = from[k];
  return codes;
#endif
}
template <class V, class C>
FC_INLINE void store_lanes(C* to, const V& v) {
  std::memcpy(to, &v, sizeof(V));
}
// to[i] = value(i) for i in [0, n), rounded to nearest even. `value` takes the type of vector or number that it is to
// make, and where: it is asked for whole vectors where there are instructions to round them.
template <class T, class F>
FC_INLINE void store_run(T* to, int64_t n, F&& value) {
  int64_t i = 0;
#if defined(__F16C__)
  if constexpr (std::is_same_v<T, Half>) {
    constexpr int kNearest = 0x08;  // _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC
    for (; i + kLanes <= n; i += kLanes) {
#if defined(__AVX512F__)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm512_cvtps_ph(value(Floats{}, i), kNearest));
#else
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_cvtps_ph(value(Floats{}, i), kNearest));
#endif
    }
  }
#endif
#pragma omp simd
  for (int64_t k = i; k < n; k++) math::store(to + k, value(Compute<T>{}, k));
}
template <class V, class C>
FC_INLINE V all_lanes(C x) {
  if constexpr (std::is_same_v<V, Floats>) {
    return Floats{} + x;
  } else {
    return x;
  }
}

// ---- arithmetic ----

// x > m ? x : m in each lane; a NaN in x is passed over, one in m stays.
template <class V>
FC_INLINE V max_lanes(const V& x, const V& m) {
  if constexpr (!std::is_same_v<V, Floats>) {
    return x > m ? x : m;
  } else {
#if defined(__AVX512F__)
    return _mm512_max_ps(x, m);
#elif defined(__AVX2__)
    return _mm256_max_ps(x, m);
#elif defined(__SSE2__)
    return _mm_max_ps(x, m);
#else
    return x > m ? x : m;
#endif
  }
}

// x < m ? x : m in each lane, likewise.
FC_INLINE Floats min_lanes(const Floats& x, const Floats& m) {
#if defined(__AVX512F__)
  return _mm512_min_ps(x, m);
#elif defined(__AVX2__)
  return _mm256_min_ps(x, m);
#elif defined(__SSE2__)
  return _mm_min_ps(x, m);
#else
  return x < m ? x : m;
#endif
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA

namespace fastcolor::math {

template <>
struct Lanes<cpu::FASTCOLOR_ISA::Floats> {
  using Floats = cpu::FASTCOLOR_ISA::Floats;
  using Signed = cpu::FASTCOLOR_ISA::Ints;
  using Unsigned = cpu::FASTCOLOR_ISA::Words;
  FC_INLINE static Floats lowest() { return cpu::FASTCOLOR_ISA::all_lanes<Floats>(kLowest<float>); }
  FC_INLINE static Floats max(const Floats& x, const Floats& m) { return cpu::FASTCOLOR_ISA::max_lanes(x, m); }
  FC_INLINE static Floats not_below_zero(const Floats& x) { return max(Floats{}, x); }
  FC_INLINE static Floats exp2(const Floats& x) {
    return exp2_polynomial(max(cpu::FASTCOLOR_ISA::all_lanes<Floats>(-126.0f), x));
  }
};

}  // namespace fastcolor::math

namespace fastcolor::cpu::FASTCOLOR_ISA {

// Lane k of the result: lane k ^ half.
template <int half>
FC_INLINE Floats swap_lanes(const Floats& v) {
  Words from;
  for (unsigned k = 0; k < kLanes; k++) from[k] = k ^ half;
  return __builtin_shuffle(v, from);
}
// Rows become columns: lane k of vector i and lane i of vector k change places, a bit of i and k at a time.
template <int half = kLanes / 2>
FC_INLINE void transpose_lanes(Floats* rows) {
  if constexpr (half > 0) {
    Words low, high;
    for (unsigned k = 0; k < kLanes; k++) low[k] = k & half ? k - half + kLanes : k, high[k] = low[k] + half;
    for (unsigned i = 0; i < kLanes; i++) {
      if (i & half) continue;
      const Floats upper = rows[i], lower = rows[i | half];
      rows[i] = __builtin_shuffle(upper, lower, low);
      rows[i | half] = __builtin_shuffle(upper, lower, high);
    }
    transpose_lanes<half / 2>(rows);
  }
}
// The lanes' sum, or their largest.
template <class C, class V, int half = lanes_of<V>() / 2>
FC_INLINE C sum_of_lanes(const V& v) {
  if constexpr (lanes_of<V>() == 1) {
    return v;
  } else if constexpr (half == 0) {
    return v[0];
  } else {
    return sum_of_lanes<C, V, half / 2>(v + swap_lanes<half>(v));
  }
}
template <class C, class V, int half = lanes_of<V>() / 2>
FC_INLINE C largest_of_lanes(const V& v) {
  if constexpr (lanes_of<V>() == 1) {
    return v;
  } else if constexpr (half == 0) {
    return v[0];
  } else {
    return largest_of_lanes<C, V, half / 2>(max_lanes(swap_lanes<half>(v), v));
  }
}

// ---- the channels of one pixel (interleaved logits) ----

constexpr int kMaxBins = 1024;

// They are widened and filled up to whole vectors: a loop over 313 channels would spend as long on its last nine as on
// the rest.
inline int padded(int bins) { return (bins + kLanes - 1) / kLanes * kLanes; }

// logits: (bins) -> out: (padded(bins)), the rest -infinity, whose exponential is as good as 0. Returns the largest;
// NaN is passed over, and the lowest finite number comes out when nothing is larger: a difference of infinities would
// be NaN.
template <class T, class C>
inline C widen_pixel(const T* logits, int bins, C* out) {
  using V = Widest<C>;
  constexpr int kStep = lanes_of<V>();
  V most[4];  // four chains, because each maximum waits for the one before
  for (V& m : most) m = all_lanes<V>(std::numeric_limits<C>::lowest());
  int c = 0;
  for (; c + 4 * kStep <= bins; c += 4 * kStep) {
    for (int u = 0; u < 4; u++) {
      const V v = load_lanes<V>(logits + c + u * kStep);
      store_lanes(out + c + u * kStep, v);
      most[u] = max_lanes(v, most[u]);
    }
  }
  for (; c + kStep <= bins; c += kStep) {
    const V v = load_lanes<V>(logits + c);
    store_lanes(out + c, v);
    most[0] = max_lanes(v, most[0]);
  }
  C largest = largest_of_lanes<C>(max_lanes(max_lanes(most[0], most[1]), max_lanes(most[2], most[3])));
  for (; c < bins; c++) {
    out[c] = math::load(logits + c);
    largest = out[c] > largest ? out[c] : largest;
  }
  for (; c < padded(bins); c++) out[c] = -std::numeric_limits<C>::infinity();
  return largest;
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
