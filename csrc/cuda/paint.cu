// luma_to_input, paint_rgb, paint_chroma: between the network's size and the picture's, in one launch each. No ab and
// no Lab image of full size is ever stored.
#include "../math/paint.h"

#include "linear.cuh"
#include "vec.cuh"

namespace fastcolor::cuda {

namespace {

template <class F>
void dispatch_code(DType dtype, F&& f) {
  dtype == DType::kU8 ? f(uint8_t{}) : f(uint16_t{});
}
float ratio_of(int64_t small, int64_t large) {
  return static_cast<float>(static_cast<double>(small) / static_cast<double>(large));
}

// A block owns a part of one row. All rows of all images are numbered through.
struct RowPart {
  int64_t image, row, first;  // first: column
};
__device__ __forceinline__ RowPart part_of_block(int64_t rows_per_image, unsigned parts, int size) {
  const unsigned row = blockIdx.x / parts, image = row / static_cast<unsigned>(rows_per_image);
  return {image, row - image * rows_per_image, static_cast<int64_t>(blockIdx.x - row * parts) * size};
}

// ---- luma_to_input ----

constexpr int kOutputs = 128;   // columns of a block, a thread each
constexpr int kColumns = 2048;  // columns of the luma that shared memory holds at a time

// The rows of the window are summed into shared memory, a thread a column; then each output sums its columns from
// there. Shrinking by more than kColumns / kOutputs takes several turns.
template <class T>
__global__ void __launch_bounds__(kOutputs)
    luma_to_input_kernel(LumaToInputParams p, unsigned parts, double ratio_y, double ratio_x) {
  float* column = reinterpret_cast<float*>(shared_memory());  // (kColumns)
  const RowPart at = part_of_block(p.out_height, parts, kOutputs);
  const int64_t x = at.first + threadIdx.x,
                last = at.first + kOutputs < p.out_width ? at.first + kOutputs : p.out_width;
  const math::Window rows = math::triangle_window(at.row, ratio_y, p.height);
  const math::Window mine = math::triangle_window(x < p.out_width ? x : p.out_width - 1, ratio_x, p.width);
  const int64_t begin = math::triangle_window(at.first, ratio_x, p.width).first;
  const int64_t end = math::triangle_window(last - 1, ratio_x, p.width).last;
  const T* luma = static_cast<const T*>(p.luma) + at.image * p.height * p.width;

  float gray = 0, total = 0;
  for (int64_t from = begin; from < end; from += kColumns) {
    const int n = end - from < kColumns ? static_cast<int>(end - from) : kColumns;
    for (int i = threadIdx.x; i < n; i += kOutputs) {
      float sum = 0, weights = 0;
      for (int64_t y = rows.first; y < rows.last; y++) {
        const float weight = math::triangle_weight(rows, y);
        weights += weight;
        sum += weight * math::luma_to_unit(static_cast<float>(luma[y * p.width + from + i]), p.code);
      }
      column[i] = sum / weights;
    }
    __syncthreads();
    const int64_t low = mine.first > from ? mine.first : from, high = mine.last < from + n ? mine.last : from + n;
    for (int64_t i = low; i < high; i++) {
      const float weight = math::triangle_weight(mine, i);
      total += weight;
      gray += weight * column[i - from];
    }
    __syncthreads();
  }
  if (x < p.out_width) {
    p.lightness[(at.image * p.out_height + at.row) * p.out_width + x] = math::gray_to_lightness(gray / total);
  }
}

// ---- painting ----

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

constexpr int kPaintThreads = 256, kRun = 4;  // pixels a thread

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

// T: of the source. wide: rows are a multiple of kRun pixels and rgb is 4-byte aligned.
template <Source kind, class T>
__global__ void __launch_bounds__(kPaintThreads)
    paint_rgb_kernel(PaintRgbParams p, unsigned parts, float ratio_y, float ratio_x, bool wide) {
  float* linear = nullptr;
  if constexpr (kind == Source::kRgb) {
    linear = reinterpret_cast<float*>(shared_memory());
    fill_linear_table(linear);
  }
  const RowPart at = part_of_block(p.height, parts, kPaintThreads * kRun);
  const int64_t first = at.first + static_cast<int64_t>(threadIdx.x) * kRun;
  if (first >= p.width) return;
  const int64_t start = (at.image * p.height + at.row) * p.width + first;
  const float* ab = p.ab + at.image * 2 * p.ab_height * p.ab_width;
  const math::Tap y = math::bilinear_tap(static_cast<float>(at.row), ratio_y, p.ab_height);

  Pack<uint8_t, 4> rgb[3] = {};  // kRun pixels
#pragma unroll
  for (int i = 0; i < kRun; i++) {
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
  for (int i = 0; i < 3 * kRun; i++) {
    if (first + i / 3 < p.width) out[i] = rgb[i / 4].value[i % 4];
  }
}

constexpr int kChromaThreads = 128;

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

// One thread a chroma site. T: of luma and chroma.
template <class T>
__global__ void __launch_bounds__(kChromaThreads)
    paint_chroma_kernel(PaintChromaParams p, int64_t rows, int64_t columns, unsigned parts, float ratio_y,
                        float ratio_x) {
  const RowPart at = part_of_block(rows, parts, kChromaThreads);
  const int64_t i = at.first + threadIdx.x;
  if (i >= columns) return;
  const float offset_x = p.step_x == 2 && p.centered ? 0.5f : 0.0f, offset_y = p.step_y == 2 ? 0.5f : 0.0f;
  const math::Tap y = math::bilinear_tap(static_cast<float>(at.row * p.step_y) + offset_y, ratio_y, p.ab_height);
  const math::Tap x = math::bilinear_tap(static_cast<float>(i * p.step_x) + offset_x, ratio_x, p.ab_width);

  const T* luma = static_cast<const T*>(p.luma) + at.image * p.height * p.width;
  const int64_t top = at.row * p.step_y, bottom = top + p.step_y - 1 < p.height ? top + p.step_y - 1 : p.height - 1;
  const float gray = luma_at_site(p, luma + top * p.width, luma + bottom * p.width, i);
  const math::Vec3<float> lab = math::saturate(lab_of(p.ab + at.image * 2 * p.ab_height * p.ab_width, p.ab_height,
                                                      p.ab_width, y, x, math::gray_to_lightness(gray)),
                                               p.saturation, Gamut::kClip);
  const math::Vec3<float> rgb = math::lab_to_rgb_255(lab);
  const float painted = math::luma_of(rgb, p.k_red, p.k_blue);
  const float cb = math::chroma_difference(rgb.z, painted, p.k_blue),
              cr = math::chroma_difference(rgb.x, painted, p.k_red);
  const int64_t out = (at.image * rows + at.row) * columns + i;
  static_cast<T*>(p.cb)[out] = math::to_code<T>(cb * p.chroma_scale + p.chroma_middle, p.chroma_max);
  static_cast<T*>(p.cr)[out] = math::to_code<T>(cr * p.chroma_scale + p.chroma_middle, p.chroma_max);
}

template <Source kind, class T>
void launch_paint_rgb(const PaintRgbParams& p) {
  const int64_t parts = ceil_div(p.width, kPaintThreads * kRun);
  const bool wide = p.width % kRun == 0 && aligned(p.rgb, 4);
  launch(p.target, Launch(p.images * p.height * parts, kPaintThreads, kind == Source::kRgb ? kLinearTableBytes : 0),
         paint_rgb_kernel<kind, T>, p, parts, ratio_of(p.ab_height, p.height), ratio_of(p.ab_width, p.width), wide);
}

}  // namespace

void luma_to_input(const LumaToInputParams& p) {
  const int64_t parts = ceil_div(p.out_width, kOutputs);
  const double ratio_y = static_cast<double>(p.height) / static_cast<double>(p.out_height);
  const double ratio_x = static_cast<double>(p.width) / static_cast<double>(p.out_width);
  dispatch_code(p.dtype, [&](auto t) {
    launch(p.target, Launch(p.images * p.out_height * parts, kOutputs, kColumns * sizeof(float)),
           luma_to_input_kernel<decltype(t)>, p, parts, ratio_y, ratio_x);
  });
}

void paint_rgb(const PaintRgbParams& p) {
  p.source_kind == Source::kLightness ? launch_paint_rgb<Source::kLightness, float>(p)
  : p.source_kind == Source::kRgb     ? launch_paint_rgb<Source::kRgb, uint8_t>(p)
  : p.dtype == DType::kU8             ? launch_paint_rgb<Source::kGray, uint8_t>(p)
                                      : launch_paint_rgb<Source::kGray, uint16_t>(p);
}

void paint_chroma(const PaintChromaParams& p) {
  const int64_t rows = ceil_div(p.height, p.step_y), columns = ceil_div(p.width, p.step_x);
  const int64_t parts = ceil_div(columns, kChromaThreads);
  dispatch_code(p.dtype, [&](auto t) {
    launch(p.target, Launch(p.images * rows * parts, kChromaThreads), paint_chroma_kernel<decltype(t)>, p, rows,
           columns, parts, ratio_of(p.ab_height, p.height), ratio_of(p.ab_width, p.width));
  });
}

}  // namespace fastcolor::cuda
