// The annealed mean of a tile of pixels by one block, for decode.cu. Each logit is read once and nothing is kept.
#pragma once

#include "../math/decode.h"

#include "reduce.cuh"

namespace fastcolor::cuda {

// Few warps, each with many channels: what every warp does once costs less, and blocks fit beside each other.
constexpr int kLogWarps = 2, kDecodeWarps = 1 << kLogWarps, kDecodeThreads = kDecodeWarps * kWarpThreads;

// ---- what a thread keeps of its channels: one of two, with the same members ----

// For a temperature above 0.
template <class C>
struct MeanSums {
  static constexpr int kFields = 4;
  math::AnnealedMean<C> mean;

  // Channels first, first + 1, ...; `logit` of those beyond the bins is absent_logit(). colors: as fill_colors() leaves
  // them. k: log2(e) / temperature.
  __device__ __forceinline__ void add(const C (&logit)[kUnroll], int first, const float* colors, C k) {
    mean.raise(logit, k);
#pragma unroll
    for (int u = 0; u < kUnroll; u += 2) {
      const Pack<float, 4> two = load_pack<4>(colors + 2 * (first + u));
      mean.add(logit[u], two.value[0], two.value[1], k);
      mean.add(logit[u + 1], two.value[2], two.value[3], k);
    }
  }
  __device__ __forceinline__ void merge(const MeanSums& other, C k) { mean.merge(other.mean, k); }
  // ab, stats: of the pixel, `plane` between their two channels. stats: null where nobody reads them.
  __device__ __forceinline__ void write(C* ab, C* stats, int64_t plane, const Palette&) const {
    const C inverse = math::annealed_inverse(mean.softmax.sum);
    ab[0] = mean.a * inverse;
    ab[plane] = mean.b * inverse;
    if (stats == nullptr) return;
    stats[0] = mean.softmax.largest;
    stats[plane] = inverse;
  }
  template <class F>
  __device__ __forceinline__ void each_field(F&& f) {
    f(0, mean.softmax.largest), f(1, mean.softmax.sum), f(2, mean.a), f(3, mean.b);
  }
};

// For temperature 0: the bin of the largest logit, the lowest on ties; NaN anywhere gives NaN.
template <class C>
struct ModeSums {
  static constexpr int kFields = 3;
  C largest = absent_logit<C>(), best = 1 << 20, poison = 0;  // best: the bin, exact in a float

  __device__ __forceinline__ void take(C logit, C bin) {
    const bool better = logit > largest || (logit == largest && bin < best);
    largest = better ? logit : largest;
    best = better ? bin : best;
  }
  // A bin that is not there loses every tie against one that is, as its number is higher.
  __device__ __forceinline__ void add(const C (&logit)[kUnroll], int first, const float*, C) {
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      take(logit[u], static_cast<C>(first + u));
      poison += logit[u] == logit[u] ? C(0) : logit[u];
    }
  }
  __device__ __forceinline__ void merge(const ModeSums& other, C) {
    take(other.largest, other.best);
    poison += other.poison;
  }
  __device__ __forceinline__ void write(C* ab, C* stats, int64_t plane, const Palette& palette) const {
    const int bin = best < palette.bins ? static_cast<int>(best) : 0;  // none is best when all are NaN
    ab[0] = palette.a[bin] + poison;
    ab[plane] = palette.b[bin] + poison;
    if (stats == nullptr) return;
    stats[0] = largest;
    stats[plane] = 1;
  }
  template <class F>
  __device__ __forceinline__ void each_field(F&& f) {
    f(0, largest), f(1, best), f(2, poison);
  }
};

// k of Note [Running softmax]; the mode, at temperature 0, reads none.
inline double exponent_scale(const DecodeParams& p) { return p.temperature == 0 ? 0 : math::kLog2E / p.temperature; }

// ---- one tile ----

FC_HD int color_elements(int bins) { return (bins + kUnroll - 1) / kUnroll * kUnroll * 2; }

// A block's dynamic shared memory, in this order.
template <class T, template <class> class Sums>
struct DecodeShared {
  using C = Compute<T>;
  C* sums;        // (kFields, kDecodeThreads, pixels of a thread)
  float* colors;  // (whole groups of bins, 2)
  T* logits;      // (pixels, bins) of channels_last; all three begin at 16 bytes

  __device__ __forceinline__ DecodeShared(int bins, int per_lane) {
    sums = reinterpret_cast<C*>(shared_memory());
    colors = reinterpret_cast<float*>(sums + Sums<C>::kFields * kDecodeThreads * per_lane);
    logits = reinterpret_cast<T*>(colors + color_elements(bins));
  }
  static size_t bytes(int bins, int per_lane, int logits) {
    return color_elements(bins) * sizeof(float) +
           static_cast<size_t>(Sums<C>::kFields) * kDecodeThreads * per_lane * sizeof(C) + logits * sizeof(T);
  }
};

// (a, b) of every bin, and zeros up to a whole group. Another thread may read them after the next barrier.
__device__ __forceinline__ void fill_colors(const Palette& palette, float* colors) {
#pragma unroll 1
  for (int bin = threadIdx.x; bin < (palette.bins + kUnroll - 1) / kUnroll * kUnroll; bin += kDecodeThreads) {
    const bool is = bin < palette.bins;
    store_pack<2>(colors + 2 * bin, {is ? palette.a[bin] : 0.0f, is ? palette.b[bin] : 0.0f});
  }
}

// Adds these channels of per_lane pixels. logits: of the first pixel's first of them, `stride` from one to the next.
template <class Sums, class T, class C, int per_lane>
__device__ __forceinline__ void add_channels(const T* logits, int stride, Channels channels, const float* colors, C k,
                                             Sums (&sums)[per_lane]) {
  each_group(channels, [&](int first, int count) {
    Pack<T, per_lane> pack[kUnroll];
    logits = load_group(logits, stride, count, pack);
#pragma unroll
    for (int i = 0; i < per_lane; i++) {
      C v[kUnroll];
      widen_group(pack, i, count, v);
      sums[i].add(v, first, colors, k);
    }
  });
}

// Joins the sums of all parts, (kFields, parts, 2^log_pixels) in shared memory: the first threads finish a pixel each.
template <template <class> class Sums, class C, int per_lane>
__device__ __forceinline__ void finish_tile(const DecodeParams& p, Sums<C> (&mine)[per_lane], const Tile& tile,
                                            int log_pixels, C k, C* shared) {
  constexpr int kFieldElements = kDecodeThreads * per_lane;
#pragma unroll
  for (int i = 0; i < per_lane; i++) {
    mine[i].each_field([&](int f, C& x) { shared[f * kFieldElements + threadIdx.x * per_lane + i] = x; });
  }
  __syncthreads();
  const int pixel = static_cast<int>(tile.first) + threadIdx.x;
  if (threadIdx.x >> log_pixels > 0 || pixel >= static_cast<int>(p.pixels)) return;
  Sums<C> all;
#pragma unroll 8
  for (int at = threadIdx.x; at < kFieldElements; at += 1 << log_pixels) {
    Sums<C> part;
    part.each_field([&](int f, C& x) { x = shared[f * kFieldElements + at]; });
    all.merge(part, k);
  }
  const int64_t out = tile.image * 2 * p.pixels + pixel;
  all.write(static_cast<C*>(p.ab) + out, p.stats == nullptr ? nullptr : static_cast<C*>(p.stats) + out, p.pixels,
            p.palette);
}

}  // namespace fastcolor::cuda
