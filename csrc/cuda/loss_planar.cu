// The loss of logits (N, bins, pixels): lanes over pixels, warps over channels.
#include "loss_tile.cuh"

namespace fastcolor::cuda {

namespace {

// A block's dynamic shared memory, in this order. Tile: its pixels.
template <class T, int tile>
struct PlanarShared {
  using C = Compute<T>;
  // Before the softmax is known, every warp's largest logit, then every warp's sum; afterwards the gradients of the
  // target bins.
  static constexpr int kSlots = 2 * kBlockWarps;
  static_assert(kSlots >= math::kMaxNeighbours, "the gradients of the target bins need a slot each");
  C* slots;        // (kSlots, tile)
  C* largest;      // (tile)
  C* factor;       // (tile): gradient of a bin that is no target = exp(logit - largest) * factor
  float* weight;   // (neighbours, tile)
  int32_t* index;  // (neighbours, tile)
  T* logits;       // (bins, tile); null when it does not fit, and logits are read from memory again

  __device__ __forceinline__ PlanarShared(const LossParams& p, bool keep_logits) {
    slots = reinterpret_cast<C*>(shared_memory());
    largest = slots + kSlots * tile;
    factor = largest + tile;
    weight = reinterpret_cast<float*>(factor + tile);
    index = reinterpret_cast<int32_t*>(weight + p.neighbours * tile);
    logits = keep_logits ? reinterpret_cast<T*>(index + p.neighbours * tile) : nullptr;
  }
  static size_t bytes(const LossParams& p, bool keep_logits) {
    const size_t pixel = (kSlots + 2) * sizeof(C) + static_cast<size_t>(p.neighbours) * 8 +
                         (keep_logits ? static_cast<size_t>(p.palette.bins) * sizeof(T) : 0);
    return pixel * tile;
  }
};

// This warp's channels of this lane's pixels: kept in shared memory, their sums left in the slots.
template <class T, int per_lane>
__device__ __forceinline__ void read_channels(const LossParams& p, const T* logits, const bool (&kept)[per_lane],
                                              const PlanarShared<T, kWarpThreads * per_lane>& shared) {
  using C = Compute<T>;
  constexpr int kTilePixels = kWarpThreads * per_lane;
  const int lane = threadIdx.x % kWarpThreads, warp = threadIdx.x / kWarpThreads;
  constexpr C k = static_cast<C>(math::kLog2E);
  math::Softmax<C> softmax[per_lane];
  for (int first = warp; first < p.palette.bins; first += kBlockWarps * kUnroll) {
    Pack<T, per_lane> pack[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      const int c = first + u * kBlockWarps;
      pack[u] = {};
      if (c < p.palette.bins && kept[0] | kept[per_lane - 1]) pack[u] = load_pack<per_lane>(logits + c * p.pixels);
    }
#pragma unroll
    for (int i = 0; i < per_lane; i++) {
      C v[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; u++) {
        if (!kept[i]) pack[u].value[i] = T{};  // whatever it holds
        v[u] = first + u * kBlockWarps < p.palette.bins ? C(math::load(&pack[u].value[i])) : absent_logit<C>();
      }
      softmax[i].raise(v, k);
#pragma unroll
      for (int u = 0; u < kUnroll; u++) softmax[i].add(v[u], k);
    }
    if (shared.logits == nullptr) continue;
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      const int c = first + u * kBlockWarps;
      if (c < p.palette.bins) store_pack(shared.logits + c * kTilePixels + lane * per_lane, pack[u]);
    }
  }
#pragma unroll
  for (int i = 0; i < per_lane; i++) {
    shared.slots[warp * kTilePixels + lane * per_lane + i] = softmax[i].largest;
    shared.slots[(kBlockWarps + warp) * kTilePixels + lane * per_lane + i] = softmax[i].sum;
  }
}

// Loss of the pixel whose slot is `slot`, and what its gradient needs. logit(bin) reads one of its logits.
template <class T, int tile, class F>
__device__ __forceinline__ Compute<T> finish_pixel(const LossParams& p, const PlanarShared<T, tile>& shared, int slot,
                                                   F&& logit) {
  using C = Compute<T>;
  math::Softmax<C> softmax;
  for (int w = 0; w < kBlockWarps; w++) {
    softmax.merge({shared.slots[w * tile + slot], shared.slots[(kBlockWarps + w) * tile + slot]}, C(math::kLog2E));
  }
  const C log_sum = std::log(softmax.sum), gamma = static_cast<C>(p.gamma);
  C total = 0, h_sum = 0;  // see Note [Focal gradient]
  for (int k = 0; k < p.neighbours; k++) {
    const C z = static_cast<C>(shared.weight[k * tile + slot]);
    const C log_p = logit(shared.index[k * tile + slot]) - softmax.largest - log_sum;
    const math::TargetTerms<C> terms = math::target_terms(z, log_p, gamma);
    total += terms.loss;
    shared.slots[k * tile + slot] = terms.h;
    h_sum += terms.h;
  }
  const float pixel_weight = class_weight_of(p, shared.index[slot]);
  const C scale = static_cast<C>(pixel_weight) * gradient_scale<C>(p);
  shared.largest[slot] = softmax.largest;
  shared.factor[slot] = math::gradient_factor(scale, h_sum, softmax.sum);
  for (int k = 0; k < p.neighbours; k++) {
    const C probability = math::exp_fast(logit(shared.index[k * tile + slot]) - softmax.largest - log_sum);
    shared.slots[k * tile + slot] = math::target_gradient(scale, probability, h_sum, shared.slots[k * tile + slot]);
  }
  return static_cast<C>(pixel_weight) * total;
}

// Gradients of this warp's channels as if no bin were a target.
template <class T, int per_lane>
__device__ __forceinline__ void write_channels(const LossParams& p, const T* logits, T* grad,
                                               const bool (&kept)[per_lane],
                                               const PlanarShared<T, kWarpThreads * per_lane>& shared) {
  using C = Compute<T>;
  constexpr int kTilePixels = kWarpThreads * per_lane;
  const int slot = threadIdx.x % kWarpThreads * per_lane;
  C largest[per_lane], factor[per_lane];
#pragma unroll
  for (int i = 0; i < per_lane; i++) largest[i] = shared.largest[slot + i], factor[i] = shared.factor[slot + i];
#pragma unroll 4  // nothing waits for a store: loads from shared memory alone have to be covered
  for (int c = threadIdx.x / kWarpThreads; c < p.palette.bins; c += kBlockWarps) {
    Pack<T, per_lane> pack =
        load_pack<per_lane>(shared.logits != nullptr ? shared.logits + c * kTilePixels + slot : logits + c * p.pixels);
#pragma unroll
    for (int i = 0; i < per_lane; i++) {
      const C g = math::exp_fast(C(math::load(&pack.value[i])) - largest[i]) * factor[i];
      math::store(&pack.value[i], kept[i] ? g : C(0));
    }
    store_pack(grad + c * p.pixels, pack);
  }
}

// per_lane: pixels a lane; with 2, p.pixels is even.
template <class T, int per_lane>
__global__ void __launch_bounds__(kBlockThreads, kResidentBlocks<T, per_lane>)
    planar_loss_kernel(LossParams p, unsigned tiles, bool keep_logits) {
  using C = Compute<T>;
  constexpr int kTilePixels = kWarpThreads * per_lane;
  const PlanarShared<T, kTilePixels> shared(p, keep_logits);
  const Tile tile = tile_of_block(tiles, kTilePixels);
  const int64_t start = tile.image * p.palette.bins * p.pixels, start_pixel = tile.image * p.pixels;
  const T* logits = static_cast<const T*>(p.logits) + start;
  T* grad = static_cast<T*>(p.grad_logits) + start;

  const int64_t mine = tile.first + static_cast<int64_t>(threadIdx.x % kWarpThreads) * per_lane;  // this lane's pixels
  bool kept[per_lane];
#pragma unroll
  for (int i = 0; i < per_lane; i++) kept[i] = mine < p.pixels && is_kept(p, start_pixel + mine + i);
  read_channels<T, per_lane>(p, logits + mine, kept, shared);

  const int slot = threadIdx.x;  // the first threads finish one pixel each
  const int64_t pixel = tile.first + slot;
  const bool finishes = slot < kTilePixels && pixel < p.pixels,
             finishes_kept = finishes && is_kept(p, start_pixel + pixel);
  if (finishes_kept) {
    const float* ab = p.ab + 2 * start_pixel + pixel;
    encode_pixel(ab[0], ab[p.pixels], p.palette, p.neighbours, p.sigma_ab, kTilePixels, shared.index + slot,
                 shared.weight + slot);
  }
  __syncthreads();
  if (finishes) {
    const C loss = !finishes_kept ? C(0) : finish_pixel<T, kTilePixels>(p, shared, slot, [&](int32_t bin) {
      return C(math::load(shared.logits != nullptr ? shared.logits + bin * kTilePixels + slot
                                                   : logits + bin * p.pixels + pixel));
    });
    static_cast<C*>(p.pixel_loss)[start_pixel + pixel] = loss;
  }
  if (p.grad_logits == nullptr) return;
  __syncthreads();
  if (mine < p.pixels) write_channels<T, per_lane>(p, logits + mine, grad + mine, kept, shared);
  __syncthreads();
  // The target bins were written as if they were none; the slots hold what belongs there.
  for (int i = threadIdx.x; i < p.neighbours * kTilePixels; i += kBlockThreads) {
    const int64_t at = tile.first + i % kTilePixels;
    if (at >= p.pixels || !is_kept(p, start_pixel + at)) continue;
    math::store(grad + shared.index[i] * p.pixels + at, shared.slots[i]);
  }
}

template <class T, int per_lane>
void launch_planar(const LossParams& p) {
  constexpr int kTilePixels = kWarpThreads * per_lane;
  using Shared = PlanarShared<T, kTilePixels>;
  // Reading logits twice costs less than leaving a multiprocessor to one block of eight warps (by estimate). Of every
  // block's shared memory CUDA takes 1 KB for itself.
  int most = 0;
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerMultiprocessor, p.target.device));
  const bool keep_logits = 2 * (Shared::bytes(p, true) + 1024) <= static_cast<size_t>(most);
  const int64_t tiles = ceil_div(p.pixels, kTilePixels);
  launch(p.target, Launch(p.images * tiles, kBlockThreads, Shared::bytes(p, keep_logits)),
         planar_loss_kernel<T, per_lane>, p, tiles, keep_logits);
}

}  // namespace

void loss_planar(const LossParams& p) {
  const bool paired = p.pixels % 2 == 0 && aligned(p.logits, 4) && aligned(p.grad_logits, 4);
  dispatch_planar(p.dtype, paired, [&](auto t, auto per_lane) { launch_planar<decltype(t), per_lane.value>(p); });
}

}  // namespace fastcolor::cuda
