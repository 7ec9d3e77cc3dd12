// paint_rgb, paint_chroma: from the network's size to the picture's, in one launch. No ab and no Lab image of full size
// is ever stored.
#include "painter.cuh"

namespace fastcolor::cuda {

namespace {

// A thread has much to do for what a block does once: 1920 pixels or their 960 sites are one block.
constexpr int kPaintThreads = 128, kChromaThreads = 128;  // of a block
constexpr int kThreadRuns = 4, kThreadSites = 8;          // of a thread: runs of kThreadPixels, and sites
constexpr int kStepPixels = kPaintThreads * kThreadPixels;
constexpr int kBlockPixels = kStepPixels * kThreadRuns, kBlockSites = kChromaThreads * kThreadSites;

// Shared memory: the row of ab, then the table of the source's codes. columns: of the row.
template <Source kind, class T, bool sharp>
__global__ void __launch_bounds__(kPaintThreads)
    paint_rgb_kernel(PaintRgbParams p, Divisor rows, Divisor parts, int columns, float ratio_y, float ratio_x,
                     bool wide) {
  const RowPart at = part_of_block(rows, parts, kBlockPixels);
  AbRow<sharp> ab = {reinterpret_cast<float*>(shared_memory()), 0};
  ab.begin = math::bilinear_tap(static_cast<float>(at.first), ratio_x, static_cast<int>(p.ab_width)).low;
  const math::Tap y = math::bilinear_tap(static_cast<float>(at.row), ratio_y, p.ab_height);
  fill_row(ab, columns, p.ab + at.image * ab.kPlanes * p.ab_height * p.ab_width, p.ab_height, p.ab_width, y);
  float* table = ab.columns + ab.kStride * columns;
  if constexpr (kHasTable<kind, T>) kind == Source::kRgb ? fill_linear_table(table) : fill_lightness_table(table);
  __syncthreads();
  const int64_t row = (at.image * p.height + at.row) * p.width;
  int first = static_cast<int>(at.first) + threadIdx.x * kThreadPixels;
#pragma unroll 1
  for (int run = 0; run < kThreadRuns; run++, first += kStepPixels) {
    if (first >= static_cast<int>(p.width)) return;
    paint_run<kind, T, sharp>(p, row, first, ratio_x, wide, ab, table);
  }
}

// sites: of a row of chroma.
template <class T, bool sharp>
__global__ void __launch_bounds__(kChromaThreads)
    paint_chroma_kernel(PaintChromaParams p, int sites, Divisor rows, Divisor parts, int columns, float ratio_y,
                        float ratio_x) {
  const RowPart at = part_of_block(rows, parts, kBlockSites);
  AbRow<sharp> ab = {reinterpret_cast<float*>(shared_memory()), 0};
  const float first = site_position(at.first, p.step_x, p.centered);
  ab.begin = math::bilinear_tap(first, ratio_x, static_cast<int>(p.ab_width)).low;
  const math::Tap y = math::bilinear_tap(site_position(at.row, p.step_y, true), ratio_y, p.ab_height);
  fill_row(ab, columns, p.ab + at.image * ab.kPlanes * p.ab_height * p.ab_width, p.ab_height, p.ab_width, y);
  __syncthreads();
  const int64_t top = at.row * p.step_y, bottom = top + p.step_y - 1 < p.height ? top + p.step_y - 1 : p.height - 1;
  const T* luma = static_cast<const T*>(p.luma) + at.image * p.height * p.width;
  const int64_t out = (at.image * rows.value() + at.row) * sites;
#pragma unroll 1
  for (int u = 0; u < kThreadSites; u++) {
    const int i = static_cast<int>(at.first) + u * kChromaThreads + threadIdx.x;
    if (i >= sites) return;
    paint_site(p, luma + top * p.width, luma + bottom * p.width, i, ratio_x, ab, static_cast<T*>(p.cb) + out,
               static_cast<T*>(p.cr) + out);
  }
}

template <class F>
void dispatch_sharp(bool sharp, F&& f) {
  sharp ? f(std::true_type{}) : f(std::false_type{});
}

template <Source kind, class T>
void launch_paint_rgb(const PaintRgbParams& p) {
  const int64_t parts = ceil_div(p.width, kBlockPixels);
  const float ratio_x = ratio_of(p.ab_width, p.width);
  const int64_t columns = columns_of(kBlockPixels, ratio_x, p.ab_width);
  dispatch_sharp(p.sharp, [&](auto sharp) {
    const size_t shared = row_bytes<sharp>(columns) + (kHasTable<kind, T> ? kTableBytes : 0);
    launch(p.target, Launch(p.images * p.height * parts, kPaintThreads, shared), paint_rgb_kernel<kind, T, sharp>, p,
           p.height, parts, columns, ratio_of(p.ab_height, p.height), ratio_x, rows_are_wide(p));
  });
}

}  // namespace

void paint_rgb(const PaintRgbParams& p) {
  p.source_kind == Source::kLightness ? launch_paint_rgb<Source::kLightness, float>(p)
  : p.source_kind == Source::kRgb     ? launch_paint_rgb<Source::kRgb, uint8_t>(p)
  : p.dtype == DType::kU8             ? launch_paint_rgb<Source::kGray, uint8_t>(p)
                                      : launch_paint_rgb<Source::kGray, uint16_t>(p);
}

void paint_chroma(const PaintChromaParams& p) {
  const int64_t rows = ceil_div(p.height, p.step_y), sites = ceil_div(p.width, p.step_x);
  const int64_t parts = ceil_div(sites, kBlockSites);
  const float ratio_x = ratio_of(p.ab_width, p.width);
  const int64_t columns = columns_of(kBlockSites * p.step_x, ratio_x, p.ab_width);
  dispatch_code(p.dtype, [&](auto t) {
    dispatch_sharp(p.sharp, [&](auto sharp) {
      launch(p.target, Launch(p.images * rows * parts, kChromaThreads, row_bytes<sharp>(columns)),
             paint_chroma_kernel<decltype(t), sharp>, p, sites, rows, parts, columns, ratio_of(p.ab_height, p.height),
             ratio_x);
    });
  });
}

}  // namespace fastcolor::cuda
