// The rebalanced cross entropy and its gradient in one pass: every logit is read from memory once and every gradient
// written once. Per pixel at 313 bins in f32: 1252 bytes read, 1252 written (none without a gradient).
//
// Note [Blocked softmax]. Channels come in blocks of kBlockBins. A block raises the running maximum, rescales the
// running sum once, and keeps its exponentials (relative to the maximum at that moment) in a scratch that stays in L2.
// When the sum is known, probabilities are the scratch times one factor a block and pixel: one exponential a logit in
// all, as 2^(k (z - maximum)) with k = log2(e).
#include "../math/loss.h"

#include "../math/encode.h"
#include "lanes.h"
#include "parallel.h"
#include "stream.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

constexpr int kTilePixels = 128;  // pixels of a tile
constexpr int kBlockBins = 8;     // channels of a block
constexpr int kAheadBins = 16;    // channels that are asked for ahead

// A tile of pixels on its way: what is wanted of them, what the logits say, and what the gradient is made of.
template <class C>
struct Tile {
  alignas(64) int32_t index[math::kMaxNeighbours * kTilePixels];  // target bins
  alignas(64) float weight[math::kMaxNeighbours * kTilePixels];
  alignas(64) float pixel_weight[kTilePixels];  // class weight times mask
  alignas(64) C keep[kTilePixels];              // mask, 0 or 1
  alignas(64) C largest[kTilePixels], sum[kTilePixels];
  alignas(64) C target[math::kMaxNeighbours * kTilePixels];  // logits of the target bins, then their gradients
  alignas(64) C factor[kTilePixels];                         // gradient of any other bin over its exponential
};

template <class C>
void load_targets(const LossParams& p, int64_t image, int64_t first, int n, Tile<C>& t) {
  const float* a = p.ab + image * 2 * p.pixels + first;
  encode_run(a, a + p.pixels, n, p.palette, p.neighbours, p.sigma_ab, kTilePixels, t.index, t.weight);
  const uint8_t* mask = p.mask == nullptr ? nullptr : p.mask + image * p.pixels + first;
  for (int i = 0; i < n; i++) {
    t.keep[i] = mask == nullptr || mask[i] != 0 ? C(1) : C(0);
    t.pixel_weight[i] = t.keep[i] == C(0) ? 0.0f : p.class_weight == nullptr ? 1.0f : p.class_weight[t.index[i]];
  }
}

// From largest, sum and the targets' logits: the loss of each pixel (Note [Focal gradient] in math/loss.h), `factor`
// and the targets' gradients. `focal`: is gamma not 0?
template <bool focal, class C>
void finish_tile(const LossParams& p, int n, double grad_scale, Tile<C>& t, C* __restrict__ pixel_loss) {
  alignas(64) C log_sum[kTilePixels], total[kTilePixels], h_sum[kTilePixels], h[math::kMaxNeighbours * kTilePixels];
  const C gamma = focal ? static_cast<C>(p.gamma) : C(0), grad = static_cast<C>(grad_scale);
#pragma omp simd
  for (int i = 0; i < n; i++) {
    log_sum[i] = math::log2_fast(t.sum[i]) * static_cast<C>(math::kLn2);
    total[i] = h_sum[i] = 0;
  }
  for (int k = 0; k < p.neighbours; k++) {
    C *target = t.target + k * kTilePixels, *h_k = h + k * kTilePixels;
    const float* weight = t.weight + k * kTilePixels;
#pragma omp simd
    for (int i = 0; i < n; i++) {
      const C log_p = target[i] - t.largest[i] - log_sum[i];
      const C z = static_cast<C>(weight[i]);
      total[i] += z * math::focal<focal>(log_p, gamma);
      h_k[i] = z * math::focal_vjp<focal>(log_p, gamma);
      h_sum[i] += h_k[i];
      target[i] = math::exp_fast(log_p);
    }
  }
#pragma omp simd
  for (int i = 0; i < n; i++) {
    const C scale = static_cast<C>(t.pixel_weight[i]) * grad;
    pixel_loss[i] = t.keep[i] == C(0) ? C(0) : static_cast<C>(t.pixel_weight[i]) * total[i];
    t.factor[i] = t.keep[i] == C(0) ? C(0) : scale * h_sum[i] / t.sum[i];
  }
  for (int k = 0; k < p.neighbours; k++) {
    C *target = t.target + k * kTilePixels, *h_k = h + k * kTilePixels;
#pragma omp simd
    for (int i = 0; i < n; i++) {
      const C scale = static_cast<C>(t.pixel_weight[i]) * grad;
      target[i] = t.keep[i] == C(0) ? C(0) : scale * (target[i] * h_sum[i] - h_k[i]);
    }
  }
}

template <class C>
void finish_tile(const LossParams& p, int n, double grad_scale, Tile<C>& t, C* pixel_loss) {
  p.gamma == 0 ? finish_tile<false>(p, n, grad_scale, t, pixel_loss)
               : finish_tile<true>(p, n, grad_scale, t, pixel_loss);
}

// A run of finished gradients out of the scratch.
template <class T, class C>
inline void write_run(const C* __restrict__ gradient, int64_t n, bool past_cache, T* __restrict__ grad) {
  if constexpr (std::is_same_v<T, C>) {
    past_cache ? stream_copy(grad, gradient, n) : static_cast<void>(std::copy_n(gradient, n, grad));
  } else {
    constexpr int64_t kStagedElements = 512;
    alignas(64) T run[kStagedElements];
    for (int64_t first = 0; first < n; first += kStagedElements) {
      const int64_t count = std::min(kStagedElements, n - first);
      T* to = past_cache ? run : grad + first;
#pragma omp simd
      for (int64_t i = 0; i < count; i++) math::store(to + i, gradient[first + i]);
      if (past_cache) stream_copy(grad + first, run, count);
    }
  }
}

// ---- logits (N, bins, pixels): lanes over pixels ----

// A block of channels of the pixels i to i + lanes.
template <int channels, bool masked, class V, class T, class C>
FC_INLINE void add_block_at(const T* logits, int64_t stride, int i, C* exponentials, Tile<C>& t, C* block_largest) {
  constexpr C k = static_cast<C>(math::kLog2E);
  V v[channels];
  const V before = load_lanes<V>(t.largest + i);
  V m = before;
  for (int c = 0; c < channels; c++) {
    v[c] = load_lanes<V>(logits + c * stride + i);
    if constexpr (masked) v[c] = load_lanes<V>(t.keep + i) == C(0) ? all_lanes<V>(C(0)) : v[c];
    m = max_lanes(v[c], m);
  }
  V sum = load_lanes<V>(t.sum + i) * exp2_lanes<V>((before - m) * k);
  for (int c = 0; c < channels; c++) {
    const V e = exp2_lanes<V>((v[c] - m) * k);
    store_lanes(exponentials + c * kTilePixels + i, e);
    sum += e;
  }
  store_lanes(t.largest + i, m);
  store_lanes(block_largest + i, m);
  store_lanes(t.sum + i, sum);
}
template <int channels, bool masked, class T, class C>
void add_block(const T* logits, int64_t stride, int n, C* exponentials, Tile<C>& t, C* block_largest) {
  using V = Widest<C>;
  int i = 0;
  for (; i + lanes_of<V>() <= n; i += lanes_of<V>()) {
    add_block_at<channels, masked, V>(logits, stride, i, exponentials, t, block_largest);
  }
  for (; i < n; i++) add_block_at<channels, masked, C>(logits, stride, i, exponentials, t, block_largest);
}

// Finished gradients (bins, kTilePixels) that are still to be written, n of each row.
template <class T>
struct Pending {
  const Compute<T>* gradient = nullptr;
  T* grad = nullptr;
  int n = 0;

  void write(int channel, int channels, int64_t stride, bool past_cache) const {
    for (int c = channel; n > 0 && c < channel + channels; c++) {
      write_run(gradient + c * kTilePixels, n, past_cache, grad + c * stride);
    }
  }
};

// Softmax of a tile: t.largest, t.sum, and each block's exponentials with the maximum they refer to. Writing the tile
// before goes along with it, block by block: memory takes the one while the processor computes the other.
template <bool masked, class T, class C>
void planar_softmax(const T* logits, int64_t stride, int bins, int n, bool past_cache, const Pending<T>& before,
                    Tile<C>& t, C* exponentials, C* block_largest) {
  for (int i = 0; i < n; i++) {
    t.largest[i] = std::numeric_limits<C>::lowest();  // finite: a difference of infinities would be NaN
    t.sum[i] = 0;
  }
  constexpr C k = static_cast<C>(math::kLog2E);
  int c = 0;
  for (; c + kBlockBins <= bins; c += kBlockBins) {
    if (c + kAheadBins + kBlockBins <= bins) prefetch_rows(logits + (c + kAheadBins) * stride, stride, kBlockBins, n);
    before.write(c, kBlockBins, stride, past_cache);
    add_block<kBlockBins, masked, T, C>(logits + c * stride, stride, n, exponentials + c * kTilePixels, t,
                                        block_largest + c / kBlockBins * kTilePixels);
  }
  before.write(c, bins - c, stride, past_cache);
  for (; c < bins; c++) {  // the last block may see its maximum rise, so it is brought to one reference below
    alignas(64) C earlier_largest[kTilePixels];
    for (int i = 0; i < n; i++) earlier_largest[i] = t.largest[i];
    add_block<1, masked, T, C>(logits + c * stride, stride, n, exponentials + c * kTilePixels, t,
                               block_largest + c / kBlockBins * kTilePixels);
    for (int earlier = c / kBlockBins * kBlockBins; earlier < c; earlier++) {
#pragma omp simd
      for (int i = 0; i < n; i++)
        exponentials[earlier * kTilePixels + i] *= math::exp2_fast((earlier_largest[i] - t.largest[i]) * k);
    }
  }
}

// Turns a tile's exponentials into gradients, in place.
template <class C>
void planar_gradient(const LossParams& p, int n, const Tile<C>& t, const C* block_largest, C* exponentials) {
  constexpr C k = static_cast<C>(math::kLog2E);
  const int bins = p.palette.bins;
  for (int first = 0; first < bins; first += kBlockBins) {
    const C* reference = block_largest + first / kBlockBins * kTilePixels;
    alignas(64) C scale[kTilePixels];
#pragma omp simd
    for (int i = 0; i < n; i++) scale[i] = t.factor[i] * math::exp2_fast((reference[i] - t.largest[i]) * k);
    for (int c = first; c < std::min(first + kBlockBins, bins); c++) {
      C* row = exponentials + c * kTilePixels;
#pragma omp simd
      for (int i = 0; i < n; i++) row[i] *= scale[i];
    }
  }
  for (int j = 0; j < p.neighbours; j++) {
    for (int i = 0; i < n; i++)
      exponentials[t.index[j * kTilePixels + i] * kTilePixels + i] = t.target[j * kTilePixels + i];
  }
}

// A run of tiles of one image.
template <bool masked, class T>
void planar_strip(const LossParams& p, int64_t image, int64_t first, int64_t count, double grad_scale,
                  bool past_cache) {
  using C = Compute<T>;
  const int bins = p.palette.bins, blocks = (bins + kBlockBins - 1) / kBlockBins;
  const int64_t rows = static_cast<int64_t>(blocks) * kBlockBins * kTilePixels;
  C* buffers = scratch<C>(2 * rows + blocks * kTilePixels);
  C* block_largest = buffers + 2 * rows;
  Pending<T> pending;
  Tile<C> t;
  for (int64_t at = first; at < first + count; at += kTilePixels) {
    const int n = static_cast<int>(std::min<int64_t>(kTilePixels, first + count - at));
    const int64_t start = image * bins * p.pixels + at;
    const T* logits = static_cast<const T*>(p.logits) + start;
    C* exponentials = pending.gradient == buffers ? buffers + rows : buffers;
    load_targets(p, image, at, n, t);
    planar_softmax<masked>(logits, p.pixels, bins, n, past_cache, pending, t, exponentials, block_largest);
    for (int k = 0; k < p.neighbours; k++) {
      for (int i = 0; i < n; i++) {
        t.target[k * kTilePixels + i] = math::load(logits + t.index[k * kTilePixels + i] * p.pixels + i);
      }
    }
    finish_tile(p, n, grad_scale, t, static_cast<C*>(p.pixel_loss) + image * p.pixels + at);
    if (p.grad_logits == nullptr) continue;
    planar_gradient(p, n, t, block_largest, exponentials);
    pending = {exponentials, static_cast<T*>(p.grad_logits) + start, n};
  }
  pending.write(0, bins, p.pixels, past_cache);
}

// ---- logits (N, pixels, bins): lanes over channels ----

// out, in place: 2^(k (out - largest)). Returns their sum.
template <class C>
C row_exponentials(C row_largest, int count, C* out) {
  using V = Widest<C>;
  constexpr int kStep = lanes_of<V>();
  constexpr C k = static_cast<C>(math::kLog2E);
  const V largest = all_lanes<V>(row_largest);
  V sum = all_lanes<V>(C(0)), sum_2 = sum;  // two chains of additions
  int c = 0;
  for (; c + 2 * kStep <= count; c += 2 * kStep) {
    const V e = exp2_lanes<V>((load_lanes<V>(out + c) - largest) * k);
    const V e_2 = exp2_lanes<V>((load_lanes<V>(out + c + kStep) - largest) * k);
    store_lanes(out + c, e);
    store_lanes(out + c + kStep, e_2);
    sum += e;
    sum_2 += e_2;
  }
  if (c < count) {
    const V e = exp2_lanes<V>((load_lanes<V>(out + c) - largest) * k);
    store_lanes(out + c, e);
    sum += e;
  }
  return sum_of_lanes<C>(V(sum + sum_2));
}

// Finished gradients (n, bins), contiguous at both ends, that are still to be written.
template <class T>
struct PendingRows {
  const T* gradient = nullptr;
  T* grad = nullptr;
  int64_t count = 0;

  // The part-th of `parts` equal parts, cut at the cache lines of `grad`.
  void write(int part, int parts, bool past_cache) const {
    constexpr int64_t kLineElements = 64 / static_cast<int64_t>(sizeof(T));
    const int64_t skew = static_cast<int64_t>(reinterpret_cast<uintptr_t>(grad) / sizeof(T)) % kLineElements;
    const auto cut = [&](int at) {
      return at == 0 ? 0 : at == parts ? count : (count * at / parts + skew) / kLineElements * kLineElements - skew;
    };
    const int64_t first = std::max<int64_t>(cut(part), 0), last = std::max<int64_t>(cut(part + 1), 0);
    write_run(gradient + first, last - first, past_cache, grad + first);
  }
};

// A run of tiles of one image, like planar_strip.
template <class T>
void row_strip(const LossParams& p, int64_t image, int64_t first, int64_t count, double grad_scale, bool past_cache) {
  using C = Compute<T>;
  constexpr int64_t kAheadRows = 4;
  const int bins = p.palette.bins, width = padded(bins);
  const int64_t volume = static_cast<int64_t>(kTilePixels) * width;
  C* exponentials = scratch<C>(3 * volume + 2 * width);
  T* buffers[2] = {reinterpret_cast<T*>(exponentials + volume),
                   reinterpret_cast<T*>(exponentials + 2 * volume + width)};
  PendingRows<T> pending;
  Tile<C> t;
  for (int64_t at = first; at < first + count; at += kTilePixels) {
    const int n = static_cast<int>(std::min<int64_t>(kTilePixels, first + count - at));
    const int64_t start = (image * p.pixels + at) * bins;
    const T* logits = static_cast<const T*>(p.logits) + start;
    load_targets(p, image, at, n, t);
    for (int i = 0; i < n; i++) {
      C* row = exponentials + i * width;
      if (at + i + kAheadRows < first + count) prefetch_rows(logits + (i + kAheadRows) * bins, bins, 1, bins);
      pending.write(i, n, past_cache);
      if (t.keep[i] == C(0)) {  // whatever the pixel holds
        std::fill(row, row + width, C(0));
        t.largest[i] = 0;
      } else {
        t.largest[i] = widen_row(logits + i * bins, bins, row);
      }
      for (int k = 0; k < p.neighbours; k++) t.target[k * kTilePixels + i] = row[t.index[k * kTilePixels + i]];
      t.sum[i] = row_exponentials(t.largest[i], width, row);
    }
    finish_tile(p, n, grad_scale, t, static_cast<C*>(p.pixel_loss) + image * p.pixels + at);
    if (p.grad_logits == nullptr) continue;

    // Rows are made in order, because each ends with a few elements too many that the next one overwrites.
    T* gradient = pending.gradient == buffers[0] ? buffers[1] : buffers[0];
    for (int i = 0; i < n; i++) {
      const C *row = exponentials + i * width, factor = t.factor[i];
      T* to = gradient + i * bins;
#pragma omp simd
      for (int c = 0; c < width; c++) math::store(to + c, row[c] * factor);
      for (int k = 0; k < p.neighbours; k++)
        math::store(to + t.index[k * kTilePixels + i], t.target[k * kTilePixels + i]);
    }
    pending = {gradient, static_cast<T*>(p.grad_logits) + start, static_cast<int64_t>(n) * bins};
  }
  pending.write(0, 1, past_cache);
}

}  // namespace

void loss(const LossParams& p) {
  const double grad_scale = p.grad_scale / (p.divisor == nullptr ? 1.0 : static_cast<double>(*p.divisor));
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    const bool past_cache = p.grad_logits != nullptr && p.grad_logits != p.logits &&
                            p.images * p.pixels * p.palette.bins * static_cast<int64_t>(sizeof(T)) >= kStreamBytes;
    parallel_chunks(p.images, p.pixels, 16 * kTilePixels, 150.0, p.target.threads,
                    [&](int64_t image, int64_t first, int n) {
                      p.channels_last     ? row_strip<T>(p, image, first, n, grad_scale, past_cache)
                      : p.mask != nullptr ? planar_strip<true, T>(p, image, first, n, grad_scale, past_cache)
                                          : planar_strip<false, T>(p, image, first, n, grad_scale, past_cache);
                      if (past_cache) stream_fence();
                    });
  });
}

void scale_grad(const ScaleGradParams& p) {
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    using C = Compute<T>;
    // Runs along the memory: pixels of one channel, or channels of one pixel.
    const int64_t rows = p.channels_last ? p.pixels : p.bins, length = p.channels_last ? p.bins : p.pixels;
    parallel_for(p.images * rows, 0.2 * static_cast<double>(length), p.target.threads, [&](int64_t row) {
      T* grad = static_cast<T*>(p.grad) + row * length;
      const int64_t image = row / rows;
      const bool along = p.per_pixel && !p.channels_last;
      const C* factor = static_cast<const C*>(p.factor);
      if (p.per_pixel) factor += image * p.pixels + (along ? 0 : row % rows);
#pragma omp simd
      for (int64_t i = 0; i < length; i++) {
        math::store(grad + i, C(math::load(grad + i)) * factor[along ? i : 0]);
      }
    });
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
