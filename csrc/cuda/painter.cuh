// A few pixels of a picture, or sites of its chroma planes, from ab of the network's size: what paint.cu launches.
#pragma once

#include "../math/paint.h"

#include "linear.cuh"
#include "vec.cuh"

namespace fastcolor::cuda {

// ---- the row of ab that a block paints with ----

// Where a picture's positions, pixels or chroma sites, lie in the network's image: (row, column) at (row * step_y +
// start_y, column * step_x + start_x) among its pixels, as math::bilinear_tap() has it.
struct Upsampling {
  int height, width;  // the network's
  float step_y, start_y, step_x, start_x;
  int columns;  // of the network that a block needs for its part of a row
  // Of a plane of the network. In bytes: the compiler keeps an address that is found so, and one instruction adds an
  // index to it; of elements it would add up 64-bit indices for every load.
  int64_t plane_bytes;
};
// positions: of a row, at most `block` a block. sites: where positions lie among the pixels: step_y, step_x apart, the
// first at (offset_y, offset_x).
template <class Params>
Upsampling upsampling_of(const Params& p, int64_t positions, int64_t block, int sites_y = 1, int sites_x = 1,
                         float offset_y = 0.0f, float offset_x = 0.0f) {
  if (p.ab_height * p.ab_width > INT32_MAX) {
    throw std::runtime_error("too large for CUDA: ab of " + std::to_string(p.ab_height * p.ab_width) + " pixels");
  }
  const auto ratio = [](int64_t small, int64_t large) {
    return static_cast<float>(static_cast<double>(small) / static_cast<double>(large));
  };
  const float ratio_y = ratio(p.ab_height, p.height), ratio_x = ratio(p.ab_width, p.width);
  // One column more for the last one's neighbour, and two for rounding.
  const float reach = static_cast<float>(positions < block ? positions : block) * (ratio_x * sites_x);
  return {static_cast<int>(p.ab_height),
          static_cast<int>(p.ab_width),
          ratio_y * sites_y,
          (offset_y + 0.5f) * ratio_y - 0.5f,
          ratio_x * sites_x,
          (offset_x + 0.5f) * ratio_x - 0.5f,
          static_cast<int>(reach) + 4,
          p.ab_height * p.ab_width * static_cast<int64_t>(sizeof(float))};
}

// What the network's columns that the block's part of a row needs tell, mixed along y once for all: (a, b), and for
// sharp edges (lightness, slope of a), (slope of b, 0) behind. Position x of the row lies at x * step + start among
// them.
template <bool sharp>
struct AbRow {
  static constexpr int kPlanes = sharp ? 5 : 2, kPairs = (kPlanes + 1) / 2, kStride = 2 * kPairs;
  const float* columns;  // (count, kStride) in shared memory
  float step, start;

  // Of shared memory, that it takes.
  static size_t bytes(const Upsampling& up) { return static_cast<size_t>(up.columns) * kStride * sizeof(float); }
};
// Fills `columns` with all threads of the block; another thread may read them after the next barrier. Beyond the
// image's last column it stands again, so that no position has to ask where its neighbour is. ab:
// (N,kPlanes,height,width).
template <bool sharp>
__device__ __forceinline__ AbRow<sharp> fill_row(float* columns, const Upsampling& up, const float* ab,
                                                 const RowPart& part) {
  using Row = AbRow<sharp>;
  const auto place = [](int64_t i, float step, float start) {
    return static_cast<float>(static_cast<int>(i)) * step + start;
  };
  const math::TapOf<int> y = math::tap_at(place(part.row, up.step_y, up.start_y), up.height);
  const int begin = math::tap_at(place(part.first, up.step_x, up.start_x), up.width).low;
  const float* plane[Row::kPlanes];
#pragma unroll
  for (int k = 0; k < Row::kPlanes; k++) {
    const int64_t bytes = (part.image * Row::kPlanes + k) * up.plane_bytes;
    plane[k] = reinterpret_cast<const float*>(reinterpret_cast<const char*>(ab) + bytes);
  }
  const int top = y.low * up.width, bottom = y.high * up.width, last = up.width - 1;
#pragma unroll 1
  for (int i = threadIdx.x; i < up.columns; i += blockDim.x) {
    const int x = begin + i < last ? begin + i : last;
    const auto mixed = [&](int k) { return math::lerp(plane[k][top + x], plane[k][bottom + x], y.fraction); };
#pragma unroll
    for (int k = 0; k < Row::kPlanes; k += 2) {
      store_pack<2>(columns + Row::kStride * i + k, {mixed(k), k + 1 < Row::kPlanes ? mixed(k + 1) : 0.0f});
    }
  }
  return {columns, up.step_x, up.start_x - static_cast<float>(begin)};
}

// The colour at a place among the columns, mixed along x. fy: of the pixel.
template <bool sharp>
__device__ __forceinline__ math::FyAb<float> color_at(const AbRow<sharp>& row, float place, float fy) {
  using Row = AbRow<sharp>;
  const float at = math::max_of(0.0f, place);  // the picture's first pixels lie before the first column
  const int low = static_cast<int>(at);
  const float fraction = at - static_cast<float>(low);
  const float* column = row.columns + Row::kStride * low;
  float mixed[Row::kStride];
#pragma unroll
  for (int k = 0; k < Row::kStride; k += 2) {
    const Pack<float, 2> left = load_pack<2>(column + k), right = load_pack<2>(column + Row::kStride + k);
    mixed[k] = math::lerp(left.value[0], right.value[0], fraction);
    mixed[k + 1] = math::lerp(left.value[1], right.value[1], fraction);
  }
  if constexpr (sharp) {
    const float difference = math::lightness_of(fy) - mixed[2];
    return {fy, math::sharpened(mixed[0], mixed[3], difference), math::sharpened(mixed[1], mixed[4], difference)};
  } else {
    return {fy, mixed[0], mixed[1]};
  }
}

// ---- paint_rgb ----

constexpr int kThreadPixels = 4;  // pixels of a thread: their 12 bytes are three whole words

template <Source kind>
constexpr int kSourceChannels = kind == Source::kRgb ? 3 : 1;
// Sources whose codes have a table in shared memory: linear light for RGB, fy for gray.
template <Source kind, class T>
constexpr bool kHasTable = kind != Source::kLightness && sizeof(T) == 1;

// A source's value in a register.
template <class T>
using Value = std::conditional_t<std::is_same_v<T, float>, float, uint32_t>;
// kThreadPixels of them, side by side in memory that is aligned for them.
template <class T>
__device__ __forceinline__ void load_values(const T* source, Value<T> (&values)[kThreadPixels]) {
  if constexpr (sizeof(T) == 1) {
    const uint32_t word = *reinterpret_cast<const uint32_t*>(source);
#pragma unroll
    for (int i = 0; i < kThreadPixels; i++) values[i] = byte_of(word, i);
  } else {
    const Pack<T, kThreadPixels> pack = load_pack<kThreadPixels>(source);
#pragma unroll
    for (int i = 0; i < kThreadPixels; i++) values[i] = pack.value[i];
  }
}

// fy of a pixel of the source, whose values begin at `value`.
template <Source kind, class T>
__device__ __forceinline__ float source_fy(const Value<T>* value, const float* table) {
  if constexpr (kind == Source::kLightness) {
    return math::fy_of(*value);
  } else if constexpr (kind == Source::kRgb) {
    return math::cie_f(math::linear_to_luminance<float>({table[value[0]], table[value[1]], table[value[2]]}));
  } else if constexpr (kHasTable<kind, T>) {
    return table[*value];
  } else {
    return math::gray_to_fy(static_cast<float>(*value) * (1 / 65535.0f));
  }
}

// Can all runs of a row be loaded and stored as words?
inline bool rows_are_wide(const PaintRgbParams& p) {
  return p.width % kThreadPixels == 0 && aligned(p.rgb, 4) && aligned(p.source, 16);
}

// kThreadPixels pixels from column `first` of a row on, of which `left` are in the picture. source, rgb: their first
// values. T: of the source. wide: as rows_are_wide() says.
template <Source kind, class T, bool sharp>
__device__ __forceinline__ void paint_run(const PaintRgbParams& p, const T* source, uint8_t* rgb, int first, int left,
                                          bool wide, const AbRow<sharp>& ab, const float* table) {
  constexpr int kChannels = kSourceChannels<kind>;
  Value<T> values[kChannels][kThreadPixels];  // as they lie in memory
#pragma unroll
  for (int i = 0; i < kChannels; i++) {
    if (wide) {
      load_values(source + i * kThreadPixels, values[i]);
    } else {
#pragma unroll
      for (int j = 0; j < kThreadPixels; j++) {
        const int value = i * kThreadPixels + j;
        values[i][j] = value / kChannels < left ? source[value] : T(0);
      }
    }
  }

  uint32_t channels[3 * kThreadPixels];  // in their second bytes
  const float place = static_cast<float>(first) * ab.step + ab.start;
#pragma unroll
  for (int i = 0; i < kThreadPixels; i++) {  // a pixel beyond the row is not stored
    const float fy = source_fy<kind, T>(values[0] + i * kChannels, table);
    const math::FyAb<float> color = color_at(ab, static_cast<float>(i) * ab.step + place, fy);
    const math::Vec3<uint32_t> c = math::lab_to_bytes(math::saturate(color, p.saturation, p.gamut));
    channels[3 * i] = c.x, channels[3 * i + 1] = c.y, channels[3 * i + 2] = c.z;
  }
  if (wide) {
#pragma unroll
    for (int i = 0; i < 3 * kThreadPixels; i += 4) {
      *reinterpret_cast<uint32_t*>(rgb + i) =
          second_bytes(channels[i], channels[i + 1], channels[i + 2], channels[i + 3]);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < 3 * kThreadPixels; i++) {
    if (i / 3 < left) rgb[i] = static_cast<uint8_t>(channels[i] >> 8);
  }
}

// ---- paint_chroma ----

// The luma at chroma site `i` of a row, in [0, 1]. top, bottom: the luma rows that the site lies between, or one twice.
template <class T>
__device__ __forceinline__ float luma_at_site(const PaintChromaParams& p, const T* top, const T* bottom, int i) {
  const auto sum_at = [&](unsigned x) {
    return math::luma_to_unit(static_cast<float>(top[x]), p.code) +
           math::luma_to_unit(static_cast<float>(bottom[x]), p.code);
  };
  if (p.step_x == 1) return 0.5f * sum_at(i);
  const int last = static_cast<int>(p.width) - 1;
  const int left = i > 0 ? 2 * i - 1 : 0, right = 2 * i + 1 < last ? 2 * i + 1 : last;
  return 0.5f * math::luma_at_site(sum_at(left), sum_at(2 * i), sum_at(right), p.centered);
}

// Codes per unit of channel - luma.
struct ChromaScales {
  float blue, red;
};

// Chroma site `i` of a row. top, bottom: as luma_at_site(); cb, cr: where its codes go. T: of luma and chroma.
template <class T, bool sharp>
__device__ __forceinline__ void paint_site(const PaintChromaParams& p, const ChromaScales& scales, const T* top,
                                           const T* bottom, int i, const AbRow<sharp>& ab, T* cb, T* cr) {
  const float fy = math::gray_to_fy(luma_at_site(p, top, bottom, i));
  const math::FyAb<float> color = color_at(ab, static_cast<float>(i) * ab.step + ab.start, fy);
  const math::Vec3<float> rgb = math::lab_to_rgb_255(math::saturate(color, p.saturation, Gamut::kClip));
  const float painted = math::luma_of(rgb, p.k_red, p.k_blue);
  *cb = math::to_code<T>(math::chroma_code(rgb.z, painted, scales.blue, p.chroma_middle), p.chroma_max);
  *cr = math::to_code<T>(math::chroma_code(rgb.x, painted, scales.red, p.chroma_middle), p.chroma_max);
}

}  // namespace fastcolor::cuda
