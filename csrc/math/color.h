// sRGB <-> CIE Lab of one pixel, and the vector-Jacobian product of each step right below it.
// sRGB: IEC 61966-2-1. Lab: CIE 15, D65, 2-degree observer, white (0.95047, 1, 1.08883). RGB is in [0, 1], L in
// [0, 100]; a and b of sRGB colours lie in about [-86.2, 98.3] x [-107.9, 94.5].
#pragma once

#include "scalar.h"

namespace fastcolor::math {

template <class T>
struct Vec3 {
  T x, y, z;
};

// A constant in formulas of T, which may be a vector of floats.
template <class T>
using Constant = std::conditional_t<std::is_same_v<T, double>, double, float>;

// ---- transfer function ----

template <class T>
FC_HD T srgb_to_linear(T c) {
  const T low = c * T(1 / 12.92);
  const T high = pow_positive(max_of(c * T(1 / 1.055) + T(0.055 / 1.055), T(0.04)), T(2.4));  // NaN stays
  return c <= T(0.04045) ? low : high;
}
template <class T>
FC_HD T srgb_to_linear_vjp(T c, T grad) {
  const T high = T(2.4 / 1.055) * pow_positive(max_of(T(0.04), (c + T(0.055)) * T(1 / 1.055)), T(1.4));
  return c != c ? c : grad * (c <= T(0.04045) ? T(1 / 12.92) : high);
}

// Clips to [0, 1] first.
template <class T>
FC_HD T linear_to_srgb(T c) {
  c = clamp(c, T(0), T(1));
  const T high = T(1.055) * pow_positive(max_of(T(0.003), c), T(1 / 2.4)) - T(0.055);
  return c <= T(0.0031308) ? T(12.92) * c : c != c ? c : high;
}
template <class T>
FC_HD T linear_to_srgb_vjp(T c, T grad) {
  const T high = T(1.055 / 2.4) * pow_positive(clamp(c, T(0.003), T(1)), T(1 / 2.4 - 1));
  const T slope = c <= T(0.0031308) ? T(12.92) : high;
  return c < T(0) || c > T(1) ? T(0) : grad * slope;
}

// As above times 255, for 8-bit output: a polynomial in the fourth root q, off by at most 0.002 of a level, printed by
// csrc/fit_polynomials.py. F is float or a vector of floats.
template <class F>
FC_HD F srgb_255_from_root(F c, F q) {
  F p = q * -17.37757414f + 73.83094613f;
  p = p * q - 147.258125f;
  p = p * q + 320.1281364f;
  p = p * q + 41.31669627f;
  p = p * q - 15.64175516f;
  return c <= 0.0031308f ? c * (12.92f * 255.0f) : p;
}
// `more`: is added to it, for nothing on a device.
FC_HD float linear_to_srgb_255(float c, float more = 0.0f) {
  c = saturated(c);
#ifdef __CUDA_ARCH__  // where a power is shorter than the polynomial
  const float high = 255 * 1.055f * exp2_fast(log2_fast(c) * (1 / 2.4f)) + (more - 255 * 0.055f);
  return c <= 0.0031308f ? c * (12.92f * 255.0f) + more : high;
#else
  return srgb_255_from_root(c, fourth_root_polynomial(c)) + more;
#endif
}

// ---- lightness: CIE f(t), a cube root with a linear toe ----

template <class T>
FC_HD T cie_f(T t) {
  using K = Constant<T>;
  const T root = cbrt_positive(t), toe = K(7.787) * t + K(16.0 / 116);
  return t > K(0.008856) ? root : toe;
}
template <class T>
FC_HD T cie_f_vjp(T t, T grad) {
  const T root = cbrt_positive(max_of(T(0.008), t));
  return t != t ? t : grad * (t > T(0.008856) ? T(1.0 / 3) / (root * root) : T(7.787));
}

// XYZ below 0 is clipped to 0.
template <class T>
FC_HD T cie_f_inverse(T f) {
  using K = Constant<T>;
  const T cube = f * f * f, toe = f * K(1 / 7.787) - K(16.0 / 116 / 7.787);
  return Lanes<T>::not_below_zero(f > K(0.2068966) ? cube : toe);
}
template <class T>
FC_HD T cie_f_inverse_vjp(T f, T grad) {
  const T toe = f < T(16.0 / 116) ? T(0) : T(1 / 7.787);
  return grad * (f > T(0.2068966) ? T(3) * f * f : toe);
}

// Lightness, and fy: f of the luminance. A straight line leads from one to the other.
template <class T>
FC_HD T lightness_of(T fy) {
  using K = Constant<T>;
  return K(116) * fy - K(16);
}
template <class T>
FC_HD T fy_of(T lightness) {
  using K = Constant<T>;
  return lightness * K(1.0 / 116) + K(16.0 / 116);
}

// Of a gray given as sRGB code value in [0, 1]. The root of the transfer function's power of 2.4 is one power of 0.8.
template <class T>
FC_HD T gray_to_fy(T gray) {
  const T root = pow_positive(max_of(gray * T(1 / 1.055) + T(0.055 / 1.055), T(0.04)), T(0.8));  // NaN stays
  const T luminance = gray <= T(0.04045) ? gray * T(1 / 12.92) : root * root * root;
  return luminance > T(0.008856) ? root : T(7.787) * luminance + T(16.0 / 116);
}
template <class T>
FC_HD T gray_to_lightness(T gray) {
  return lightness_of(gray_to_fy(gray));
}

// ---- linear RGB <-> Lab ----
// The matrices hold RGB -> XYZ with the white point divided out, and its float64 inverse.

template <class T>
FC_HD T linear_to_luminance(Vec3<T> c) {
  using K = Constant<T>;
  return K(0.212671) * c.x + K(0.71516) * c.y + K(0.072169) * c.z;
}
template <class T>
FC_HD Vec3<T> linear_to_white_xyz(Vec3<T> c) {
  using K = Constant<T>;
  return {K(0.4339463633781182) * c.x + K(0.3762138731364483) * c.y + K(0.1898250339305817) * c.z,
          linear_to_luminance(c),
          K(0.01775667459566691) * c.x + K(0.10946887943939825) * c.y + K(0.8727046462716862) * c.z};
}
template <class T>
FC_HD Vec3<T> linear_to_white_xyz_vjp(Vec3<T> g) {
  return {T(0.4339463633781182) * g.x + T(0.212671) * g.y + T(0.01775667459566691) * g.z,
          T(0.3762138731364483) * g.x + T(0.71516) * g.y + T(0.10946887943939825) * g.z,
          T(0.1898250339305817) * g.x + T(0.072169) * g.y + T(0.8727046462716862) * g.z};
}

template <class T>
FC_HD Vec3<T> white_xyz_to_linear(Vec3<T> t) {
  using K = Constant<T>;
  return {K(3.079980302271805) * t.x + K(-1.5371515162713185) * t.y + K(-0.5428213080224701) * t.z,
          K(-0.9212477523232383) * t.x + K(1.8759900014898907) * t.y + K(0.045247339514466) * t.z,
          K(0.05289046109881183) * t.x + K(-0.20404133836651123) * t.y + K(1.1512320119619401) * t.z};
}
template <class T>
FC_HD Vec3<T> white_xyz_to_linear_vjp(Vec3<T> g) {
  return {T(3.079980302271805) * g.x + T(-0.9212477523232383) * g.y + T(0.05289046109881183) * g.z,
          T(-1.5371515162713185) * g.x + T(1.8759900014898907) * g.y + T(-0.20404133836651123) * g.z,
          T(-0.5428213080224701) * g.x + T(0.045247339514466) * g.y + T(1.1512320119619401) * g.z};
}

template <class T>
FC_HD Vec3<T> linear_to_lab(Vec3<T> rgb) {
  using K = Constant<T>;
  const Vec3<T> t = linear_to_white_xyz(rgb);
  const T fx = cie_f(t.x), fy = cie_f(t.y), fz = cie_f(t.z);
  return {lightness_of(fy), K(500) * (fx - fy), K(200) * (fy - fz)};
}
template <class T>
FC_HD Vec3<T> linear_to_lab_vjp(Vec3<T> rgb, Vec3<T> g) {
  const Vec3<T> t = linear_to_white_xyz(rgb);
  const Vec3<T> grad_f = {T(500) * g.y, T(116) * g.x - T(500) * g.y + T(200) * g.z, T(-200) * g.z};
  return linear_to_white_xyz_vjp<T>({cie_f_vjp(t.x, grad_f.x), cie_f_vjp(t.y, grad_f.y), cie_f_vjp(t.z, grad_f.z)});
}

// A Lab colour with fy in place of lightness: painting has it from a root, and goes on with it.
template <class T>
struct FyAb {
  T fy, a, b;
};
template <class T>
FC_HD FyAb<T> fy_ab(Vec3<T> lab) {
  return {fy_of(lab.x), lab.y, lab.z};
}
template <class T>
FC_HD Vec3<T> cie_f_of(FyAb<T> c) {
  using K = Constant<T>;
  return {c.fy + c.a * K(0.002), c.fy, c.fy - c.b * K(0.005)};
}
// Not clipped to [0, 1]: the transfer function does that.
template <class T>
FC_HD Vec3<T> lab_to_linear(FyAb<T> c) {
  const Vec3<T> f = cie_f_of(c);
  return white_xyz_to_linear<T>({cie_f_inverse(f.x), cie_f_inverse(f.y), cie_f_inverse(f.z)});
}
template <class T>
FC_HD Vec3<T> lab_to_linear_vjp(Vec3<T> lab, Vec3<T> g) {
  const Vec3<T> f = cie_f_of(fy_ab(lab)), grad_t = white_xyz_to_linear_vjp(g);
  const T gx = cie_f_inverse_vjp(f.x, grad_t.x), gy = cie_f_inverse_vjp(f.y, grad_t.y),
          gz = cie_f_inverse_vjp(f.z, grad_t.z);
  return {(gx + gy + gz) * T(1.0 / 116), gx * T(0.002), gz * T(-0.005)};
}

// ---- whole pixels ----

template <class T>
FC_HD Vec3<T> srgb_to_linear(Vec3<T> c) {
  return {srgb_to_linear(c.x), srgb_to_linear(c.y), srgb_to_linear(c.z)};
}
template <class T>
FC_HD Vec3<T> rgb_to_lab(Vec3<T> rgb) {
  return linear_to_lab(srgb_to_linear(rgb));
}
template <class T>
FC_HD Vec3<T> rgb_to_lab_vjp(Vec3<T> rgb, Vec3<T> g) {
  const Vec3<T> grad_linear = linear_to_lab_vjp(srgb_to_linear(rgb), g);
  return {srgb_to_linear_vjp(rgb.x, grad_linear.x), srgb_to_linear_vjp(rgb.y, grad_linear.y),
          srgb_to_linear_vjp(rgb.z, grad_linear.z)};
}

template <class T>
FC_HD Vec3<T> lab_to_rgb(FyAb<T> color) {
  const Vec3<T> c = lab_to_linear(color);
  return {linear_to_srgb(c.x), linear_to_srgb(c.y), linear_to_srgb(c.z)};
}
template <class T>
FC_HD Vec3<T> lab_to_rgb_vjp(Vec3<T> lab, Vec3<T> g) {
  const Vec3<T> c = lab_to_linear(fy_ab(lab));
  return lab_to_linear_vjp<T>(
      lab, {linear_to_srgb_vjp(c.x, g.x), linear_to_srgb_vjp(c.y, g.y), linear_to_srgb_vjp(c.z, g.z)});
}

// Channels in 0..255, not rounded.
FC_HD Vec3<float> lab_to_rgb_255(FyAb<float> color) {
  const Vec3<float> c = lab_to_linear(color);
  return {linear_to_srgb_255(c.x), linear_to_srgb_255(c.y), linear_to_srgb_255(c.z)};
}

// Round half up into a byte; NaN gives 0. x lies in [0, 255].
FC_HD uint8_t to_byte(float x) { return static_cast<uint8_t>(static_cast<int32_t>((x > 0.0f ? x : 0.0f) + 0.5f)); }

// The same of a pixel, each in the second byte of a word; the other bytes are nothing.
FC_HD Vec3<uint32_t> lab_to_bytes(FyAb<float> color) {
#ifdef __CUDA_ARCH__  // 1.5 * 2^15 leaves 8 bits below the point: no conversion, which would be two instructions
  const Vec3<float> c = lab_to_linear(color);
  const auto word = [](float channel) { return bit_cast<uint32_t>(linear_to_srgb_255(channel, 49152.5f)); };
  return {word(c.x), word(c.y), word(c.z)};
#else
  const Vec3<float> c = lab_to_rgb_255(color);
  const auto word = [](float channel) { return static_cast<uint32_t>(to_byte(channel)) << 8; };
  return {word(c.x), word(c.y), word(c.z)};
#endif
}

// ---- gamut="chroma": keep lightness and hue, reduce chroma until the colour fits sRGB ----

template <class T>
FC_HD bool in_gamut(FyAb<T> color) {
  const Vec3<T> c = lab_to_linear(color);
  const T low = min_of(c.x, min_of(c.y, c.z)), high = max_of(c.x, max_of(c.y, c.z));
  return low >= T(-1e-5) && high <= T(1 + 1e-5);
}

// 16 halvings: the chroma is within 2^-16 of the largest that fits.
template <class T>
FC_HD FyAb<T> reduce_chroma(FyAb<T> color) {
  if (in_gamut(color)) return color;
  T low = T(0), high = T(1);
  for (int i = 0; i < 16; i++) {
    const T middle = (low + high) * T(0.5);
    const bool inside = in_gamut<T>({color.fy, color.a * middle, color.b * middle});
    low = inside ? middle : low;
    high = inside ? high : middle;
  }
  return {color.fy, color.a * low, color.b * low};
}

}  // namespace fastcolor::math
