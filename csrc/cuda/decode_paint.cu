// decode_rgb, decode_chroma: from logits to the picture, or to its chroma planes, in one launch.
//
// Note [One launch]. The grid is one list of work: tiles of logits to decode, and runs of painted rows, each some rows
// behind the logits it needs. A block takes the next ticket, so whatever it waits for belongs to a block that runs
// already or is done: no order of blocks can deadlock. ab of the network's size lies in global memory between them, in
// practice in the L2 cache.
//
// 1x313x270x480 in f32 to 1080p on an H200 (4.3 TB/s, 132 x 16 exponentials and 132 x 128 multiply-adds a clock at
// 1.75 GHz), by estimate, not measured:
//   bytes         logits 162 MB, lightness 8, picture 6; ab 1 written and read, mostly in L2    178 MB, 42 us
//   exponentials  decoding 1.125 a logit, 46 M; painting some 10 a pixel, 21 M                  18 us, under the bytes
//   arithmetic    decoding some 8 a logit, 325 M; painting some 150 a pixel, 310 M              21 us, under the bytes
// Two launches stream for 38 us and then paint for 8 to 10 while memory idles, with a gap of 1 to 3 between. Tiles with
// a halo that are decoded and painted by one block would need neither ab nor order, but decode 1.10 (16 x 32 pixels) to
// 1.23 times (8 x 16) the logits; large ones make a grid of one wave, which paints after all memory was read, as two
// launches do; and at 64x64 logits they leave most of the device idle. Here painting hides under the stream, and both
// halves spread over as many blocks as on their own: 42 us and what the last rows take, about 3. What it costs is an
// atomic or three a block.
#include <algorithm>

#include "annealed.cuh"
#include "painter.cuh"
#include "tickets.cuh"

namespace fastcolor::cuda {

namespace {

constexpr int kResidentBlocks = 4;  // of a multiprocessor at once: 64 registers a thread, which is what decoding needs
// From a row's decoding to its painting. Any number of 1 and more is right. A guess, not measured: what an H200 holds
// at once, 132 multiprocessors of kResidentBlocks, and a fifth more, so that a row is done before its painting waits.
constexpr int64_t kAheadTickets = 640;

// The painted rows of one image: row i has its centre at (2 i + 1) * small / twice rows of logits and belongs to the
// row of logits that it falls into; those below the last belong to that. So it reads ab one row off at most.
struct Bands {
  int64_t small, rows, twice;  // rows of logits, painted rows, 2 * height / step of the painted rows
  unsigned parts;              // of a painted row
};
__device__ __forceinline__ int64_t first_of_band(const Bands& b, int64_t row) {
  return row < b.small ? (row * b.twice + b.small - 1) / (2 * b.small) : b.rows;
}

// ---- the two halves ----

template <class Element, int per_lane, template <class> class Sums>
struct PlanarDecoder {
  static constexpr int kTilePixels = kWarpThreads * per_lane;
  static constexpr size_t kSharedBytes = planar_tile_bytes<Element, Sums>(per_lane);
  static __device__ __forceinline__ void decode(const DecodeParams& p, int64_t image, int64_t first, int64_t end,
                                                float k, unsigned char* shared) {
    decode_planar_tile<Sums, Element, per_lane>(p, image, first, end, k, shared);
  }
};

template <class Element, template <class> class Sums>
struct RowDecoder {
  static constexpr int kTilePixels = kWarpThreads;
  static constexpr size_t kSharedBytes = 0;
  static __device__ __forceinline__ void decode(const DecodeParams& p, int64_t image, int64_t first, int64_t end,
                                                float k, unsigned char*) {
    const int64_t last = end - first < kTilePixels ? end : first + kTilePixels;
    for (int64_t pixel = first + threadIdx.x / kWarpThreads; pixel < last; pixel += kDecodeWarps) {
      decode_row_pixel<Sums, Element>(p, image, pixel, k);
    }
  }
};

struct RgbPainter {
  static constexpr int kPartColumns = kDecodeThreads * kThreadPixels;  // columns
  PaintRgbParams p;
  float ratio_y, ratio_x;
  bool wide;

  __device__ __forceinline__ math::Tap tap_of(int64_t row) const {
    return math::bilinear_tap(static_cast<float>(row), ratio_y, p.ab_height);
  }
  __device__ __forceinline__ void paint(int64_t image, int64_t row, int64_t part, unsigned char* shared) const {
    const int64_t first = part * kPartColumns + static_cast<int64_t>(threadIdx.x) * kThreadPixels;
    if (p.source_kind == Source::kLightness) {
      paint_run<Source::kLightness, float>(p, image, row, first, ratio_y, ratio_x, wide, nullptr);
    } else if (p.source_kind == Source::kRgb) {
      float* linear = reinterpret_cast<float*>(shared);
      fill_linear_table(linear);
      paint_run<Source::kRgb, uint8_t>(p, image, row, first, ratio_y, ratio_x, wide, linear);
    } else if (p.dtype == DType::kU8) {
      paint_run<Source::kGray, uint8_t>(p, image, row, first, ratio_y, ratio_x, wide, nullptr);
    } else {
      paint_run<Source::kGray, uint16_t>(p, image, row, first, ratio_y, ratio_x, wide, nullptr);
    }
  }
};

struct ChromaPainter {
  static constexpr int kPartColumns = kDecodeThreads;
  PaintChromaParams p;
  int64_t rows, columns;
  float ratio_y, ratio_x;

  __device__ __forceinline__ math::Tap tap_of(int64_t row) const { return chroma_tap_y(p, row, ratio_y); }
  __device__ __forceinline__ void paint(int64_t image, int64_t row, int64_t part, unsigned char*) const {
    const int64_t i = part * kPartColumns + threadIdx.x;
    if (p.dtype == DType::kU8) {
      paint_site<uint8_t>(p, image, row, i, rows, columns, ratio_y, ratio_x);
    } else {
      paint_site<uint16_t>(p, image, row, i, rows, columns, ratio_y, ratio_x);
    }
  }
};

template <class Decoder, class Painter>
__global__ void __launch_bounds__(kDecodeThreads, kResidentBlocks)
    decode_paint_kernel(DecodeParams p, Painter painter, Schedule schedule, Bands bands, uint32_t* progress, float k) {
  unsigned char* shared = shared_memory() + kHeadBytes;
  unsigned* head = reinterpret_cast<unsigned*>(shared_memory());
  const Work work = work_of(schedule, take_ticket(progress, head));
  const int64_t image = work.row / static_cast<unsigned>(bands.small), row = work.row - image * bands.small;
  if (work.paint) {
    const int64_t painted = first_of_band(bands, row) + work.part / bands.parts;
    if (painted < first_of_band(bands, row + 1)) {  // bands differ by a row
      const math::Tap y = painter.tap_of(painted);
      const uint32_t* done = progress + kProgressDone + image * bands.small;
      wait_for_rows(done + y.low, done + y.high, schedule.tiles);
      painter.paint(image, painted, work.part % bands.parts, shared);
    }
  } else {
    const int64_t width = p.pixels / bands.small, start = row * width;
    if (threadIdx.x == 0) head[kHeadRow] = work.row;  // not in a register: decoding has none to spare
    Decoder::decode(p, image, start + static_cast<int64_t>(work.part) * Decoder::kTilePixels, start + width, k, shared);
    report_tile(progress, head);
  }
  retire(progress, head, schedule.rows);
}

// ---- launching ----

// rows, columns: painted; height, step: of the picture's rows, and how many there are to a painted one.
struct Extent {
  int64_t rows, columns, height, step;
};

template <class Decoder, class Painter>
void launch_fused(const DecodeParams& p, const Painter& painter, const Extent& extent, int64_t small,
                  uint32_t* progress) {
  const Bands bands{small, extent.rows, 2 * extent.height / extent.step,
                    static_cast<unsigned>(ceil_div(extent.columns, Painter::kPartColumns))};
  const int64_t tiles = ceil_div(p.pixels / small, Decoder::kTilePixels), rows = p.images * small;
  const int64_t units = (ceil_div(bands.twice, 2 * small) + extent.height % extent.step) * bands.parts;
  const int64_t ahead = std::min(rows, 2 + kAheadTickets / (tiles + units));
  const Schedule schedule{static_cast<unsigned>(tiles), static_cast<unsigned>(units), static_cast<unsigned>(rows),
                          static_cast<unsigned>(ahead)};
  const size_t shared = kHeadBytes + std::max(Decoder::kSharedBytes, kLinearTableBytes);
  launch(p.target, Launch(rows * (tiles + units), kDecodeThreads, shared), decode_paint_kernel<Decoder, Painter>, p,
         painter, schedule, bands, progress, static_cast<float>(exponent_scale(p)));
}

// A double is an error: ab between the halves is float.
template <template <class> class Sums, class Painter>
void launch_decoder(const DecodeParams& p, const Painter& painter, const Extent& extent, int64_t small,
                    uint32_t* progress) {
  const bool paired = p.pixels / small % 2 == 0 && aligned(p.logits, 4);
  dispatch_planar(p.dtype, paired && !p.channels_last, [&](auto t, auto per_lane) {
    using T = decltype(t);
    if constexpr (sizeof(T) == 8) {
      throw std::invalid_argument("logits: must be float32, float16 or bfloat16 here");
    } else if (!p.channels_last) {
      launch_fused<PlanarDecoder<T, per_lane.value, Sums>>(p, painter, extent, small, progress);
    } else if constexpr (per_lane.value == 1) {
      launch_fused<RowDecoder<T, Sums>>(p, painter, extent, small, progress);
    }
  });
}

template <class Painter>
void launch_painter(const DecodeParams& p, const Painter& painter, const Extent& extent, int64_t small,
                    uint32_t* progress) {
  p.temperature == 0 ? launch_decoder<ModeSums>(p, painter, extent, small, progress)
                     : launch_decoder<MeanSums>(p, painter, extent, small, progress);
}

}  // namespace

void decode_rgb(const DecodeRgbParams& params) {
  const PaintRgbParams& p = params.paint;
  const RgbPainter painter{p, ratio_of(p.ab_height, p.height), ratio_of(p.ab_width, p.width), rows_are_wide(p)};
  launch_painter(params.decode, painter, {p.height, p.width, p.height, 1}, p.ab_height, params.progress);
}

void decode_chroma(const DecodeChromaParams& params) {
  const PaintChromaParams& p = params.paint;
  const int64_t rows = ceil_div(p.height, p.step_y), columns = ceil_div(p.width, p.step_x);
  const ChromaPainter painter{p, rows, columns, ratio_of(p.ab_height, p.height), ratio_of(p.ab_width, p.width)};
  launch_painter(params.decode, painter, {rows, columns, p.height, p.step_y}, p.ab_height, params.progress);
}

void enter_decode_paint(Ops& table) {
  table.decode_rgb = decode_rgb;
  table.decode_chroma = decode_chroma;
}

}  // namespace fastcolor::cuda
