// Elementary functions on host and device, float and double. The host's float versions are polynomials that a compiler
// can vectorise; their bounds are asserted by tests/ops/test_color.py, test_loss.py and test_decode.py through the ops.
// NaN in, NaN out. The device's are single instructions of its special function unit, off by 2^-22 or less (PTX ISA,
// ex2 and lg2).
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "../common.h"

namespace fastcolor::math {

template <class T>
FC_HD T min_of(T a, T b) {
  return b < a ? b : a;  // a when either is NaN
}
template <class T>
FC_HD T max_of(T a, T b) {
  return b > a ? b : a;  // a when either is NaN
}
template <class T>
FC_HD T clamp(T x, T low, T high) {
  return x < low ? low : x > high ? high : x;  // NaN stays NaN
}

// The same of numbers that are both NaN or neither: on a device one instruction each.
FC_HD float min_number(float a, float b) {
#ifdef __CUDA_ARCH__
  return fminf(a, b);
#else
  return min_of(a, b);
#endif
}
FC_HD float clamp_number(float x, float low, float high) {
#ifdef __CUDA_ARCH__
  return fminf(fmaxf(x, low), high);
#else
  return clamp(x, low, high);
#endif
}

// x in [0, 1]. NaN stays; on a device it becomes 0, which is free there: for what ends as a byte that is 0 for NaN, or
// comes from integers.
FC_HD float saturated(float x) {
#ifdef __CUDA_ARCH__
  return __saturatef(x);
#else
  return clamp(x, 0.0f, 1.0f);
#endif
}

// 1.5 * 2^23: adding it rounds a float of magnitude below 2^22 to the nearest integer, which then sits in the low bits.
constexpr float kRounder = 12582912.0f;

FC_HD float exp2_fast(float x);
FC_HD double exp2_fast(double x);

template <class C>
constexpr C kLowest = std::numeric_limits<C>::lowest();

// What formulas ask of V beyond arithmetic: here a number; csrc/cpu/lanes.h adds vectors of floats. A compiler that may
// not forget NaN makes two instructions of max and of not_below_zero; the processors' maximum of vectors is one, and
// the device's of floats.
template <class V>
struct Lanes {
  using Signed = int32_t;  // the integers of a float's size
  using Unsigned = uint32_t;
  static FC_HD V lowest() { return kLowest<V>; }
  static FC_HD V max(V x, V m) {  // m where x is NaN; m never is
#ifdef __CUDA_ARCH__
    return fmax(x, m);
#else
    return x > m ? x : m;
#endif
  }
  static FC_HD V not_below_zero(V x) {  // NaN stays
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    if constexpr (std::is_same_v<V, float>) {
      asm("max.NaN.f32 %0, %0, 0f00000000;" : "+f"(x));
      return x;
    }
#endif
    return x < V(0) ? V(0) : x;
  }
  static FC_HD V exp2(V x) { return exp2_fast(x); }
};

// Each number to another type, by value; of vectors too, where the compiler has them.
template <class To, class From>
FC_HD To convert(From from) {
#ifdef __CUDACC__
  return static_cast<To>(from);
#else
  if constexpr (std::is_arithmetic_v<From>) {
    return static_cast<To>(from);
  } else {
    return __builtin_convertvector(from, To);
  }
#endif
}

// Coefficients below that are no series, and the roots' first guesses, are printed by csrc/fit_polynomials.py, which
// makes the largest relative error smallest. The error beside them is that of exact arithmetic; those of the functions
// include float's rounding. F is float, or a vector of floats on a compiler that has them.

// 2^x for x in [-126, 127]. Relative error 1e-7.
template <class F>
FC_HD F exp2_polynomial(F x) {
  constexpr float kBiased = kRounder + 127.0f;  // the integer then is the exponent field of its power of two
  const F rounded = x + kBiased;
  const F f = x - (rounded - kBiased);          // in [-0.5, 0.5]
  F p = f * 0.0001535336195f + 0.00133988744f;  // fitted, exact at 0: 2e-9
  p = p * f + 0.009618437357f;
  p = p * f + 0.05550332471f;
  p = p * f + 0.2402264791f;
  p = p * f + 0.6931472029f;
  p = p * f + 1.0f;
  return p * bit_cast<F>(bit_cast<typename Lanes<F>::Unsigned>(rounded) << 23);
}

// 2^x for x <= 127; below -126 it is 2^-126, which sums of exponentials cannot tell from 0.
FC_HD float exp2_fast(float x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2_polynomial(x < -126.0f ? -126.0f : x);
#endif
}
FC_HD double exp2_fast(double x) { return exp2(x); }

// log2(x) for positive normal x. Absolute error 1e-7 + 6e-8 |log2 x|.
FC_HD float log2_fast(float x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  // x = 2^e m with m in [0.75, 1.5); log2 m by the series of atanh, which converges fast there.
  const int32_t bits = bit_cast<int32_t>(x);
  const int32_t e = (bits - 0x3f400000) >> 23;
  const float m = bit_cast<float>(static_cast<uint32_t>(bits) - (static_cast<uint32_t>(e) << 23));
  const float s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
  float p = 0.32059890f;  // the series: 2 / (9 ln 2), 2 / (7 ln 2), ...; cut off there it is 6e-9 away
  p = p * s2 + 0.41219858f;
  p = p * s2 + 0.57707802f;
  p = p * s2 + 0.96179669f;
  p = p * s2 + 2.88539008f;
  const float y = static_cast<float>(e) + p * s;
  return x != x ? x : y;
#endif
}

FC_HD double log2_fast(double x) { return log2(x); }

constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

// exp(x) for x <= 88.
FC_HD float exp_fast(float x) { return exp2_fast(x * static_cast<float>(kLog2E)); }
FC_HD double exp_fast(double x) { return exp(x); }

// x^y for positive x.
FC_HD float pow_positive(float x, float y) {
  const float exponent = y * log2_fast(x);
  return exp2_fast(exponent > 127.0f ? 127.0f : exponent);
}
FC_HD double pow_positive(double x, double y) { return pow(x, y); }

// x^(1/3) for x in [1e-4, 1e4]; relative error 2e-7, on the device 1e-6.
#ifndef __CUDA_ARCH__
template <class F>
FC_HD F cbrt_polynomial(F x) {
  // r = x^(-1/3) from the exponent bits, to 3.5 %. Then x^(1/3) = x r^2 (1 - e)^(-2/3) for the e that is left,
  // |e| <= 0.102; as e is made from x r^2, most of the rounding of x r^2 cancels. The guess's constant is the one for
  // which e reaches equally far to both sides.
  using Signed = typename Lanes<F>::Signed;
  const F guess = 1419900349.0f - convert<F>(bit_cast<Signed>(x)) * (1.0f / 3.0f);
  const F r = bit_cast<F>(convert<Signed>(guess));
  const F y = x * (r * r), e = 1.0f - y * r;
  F p = e * 0.4287197615f + 0.4585281065f;  // fitted: 1.8e-8
  p = p * e + 0.4938010368f;
  p = p * e + 0.555536613f;
  p = p * e + 0.6666666855f;
  return y + y * e * p;
}
#endif
template <class F>
FC_HD F cbrt_positive(F x) {
#ifdef __CUDA_ARCH__
  return exp2_fast(log2_fast(x) * (1.0f / 3.0f));
#else
  return cbrt_polynomial(x);
#endif
}
FC_HD double cbrt_positive(double x) { return cbrt(x); }

// x^(1/4) for x in [0, 1]; relative error 1e-6.
template <class F>
FC_HD F fourth_root_polynomial(F x) {
  // As the cube root, for (1 - e)^(-3/4); |e| <= 0.1235.
  const F r = bit_cast<F>(1331173520u - (bit_cast<typename Lanes<F>::Unsigned>(x) >> 2));
  const F y = x * (r * r) * r, e = 1.0f - y * r;
  F p = e * 0.5745996572f + 0.6119181068f;  // fitted: 9.9e-7
  p = p * e + 0.6562029978f;
  p = p * e + 0.7499605139f;
  return y + y * e * p;
}

// ---- 16-bit floats ----

FC_HD float load(const float* p) { return *p; }
FC_HD double load(const double* p) { return *p; }
// The value of a 16-bit float whose bits lie in the low half of `bits`; T says which kind.
template <class T, class F>
FC_HD F widen_bits(typename Lanes<F>::Unsigned bits) {
  using U = typename Lanes<F>::Unsigned;
  if constexpr (std::is_same_v<T, BFloat16>) {
    return bit_cast<F>(bits << 16);
  } else {
    // Exponent and mantissa moved into place, then scaled by 2^112: subnormals come out right without a branch.
    const F scaled = bit_cast<F>((bits & 0x7fffu) << 13) * 5.192296858534828e33f;
    const U special = ((bits & 0x3ffu) << 13) | 0x7f800000u;
    const U magnitude = (bits & 0x7c00u) == 0x7c00u ? special : bit_cast<U>(scaled);
    return bit_cast<F>(magnitude | ((bits & 0x8000u) << 16));
  }
}
FC_HD float load(const BFloat16* p) { return widen_bits<BFloat16, float>(static_cast<uint32_t>(p->bits)); }
FC_HD float load(const Half* p) {
#ifdef __CUDA_ARCH__
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(p->bits));
  return x;
#else
  return widen_bits<Half, float>(static_cast<uint32_t>(p->bits));
#endif
}

FC_HD void store(float* p, float x) { *p = x; }
FC_HD void store(double* p, double x) { *p = x; }
FC_HD void store(BFloat16* p, float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(p->bits) : "f"(x));
#else
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  p->bits = static_cast<uint16_t>(x != x ? (bits >> 16) | 0x40u : rounded);
#endif
}
FC_HD void store(Half* p, float x) {
#ifdef __CUDA_ARCH__
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(p->bits) : "f"(x));
#else
  // Round to nearest even. Adding a power of two with the right exponent lets the adder do the rounding.
  const uint32_t bits = bit_cast<uint32_t>(x), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  const float value = bit_cast<float>(magnitude);
  const uint32_t subnormal = bit_cast<uint32_t>(value + 0.5f) - 0x3f000000u;
  const uint32_t normal = (magnitude + 0xc8000fffu + ((magnitude >> 13) & 1u)) >> 13;
  uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
  half = magnitude >= 0x477ff000u ? 0x7c00u : half;  // beyond 65504 + half a step: infinity
  half = magnitude > 0x7f800000u ? 0x7e00u : half;   // NaN
  p->bits = static_cast<uint16_t>(sign | half);
#endif
}

}  // namespace fastcolor::math
