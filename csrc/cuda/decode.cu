// The annealed mean and its gradient. Forward per pixel at 313 bins in f32: 1252 bytes read, 16 written; each logit is
// read once and nothing is kept (annealed.cuh).
#include "annealed.cuh"

namespace fastcolor::cuda {

namespace {

template <class T>
constexpr int kResidentBlocks = sizeof(T) == 8 ? 2 : 4;  // a multiprocessor: up to 64 registers a thread, no spills

// ---- forward ----

// per_lane: pixels a lane; with 2, p.pixels is even.
template <class T, int per_lane, template <class> class Sums>
__global__ void __launch_bounds__(kDecodeThreads, kResidentBlocks<T>)
    planar_decode_kernel(DecodeParams p, unsigned tiles, Compute<T> k) {
  const Tile tile = tile_of_block(tiles, kWarpThreads * per_lane);
  decode_planar_tile<Sums, T, per_lane>(p, tile.image, tile.first, p.pixels, k, shared_memory());
}

template <class T, template <class> class Sums>
__global__ void __launch_bounds__(kDecodeThreads, kResidentBlocks<T>)
    interleaved_decode_kernel(DecodeParams p, unsigned tiles, Compute<T> k) {
  const Tile tile = tile_of_block(tiles, kDecodeWarps);
  const int64_t pixel = tile.first + threadIdx.x / kWarpThreads;
  if (pixel < p.pixels) decode_interleaved_pixel<Sums, T>(p, tile.image, pixel, k);
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
__global__ void __launch_bounds__(kDecodeThreads, kResidentBlocks<T>)
    planar_decode_backward_kernel(DecodeParams p, unsigned tiles, Compute<T> k) {
  const Tile tile = tile_of_block(tiles, kWarpThreads);
  const int64_t pixel = tile.first + threadIdx.x % kWarpThreads;
  if (pixel >= p.pixels) return;
  const PixelGradient<Compute<T>> gradient(p, tile.image, pixel, k);
  const int64_t start = tile.image * p.palette.bins * p.pixels + pixel;
  const T* __restrict__ logits = static_cast<const T*>(p.logits) + start;
  T* __restrict__ grad = static_cast<T*>(p.grad_logits) + start;
#pragma unroll kUnroll
  for (int c = threadIdx.x / kWarpThreads; c < p.palette.bins; c += kDecodeWarps) {
    math::store(grad + c * p.pixels, gradient.of(math::load(logits + c * p.pixels), c, p.palette));
  }
}

template <class T>
__global__ void __launch_bounds__(kDecodeThreads, kResidentBlocks<T>)
    interleaved_decode_backward_kernel(DecodeParams p, unsigned tiles, Compute<T> k) {
  const Tile tile = tile_of_block(tiles, kDecodeWarps);
  const int64_t pixel = tile.first + threadIdx.x / kWarpThreads;
  if (pixel >= p.pixels) return;
  const PixelGradient<Compute<T>> gradient(p, tile.image, pixel, k);
  const int64_t start = (tile.image * p.pixels + pixel) * p.palette.bins;
  const T* __restrict__ logits = static_cast<const T*>(p.logits) + start;
  T* __restrict__ grad = static_cast<T*>(p.grad_logits) + start;
#pragma unroll kUnroll
  for (int c = threadIdx.x % kWarpThreads; c < p.palette.bins; c += kWarpThreads) {
    math::store(grad + c, gradient.of(math::load(logits + c), c, p.palette));
  }
}

template <template <class> class Sums>
void launch_decode(const DecodeParams& p) {
  if (p.channels_last) {
    const int64_t tiles = ceil_div(p.pixels, kDecodeWarps);
    return dispatch_float(p.dtype, [&](auto t) {
      launch(p.target, Launch(p.images * tiles, kDecodeThreads), interleaved_decode_kernel<decltype(t), Sums>, p, tiles,
             exponent_scale(p));
    });
  }
  const bool paired = p.pixels % 2 == 0 && aligned(p.logits, 4);
  dispatch_planar(p.dtype, paired, [&](auto t, auto per_lane) {
    using T = decltype(t);
    constexpr int kTilePixels = kWarpThreads * per_lane.value;
    const int64_t tiles = ceil_div(p.pixels, kTilePixels);
    launch(p.target, Launch(p.images * tiles, kDecodeThreads, planar_tile_bytes<T, Sums>(per_lane.value)),
           planar_decode_kernel<T, per_lane.value, Sums>, p, tiles, exponent_scale(p));
  });
}

}  // namespace

void annealed_mean(const DecodeParams& p) {
  p.temperature == 0 ? launch_decode<ModeSums>(p) : launch_decode<MeanSums>(p);
}

void annealed_mean_backward(const DecodeParams& p) {
  // The mode does not move with the logits: at temperature 0 the gradient is 0.
  const double inverse_temperature = p.temperature == 0 ? 0 : 1 / p.temperature;
  const int64_t tiles = ceil_div(p.pixels, p.channels_last ? kDecodeWarps : kWarpThreads);
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    launch(p.target, Launch(p.images * tiles, kDecodeThreads),
           p.channels_last ? interleaved_decode_backward_kernel<T> : planar_decode_backward_kernel<T>, p, tiles,
           inverse_temperature);
  });
}

}  // namespace fastcolor::cuda
