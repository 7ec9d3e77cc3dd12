// The rebalanced cross entropy and its gradient in one pass: every logit is read from memory once and every gradient
// written once. Per pixel at 313 bins in f32: 1252 bytes read, 1252 written (none without a gradient).
//
// Note [Blocked softmax]. Channels come in blocks of kBlock. A block raises the running maximum, rescales the running
// sum once, and keeps its exponentials (relative to the maximum at that moment) in a scratch that stays in L2. When the
// sum is known, probabilities are the scratch times one factor a block and pixel: one exponential a logit in all.
#include "../math/loss.h"

#include <cfloat>

#include "../math/encode.h"
#include "parallel.h"
#include "rows.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

constexpr int kTile = 256;  // pixels
constexpr int kBlock = 8;   // channels

// What the loss needs of a tile of pixels besides its logits.
struct Targets {
  alignas(64) int32_t index[math::kMaxNeighbours * kTile];
  alignas(64) float weight[math::kMaxNeighbours * kTile];
  alignas(64) float pixel_weight[kTile];  // class weight times mask
  alignas(64) uint8_t keep[kTile];
};

void load_targets(const LossParams& p, int64_t image, int64_t first, int n, Targets& t) {
  const float* a = p.ab + image * 2 * p.pixels + first;
  encode_run(a, a + p.pixels, n, p.palette, p.neighbours, p.sigma_ab, kTile, t.index, t.weight);
  const uint8_t* mask = p.mask == nullptr ? nullptr : p.mask + image * p.pixels + first;
  for (int i = 0; i < n; i++) {
    t.keep[i] = mask == nullptr || mask[i] != 0;
    t.pixel_weight[i] = !t.keep[i] ? 0.0f : p.class_weight == nullptr ? 1.0f : p.class_weight[t.index[i]];
  }
}

// Loss of one pixel, and the derivative's parts of Note [Focal gradient]: h of each target bin, returned sum H.
// logit(bin) reads a logit as C.
template <class C, class F>
inline C finish_pixel(const LossParams& p, const Targets& t, int i, C largest, C sum, F&& logit, C* probability, C* h,
                      C& loss) {
  const C log_sum = std::log(sum);
  C total = 0, h_sum = 0;
  for (int k = 0; k < p.neighbours; k++) {
    const C z = static_cast<C>(t.weight[k * kTile + i]);
    const C log_p = logit(t.index[k * kTile + i]) - largest - log_sum;
    total += z * math::focal(log_p, static_cast<C>(p.gamma));
    h[k] = z * math::focal_vjp(log_p, static_cast<C>(p.gamma));
    probability[k] = math::exp_fast(log_p);
    h_sum += h[k];
  }
  loss = static_cast<C>(t.pixel_weight[i]) * total;
  return h_sum;
}

// ---- logits (N, bins, pixels): lanes over pixels ----

template <int channels, bool masked, class T, class C>
inline void add_block(const T* __restrict__ logits, int64_t stride, const uint8_t* __restrict__ keep, int n,
                      C* __restrict__ exponentials, C* __restrict__ largest, C* __restrict__ sum,
                      C* __restrict__ block_largest) {
#pragma omp simd
  for (int i = 0; i < n; i++) {
    C v[channels];
    C m = largest[i];
#pragma GCC unroll 8
    for (int c = 0; c < channels; c++) {
      const C x = math::load(logits + c * stride + i);
      v[c] = masked && keep[i] == 0 ? C(0) : x;
      m = v[c] > m ? v[c] : m;
    }
    C s = sum[i] * math::exp_fast(largest[i] - m);
#pragma GCC unroll 8
    for (int c = 0; c < channels; c++) {
      const C e = math::exp_fast(v[c] - m);
      exponentials[c * kTile + i] = e;
      s += e;
    }
    largest[i] = block_largest[i] = m;
    sum[i] = s;
  }
}

template <class T, class C>
inline void write_block(const C* __restrict__ exponentials, const C* __restrict__ block_largest,
                        const C* __restrict__ largest, const C* __restrict__ factor, int channels, int64_t stride,
                        int n, T* __restrict__ grad) {
  alignas(64) C scale[kTile];
#pragma omp simd
  for (int i = 0; i < n; i++) scale[i] = factor[i] * math::exp_fast(block_largest[i] - largest[i]);
  for (int c = 0; c < channels; c++) {
#pragma omp simd
    for (int i = 0; i < n; i++) math::store(grad + c * stride + i, exponentials[c * kTile + i] * scale[i]);
  }
}

template <bool masked, class T>
void planar_tile(const LossParams& p, int64_t image, int64_t first, int n, double grad_scale) {
  using C = Compute<T>;
  const int bins = p.palette.bins, blocks = (bins + kBlock - 1) / kBlock;
  const int64_t start = image * bins * p.pixels + first;
  const T* logits = static_cast<const T*>(p.logits) + start;
  Targets t;
  load_targets(p, image, first, n, t);

  C* exponentials = scratch<C>(static_cast<int64_t>(blocks) * (kBlock + 1) * kTile);
  C* block_largest = exponentials + static_cast<int64_t>(blocks) * kBlock * kTile;
  alignas(64) C largest[kTile], sum[kTile];
  for (int i = 0; i < n; i++) {
    largest[i] = static_cast<C>(-FLT_MAX);  // finite: a difference of infinities would be NaN
    sum[i] = 0;
  }
  int c = 0;
  for (; c + kBlock <= bins; c += kBlock) {
    add_block<kBlock, masked>(logits + c * p.pixels, p.pixels, t.keep, n, exponentials + c * kTile, largest, sum,
                              block_largest + c / kBlock * kTile);
  }
  for (; c < bins; c++) {  // the last block may see its maximum rise, so it is brought to one reference below
    C* block = block_largest + c / kBlock * kTile;
    alignas(64) C before[kTile];
    for (int i = 0; i < n; i++) before[i] = largest[i];
    add_block<1, masked>(logits + c * p.pixels, p.pixels, t.keep, n, exponentials + c * kTile, largest, sum, block);
    for (int earlier = c / kBlock * kBlock; earlier < c; earlier++) {
#pragma omp simd
      for (int i = 0; i < n; i++) exponentials[earlier * kTile + i] *= math::exp_fast(before[i] - largest[i]);
    }
  }

  alignas(64) C factor[kTile];
  alignas(64) C target_grad[math::kMaxNeighbours * kTile];
  for (int i = 0; i < n; i++) {
    C probability[math::kMaxNeighbours], h[math::kMaxNeighbours];
    C& pixel_loss = static_cast<C*>(p.pixel_loss)[image * p.pixels + first + i];
    if (masked && t.keep[i] == 0) {
      pixel_loss = 0;
      factor[i] = 0;
      for (int k = 0; k < p.neighbours; k++) target_grad[k * kTile + i] = 0;
      continue;
    }
    const C h_sum = finish_pixel(
        p, t, i, largest[i], sum[i], [&](int32_t bin) { return C(math::load(logits + bin * p.pixels + i)); },
        probability, h, pixel_loss);
    const C scale = static_cast<C>(t.pixel_weight[i] * grad_scale);
    factor[i] = scale * h_sum / sum[i];
    for (int k = 0; k < p.neighbours; k++) target_grad[k * kTile + i] = scale * (probability[k] * h_sum - h[k]);
  }
  if (p.grad_logits == nullptr) return;

  T* grad = static_cast<T*>(p.grad_logits) + start;
  for (int b = 0; b < blocks; b++) {
    write_block(exponentials + static_cast<int64_t>(b) * kBlock * kTile, block_largest + b * kTile, largest, factor,
                std::min(kBlock, bins - b * kBlock), p.pixels, n, grad + b * kBlock * p.pixels);
  }
  for (int k = 0; k < p.neighbours; k++) {
    for (int i = 0; i < n; i++) math::store(grad + t.index[k * kTile + i] * p.pixels + i, target_grad[k * kTile + i]);
  }
}

// ---- logits (N, pixels, bins): lanes over channels ----

template <class T, class C>
inline C row_exponentials(const T* __restrict__ row, C largest, int bins, C* __restrict__ out) {
  C sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int c = 0; c < bins; c++) {
    out[c] = math::exp_fast(C(math::load(row + c)) - largest);
    sum += out[c];
  }
  return sum;
}

template <class T>
void row_tile(const LossParams& p, int64_t image, int64_t first, int n, double grad_scale) {
  using C = Compute<T>;
  const int bins = p.palette.bins;
  Targets t;
  load_targets(p, image, first, n, t);
  C* exponentials = scratch<C>(bins);
  for (int i = 0; i < n; i++) {
    const int64_t pixel = image * p.pixels + first + i;
    const T* row = static_cast<const T*>(p.logits) + pixel * bins;
    T* grad = p.grad_logits == nullptr ? nullptr : static_cast<T*>(p.grad_logits) + pixel * bins;
    C& pixel_loss = static_cast<C*>(p.pixel_loss)[pixel];
    if (t.keep[i] == 0) {
      pixel_loss = 0;
      if (grad != nullptr) std::fill(grad, grad + bins, T{});
      continue;
    }
    const C largest = row_largest(row, bins), sum = row_exponentials<T, C>(row, largest, bins, exponentials);
    C probability[math::kMaxNeighbours], h[math::kMaxNeighbours];
    const C h_sum = finish_pixel(
        p, t, i, largest, sum, [&](int32_t bin) { return C(math::load(row + bin)); }, probability, h, pixel_loss);
    if (grad == nullptr) continue;
    const C scale = static_cast<C>(t.pixel_weight[i] * grad_scale), factor = scale * h_sum / sum;
#pragma omp simd
    for (int c = 0; c < bins; c++) math::store(grad + c, exponentials[c] * factor);
    for (int k = 0; k < p.neighbours; k++) {
      math::store(grad + t.index[k * kTile + i], scale * (probability[k] * h_sum - h[k]));
    }
  }
}

}  // namespace

void loss(const LossParams& p) {
  const double grad_scale = p.grad_scale / (p.divisor == nullptr ? 1.0 : static_cast<double>(*p.divisor));
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_chunks(p.images, p.pixels, kTile, 150.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
      p.channels_last     ? row_tile<T>(p, image, first, n, grad_scale)
      : p.mask != nullptr ? planar_tile<true, T>(p, image, first, n, grad_scale)
                          : planar_tile<false, T>(p, image, first, n, grad_scale);
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
