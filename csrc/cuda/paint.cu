// paint_rgb, paint_chroma: from the network's size to the picture's, in one launch. No ab and no Lab image of full size
// is ever stored.
#include "painter.cuh"

namespace fastcolor::cuda {

namespace {

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
