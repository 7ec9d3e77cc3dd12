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

// Shared memory: the table of the source's codes, then the row of ab.
template <Source kind, class T, bool sharp>
__global__ void __launch_bounds__(kPaintThreads)
    paint_rgb_kernel(PaintRgbParams p, Divisor rows, Divisor parts, Upsampling up, bool wide) {
  const RowPart at = part_of_block(rows, parts, kBlockPixels);
  float* table = reinterpret_cast<float*>(shared_memory());
  const AbRow<sharp> ab = fill_row<sharp>(table + (kHasTable<kind, T> ? kTableSize : 0), up, p.ab, at);
  if constexpr (kHasTable<kind, T>) kind == Source::kRgb ? fill_linear_table(table) : fill_fy_table(table);
  __syncthreads();
  const int width = static_cast<int>(p.width);
  int first = at.first + threadIdx.x * kThreadPixels;
  const int64_t start = (at.image * p.height + at.row) * p.width + first;
  const T* source = static_cast<const T*>(p.source) + start * kSourceChannels<kind>;
  uint8_t* rgb = p.rgb + start * 3;
#pragma unroll 1
  for (int run = 0; run < kThreadRuns; run++) {
    if (first >= width) return;
    paint_run<kind, T, sharp>(p, source, rgb, first, width - first, wide, ab, table);
    first += kStepPixels, source += kStepPixels * kSourceChannels<kind>, rgb += kStepPixels * 3;
  }
}

// sites: of a row of chroma.
template <class T, bool sharp>
__global__ void __launch_bounds__(kChromaThreads)
    paint_chroma_kernel(PaintChromaParams p, ChromaScales scales, int sites, Divisor rows, Divisor parts,
                        Upsampling up) {
  const RowPart at = part_of_block(rows, parts, kBlockSites);
  const AbRow<sharp> ab = fill_row<sharp>(reinterpret_cast<float*>(shared_memory()), up, p.ab, at);
  __syncthreads();
  const int64_t row = at.image * p.height + at.row * p.step_y;
  const T* top = static_cast<const T*>(p.luma) + row * p.width;
  const T* bottom = at.row * p.step_y + p.step_y <= p.height ? top + (p.step_y - 1) * p.width : top;
  int i = at.first + threadIdx.x;
  const int64_t start = (at.image * rows.value() + at.row) * sites + i;
  T *cb = static_cast<T*>(p.cb) + start, *cr = static_cast<T*>(p.cr) + start;
#pragma unroll 1
  for (int u = 0; u < kThreadSites; u++) {
    if (i >= sites) return;
    paint_site(p, scales, top, bottom, i, ab, cb, cr);
    i += kChromaThreads, cb += kChromaThreads, cr += kChromaThreads;
  }
}

template <class F>
void dispatch_sharp(bool sharp, F&& f) {
  sharp ? f(std::true_type{}) : f(std::false_type{});
}

template <Source kind, class T>
void launch_paint_rgb(const PaintRgbParams& p) {
  const int64_t parts = ceil_div(p.width, kBlockPixels);
  const Upsampling up = upsampling_of(p, ceil_div(p.width, kThreadPixels) * kThreadPixels, kBlockPixels);
  dispatch_sharp(p.sharp, [&](auto sharp) {
    const size_t shared = AbRow<sharp>::bytes(up) + (kHasTable<kind, T> ? kTableBytes : 0);
    launch(p.target, Launch(p.images * p.height * parts, kPaintThreads, shared), paint_rgb_kernel<kind, T, sharp>, p,
           p.height, parts, up, rows_are_wide(p));
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
  const Upsampling up = upsampling_of(p, sites, kBlockSites, p.step_y, p.step_x, p.step_y == 2 ? 0.5f : 0.0f,
                                      p.step_x == 2 && p.centered ? 0.5f : 0.0f);
  const ChromaScales scales = {math::chroma_scale(p.k_blue, p.chroma_scale),
                               math::chroma_scale(p.k_red, p.chroma_scale)};
  dispatch_code(p.dtype, [&](auto t) {
    dispatch_sharp(p.sharp, [&](auto sharp) {
      launch(p.target, Launch(p.images * rows * parts, kChromaThreads, AbRow<sharp>::bytes(up)),
             paint_chroma_kernel<decltype(t), sharp>, p, scales, sites, rows, parts, up);
    });
  });
}

}  // namespace fastcolor::cuda
