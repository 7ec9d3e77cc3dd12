// A few pixels of a picture, or one site of its chroma planes, from ab of the network's size: what paint.cu
// launches.
#pragma once

#include "../math/paint.h"

#include "linear.cuh"
#include "vec.cuh"

namespace fastcolor::cuda {

inline float ratio_of(int64_t small, int64_t large) {
  return static_cast<float>(static_cast<double>(small) / static_cast<double>(large));
}

// ab of one pixel: (2,height,width) of the network's size, mixed along y, then along x.
__device__ __forceinline__ math::Vec3<float> lab_of(const float* ab, int64_t height, int64_t width, const math::Tap& y,
                                                    const math::Tap& x, float lightness) {
  const float *top = ab + y.low * width, *bottom = ab + y.high * width;
  const int64_t plane = height * width;
  const float a = math::lerp(math::lerp(top[x.low], bottom[x.low], y.fraction),
                             math::lerp(top[x.high], bottom[x.high], y.fraction), x.fraction);
  const float b = math::lerp(math::lerp(top[plane + x.low], bottom[plane + x.low], y.fraction),
                             math::lerp(top[plane + x.high], bottom[plane + x.high], y.fraction), x.fraction);
  return {lightness, a, b};
}

constexpr int kThreadPixels = 4;  // pixels of a thread: their 12 bytes are three whole words

// Lightness of pixel `at` of the source. linear: the table of linear.cuh, for kRgb.
template <Source kind, class T>
__device__ __forceinline__ float lightness_of(const void* source, int64_t at, const float* linear) {
  const T* p = static_cast<const T*>(source);
  if constexpr (kind == Source::kLightness) {
    return p[at];
  } else if constexpr (kind == Source::kRgb) {
    return math::linear_to_lab<float>({linear[p[3 * at]], linear[p[3 * at + 1]], linear[p[3 * at + 2]]}).x;
  } else {
    return math::gray_to_lightness(static_cast<float>(p[at]) * (sizeof(T) == 1 ? 1 / 255.0f : 1 / 65535.0f));
  }
}

// Can all runs of a row be stored as words?
inline bool rows_are_wide(const PaintRgbParams& p) { return p.width % kThreadPixels == 0 && aligned(p.rgb, 4); }

// kThreadPixels pixels of a row from column `first` on. T: of the source. wide: as rows_are_wide() says.
template <Source kind, class T>
__device__ __forceinline__ void paint_run(const PaintRgbParams& p, int64_t image, int64_t row, int64_t first,
                                          float ratio_y, float ratio_x, bool wide, const float* linear) {
  if (first >= p.width) return;
  const int64_t start = (image * p.height + row) * p.width + first;
  const float* ab = p.ab + image * 2 * p.ab_height * p.ab_width;
  const math::Tap y = math::bilinear_tap(static_cast<float>(row), ratio_y, p.ab_height);

  Pack<uint8_t, 4> rgb[3] = {};  // kThreadPixels pixels
#pragma unroll
  for (int i = 0; i < kThreadPixels; i++) {
    if (first + i >= p.width) continue;
    const math::Tap x = math::bilinear_tap(static_cast<float>(first + i), ratio_x, p.ab_width);
    const math::Vec3<float> lab =
        math::saturate(lab_of(ab, p.ab_height, p.ab_width, y, x, lightness_of<kind, T>(p.source, start + i, linear)),
                       p.saturation, p.gamut);
    const math::Vec3<float> c = math::lab_to_rgb_255(lab);
    rgb[3 * i / 4].value[3 * i % 4] = math::to_byte(c.x);
    rgb[(3 * i + 1) / 4].value[(3 * i + 1) % 4] = math::to_byte(c.y);
    rgb[(3 * i + 2) / 4].value[(3 * i + 2) % 4] = math::to_byte(c.z);
  }
  uint8_t* out = p.rgb + 3 * start;
  if (wide) {
#pragma unroll
    for (int i = 0; i < 3; i++) store_pack(out + 4 * i, rgb[i]);
    return;
  }
#pragma unroll
  for (int i = 0; i < 3 * kThreadPixels; i++) {
    if (first + i / 3 < p.width) out[i] = rgb[i / 4].value[i % 4];
  }
}

// The luma at chroma site `i` of a row, in [0, 1]. top, bottom: the luma rows that the site lies between, or one twice.
template <class T>
__device__ __forceinline__ float luma_at_site(const PaintChromaParams& p, const T* top, const T* bottom, int64_t i) {
  const auto at = [&](int64_t x) {
    return 0.5f * (math::luma_to_unit(static_cast<float>(top[x]), p.code) +
                   math::luma_to_unit(static_cast<float>(bottom[x]), p.code));
  };
  if (p.step_x == 1) return at(i);
  const int64_t left = i > 0 ? 2 * i - 1 : 0, right = 2 * i + 1 < p.width ? 2 * i + 1 : p.width - 1;
  return math::luma_at_site(at(left), at(2 * i), at(right), p.centered);
}

// The rows of ab that chroma row `row` lies between.
__device__ __forceinline__ math::Tap chroma_tap_y(const PaintChromaParams& p, int64_t row, float ratio_y) {
  return math::bilinear_tap(static_cast<float>(row * p.step_y) + (p.step_y == 2 ? 0.5f : 0.0f), ratio_y, p.ab_height);
}

// Chroma site `i` of chroma row `row`. rows, columns: of the chroma planes. T: of luma and chroma.
template <class T>
__device__ __forceinline__ void paint_site(const PaintChromaParams& p, int64_t image, int64_t row, int64_t i,
                                           int64_t rows, int64_t columns, float ratio_y, float ratio_x) {
  if (i >= columns) return;
  const float offset_x = p.step_x == 2 && p.centered ? 0.5f : 0.0f;
  const math::Tap y = chroma_tap_y(p, row, ratio_y);
  const math::Tap x = math::bilinear_tap(static_cast<float>(i * p.step_x) + offset_x, ratio_x, p.ab_width);

  const T* luma = static_cast<const T*>(p.luma) + image * p.height * p.width;
  const int64_t top = row * p.step_y, bottom = top + p.step_y - 1 < p.height ? top + p.step_y - 1 : p.height - 1;
  const float gray = luma_at_site(p, luma + top * p.width, luma + bottom * p.width, i);
  const math::Vec3<float> lab = math::saturate(
      lab_of(p.ab + image * 2 * p.ab_height * p.ab_width, p.ab_height, p.ab_width, y, x, math::gray_to_lightness(gray)),
      p.saturation, Gamut::kClip);
  const math::Vec3<float> rgb = math::lab_to_rgb_255(lab);
  const float painted = math::luma_of(rgb, p.k_red, p.k_blue);
  const float cb = math::chroma_difference(rgb.z, painted, p.k_blue),
              cr = math::chroma_difference(rgb.x, painted, p.k_red);
  const int64_t out = (image * rows + row) * columns + i;
  static_cast<T*>(p.cb)[out] = math::to_code<T>(cb * p.chroma_scale + p.chroma_middle, p.chroma_max);
  static_cast<T*>(p.cr)[out] = math::to_code<T>(cr * p.chroma_scale + p.chroma_middle, p.chroma_max);
}

}  // namespace fastcolor::cuda
