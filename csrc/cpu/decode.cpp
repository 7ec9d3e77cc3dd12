// The annealed mean and its gradient. Forward per pixel at 313 bins in f32: 1252 bytes read, 16 written.
#include "../math/decode.h"

#include "lanes.h"
#include "pages.h"
#include "parallel.h"
#include "stream.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

// Measured (csrc/README.md). Pixels of a tile: 128, too short a run for the processor to read ahead in, take twice as
// long in bf16; 2048 up to 5 % longer. Channels of a group: 4 take up to 50 %, 16 up to 15 % longer.
constexpr int kTilePixels = 512, kGroupBins = 8;

// The running sums of a tile, math::AnnealedMean of every pixel.
template <class C>
struct Sums {
  alignas(64) C largest[kTilePixels], weight[kTilePixels], a[kTilePixels], b[kTilePixels];
};

// Channels c to c + channels of the pixels i to i + lanes.
template <int channels, class V, class T, class C>
FC_INLINE void add_group_at(const T* logits, int64_t stride, const float* bin_a, const float* bin_b, C k, int i,
                            Sums<C>& s) {
  math::AnnealedMean<V> mean{
      {load_lanes<V>(s.largest + i), load_lanes<V>(s.weight + i)}, load_lanes<V>(s.a + i), load_lanes<V>(s.b + i)};
  V v[channels], raised = mean.softmax.largest;
  for (int c = 0; c < channels; c++) {
    v[c] = load_lanes<V>(logits + c * stride + i);
    // The next group: a run of a tile is too short to be seen coming, and some placements of the planes in memory took
    // 1.4 times as long without (measured, f32; 16-bit logits gain nothing). Past the last one it asks for what nobody
    // reads.
    if constexpr (sizeof(T) >= 4) __builtin_prefetch(logits + (c + channels) * stride + i, 0, 3);
    raised = math::Lanes<V>::max(v[c], raised);
  }
  mean.raise(raised, k);
  for (int c = 0; c < channels; c++) mean.add(v[c], static_cast<C>(bin_a[c]), static_cast<C>(bin_b[c]), k);
  store_lanes(s.largest + i, mean.softmax.largest);
  store_lanes(s.weight + i, mean.softmax.sum);
  store_lanes(s.a + i, mean.a);
  store_lanes(s.b + i, mean.b);
}
template <int channels, class T, class C>
void add_group(const T* logits, int64_t stride, const float* bin_a, const float* bin_b, C k, int n, Sums<C>& s) {
  using V = Widest<C>;
  int i = 0;
  for (; i + lanes_of<V>() <= n; i += lanes_of<V>()) add_group_at<channels, V>(logits, stride, bin_a, bin_b, k, i, s);
  for (; i < n; i++) add_group_at<channels, C>(logits, stride, bin_a, bin_b, k, i, s);
}

template <class T>
void planar_tile(const DecodeParams& p, int64_t image, int64_t first, int n) {
  using C = Compute<T>;
  const int bins = p.palette.bins;
  const T* logits = static_cast<const T*>(p.logits) + image * bins * p.pixels + first;
  const C k = static_cast<C>(math::kLog2E / p.temperature);
  Sums<C> s;
  for (int i = 0; i < n; i++) {
    s.largest[i] = math::kLowest<C>;
    s.weight[i] = s.a[i] = s.b[i] = 0;
  }
  int c = 0;
  for (; c + kGroupBins <= bins; c += kGroupBins) {
    add_group<kGroupBins, T, C>(logits + c * p.pixels, p.pixels, p.palette.a + c, p.palette.b + c, k, n, s);
  }
  for (; c < bins; c++) {
    add_group<1, T, C>(logits + c * p.pixels, p.pixels, p.palette.a + c, p.palette.b + c, k, n, s);
  }
  const int64_t out = image * 2 * p.pixels + first;
  C *ab = static_cast<C*>(p.ab) + out, *stats = static_cast<C*>(p.stats) + out;
#pragma omp simd
  for (int i = 0; i < n; i++) {
    const C inverse = math::annealed_inverse(s.weight[i]);
    ab[i] = s.a[i] * inverse;
    ab[i + p.pixels] = s.b[i] * inverse;
    stats[i] = s.largest[i];
    stats[i + p.pixels] = inverse;
  }
}

// The palette filled up to whole vectors.
template <class C>
struct PaddedPalette {
  alignas(64) C a[kMaxBins], b[kMaxBins];
  explicit PaddedPalette(const Palette& palette) {
    const int width = padded(palette.bins);
    for (int c = 0; c < width; c++) {
      a[c] = c < palette.bins ? static_cast<C>(palette.a[c]) : C(0);
      b[c] = c < palette.bins ? static_cast<C>(palette.b[c]) : C(0);
    }
  }
};

// `count` pixels at once, so that their sums, each a chain of additions, go on side by side: four, whose sums fill
// twelve registers.
template <int count, class T>
void interleaved_pixels(const DecodeParams& p, int64_t image, int64_t first, const PaddedPalette<Compute<T>>& palette) {
  using C = Compute<T>;
  using V = Widest<C>;
  const int bins = p.palette.bins, width = padded(bins);
  const C k = static_cast<C>(math::kLog2E / p.temperature);
  alignas(64) C logit[count][kMaxBins];
  C largest[count];
  math::AnnealedMean<V> mean[count];
  const T* logits = static_cast<const T*>(p.logits) + (image * p.pixels + first) * bins;
  for (int r = 0; r < count; r++) {
    // Pixels ahead: without, f32 takes 1.14 times as long (measured; bf16 the same). Past the last one it asks for what
    // nobody reads.
    if constexpr (sizeof(T) >= 4) prefetch_runs(logits + (2 * count + r) * bins, bins, 1, bins);
    largest[r] = widen_pixel(logits + r * bins, bins, logit[r]);
    mean[r].softmax.largest = all_lanes<V>(largest[r]);
  }
  for (int c = 0; c < width; c += lanes_of<V>()) {
    const V bin_a = load_lanes<V>(palette.a + c), bin_b = load_lanes<V>(palette.b + c);
    for (int r = 0; r < count; r++) mean[r].add(load_lanes<V>(logit[r] + c), bin_a, bin_b, k);
  }
  const int64_t out = image * 2 * p.pixels + first;
  C *ab = static_cast<C*>(p.ab) + out, *stats = static_cast<C*>(p.stats) + out;
  for (int r = 0; r < count; r++) {
    const C inverse = math::annealed_inverse(sum_of_lanes<C>(mean[r].softmax.sum));
    ab[r] = sum_of_lanes<C>(mean[r].a) * inverse;
    ab[r + p.pixels] = sum_of_lanes<C>(mean[r].b) * inverse;
    stats[r] = largest[r];
    stats[r + p.pixels] = inverse;
  }
}

template <class T>
void interleaved_tile(const DecodeParams& p, int64_t image, int64_t first, int n) {
  const PaddedPalette<Compute<T>> palette(p.palette);
  int i = 0;
  for (; i + 4 <= n; i += 4) interleaved_pixels<4, T>(p, image, first + i, palette);
  for (; i < n; i++) interleaved_pixels<1, T>(p, image, first + i, palette);
}

// Temperature 0: the bin of the largest logit, the lowest index on ties; NaN anywhere gives NaN. `poison`: 0 or NaN.
template <class T, class C>
void put_mode(const DecodeParams& p, int64_t image, int64_t pixel, int best, C largest, C poison) {
  const int64_t out = image * 2 * p.pixels + pixel;
  C *ab = static_cast<C*>(p.ab) + out, *stats = static_cast<C*>(p.stats) + out;
  ab[0] = static_cast<C>(p.palette.a[best]) + poison;
  ab[p.pixels] = static_cast<C>(p.palette.b[best]) + poison;
  stats[0] = largest;
  stats[p.pixels] = 1;
}

// Channels c to c + channels of the pixels i to i + lanes. Bins are counted in C, which holds them exactly; they lie in
// s.a, NaN in s.b.
template <int channels, class V, class T, class C>
FC_INLINE void mode_group_at(const T* logits, int64_t stride, int c, int i, Sums<C>& s) {
  V largest = load_lanes<V>(s.largest + i), best = load_lanes<V>(s.a + i), poison = load_lanes<V>(s.b + i);
  for (int k = 0; k < channels; k++) {
    const V v = load_lanes<V>(logits + k * stride + i);
    best = v > largest ? all_lanes<V>(static_cast<C>(c + k)) : best;
    largest = max_lanes(v, largest);
    poison = v == v ? poison : v;
  }
  store_lanes(s.largest + i, largest);
  store_lanes(s.a + i, best);
  store_lanes(s.b + i, poison);
}
template <int channels, class T, class C>
void mode_group(const T* logits, int64_t stride, int c, int n, Sums<C>& s) {
  using V = Widest<C>;
  int i = 0;
  for (; i + lanes_of<V>() <= n; i += lanes_of<V>()) mode_group_at<channels, V>(logits, stride, c, i, s);
  for (; i < n; i++) mode_group_at<channels, C>(logits, stride, c, i, s);
}

template <class T>
void planar_mode_tile(const DecodeParams& p, int64_t image, int64_t first, int n) {
  using C = Compute<T>;
  const int bins = p.palette.bins;
  const T* logits = static_cast<const T*>(p.logits) + image * bins * p.pixels + first;
  Sums<C> s;
  for (int i = 0; i < n; i++) {
    s.largest[i] = -std::numeric_limits<C>::infinity();
    s.a[i] = s.b[i] = 0;
  }
  int c = 0;
  for (; c + kGroupBins <= bins; c += kGroupBins) mode_group<kGroupBins>(logits + c * p.pixels, p.pixels, c, n, s);
  for (; c < bins; c++) mode_group<1>(logits + c * p.pixels, p.pixels, c, n, s);
  for (int i = 0; i < n; i++) put_mode<T>(p, image, first + i, static_cast<int>(s.a[i]), s.largest[i], s.b[i]);
}

template <class T>
void interleaved_mode_tile(const DecodeParams& p, int64_t image, int64_t first, int n) {
  using C = Compute<T>;
  using V = Widest<C>;
  const int bins = p.palette.bins, width = padded(bins);
  alignas(64) C logit[kMaxBins];
  for (int i = 0; i < n; i++) {
    const C largest = widen_pixel(static_cast<const T*>(p.logits) + (image * p.pixels + first + i) * bins, bins, logit);
    const V most = all_lanes<V>(largest);
    V poison = all_lanes<V>(C(0)), seen = poison;  // seen: in a lane, 1 where it holds the largest
    int best = 0;
    for (int c = 0; c < width; c += lanes_of<V>()) {
      const V v = load_lanes<V>(logit + c);
      poison = v == v ? poison : v;
      seen = v == most ? all_lanes<V>(C(1)) : seen;
    }
    const C bad = sum_of_lanes<C>(poison);
    if (sum_of_lanes<C>(seen) > C(0)) {
      while (!(logit[best] == largest)) best++;
    }
    put_mode<T>(p, image, first + i, best, largest, bad);
  }
}

template <class T>
void backward_tile(const DecodeParams& p, int64_t image, int64_t first, int n) {
  using C = Compute<T>;
  const int bins = p.palette.bins;
  const C inverse_temperature = static_cast<C>(1 / p.temperature);
  const int64_t at = image * 2 * p.pixels + first, start = image * bins * p.pixels;
  const C *ab = static_cast<const C*>(p.ab) + at, *stats = static_cast<const C*>(p.stats) + at;
  const C* g = static_cast<const C*>(p.grad_ab) + at;
  const T* logits = static_cast<const T*>(p.logits) + start;
  T* grad = static_cast<T*>(p.grad_logits) + start;
  alignas(64) C shared_a[kTilePixels], shared_b[kTilePixels], shared_mean[kTilePixels];
#pragma omp simd
  for (int i = 0; i < n; i++) {
    const math::AnnealedGradient<C> shared(stats[i + p.pixels] * inverse_temperature, ab[i], ab[i + p.pixels], g[i],
                                           g[i + p.pixels]);
    shared_a[i] = shared.a, shared_b[i] = shared.b, shared_mean[i] = shared.mean;
  }
  const auto of = [&](const T* logit, int c, int i) __attribute__((always_inline)) {
    const C weight = math::exp_fast((C(math::load(logit)) - stats[i]) * inverse_temperature);
    math::AnnealedGradient<C> shared;
    shared.a = shared_a[i], shared.b = shared_b[i], shared.mean = shared_mean[i];
    return shared.of(weight, C(p.palette.a[c]), C(p.palette.b[c]));
  };
  if (p.channels_last) {
    for (int i = 0; i < n; i++) {
      const int64_t pixel = (first + i) * bins;
#pragma omp simd
      for (int c = 0; c < bins; c++) math::store(grad + pixel + c, of(logits + pixel + c, c, i));
    }
  } else {
    for (int c = 0; c < bins; c++) {
      const int64_t run = c * p.pixels + first;
#pragma omp simd
      for (int i = 0; i < n; i++) math::store(grad + run + i, of(logits + run + i, c, i));
    }
  }
}

}  // namespace

void annealed_mean(const DecodeParams& p) {
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_chunks(p.images, p.pixels, kTilePixels, 70.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
      if (p.temperature == 0) {
        p.channels_last ? interleaved_mode_tile<T>(p, image, first, n) : planar_mode_tile<T>(p, image, first, n);
      } else {
        p.channels_last ? interleaved_tile<T>(p, image, first, n) : planar_tile<T>(p, image, first, n);
      }
    });
  });
}

void annealed_mean_backward(const DecodeParams& p) {
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    const int64_t elements = p.images * p.pixels * p.palette.bins;
    prefer_huge_pages(p.grad_logits, elements * static_cast<int64_t>(sizeof(T)));
    if (p.temperature == 0) {  // the mode does not move with the logits
      std::fill_n(static_cast<T*>(p.grad_logits), elements, T{});
      return;
    }
    parallel_chunks(p.images, p.pixels, kTilePixels, 120.0, p.target.threads,
                    [&](int64_t image, int64_t first, int n) { backward_tile<T>(p, image, first, n); });
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
