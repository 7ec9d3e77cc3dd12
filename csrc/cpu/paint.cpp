// paint_rgb, paint_chroma: from the network's size to the picture's, in one pass. No ab and no Lab image of full size
// is ever stored.
#include "../math/paint.h"

#include "interleave.h"
#include "lanes.h"
#include "linear.h"
#include "pages.h"
#include "parallel.h"
#include "runs.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

// One row of ab at the picture's width: two rows of the small plane mixed, then along x with taps made once a call.
struct RowTaps {
  const int32_t* low;
  const int32_t* high;
  const float* fraction;
};

// mixed: scratch of small_width + kLanes floats.
void upsample_row(const float* plane, int64_t small_width, const math::Tap& y, const RowTaps& taps, int64_t width,
                  float* __restrict__ mixed, float* __restrict__ out) {
  const float *top = plane + y.low * small_width, *bottom = plane + y.high * small_width;
#pragma omp simd
  for (int64_t x = 0; x < small_width; x++) mixed[x] = math::lerp(top[x], bottom[x], y.fraction);
  int64_t x = 0;
  for (; x + kLanes <= width; x += kLanes) {
    // Neighbours read nearly the same few values when a plane grows: one load serves all lanes then.
    const int32_t first = taps.low[x];
    if (taps.high[x + kLanes - 1] - first >= kLanes) break;
    Words low, high;
    std::memcpy(&low, taps.low + x, sizeof(low));
    std::memcpy(&high, taps.high + x, sizeof(high));
    const Floats near = load_lanes<Floats>(mixed + first);
    const uint32_t offset = static_cast<uint32_t>(first);
    store_lanes(out + x,
                math::lerp(Floats(__builtin_shuffle(near, low - offset)),
                           Floats(__builtin_shuffle(near, high - offset)), load_lanes<Floats>(taps.fraction + x)));
  }
  for (; x < width; x++) out[x] = math::lerp(mixed[taps.low[x]], mixed[taps.high[x]], taps.fraction[x]);
}

// What is painted along one row: ab at its places, and for sharp edges lightness and slopes, which are null without.
struct ColorRow {
  float *a, *b, *lightness, *slope_a, *slope_b;
};

int planes_of(bool sharp) { return sharp ? 5 : 2; }

// image: its planes, 2 or 5. space: scratch of planes * width + small_width + kLanes floats.
ColorRow upsample_rows(const float* image, int planes, int64_t small_height, int64_t small_width, const math::Tap& y,
                       const RowTaps& taps, int64_t width, float* space) {
  float* mixed = space + planes * width;
  for (int i = 0; i < planes; i++) {
    upsample_row(image + i * small_height * small_width, small_width, y, taps, width, mixed, space + i * width);
  }
  float* more = planes == 5 ? space + 2 * width : nullptr;
  return {space, space + width, more, more ? more + width : nullptr, more ? more + 2 * width : nullptr};
}

// Note [Sharp edges] in place, for n pixels of a row from `first` on. lightness: their own, (n).
void sharpen_run(const ColorRow& row, int64_t first, const float* __restrict__ lightness, int64_t n) {
  if (row.lightness == nullptr) return;
  float *__restrict__ a = row.a + first, *__restrict__ b = row.b + first;
  const float *__restrict__ around = row.lightness + first, *__restrict__ slope_a = row.slope_a + first,
              *__restrict__ slope_b = row.slope_b + first;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const float difference = lightness[i] - around[i];
    a[i] = math::sharpened(a[i], slope_a[i], difference);
    b[i] = math::sharpened(b[i], slope_b[i], difference);
  }
}

// Taps for positions 0, step, 2 step, ... + offset of a grid of `large` pixels.
void fill_taps(int64_t count, int step, float offset, int64_t large, int64_t small, int32_t* low, int32_t* high,
               float* fraction) {
  const float ratio = static_cast<float>(static_cast<double>(small) / static_cast<double>(large));
  for (int64_t i = 0; i < count; i++) {
    const math::Tap tap = math::bilinear_tap(static_cast<float>(i * step) + offset, ratio, small);
    low[i] = static_cast<int32_t>(tap.low);
    high[i] = static_cast<int32_t>(tap.high);
    fraction[i] = tap.fraction;
  }
}

// rgb: linear light of n pixels.
void linear_run_to_lightness(const Planes<float>& rgb, int n, float* lightness) {
  const auto convert = [&](auto v, int i) __attribute__((always_inline)) {
    using V = decltype(v);
    const math::Vec3<V> linear = {load_lanes<V>(rgb.x + i), load_lanes<V>(rgb.y + i), load_lanes<V>(rgb.z + i)};
    store_lanes(lightness + i, math::lightness_of(math::cie_f(math::linear_to_luminance(linear))));
  };
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) convert(Floats{}, i);
  for (; i < n; i++) convert(float{}, i);
}

// Lightness of one row of the source, (width).
void source_row(const PaintRgbParams& p, int64_t image, int64_t y, float* __restrict__ lightness) {
  const int64_t row = (image * p.height + y) * p.width;
  if (p.source_kind == Source::kLightness) {
    std::copy_n(static_cast<const float*>(p.source) + row, p.width, lightness);
  } else if (p.source_kind == Source::kRgb) {
    const uint8_t* rgb = static_cast<const uint8_t*>(p.source) + 3 * row;
    Planes<float> linear;
    for (int64_t first = 0; first < p.width; first += kRun) {
      const int n = static_cast<int>(std::min<int64_t>(kRun, p.width - first));
      look_up<3>(rgb + 3 * first, 1, n, linear);
      linear_run_to_lightness(linear, n, lightness + first);
    }
  } else {
    dispatch_code(p.dtype, [&](auto t) {
      const decltype(t)* gray = static_cast<const decltype(t)*>(p.source) + row;
      const float scale = p.dtype == DType::kU8 ? 1 / 255.0f : 1 / 65535.0f;
#pragma omp simd
      for (int64_t x = 0; x < p.width; x++) lightness[x] = math::gray_to_lightness(gray[x] * scale);
    });
  }
}

// math::saturate in place: (n).
template <Gamut gamut>
void saturate_run(const float* __restrict__ lightness, float saturation, int64_t n, float* __restrict__ a,
                  float* __restrict__ b) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const math::FyAb<float> color = math::saturate({math::fy_of(lightness[i]), a[i], b[i]}, saturation, gamut);
    a[i] = color.a;
    b[i] = color.b;
  }
}

// The mean of two luma rows, in [0, 1]: (width).
template <class T>
void mean_of_rows(const T* __restrict__ top, const T* __restrict__ bottom, const LumaCode code, int64_t width,
                  float* __restrict__ out) {
  int64_t x = 0;
  for (; x + kLanes <= width; x += kLanes) {
    store_lanes(out + x, 0.5f * (units_of(top + x, code) + units_of(bottom + x, code)));
  }
  for (; x < width; x++) {
    out[x] = 0.5f * (math::luma_to_unit(static_cast<float>(top[x]), code) +
                     math::luma_to_unit(static_cast<float>(bottom[x]), code));
  }
}

// A luma row brought to its chroma sites, `step` columns apart.
void luma_at_sites(const float* __restrict__ luma, int64_t width, int step, bool centered, int64_t columns,
                   float* __restrict__ out) {
  if (step == 1) {
    std::copy_n(luma, columns, out);
    return;
  }
#pragma omp simd
  for (int64_t i = 1; i < columns - 1; i++) {
    out[i] = math::luma_at_site(luma[2 * i - 1], luma[2 * i], luma[2 * i + 1], centered);
  }
  for (const int64_t x : {int64_t{0}, 2 * (columns - 1)}) {  // at the edges the neighbours may be missing
    const float left = luma[std::max<int64_t>(x - 1, 0)], right = luma[std::min(x + 1, width - 1)];
    out[x / 2] = math::luma_at_site(left, luma[x], right, centered);
  }
}

// Codes of a run of one chroma row from `first` on, from its luma and, which it changes, its colours.
template <class T>
void chroma_run(const PaintChromaParams& p, const float* __restrict__ luma, const ColorRow& row, int64_t first, int n,
                T* __restrict__ cb, T* __restrict__ cr) {
  const float k_red = p.k_red, k_blue = p.k_blue;
  const float blue = math::chroma_scale(k_blue, p.chroma_scale), red = math::chroma_scale(k_red, p.chroma_scale);
  const float middle = p.chroma_middle, largest = p.chroma_max;
  alignas(64) float lightness[kRun];
#pragma omp simd
  for (int i = 0; i < n; i++) lightness[i] = math::gray_to_lightness(luma[i]);
  sharpen_run(row, first, lightness, n);
  float *a = row.a + first, *b = row.b + first;
  Planes<float> rgb;
  saturate_run<Gamut::kClip>(lightness, p.saturation, n, a, b);
  lab_run_to_255(lightness, a, b, n, rgb);
#pragma omp simd
  for (int i = 0; i < n; i++) {
    const float y = math::luma_of({rgb.x[i], rgb.y[i], rgb.z[i]}, k_red, k_blue);
    rgb.z[i] = math::chroma_code(rgb.z[i], y, blue, middle);
    rgb.x[i] = math::chroma_code(rgb.x[i], y, red, middle);
  }
#pragma omp simd
  for (int i = 0; i < n; i++) {
    cb[i] = math::to_code<T>(rgb.z[i], largest);
    cr[i] = math::to_code<T>(rgb.x[i], largest);
  }
}

}  // namespace

void paint_rgb(const PaintRgbParams& p) {
  prefer_huge_pages(p.rgb, p.images * p.height * p.width * 3);
  const std::unique_ptr<int32_t[]> ends(new int32_t[static_cast<size_t>(2 * p.width)]);
  const std::unique_ptr<float[]> fraction(new float[static_cast<size_t>(p.width)]);
  fill_taps(p.width, 1, 0.0f, p.width, p.ab_width, ends.get(), ends.get() + p.width, fraction.get());
  const RowTaps taps{ends.get(), ends.get() + p.width, fraction.get()};
  const int planes = planes_of(p.sharp);
  const float ratio_y = static_cast<float>(static_cast<double>(p.ab_height) / static_cast<double>(p.height));

  parallel_for(p.images * p.height, 4.0 * static_cast<double>(p.width), p.target.threads, [&](int64_t i) {
    const int64_t image = i / p.height, y = i % p.height, small = p.ab_height * p.ab_width;
    float* lightness = scratch<float>((1 + planes) * p.width + p.ab_width + kLanes);
    const math::Tap tap = math::bilinear_tap(static_cast<float>(y), ratio_y, p.ab_height);
    const ColorRow row = upsample_rows(p.ab + image * planes * small, planes, p.ab_height, p.ab_width, tap, taps,
                                       p.width, lightness + p.width);
    float *a = row.a, *b = row.b;
    source_row(p, image, y, lightness);
    sharpen_run(row, 0, lightness, p.width);
    uint8_t* rgb = p.rgb + 3 * i * p.width;
    if (p.gamut == Gamut::kChroma) {
      saturate_run<Gamut::kChroma>(lightness, p.saturation, p.width, a, b);
    } else {
      saturate_run<Gamut::kClip>(lightness, p.saturation, p.width, a, b);
    }
    for (int64_t first = 0; first < p.width; first += kRun) {
      const int n = static_cast<int>(std::min<int64_t>(kRun, p.width - first));
      Planes<float> codes;
      lab_run_to_255(lightness + first, a + first, b + first, n, codes);
      interleave(codes, n, rgb + 3 * first);
    }
  });
}

void paint_chroma(const PaintChromaParams& p) {
  const int64_t rows = (p.height + p.step_y - 1) / p.step_y, columns = (p.width + p.step_x - 1) / p.step_x;
  const std::unique_ptr<int32_t[]> ends(new int32_t[static_cast<size_t>(2 * columns)]);
  const std::unique_ptr<float[]> fraction(new float[static_cast<size_t>(columns)]);
  const float offset_x = p.step_x == 2 && p.centered ? 0.5f : 0.0f, offset_y = p.step_y == 2 ? 0.5f : 0.0f;
  fill_taps(columns, p.step_x, offset_x, p.width, p.ab_width, ends.get(), ends.get() + columns, fraction.get());
  const RowTaps taps{ends.get(), ends.get() + columns, fraction.get()};
  const int planes = planes_of(p.sharp);
  const float ratio_y = static_cast<float>(static_cast<double>(p.ab_height) / static_cast<double>(p.height));

  dispatch_code(p.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_for(p.images * rows, 5.0 * static_cast<double>(columns), p.target.threads, [&](int64_t i) {
      const int64_t image = i / rows, row = i % rows, small = p.ab_height * p.ab_width;
      float* at_sites = scratch<float>((1 + planes) * columns + p.ab_width + kLanes + p.width);
      float* mean = at_sites + (1 + planes) * columns + p.ab_width + kLanes;
      const math::Tap tap = math::bilinear_tap(static_cast<float>(row * p.step_y) + offset_y, ratio_y, p.ab_height);
      const ColorRow colors = upsample_rows(p.ab + image * planes * small, planes, p.ab_height, p.ab_width, tap,
                                            taps, columns, at_sites + columns);
      const T* luma = static_cast<const T*>(p.luma) + image * p.height * p.width;
      const int64_t top = row * p.step_y, bottom = std::min(top + p.step_y - 1, p.height - 1);
      mean_of_rows(luma + top * p.width, luma + bottom * p.width, p.code, p.width, mean);
      luma_at_sites(mean, p.width, p.step_x, p.centered, columns, at_sites);
      T *cb = static_cast<T*>(p.cb) + i * columns, *cr = static_cast<T*>(p.cr) + i * columns;
      for (int64_t first = 0; first < columns; first += kRun) {
        const int n = static_cast<int>(std::min<int64_t>(kRun, columns - first));
        chroma_run(p, at_sites + first, colors, first, n, cb + first, cr + first);
      }
    });
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
