// luma_to_input: from the picture's size to the network's, in one pass.
#include "../math/luma_to_input.h"

#include "../math/color.h"
#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

// Rows of the window summed with their weights: out (width), normalised.
template <class T>
void shrink_rows(const T* luma, int64_t width, const math::Window& window, const LumaCode& code,
                 float* __restrict__ out) {
  float total = 0;
  for (int64_t y = window.first; y < window.last; y++) total += math::triangle_weight(window, y);
  std::fill(out, out + width, 0.0f);
  for (int64_t y = window.first; y < window.last; y++) {
    const float weight = math::triangle_weight(window, y) / total;
    const T* __restrict__ row = luma + y * width;
#pragma omp simd
    for (int64_t x = 0; x < width; x++) out[x] += weight * math::luma_to_unit(static_cast<float>(row[x]), code);
  }
}

// The weights of every output column, made once a call: `first` and `count` of its window, weights normalised.
struct ColumnWindows {
  int64_t widest;
  float* weight;   // (out_width, widest)
  int32_t* first;  // (out_width)
  int32_t* count;  // (out_width)
};

void fill_columns(ColumnWindows& columns, int64_t out_width, double ratio, int64_t width) {
  for (int64_t x = 0; x < out_width; x++) {
    const math::Window window = math::triangle_window(x, ratio, width);
    columns.first[x] = static_cast<int32_t>(window.first);
    columns.count[x] = static_cast<int32_t>(window.last - window.first);
    float total = 0;
    for (int64_t i = window.first; i < window.last; i++) total += math::triangle_weight(window, i);
    for (int64_t i = window.first; i < window.last; i++) {
      columns.weight[x * columns.widest + i - window.first] = math::triangle_weight(window, i) / total;
    }
  }
}

}  // namespace

void luma_to_input(const LumaToInputParams& p) {
  const double ratio_y = static_cast<double>(p.height) / static_cast<double>(p.out_height);
  const double ratio_x = static_cast<double>(p.width) / static_cast<double>(p.out_width);
  ColumnWindows columns{static_cast<int64_t>(2 * std::max(ratio_x, 1.0)) + 3, nullptr, nullptr, nullptr};
  const std::unique_ptr<float[]> weight(new float[static_cast<size_t>(p.out_width * columns.widest)]);
  const std::unique_ptr<int32_t[]> windows(new int32_t[static_cast<size_t>(2 * p.out_width)]);
  columns.weight = weight.get();
  columns.first = windows.get();
  columns.count = windows.get() + p.out_width;
  fill_columns(columns, p.out_width, ratio_x, p.width);

  const double cost =
      static_cast<double>(p.width) * std::max(ratio_y, 1.0) * 0.5 + static_cast<double>(p.out_width) * 10;
  dispatch_code(p.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_for(p.images * p.out_height, cost, p.target.threads, [&](int64_t i) {
      const T* luma = static_cast<const T*>(p.luma) + i / p.out_height * p.height * p.width;
      float* row = scratch<float>(p.width);
      shrink_rows(luma, p.width, math::triangle_window(i % p.out_height, ratio_y, p.height), p.code, row);
      float* out = p.lightness + i * p.out_width;
      for (int64_t x = 0; x < p.out_width; x++) {
        const float *w = columns.weight + x * columns.widest, *from = row + columns.first[x];
        float gray = 0;
        for (int32_t k = 0; k < columns.count[x]; k++) gray += w[k] * from[k];
        out[x] = gray;
      }
#pragma omp simd
      for (int64_t x = 0; x < p.out_width; x++) out[x] = math::gray_to_lightness(out[x]);
    });
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
