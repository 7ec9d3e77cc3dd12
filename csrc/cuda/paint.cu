// luma_to_input, paint_rgb, paint_chroma: between the network's size and the picture's, in one launch each. No ab and
// no Lab image of full size is ever stored.
#include "painter.cuh"

namespace fastcolor::cuda {

namespace {

// A block owns a part of one row. All rows of all images are numbered through.
struct RowPart {
  int64_t image, row, first;  // first: column
};
__device__ __forceinline__ RowPart part_of_block(int64_t rows_per_image, unsigned parts, int size) {
  const unsigned row = blockIdx.x / parts, image = row / static_cast<unsigned>(rows_per_image);
  return {image, row - image * rows_per_image, static_cast<int64_t>(blockIdx.x - row * parts) * size};
}

// ---- luma_to_input ----

constexpr int kShrinkThreads = 128;  // of a block, a thread a column of the result
constexpr int kLumaColumns = 2048;   // of the luma that shared memory holds at a time

// The rows of the window are summed into shared memory, a thread a column; then each output sums its columns from
// there. Shrinking by more than kLumaColumns / kShrinkThreads takes several turns.
template <class T>
__global__ void __launch_bounds__(kShrinkThreads)
    luma_to_input_kernel(LumaToInputParams p, unsigned parts, double ratio_y, double ratio_x) {
  float* column = reinterpret_cast<float*>(shared_memory());  // (kLumaColumns)
  const RowPart at = part_of_block(p.out_height, parts, kShrinkThreads);
  const int64_t x = at.first + threadIdx.x,
                last = at.first + kShrinkThreads < p.out_width ? at.first + kShrinkThreads : p.out_width;
  const math::Window rows = math::triangle_window(at.row, ratio_y, p.height);
  const math::Window mine = math::triangle_window(x < p.out_width ? x : p.out_width - 1, ratio_x, p.width);
  const int64_t begin = math::triangle_window(at.first, ratio_x, p.width).first;
  const int64_t end = math::triangle_window(last - 1, ratio_x, p.width).last;
  const T* luma = static_cast<const T*>(p.luma) + at.image * p.height * p.width;

  float gray = 0, total = 0;
  for (int64_t from = begin; from < end; from += kLumaColumns) {
    const int n = end - from < kLumaColumns ? static_cast<int>(end - from) : kLumaColumns;
    for (int i = threadIdx.x; i < n; i += kShrinkThreads) {
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

constexpr int kPaintThreads = 256, kChromaThreads = 128;  // of a block

template <Source kind, class T>
__global__ void __launch_bounds__(kPaintThreads)
    paint_rgb_kernel(PaintRgbParams p, unsigned parts, float ratio_y, float ratio_x, bool wide) {
  float* linear = nullptr;
  if constexpr (kind == Source::kRgb) {
    linear = reinterpret_cast<float*>(shared_memory());
    fill_linear_table(linear);
  }
  const RowPart at = part_of_block(p.height, parts, kPaintThreads * kThreadPixels);
  paint_run<kind, T>(p, at.image, at.row, at.first + static_cast<int64_t>(threadIdx.x) * kThreadPixels, ratio_y,
                     ratio_x, wide, linear);
}

// One thread a chroma site.
template <class T>
__global__ void __launch_bounds__(kChromaThreads)
    paint_chroma_kernel(PaintChromaParams p, int64_t rows, int64_t columns, unsigned parts, float ratio_y,
                        float ratio_x) {
  const RowPart at = part_of_block(rows, parts, kChromaThreads);
  paint_site<T>(p, at.image, at.row, at.first + threadIdx.x, rows, columns, ratio_y, ratio_x);
}

template <Source kind, class T>
void launch_paint_rgb(const PaintRgbParams& p) {
  const int64_t parts = ceil_div(p.width, kPaintThreads * kThreadPixels);
  launch(p.target, Launch(p.images * p.height * parts, kPaintThreads, kind == Source::kRgb ? kLinearTableBytes : 0),
         paint_rgb_kernel<kind, T>, p, parts, ratio_of(p.ab_height, p.height), ratio_of(p.ab_width, p.width),
         rows_are_wide(p));
}

}  // namespace

void luma_to_input(const LumaToInputParams& p) {
  const int64_t parts = ceil_div(p.out_width, kShrinkThreads);
  const double ratio_y = static_cast<double>(p.height) / static_cast<double>(p.out_height);
  const double ratio_x = static_cast<double>(p.width) / static_cast<double>(p.out_width);
  dispatch_code(p.dtype, [&](auto t) {
    launch(p.target, Launch(p.images * p.out_height * parts, kShrinkThreads, kLumaColumns * sizeof(float)),
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
