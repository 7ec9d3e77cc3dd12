// luma_to_input: from the picture's size to the network's, in one pass.
#include "../math/luma_to_input.h"

#include "../math/color.h"
#include "parallel.h"
#include "runs.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

constexpr int kColumns = 256;  // of a run

// The windows of outputs along one axis, their weights normalised.
struct Windows {
  int64_t widest;
  std::unique_ptr<float[]> weights;  // (outputs, widest)
  std::unique_ptr<int64_t[]> first, count;

  Windows(int64_t outputs, int64_t size) {
    const double ratio = static_cast<double>(size) / static_cast<double>(outputs);
    widest = static_cast<int64_t>(2 * std::max(ratio, 1.0)) + 3;
    weights.reset(new float[static_cast<size_t>(outputs * widest)]);
    first.reset(new int64_t[static_cast<size_t>(outputs)]);
    count.reset(new int64_t[static_cast<size_t>(outputs)]);
    for (int64_t out = 0; out < outputs; out++) {
      const math::Window window = math::triangle_window(out, ratio, size);
      first[out] = window.first;
      count[out] = window.last - window.first;
      float total = 0;
      for (int64_t i = window.first; i < window.last; i++) total += math::triangle_weight(window, i);
      for (int64_t i = 0; i < count[out]; i++) {
        weights[out * widest + i] = math::triangle_weight(window, window.first + i) / total;
      }
    }
  }
};

// n columns of a window's rows, summed in registers: as many vectors at once as bytes fill a cache line, which so is read
// once, however rows fall into the cache. from: the first one in the first row.
template <class T>
FC_INLINE void sum_rows(const T* from, int64_t width, const float* weights, int64_t count, const LumaCode& code, int n,
                        float* out) {
  constexpr int kVectors = std::min(64 / kLanes, 8), kStep = kVectors * kLanes;
  int x = 0;
  for (; x + kStep <= n; x += kStep) {
    Floats sums[kVectors] = {};
    for (int64_t y = 0; y < count; y++) {
      const T* row = from + y * width + x;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) sums[v] += weights[y] * units_of(row + v * kLanes, code);
    }
    std::memcpy(out + x, sums, sizeof(sums));
  }
  for (; x < n; x++) {
    out[x] = 0;
    for (int64_t y = 0; y < count; y++) {
      out[x] += weights[y] * math::luma_to_unit(static_cast<float>(from[y * width + x]), code);
    }
  }
}

// The next output rows, one a lane: windows begin anywhere, so that within a row neighbouring outputs would read inputs
// that are no neighbours. Each row is summed over a run of columns, which whole cache lines are read for.
// luma: of the image. wide: (width, kLanes).
template <class T>
void shrink_rows(const T* luma, int64_t width, const Windows& rows, int64_t top, int64_t count, const LumaCode& code,
                 float* wide) {
  alignas(64) float sums[kLanes][kColumns] = {};
  for (int64_t first = 0; first < width; first += kColumns) {
    const int n = static_cast<int>(std::min<int64_t>(kColumns, width - first));
    for (int64_t row = 0; row < count; row++) {
      sum_rows(luma + rows.first[top + row] * width + first, width, rows.weights.get() + (top + row) * rows.widest,
               rows.count[top + row], code, n, sums[row]);
    }
    int x = 0;
    for (; x + kLanes <= n; x += kLanes) {
      Floats values[kLanes];
      for (int row = 0; row < kLanes; row++) values[row] = load_lanes<Floats>(sums[row] + x);
      transpose_lanes(values);
      std::memcpy(wide + (first + x) * kLanes, values, sizeof(values));
    }
    for (; x < n; x++) {
      for (int row = 0; row < kLanes; row++) wide[(first + x) * kLanes + row] = sums[row][x];
    }
  }
}

// wide: (width, kLanes), narrow: (outputs, kLanes).
void shrink_columns(const float* wide, const Windows& columns, int64_t outputs, float* narrow) {
  for (int64_t x = 0; x < outputs; x++) {
    const float *weights = columns.weights.get() + x * columns.widest, *from = wide + columns.first[x] * kLanes;
    Floats sum = {};
    for (int64_t i = 0; i < columns.count[x]; i++) sum += weights[i] * load_lanes<Floats>(from + i * kLanes);
    store_lanes(narrow + x * kLanes, sum);
  }
}

// narrow: gray in [0, 1], (width, kLanes). lightness: `count` rows of the output.
void write_rows(const float* narrow, int64_t width, int64_t count, float* lightness) {
  int64_t x = 0;
  for (; x + kLanes <= width; x += kLanes) {
    Floats values[kLanes];
    std::memcpy(values, narrow + x * kLanes, sizeof(values));
    transpose_lanes(values);
    for (int64_t row = 0; row < count; row++) store_lanes(lightness + row * width + x, values[row]);
  }
  for (; x < width; x++) {
    for (int64_t row = 0; row < count; row++) lightness[row * width + x] = narrow[x * kLanes + row];
  }
#pragma omp simd
  for (int64_t i = 0; i < count * width; i++) lightness[i] = math::gray_to_lightness(lightness[i]);
}

}  // namespace

void luma_to_input(const LumaToInputParams& p) {
  const Windows rows(p.out_height, p.height), columns(p.out_width, p.width);
  const int64_t groups = (p.out_height + kLanes - 1) / kLanes;  // of rows
  const double pixels = static_cast<double>(p.width * std::max(p.height, p.out_height));
  const double cost = 0.3 * pixels / static_cast<double>(groups) + 2 * kLanes * static_cast<double>(p.out_width);
  dispatch_code(p.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_for(p.images * groups, cost, p.target.threads, [&](int64_t i) {
      const int64_t image = i / groups, top = i % groups * kLanes;
      const int64_t count = std::min<int64_t>(p.out_height - top, kLanes);
      float* wide = scratch<float>((p.width + p.out_width) * kLanes);
      float* narrow = wide + p.width * kLanes;
      shrink_rows(static_cast<const T*>(p.luma) + image * p.height * p.width, p.width, rows, top, count, p.code, wide);
      shrink_columns(wide, columns, p.out_width, narrow);
      write_rows(narrow, p.out_width, count, p.lightness + (image * p.out_height + top) * p.out_width);
    });
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
