// The loss of logits (N, bins, pixels): lanes over pixels, warps over channels.
#include "loss_tile.cuh"

namespace fastcolor::cuda {

namespace {

// Blocks of a multiprocessor at once: as many as shared memory leaves room for at 313 bins on one of 228 KB, a tile
// being 84 KB for f64, 46 KB for pairs of 16-bit values, 42 KB for f32.
template <class T, int per_lane>
constexpr int kResidentBlocks = sizeof(T) == 8 ? 2 : 5;

// This warp's channels of this lane's pixels: kept in shared memory, their sums left in the slots.
template <bool keep, class T, int per_lane>
__device__ __forceinline__ void read_channels(const T* logits, int stride, const Channels& channels,
                                              const LossShared<T>& shared) {
  using C = Compute<T>;
  constexpr int kTilePixels = kWarpThreads * per_lane;
  constexpr C k = static_cast<C>(math::kLog2E);
  const int slot = threadIdx.x % kWarpThreads * per_lane, warp = threadIdx.x / kWarpThreads;
  math::Softmax<C> softmax[per_lane];
  T* kept = shared.logits + channels.first * kTilePixels + slot;
  each_group(channels, [&](int, int count) {
    Pack<T, per_lane> pack[kUnroll];
    logits = load_group(logits, stride, count, pack);
    if constexpr (keep) {
#pragma unroll
      for (int u = 0; u < kUnroll; u++) {
        if (u < count) store_pack(kept + u * kTilePixels, pack[u]);
      }
      kept += kUnroll * kTilePixels;
    }
#pragma unroll
    for (int i = 0; i < per_lane; i++) {
      C v[kUnroll];
      widen_group(pack, i, count, v);
      softmax[i].raise(v, k);
#pragma unroll
      for (int u = 0; u < kUnroll; u++) softmax[i].add(v[u], k);
    }
  });
#pragma unroll
  for (int i = 0; i < per_lane; i++) {
    shared.slots[warp * kTilePixels + slot + i] = softmax[i].largest;
    shared.slots[(kLossWarps + warp) * kTilePixels + slot + i] = softmax[i].sum;
  }
}

// Gradients of this warp's channels as if no bin were a target. counts: does the pixel? Only matters when `masked`.
template <bool keep, bool masked, class T, int per_lane>
__device__ __forceinline__ void write_channels(const T* logits, T* grad, int stride, const Channels& channels,
                                               const bool (&counts)[per_lane], const LossShared<T>& shared) {
  using C = Compute<T>;
  constexpr int kTilePixels = kWarpThreads * per_lane;
  const int slot = threadIdx.x % kWarpThreads * per_lane;
  PixelGradient<C> gradient[per_lane];
#pragma unroll
  for (int i = 0; i < per_lane; i++) gradient[i] = {shared.largest[slot + i], shared.factor[slot + i]};
  const T* kept = shared.logits + channels.first * kTilePixels + slot;
  each_group(channels, [&](int, int count) {
    Pack<T, per_lane> pack[kUnroll];
    if constexpr (keep) {
#pragma unroll
      for (int u = 0; u < kUnroll; u++) {
        if (u < count) pack[u] = load_pack<per_lane>(kept + u * kTilePixels);
      }
      kept += kUnroll * kTilePixels;
    } else {
      logits = load_group(logits, stride, count, pack);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      Pack<T, per_lane> out;
#pragma unroll
      for (int i = 0; i < per_lane; i++) {
        const C g = gradient[i].of(widened(pack[u], i));
        math::store(&out.value[i], masked && !counts[i] ? C(0) : g);
      }
      store_channel(grad, stride, u, count, out);
    }
    grad += kUnroll * int64_t{stride};
  });
}

// per_lane: pixels a lane; with 2, p.pixels is even. keep: are the logits kept in shared memory?
template <class T, int per_lane, bool keep>
__global__ void __launch_bounds__(kLossThreads, kResidentBlocks<T, per_lane>)
    planar_loss_kernel(LossParams p, Divisor tiles) {
  using C = Compute<T>;
  constexpr int kTilePixels = kWarpThreads * per_lane;
  const LossShared<T> shared(p, kTilePixels, kLossWarps, keep ? p.palette.bins * kTilePixels : 0);
  const Tile tile = tile_of_block(tiles, kTilePixels);
  const int pixels = static_cast<int>(p.pixels), tile_first = static_cast<int>(tile.first);
  const int64_t start = tile.image * p.palette.bins * p.pixels, start_pixel = tile.image * p.pixels;
  const T* logits = static_cast<const T*>(p.logits) + start;
  T* grad = static_cast<T*>(p.grad_logits) + start;

  // This lane's pixels; one beyond the image reads the last ones, for nobody.
  const int lane_pixel = tile_first + threadIdx.x % kWarpThreads * per_lane;
  const int mine = lane_pixel < pixels ? lane_pixel : pixels - per_lane;
  const Channels channels = channels_of(p.palette.bins, threadIdx.x / kWarpThreads, kLogWarps);
  const int64_t at = channels.first * p.pixels + mine;
  read_channels<keep, T, per_lane>(logits + at, pixels, channels, shared);

  const int slot = threadIdx.x;  // the first threads finish one pixel each
  const int pixel = tile_first + slot;
  const bool finishes = slot < kTilePixels && pixel < pixels,
             finishes_kept = finishes && is_kept(p, start_pixel + pixel);
  if (finishes_kept) {
    const float* ab = p.ab + 2 * start_pixel + pixel;
    encode_pixel(ab[0], ab[p.pixels], p.palette, p.neighbours, p.sigma_ab, kTilePixels, shared.index + slot,
                 shared.weight + slot);
  }
  __syncthreads();
  if (finishes) {
    const C loss = !finishes_kept ? C(0) : finish_pixel(p, shared, slot, [&](int32_t bin) {
      return C(math::load(keep ? shared.logits + bin * kTilePixels + slot : logits + bin * p.pixels + pixel));
    });
    static_cast<C*>(p.pixel_loss)[start_pixel + pixel] = loss;
  }
  if (p.grad_logits == nullptr) return;
  __syncthreads();
  if (lane_pixel < pixels) {
    bool counts[per_lane] = {};
    if (p.mask == nullptr) {
      write_channels<keep, false>(logits + at, grad + at, pixels, channels, counts, shared);
    } else {
#pragma unroll
      for (int i = 0; i < per_lane; i++) counts[i] = is_kept(p, start_pixel + mine + i);
      write_channels<keep, true>(logits + at, grad + at, pixels, channels, counts, shared);
    }
  }
  __syncthreads();
  // The target bins were written as if they were none; the slots hold what belongs there.
  for (int i = threadIdx.x; i < p.neighbours * kTilePixels; i += kLossThreads) {
    const int other = tile_first + i % kTilePixels;
    if (other >= pixels || !is_kept(p, start_pixel + other)) continue;
    math::store(grad + shared.index[i] * p.pixels + other, shared.slots[i]);
  }
}

template <class T, int per_lane>
void launch_planar(const LossParams& p) {
  constexpr int kTilePixels = kWarpThreads * per_lane;
  // Reading logits twice costs less than leaving a multiprocessor to one block of eight warps (by estimate). Of every
  // block's shared memory CUDA takes 1 KB for itself.
  int most = 0;
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerMultiprocessor, p.target.device));
  const size_t logits = static_cast<size_t>(p.palette.bins) * kTilePixels;
  const bool keep_logits =
      2 * (LossShared<T>::bytes(p, kTilePixels, kLossWarps, logits) + 1024) <= static_cast<size_t>(most);
  const int64_t tiles = ceil_div(p.pixels, kTilePixels);
  launch(p.target,
         Launch(p.images * tiles, kLossThreads,
                LossShared<T>::bytes(p, kTilePixels, kLossWarps, keep_logits ? logits : 0)),
         keep_logits ? planar_loss_kernel<T, per_lane, true> : planar_loss_kernel<T, per_lane, false>, p, tiles);
}

}  // namespace

void loss_planar(const LossParams& p) {
  dispatch_planar<2>(p.dtype, p.pixels, p.logits, p.grad_logits,
                     [&](auto t, auto per_lane) { launch_planar<decltype(t), per_lane.value>(p); });
}

}  // namespace fastcolor::cuda
