// The annealed mean of a few pixels by one block, for decode.cu. Each logit is read once and nothing is kept.
#pragma once

#include "../math/decode.h"

#include "reduce.cuh"

namespace fastcolor::cuda {

// As many warps share out the channels as the loss has: 313 are 5 rounds of 8 warps times kUnroll.
constexpr int kDecodeWarps = 8, kDecodeThreads = kDecodeWarps * kWarpThreads;

// ---- what a thread keeps of its channels: one of two, with the same members ----

// For a temperature above 0.
template <class C>
struct MeanSums {
  static constexpr int kFields = 4;
  math::AnnealedMean<C> mean;

  // Channels first, first + step, ...; `logit` of those beyond the bins is absent_logit(). k: log2(e) / temperature.
  __device__ __forceinline__ void add(const C (&logit)[kUnroll], int first, int step, const Palette& palette, C k) {
    mean.raise(logit, k);
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      const int bin = first + u * step < palette.bins ? first + u * step : 0;
      mean.add(logit[u], palette.a[bin], palette.b[bin], k);
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
  __device__ __forceinline__ void add(const C (&logit)[kUnroll], int first, int step, const Palette& palette, C) {
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      if (first + u * step < palette.bins) take(logit[u], static_cast<C>(first + u * step));
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

template <class T, template <class> class Sums>
constexpr size_t planar_tile_bytes(int per_lane) {
  return Sums<Compute<T>>::kFields * kDecodeThreads * per_lane * sizeof(Compute<T>);
}

// Logits (N,bins,pixels), lanes over pixels and warps over channels: a tile of kWarpThreads * per_lane pixels from
// `first` on, none of `end` or beyond. With two pixels a lane, first, end and p.pixels are even. shared:
// planar_tile_bytes(), the fields of every warp's sums (kFields, kDecodeWarps, pixels of the tile). The first warps
// write; a barrier stands before that and none after it.
template <template <class> class Sums, class T, int per_lane>
__device__ __forceinline__ void decode_planar_tile(const DecodeParams& p, int64_t image, int64_t first, int64_t end,
                                                   Compute<T> k, unsigned char* shared_bytes) {
  using C = Compute<T>;
  constexpr int kTilePixels = kWarpThreads * per_lane, kFieldElements = kDecodeWarps * kTilePixels;
  C* shared = reinterpret_cast<C*>(shared_bytes);
  const int lane = threadIdx.x % kWarpThreads, warp = threadIdx.x / kWarpThreads, bins = p.palette.bins;
  const int64_t mine = first + static_cast<int64_t>(lane) * per_lane;
  const T* logits = static_cast<const T*>(p.logits) + image * bins * p.pixels + mine;

  Sums<C> sums[per_lane];
  for (int from = warp; from < bins; from += kDecodeWarps * kUnroll) {
    Pack<T, per_lane> pack[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      const int c = from + u * kDecodeWarps;
      pack[u] = {};
      if (c < bins && mine < end) pack[u] = load_pack<per_lane>(logits + c * p.pixels);
    }
#pragma unroll
    for (int i = 0; i < per_lane; i++) {
      C v[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; u++) {
        v[u] = from + u * kDecodeWarps < bins ? C(math::load(&pack[u].value[i])) : absent_logit<C>();
      }
      sums[i].add(v, from, kDecodeWarps, p.palette, k);
    }
  }
#pragma unroll
  for (int i = 0; i < per_lane; i++) {
    sums[i].each_field([&](int f, C& x) { shared[f * kFieldElements + warp * kTilePixels + lane * per_lane + i] = x; });
  }
  __syncthreads();

  const int64_t pixel = first + threadIdx.x;  // the first threads finish one pixel each
  if (threadIdx.x >= kTilePixels || pixel >= end) return;
  Sums<C> all;
  for (int w = 0; w < kDecodeWarps; w++) {
    Sums<C> part;
    part.each_field([&](int f, C& x) { x = shared[f * kFieldElements + w * kTilePixels + threadIdx.x]; });
    all.merge(part, k);
  }
  const int64_t out = image * 2 * p.pixels + pixel;
  all.write(static_cast<C*>(p.ab) + out, p.stats == nullptr ? nullptr : static_cast<C*>(p.stats) + out, p.pixels,
            p.palette);
}

// Logits (N,pixels,bins): one pixel by one warp, lanes over channels.
template <template <class> class Sums, class T>
__device__ __forceinline__ void decode_interleaved_pixel(const DecodeParams& p, int64_t image, int64_t pixel,
                                                         Compute<T> k) {
  using C = Compute<T>;
  const int lane = threadIdx.x % kWarpThreads, bins = p.palette.bins;
  const T* logits = static_cast<const T*>(p.logits) + (image * p.pixels + pixel) * bins;
  Sums<C> sums;
  for (int first = lane; first < bins + lane; first += kWarpThreads * kUnroll) {
    C v[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      const int c = first + u * kWarpThreads;
      v[u] = c < bins ? C(math::load(logits + c)) : absent_logit<C>();
    }
    sums.add(v, first, kWarpThreads, p.palette, k);
  }
#pragma unroll
  for (int step = kWarpThreads / 2; step > 0; step /= 2) {
    Sums<C> other = sums;
    other.each_field([&](int, C& x) { x = __shfl_xor_sync(kAllLanes, x, step); });
    sums.merge(other, k);
  }
  if (lane != 0) return;
  const int64_t out = image * 2 * p.pixels + pixel;
  sums.write(static_cast<C*>(p.ab) + out, p.stats == nullptr ? nullptr : static_cast<C*>(p.stats) + out, p.pixels,
             p.palette);
}

}  // namespace fastcolor::cuda
