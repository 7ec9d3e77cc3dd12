// A few pixels of a picture, or sites of its chroma planes, from ab of the network's size: what paint.cu launches.
#pragma once

#include "../math/paint.h"

#include "linear.cuh"
#include "vec.cuh"

namespace fastcolor::cuda {

inline float ratio_of(int64_t small, int64_t large) {
  return static_cast<float>(static_cast<double>(small) / static_cast<double>(large));
}

// ---- the row of ab that a block paints with ----

// What the network's columns `begin`, begin + 1, ... tell, mixed along y once for all pixels of the block's part of a
// row: (a, b), and for sharp edges (lightness, slope of a), (slope of b, 0) behind.
template <bool sharp>
struct AbRow {
  static constexpr int kPlanes = sharp ? 5 : 2, kPairs = (kPlanes + 1) / 2, kStride = 2 * kPairs;
  float* columns;  // (count, kStride) in shared memory
  int begin;
};
// Columns that `positions` neighbours of a row can need, with one at each end for what rounding does.
inline int64_t columns_of(int64_t positions, float ratio_x, int64_t ab_width) {
  const int64_t needed = static_cast<int64_t>(static_cast<float>(positions) * ratio_x) + 4;
  return needed < ab_width + 1 ? needed : ab_width + 1;
}

// Of shared memory, that a row of so many columns takes.
template <bool sharp>
size_t row_bytes(int64_t columns) {
  return static_cast<size_t>(columns) * AbRow<sharp>::kStride * sizeof(float);
}

// Fills the row with all threads of the block. ab: (kPlanes,height,width) of the image. The last column stands twice, so
// that every column has a neighbour. Another thread may read it after the next barrier.
template <bool sharp>
__device__ __forceinline__ void fill_row(const AbRow<sharp>& row, int count, const float* ab, int64_t height,
                                         int64_t width, const math::Tap& y) {
  constexpr int kPlanes = AbRow<sharp>::kPlanes;
  const float *top = ab + y.low * width, *bottom = ab + y.high * width;
  const int64_t plane = height * width;
  const int last = static_cast<int>(width) - 1;
#pragma unroll 1
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const int x = row.begin + i < last ? row.begin + i : last;
#pragma unroll
    for (int k = 0; k < kPlanes; k += 2) {
      const bool pair = k + 1 < kPlanes;
      const float second = pair ? math::lerp(top[(k + 1) * plane + x], bottom[(k + 1) * plane + x], y.fraction) : 0.0f;
      store_pack<2>(row.columns + AbRow<sharp>::kStride * i + k,
                    {math::lerp(top[k * plane + x], bottom[k * plane + x], y.fraction), second});
    }
  }
}

// The colour at a position of the row, mixed along x. lightness: of the pixel.
template <bool sharp>
__device__ __forceinline__ math::Vec3<float> lab_of(const AbRow<sharp>& row, const math::TapOf<int>& x,
                                                    float lightness) {
  constexpr int kPairs = AbRow<sharp>::kPairs, kStride = AbRow<sharp>::kStride;
  const float* at = row.columns + kStride * (x.low - row.begin);
  float mixed[kStride];
#pragma unroll
  for (int k = 0; k < kPairs; k++) {
    const Pack<float, 2> low = load_pack<2>(at + 2 * k), high = load_pack<2>(at + kStride + 2 * k);
    mixed[2 * k] = math::lerp(low.value[0], high.value[0], x.fraction);
    mixed[2 * k + 1] = math::lerp(low.value[1], high.value[1], x.fraction);
  }
  if constexpr (sharp) {
    const float difference = lightness - mixed[2];
    return {lightness, math::sharpened(mixed[0], mixed[3], difference),
            math::sharpened(mixed[1], mixed[4], difference)};
  }
  return {lightness, mixed[0], mixed[1]};
}

// ---- paint_rgb ----

constexpr int kThreadPixels = 4;  // pixels of a thread: their 12 bytes are three whole words

template <Source kind>
constexpr int kSourceChannels = kind == Source::kRgb ? 3 : 1;
// Sources whose codes have a table in shared memory: linear light for RGB, lightness for gray.
template <Source kind, class T>
constexpr bool kHasTable = kind != Source::kLightness && sizeof(T) == 1;

// Lightness of a pixel of the source, whose values begin at `value`.
template <Source kind, class T>
__device__ __forceinline__ float lightness_of(const T* value, const float* table) {
  if constexpr (kind == Source::kLightness) {
    return *value;
  } else if constexpr (kind == Source::kRgb) {
    return math::linear_to_lab<float>({table[value[0]], table[value[1]], table[value[2]]}).x;
  } else if constexpr (sizeof(T) == 1) {
    return table[*value];
  } else {
    return math::gray_to_lightness(static_cast<float>(*value) * (1 / 65535.0f));
  }
}

// Can all runs of a row be loaded and stored as words?
inline bool rows_are_wide(const PaintRgbParams& p) {
  return p.width % kThreadPixels == 0 && aligned(p.rgb, 4) && aligned(p.source, 16);
}

// kThreadPixels pixels from column `first` on of the row that begins at pixel `row` of all. T: of the source. wide: as
// rows_are_wide() says.
template <Source kind, class T, bool sharp>
__device__ __forceinline__ void paint_run(const PaintRgbParams& p, int64_t row, int first, float ratio_x, bool wide,
                                          const AbRow<sharp>& ab, const float* table) {
  const int width = static_cast<int>(p.width);
  constexpr int kChannels = kSourceChannels<kind>, kValues = kThreadPixels * kChannels;
  const int64_t start = row + first;
  const T* source = static_cast<const T*>(p.source) + start * kChannels;
  T values[kValues];
#pragma unroll
  for (int i = 0; i < kValues; i += kThreadPixels) {
    if (wide) {
      const Pack<T, kThreadPixels> pack = load_pack<kThreadPixels>(source + i);
#pragma unroll
      for (int j = 0; j < kThreadPixels; j++) values[i + j] = pack.value[j];
    } else {
#pragma unroll
      for (int j = i; j < i + kThreadPixels; j++) values[j] = first + j / kChannels < width ? source[j] : T(0);
    }
  }

  Pack<uint8_t, 4> rgb[3];  // kThreadPixels pixels
#pragma unroll
  for (int i = 0; i < kThreadPixels; i++) {
    // A pixel beyond the row repeats its last column and is not stored.
    const math::TapOf<int> x = math::bilinear_tap(static_cast<float>(first + i), ratio_x, static_cast<int>(p.ab_width));
    const math::Vec3<float> lab =
        math::saturate(lab_of(ab, x, lightness_of<kind>(values + i * kChannels, table)), p.saturation, p.gamut);
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
    if (first + i / 3 < width) out[i] = rgb[i / 4].value[i % 4];
  }
}

// ---- paint_chroma ----

// The luma at chroma site `i` of a row, in [0, 1]. top, bottom: the luma rows that the site lies between, or one twice.
template <class T>
__device__ __forceinline__ float luma_at_site(const PaintChromaParams& p, const T* top, const T* bottom, int i) {
  const auto at = [&](int x) {
    return 0.5f * (math::luma_to_unit(static_cast<float>(top[x]), p.code) +
                   math::luma_to_unit(static_cast<float>(bottom[x]), p.code));
  };
  if (p.step_x == 1) return at(i);
  const int last = static_cast<int>(p.width) - 1;
  const int left = i > 0 ? 2 * i - 1 : 0, right = 2 * i + 1 < last ? 2 * i + 1 : last;
  return math::luma_at_site(at(left), at(2 * i), at(right), p.centered);
}

// Where a chroma site lies among the pixels: `position` times its step, and midway where it is centred.
__device__ __forceinline__ float site_position(int64_t position, int step, bool centered) {
  return static_cast<float>(position * step) + (step == 2 && centered ? 0.5f : 0.0f);
}

// Chroma site `i` of a row. top, bottom: as luma_at_site(); cb, cr: of the row. T: of luma and chroma.
template <class T, bool sharp>
__device__ __forceinline__ void paint_site(const PaintChromaParams& p, const T* top, const T* bottom, int i,
                                           float ratio_x, const AbRow<sharp>& ab, T* cb, T* cr) {
  const math::TapOf<int> x =
      math::bilinear_tap(site_position(i, p.step_x, p.centered), ratio_x, static_cast<int>(p.ab_width));
  const float lightness = math::gray_to_lightness(luma_at_site(p, top, bottom, i));
  const math::Vec3<float> lab = math::saturate(lab_of(ab, x, lightness), p.saturation, Gamut::kClip);
  const math::Vec3<float> rgb = math::lab_to_rgb_255(lab);
  const float painted = math::luma_of(rgb, p.k_red, p.k_blue);
  const float blue = math::chroma_difference(rgb.z, painted, p.k_blue),
              red = math::chroma_difference(rgb.x, painted, p.k_red);
  cb[i] = math::to_code<T>(blue * p.chroma_scale + p.chroma_middle, p.chroma_max);
  cr[i] = math::to_code<T>(red * p.chroma_scale + p.chroma_middle, p.chroma_max);
}

}  // namespace fastcolor::cuda
