// Runs of pixels on the stack, and Lab to sRGB codes in short loops: one loop that did it all would be a chain of
// instructions so long that the processor sees only its own pixels, and waits.
#pragma once

#include "../math/color.h"
#include "lanes.h"
#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

constexpr int kRun = 512;

// Three planes of a run of pixels.
template <class T>
struct Planes {
  alignas(64) T x[kRun], y[kRun], z[kRun];
};

// math::luma_to_unit of as many codes.
template <class T>
FC_INLINE Floats units_of(const T* codes, const LumaCode& code) {
  const Floats unit = load_codes(codes) * code.scale - code.offset * code.scale;
  return min_lanes(max_lanes(unit, Floats{}), all_lanes<Floats>(1.0f));
}

// c: (n), in place: linear light, clipped, to codes in [0, 255]. NaN becomes 0.
inline void linear_run_to_255(float* c, int n) {
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats zero = all_lanes<Floats>(0.0f), one = all_lanes<Floats>(1.0f);
    const Floats unit = min_lanes(max_lanes(load_lanes<Floats>(c + i), zero), one);
    store_lanes(c + i, math::srgb_255_from_root(unit, math::fourth_root_polynomial(unit)));
  }
  for (; i < n; i++) c[i] = c[i] == c[i] ? math::linear_to_srgb_255(c[i]) : 0.0f;
}

// l, a, b: (n). rgb: codes in 0..255, not rounded.
inline void lab_run_to_255(const float* l, const float* a, const float* b, int n, Planes<float>& rgb) {
  const auto convert = [&](auto v, int i) __attribute__((always_inline)) {
    using V = decltype(v);
    const math::Vec3<V> lab = {load_lanes<V>(l + i), load_lanes<V>(a + i), load_lanes<V>(b + i)};
    const math::Vec3<V> linear = math::lab_to_linear(math::fy_ab(lab));
    store_lanes(rgb.x + i, linear.x);
    store_lanes(rgb.y + i, linear.y);
    store_lanes(rgb.z + i, linear.z);
  };
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) convert(Floats{}, i);
  for (; i < n; i++) convert(float{}, i);
  linear_run_to_255(rgb.x, n);
  linear_run_to_255(rgb.y, n);
  linear_run_to_255(rgb.z, n);
}

// Bytes apart from the floats: in one loop four times as many pixels as there are registers for would be under way.
// c in [0, 255].
inline void run_to_bytes(const float* __restrict__ c, int n, uint8_t* __restrict__ out) {
#pragma omp simd
  for (int i = 0; i < n; i++) out[i] = static_cast<uint8_t>(static_cast<int32_t>(c[i] + 0.5f));
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
