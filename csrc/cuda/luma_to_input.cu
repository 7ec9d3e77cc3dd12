// luma_to_input: from the picture's size to the network's, in one launch.
#include "../math/luma_to_input.h"

#include "../math/color.h"
#include "launch.cuh"

namespace fastcolor::cuda {

namespace {

constexpr int kShrinkThreads =
    128;                            // of a block, a thread a column of the result: 256, the usual width, are two blocks
constexpr int kLumaColumns = 2048;  // of the luma that shared memory holds at a time: one turn up to a ratio of 16

// The rows of the window are summed into shared memory, a thread a column; then each output sums its columns from
// there. Shrinking by more than kLumaColumns / kShrinkThreads takes several turns.
template <class T>
__global__ void __launch_bounds__(kShrinkThreads)
    luma_to_input_kernel(LumaToInputParams p, Divisor rows_of_image, Divisor parts, double ratio_y, double ratio_x) {
  float* column = reinterpret_cast<float*>(shared_memory());  // (kLumaColumns)
  const RowPart at = part_of_block(rows_of_image, parts, kShrinkThreads);
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

}  // namespace

void luma_to_input(const LumaToInputParams& p) {
  const int64_t parts = ceil_div(p.out_width, kShrinkThreads);
  const double ratio_y = static_cast<double>(p.height) / static_cast<double>(p.out_height);
  const double ratio_x = static_cast<double>(p.width) / static_cast<double>(p.out_width);
  dispatch_code(p.dtype, [&](auto t) {
    launch(p.target, Launch(p.images * p.out_height * parts, kShrinkThreads, kLumaColumns * sizeof(float)),
           luma_to_input_kernel<decltype(t)>, p, p.out_height, parts, ratio_y, ratio_x);
  });
}

}  // namespace fastcolor::cuda
