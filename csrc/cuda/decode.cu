// The annealed mean and its gradient. Forward per pixel at 313 bins in f32: 1252 bytes read, 16 written; each logit is
// read once and nothing is kept.
#include "../math/decode.h"

#include "reduce.cuh"

namespace fastcolor::cuda {

namespace {

constexpr int kWarps = 8, kThreads = kWarps * kWarp;
template <class T>
constexpr int kBlocks = sizeof(T) == 8 ? 2 : 4;  // a multiprocessor: up to 64 registers a thread, no spills

// ---- what a thread keeps of its channels: one of two, with the same members ----

// For a temperature above 0: Note [Running softmax], with the colour's sums beside it.
template <class C>
struct MeanSums {
  static constexpr int kFields = 4;
  C largest = static_cast<C>(-FLT_MAX), weight = 0, a = 0, b = 0;

  // Channels first, first + step, ...; `logit` of those beyond the bins is absent_logit(). k: 1 / temperature.
  __device__ __forceinline__ void add(const C (&logit)[kUnroll], int first, int step, const Palette& palette, C k) {
    C raised = largest;
#pragma unroll
    for (int u = 0; u < kUnroll; u++) raised = logit[u] > raised ? logit[u] : raised;
    const C shrink = math::exp_fast((largest - raised) * k);
    largest = raised, weight *= shrink, a *= shrink, b *= shrink;
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      const int bin = first + u * step < palette.bins ? first + u * step : 0;
      const C e = math::exp_fast((logit[u] - raised) * k);
      weight += e;
      a += e * palette.a[bin];
      b += e * palette.b[bin];
    }
  }
  __device__ __forceinline__ void merge(const MeanSums& other, C k) {
    const C raised = other.largest > largest ? other.largest : largest;
    const C mine = math::exp_fast((largest - raised) * k), theirs = math::exp_fast((other.largest - raised) * k);
    largest = raised;
    weight = weight * mine + other.weight * theirs;
    a = a * mine + other.a * theirs;
    b = b * mine + other.b * theirs;
  }
  // ab, stats: of the pixel, `plane` between their two channels.
  __device__ __forceinline__ void write(C* ab, C* stats, int64_t plane, const Palette&) const {
    const C inverse = C(1) / weight;
    ab[0] = a * inverse;
    ab[plane] = b * inverse;
    stats[0] = largest;
    stats[plane] = inverse;
  }
  template <class F>
  __device__ __forceinline__ void each_field(F&& f) {
    f(0, largest), f(1, weight), f(2, a), f(3, b);
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
    stats[0] = largest;
    stats[plane] = 1;
  }
  template <class F>
  __device__ __forceinline__ void each_field(F&& f) {
    f(0, largest), f(1, best), f(2, poison);
  }
};

// ---- logits (N, bins, pixels): lanes over pixels, warps over channels ----

// per_lane: pixels a lane; with 2, p.pixels is even. Shared memory: the fields of every warp's sums, (kFields, kWarps,
// pixels of the tile).
template <class T, int per_lane, template <class> class Sums>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    planar_decode_kernel(DecodeParams p, unsigned tiles, Compute<T> k) {
  using C = Compute<T>;
  constexpr int kTile = kWarp * per_lane, kField = kWarps * kTile;
  C* shared = reinterpret_cast<C*>(shared_memory());
  const Tile tile = tile_of_block(tiles, kTile);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, bins = p.palette.bins;
  const int64_t mine = tile.first + static_cast<int64_t>(lane) * per_lane;
  const T* logits = static_cast<const T*>(p.logits) + tile.image * bins * p.pixels + mine;

  Sums<C> sums[per_lane];
  for (int first = warp; first < bins; first += kWarps * kUnroll) {
    Pack<T, per_lane> pack[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      const int c = first + u * kWarps;
      pack[u] = {};
      if (c < bins && mine < p.pixels) pack[u] = load_pack<per_lane>(logits + c * p.pixels);
    }
#pragma unroll
    for (int i = 0; i < per_lane; i++) {
      C v[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; u++) {
        v[u] = first + u * kWarps < bins ? C(math::load(&pack[u].value[i])) : absent_logit<C>();
      }
      sums[i].add(v, first, kWarps, p.palette, k);
    }
  }
#pragma unroll
  for (int i = 0; i < per_lane; i++) {
    sums[i].each_field([&](int f, C& x) { shared[f * kField + warp * kTile + lane * per_lane + i] = x; });
  }
  __syncthreads();

  const int64_t pixel = tile.first + threadIdx.x;  // the first threads finish one pixel each
  if (threadIdx.x >= kTile || pixel >= p.pixels) return;
  Sums<C> all;
  for (int w = 0; w < kWarps; w++) {
    Sums<C> part;
    part.each_field([&](int f, C& x) { x = shared[f * kField + w * kTile + threadIdx.x]; });
    all.merge(part, k);
  }
  const int64_t out = tile.image * 2 * p.pixels + pixel;
  all.write(static_cast<C*>(p.ab) + out, static_cast<C*>(p.stats) + out, p.pixels, p.palette);
}

// ---- logits (N, pixels, bins): lanes over channels, one warp a pixel ----

template <class T, template <class> class Sums>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    row_decode_kernel(DecodeParams p, unsigned tiles, Compute<T> k) {
  using C = Compute<T>;
  const Tile tile = tile_of_block(tiles, kWarps);
  const int lane = threadIdx.x % kWarp, bins = p.palette.bins;
  const int64_t pixel = tile.first + threadIdx.x / kWarp;
  if (pixel >= p.pixels) return;  // the whole warp
  const T* row = static_cast<const T*>(p.logits) + (tile.image * p.pixels + pixel) * bins;
  Sums<C> sums;
  for (int first = lane; first < bins + lane; first += kWarp * kUnroll) {
    C v[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      const int c = first + u * kWarp;
      v[u] = c < bins ? C(math::load(row + c)) : absent_logit<C>();
    }
    sums.add(v, first, kWarp, p.palette, k);
  }
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    Sums<C> other = sums;
    other.each_field([&](int, C& x) { x = __shfl_xor_sync(kAllLanes, x, step); });
    sums.merge(other, k);
  }
  if (lane != 0) return;
  const int64_t out = tile.image * 2 * p.pixels + pixel;
  sums.write(static_cast<C*>(p.ab) + out, static_cast<C*>(p.stats) + out, p.pixels, p.palette);
}

// ---- backward: what a pixel's logits share ----

template <class C>
struct PixelGradient {
  C largest, inverse_sum, a, b, grad_a, grad_b, inverse_temperature;

  __device__ __forceinline__ PixelGradient(const DecodeParams& p, int64_t image, int64_t pixel, C k)
      : inverse_temperature(k) {
    const int64_t at = image * 2 * p.pixels + pixel;
    const C *ab = static_cast<const C*>(p.ab) + at, *stats = static_cast<const C*>(p.stats) + at;
    const C* grad = static_cast<const C*>(p.grad_ab) + at;
    largest = stats[0], inverse_sum = stats[p.pixels];
    a = ab[0], b = ab[p.pixels];
    grad_a = grad[0], grad_b = grad[p.pixels];
  }
  __device__ __forceinline__ C of(C logit, int bin, const Palette& palette) const {
    const C probability = math::annealed_probability(logit, largest, inverse_sum, inverse_temperature);
    return math::annealed_mean_vjp(probability, C(palette.a[bin]), C(palette.b[bin]), a, b, grad_a, grad_b,
                                   inverse_temperature);
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    planar_decode_backward_kernel(DecodeParams p, unsigned tiles, Compute<T> k) {
  const Tile tile = tile_of_block(tiles, kWarp);
  const int64_t pixel = tile.first + threadIdx.x % kWarp;
  if (pixel >= p.pixels) return;
  const PixelGradient<Compute<T>> gradient(p, tile.image, pixel, k);
  const int64_t start = tile.image * p.palette.bins * p.pixels + pixel;
  const T* __restrict__ logits = static_cast<const T*>(p.logits) + start;
  T* __restrict__ grad = static_cast<T*>(p.grad_logits) + start;
#pragma unroll kUnroll
  for (int c = threadIdx.x / kWarp; c < p.palette.bins; c += kWarps) {
    math::store(grad + c * p.pixels, gradient.of(math::load(logits + c * p.pixels), c, p.palette));
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    row_decode_backward_kernel(DecodeParams p, unsigned tiles, Compute<T> k) {
  const Tile tile = tile_of_block(tiles, kWarps);
  const int64_t pixel = tile.first + threadIdx.x / kWarp;
  if (pixel >= p.pixels) return;
  const PixelGradient<Compute<T>> gradient(p, tile.image, pixel, k);
  const int64_t start = (tile.image * p.pixels + pixel) * p.palette.bins;
  const T* __restrict__ logits = static_cast<const T*>(p.logits) + start;
  T* __restrict__ grad = static_cast<T*>(p.grad_logits) + start;
#pragma unroll kUnroll
  for (int c = threadIdx.x % kWarp; c < p.palette.bins; c += kWarp) {
    math::store(grad + c, gradient.of(math::load(logits + c), c, p.palette));
  }
}

// The mode does not move with the logits: at temperature 0 the gradient is 0.
double inverse_temperature(const DecodeParams& p) { return p.temperature == 0 ? 0 : 1 / p.temperature; }

template <template <class> class Sums>
void launch_decode(const DecodeParams& p) {
  if (p.channels_last) {
    const int64_t tiles = ceil_div(p.pixels, kWarps);
    return dispatch_float(p.dtype, [&](auto t) {
      launch(p.target, Launch(p.images * tiles, kThreads), row_decode_kernel<decltype(t), Sums>, p, tiles,
             inverse_temperature(p));
    });
  }
  const bool paired = p.pixels % 2 == 0 && aligned(p.logits, 4);
  dispatch_planar(p.dtype, paired, [&](auto t, auto per_lane) {
    using T = decltype(t);
    constexpr int kTile = kWarp * per_lane.value;
    constexpr size_t kShared = Sums<Compute<T>>::kFields * kWarps * kTile * sizeof(Compute<T>);
    const int64_t tiles = ceil_div(p.pixels, kTile);
    launch(p.target, Launch(p.images * tiles, kThreads, kShared), planar_decode_kernel<T, per_lane.value, Sums>, p,
           tiles, inverse_temperature(p));
  });
}

}  // namespace

void annealed_mean(const DecodeParams& p) {
  p.temperature == 0 ? launch_decode<ModeSums>(p) : launch_decode<MeanSums>(p);
}

void annealed_mean_backward(const DecodeParams& p) {
  const int64_t tiles = ceil_div(p.pixels, p.channels_last ? kWarps : kWarp);
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    launch(p.target, Launch(p.images * tiles, kThreads),
           p.channels_last ? row_decode_backward_kernel<T> : planar_decode_backward_kernel<T>, p, tiles,
           inverse_temperature(p));
  });
}

}  // namespace fastcolor::cuda
