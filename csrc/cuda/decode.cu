// The annealed mean and its gradient. Forward per pixel at 313 bins in f32: 1252 bytes read, 16 written; each logit is
// read once and nothing is kept (annealed.cuh).
#include "annealed.cuh"

namespace fastcolor::cuda {

namespace {

template <class T>
constexpr int kResidentBlocks = sizeof(T) == 8 ? 4 : 8;  // a multiprocessor: up to 64 registers a thread, no spills

// ---- forward ----

// Logits (N,bins,pixels): lanes over pixels, warps over channels. per_lane: pixels a lane; with 2, p.pixels is even.
template <class T, int per_lane, template <class> class Sums>
__global__ void __launch_bounds__(kDecodeThreads, kResidentBlocks<T>)
    planar_decode_kernel(DecodeParams p, Divisor tiles, Compute<T> k) {
  constexpr int kTilePixels = kWarpThreads * per_lane;
  const int lane = threadIdx.x % kWarpThreads;
  const DecodeShared<T, Sums> shared(p.palette.bins, per_lane);
  const Tile tile = tile_of_block(tiles, kTilePixels);
  fill_colors(p.palette, shared.colors);
  __syncthreads();
  const Channels channels = channels_of(p.palette.bins, threadIdx.x / kWarpThreads, kLogWarps);
  // A lane beyond the image reads its last pixels, for nobody.
  const int pixels = static_cast<int>(p.pixels), mine = static_cast<int>(tile.first) + lane * per_lane;
  const T* logits = static_cast<const T*>(p.logits) + (tile.image * p.palette.bins + channels.first) * p.pixels +
                    (mine < pixels ? mine : pixels - per_lane);
  Sums<Compute<T>> sums[per_lane];
  add_channels(logits, pixels, channels, shared.colors, k, sums);
  finish_tile<Sums>(p, sums, tile, per_lane == 2 ? 6 : 5, k, shared.sums);
}

// Logits (N,pixels,bins): the tile's lie side by side and are copied to shared memory. 2^log_count pixels; the threads
// of a pixel share out its channels.
template <class T, template <class> class Sums>
__global__ void __launch_bounds__(kDecodeThreads, kResidentBlocks<T>)
    interleaved_decode_kernel(DecodeParams p, Divisor tiles, int log_count, Compute<T> k) {
  const int bins = p.palette.bins, count = 1 << log_count;
  const DecodeShared<T, Sums> shared(bins, 1);
  const Tile tile = tile_of_block(tiles, count);
  const int left = static_cast<int>(p.pixels - tile.first);
  const T* logits = static_cast<const T*>(p.logits) + (tile.image * p.pixels + tile.first) * bins;
  copy_rows<kDecodeThreads, true>(logits, shared.logits, left < count ? left : count, bins);
  fill_colors(p.palette, shared.colors);
  __syncthreads();
  Sums<Compute<T>> sums[1];
  const int pixel = threadIdx.x & (count - 1);
  const Channels channels = channels_of(bins, threadIdx.x >> log_count, kLogWarps + 5 - log_count);
  if (pixel < left)
    add_channels(shared.logits + pixel * row_stride(bins) + channels.first, 1, channels, shared.colors, k, sums);
  finish_tile<Sums>(p, sums, tile, log_count, k, shared.sums);
}

// ---- backward ----

// What a pixel's logits share.
template <class C>
struct PixelGradient {
  C largest;
  math::AnnealedGradient<C> shared;

  PixelGradient() = default;
  __device__ __forceinline__ PixelGradient(const DecodeParams& p, int64_t image, int64_t pixel, C inverse_temperature) {
    const int64_t at = image * 2 * p.pixels + pixel;
    const C *ab = static_cast<const C*>(p.ab) + at, *stats = static_cast<const C*>(p.stats) + at;
    const C* grad = static_cast<const C*>(p.grad_ab) + at;
    largest = stats[0];
    shared = {stats[p.pixels] * inverse_temperature, ab[0], ab[p.pixels], grad[0], grad[p.pixels]};
  }
  // k: of Note [Running softmax].
  __device__ __forceinline__ C of(C logit, float bin_a, float bin_b, C k) const {
    return shared.of(math::exp2_fast((logit - largest) * k), C(bin_a), C(bin_b));
  }
};

template <class T, int per_lane>
__global__ void __launch_bounds__(kDecodeThreads, kResidentBlocks<T>)
    planar_decode_backward_kernel(DecodeParams p, Divisor tiles, Compute<T> inverse_temperature) {
  using C = Compute<T>;
  float* colors = reinterpret_cast<float*>(shared_memory());
  fill_colors(p.palette, colors);
  __syncthreads();
  const Tile tile = tile_of_block(tiles, kWarpThreads * per_lane);
  const int pixel = static_cast<int>(tile.first) + threadIdx.x % kWarpThreads * per_lane;
  if (pixel >= static_cast<int>(p.pixels)) return;
  const C k = inverse_temperature * C(math::kLog2E);
  PixelGradient<C> gradient[per_lane];
#pragma unroll
  for (int i = 0; i < per_lane; i++) gradient[i] = {p, tile.image, pixel + i, inverse_temperature};

  const Channels channels = channels_of(p.palette.bins, threadIdx.x / kWarpThreads, kLogWarps);
  const int64_t start = (tile.image * p.palette.bins + channels.first) * p.pixels + pixel;
  const T* logits = static_cast<const T*>(p.logits) + start;
  T* grad = static_cast<T*>(p.grad_logits) + start;
  const int stride = static_cast<int>(p.pixels);
  each_group(channels, [&](int first, int count) {
    Pack<T, per_lane> pack[kUnroll];
    logits = load_group(logits, stride, count, pack);
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      // Two bins in one load; of the second the compiler keeps what it has.
      const Pack<float, 4> two = load_pack<4>(colors + 2 * (first + u / 2 * 2));
      const float bin_a = two.value[u % 2 * 2], bin_b = two.value[u % 2 * 2 + 1];
      Pack<T, per_lane> out;
#pragma unroll
      for (int i = 0; i < per_lane; i++) {
        math::store(&out.value[i], gradient[i].of(widened(pack[u], i), bin_a, bin_b, k));
      }
      store_channel(grad, stride, u, count, out);
    }
    grad = channel_at(grad, stride, kUnroll);
  });
}

// A tile of kWarpThreads pixels, one warp each; lanes over channels.
template <class T>
__global__ void __launch_bounds__(kDecodeThreads, kResidentBlocks<T>)
    interleaved_decode_backward_kernel(DecodeParams p, Divisor tiles, Compute<T> inverse_temperature) {
  using C = Compute<T>;
  PixelGradient<C>* gradients = reinterpret_cast<PixelGradient<C>*>(shared_memory());  // (kWarpThreads)
  float* colors = reinterpret_cast<float*>(gradients + kWarpThreads);
  const Tile tile = tile_of_block(tiles, kWarpThreads);
  const int bins = p.palette.bins, left = static_cast<int>(p.pixels - tile.first);
  const int count = left < kWarpThreads ? left : kWarpThreads;
  fill_colors(p.palette, colors);
  if (static_cast<int>(threadIdx.x) < count) {
    gradients[threadIdx.x] = {p, tile.image, tile.first + threadIdx.x, inverse_temperature};
  }
  __syncthreads();
  const C k = inverse_temperature * C(math::kLog2E);
#pragma unroll 1
  for (int pixel = threadIdx.x / kWarpThreads; pixel < count; pixel += kDecodeWarps) {
    const PixelGradient<C> gradient = gradients[pixel];
    const int64_t start = (tile.image * p.pixels + tile.first + pixel) * bins;
    const T* __restrict__ logits = static_cast<const T*>(p.logits) + start;
    T* __restrict__ grad = static_cast<T*>(p.grad_logits) + start;
#pragma unroll 4
    for (int c = threadIdx.x % kWarpThreads; c < bins; c += kWarpThreads) {
      const Pack<float, 2> color = load_pack<2>(colors + 2 * c);
      math::store(grad + c, gradient.of(math::load(logits + c), color.value[0], color.value[1], k));
    }
  }
}

template <template <class> class Sums>
void launch_decode(const DecodeParams& p) {
  const int bins = p.palette.bins;
  if (p.channels_last) {
    return dispatch_float(p.dtype, [&](auto t) {
      using T = decltype(t);
      using Shared = DecodeShared<T, Sums>;
      int log_count = 5;  // 4 pixels of 1024 doubles fit
      while (log_count > 2 && Shared::bytes(bins, 1, row_stride(bins) << log_count) > kPlainSharedBytes) log_count--;
      const int64_t tiles = ceil_div(p.pixels, 1 << log_count);
      launch(p.target, Launch(p.images * tiles, kDecodeThreads, Shared::bytes(bins, 1, row_stride(bins) << log_count)),
             interleaved_decode_kernel<T, Sums>, p, tiles, log_count, exponent_scale(p));
    });
  }
  dispatch_planar<4>(p.dtype, p.pixels, p.logits, nullptr, [&](auto t, auto per_lane) {
    using T = decltype(t);
    const int64_t tiles = ceil_div(p.pixels, kWarpThreads * per_lane.value);
    launch(p.target, Launch(p.images * tiles, kDecodeThreads, DecodeShared<T, Sums>::bytes(bins, per_lane.value, 0)),
           planar_decode_kernel<T, per_lane.value, Sums>, p, tiles, exponent_scale(p));
  });
}

}  // namespace

void annealed_mean(const DecodeParams& p) {
  p.temperature == 0 ? launch_decode<ModeSums>(p) : launch_decode<MeanSums>(p);
}

void annealed_mean_backward(const DecodeParams& p) {
  if (p.temperature == 0) {  // the mode does not move with the logits
    return dispatch_float(p.dtype, [&](auto t) {
      set_zero(p.target, p.grad_logits, static_cast<size_t>(p.images * p.palette.bins * p.pixels) * sizeof(t));
    });
  }
  const size_t color_bytes = color_elements(p.palette.bins) * sizeof(float);
  if (p.channels_last) {
    const int64_t tiles = ceil_div(p.pixels, kWarpThreads);
    return dispatch_float(p.dtype, [&](auto t) {
      using T = decltype(t);
      launch(p.target,
             Launch(p.images * tiles, kDecodeThreads, kWarpThreads * sizeof(PixelGradient<Compute<T>>) + color_bytes),
             interleaved_decode_backward_kernel<T>, p, tiles, 1 / p.temperature);
    });
  }
  dispatch_planar<4>(p.dtype, p.pixels, p.logits, p.grad_logits, [&](auto t, auto per_lane) {
    const int64_t tiles = ceil_div(p.pixels, kWarpThreads * per_lane.value);
    launch(p.target, Launch(p.images * tiles, kDecodeThreads, color_bytes),
           planar_decode_backward_kernel<decltype(t), per_lane.value>, p, tiles, 1 / p.temperature);
  });
}

}  // namespace fastcolor::cuda
