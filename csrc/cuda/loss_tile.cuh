// What both layouts of the loss share: the size of a block, and what a pixel counts for.
#pragma once

#include "../math/loss.h"

#include "../math/softmax.h"
#include "encode.cuh"
#include "reduce.cuh"

namespace fastcolor::cuda {

// grad_scale over the divisor, which is read where it lies: no value travels to the host.
template <class C>
__device__ __forceinline__ C gradient_scale(const LossParams& p) {
  const C scale = static_cast<C>(p.grad_scale);
  return p.divisor == nullptr ? scale : scale / static_cast<C>(*p.divisor);
}
__device__ __forceinline__ bool is_kept(const LossParams& p, int64_t pixel) {
  return p.mask == nullptr || p.mask[pixel] != 0;
}
__device__ __forceinline__ float class_weight_of(const LossParams& p, int32_t bin) {
  return p.class_weight == nullptr ? 1.0f : p.class_weight[bin];
}

// Of a block. Few warps, each with many channels: what every warp does once costs less.
constexpr int kLogWarps = 2, kLossWarps = 1 << kLogWarps, kLossThreads = kLossWarps * kWarpThreads;

// A block's dynamic shared memory, in this order. tile: its pixels; parts: threads that share out a pixel's channels.
template <class T>
struct LossShared {
  using C = Compute<T>;
  int tile, parts;
  T* logits;  // of the whole tile; empty when they do not fit and are read from memory again
  // Before the softmax is known, every part's largest logit, then every part's sum; afterwards the gradients of the
  // target bins.
  C* slots;
  C* largest;      // (tile)
  C* factor;       // (tile): gradient of a bin that is no target = exp(logit - largest) * factor
  float* weight;   // (neighbours, tile)
  int32_t* index;  // (neighbours, tile)

  // logit_elements: a multiple of 4, so that what follows is aligned.
  __device__ __forceinline__ LossShared(const LossParams& p, int tile_pixels, int part_count, int logit_elements)
      : tile(tile_pixels), parts(part_count) {
    logits = reinterpret_cast<T*>(shared_memory());
    slots = reinterpret_cast<C*>(logits + logit_elements);
    largest = slots + slots_of(parts) * tile;
    factor = largest + tile;
    weight = reinterpret_cast<float*>(factor + tile);
    index = reinterpret_cast<int32_t*>(weight + p.neighbours * tile);
  }
  static FC_HD int slots_of(int parts) { return 2 * parts > math::kMaxNeighbours ? 2 * parts : math::kMaxNeighbours; }
  static size_t bytes(const LossParams& p, int tile, int parts, size_t logit_elements) {
    return logit_elements * sizeof(T) +
           tile * ((slots_of(parts) + 2) * sizeof(C) + static_cast<size_t>(p.neighbours) * 8);
  }
};

// Loss of the pixel whose slot is `slot`, and what its gradient needs. logit(bin) reads one of its logits.
template <class T, class F>
__device__ __forceinline__ Compute<T> finish_pixel(const LossParams& p, const LossShared<T>& shared, int slot,
                                                   F&& logit) {
  using C = Compute<T>;
  const int tile = shared.tile, parts = shared.parts;
  math::Softmax<C> softmax;
#pragma unroll 4
  for (int w = 0; w < parts; w++) {
    softmax.merge({shared.slots[w * tile + slot], shared.slots[(parts + w) * tile + slot]}, C(math::kLog2E));
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

// Gradients of a pixel's bins that are no target: exp(logit - largest) * factor, as LossShared has them, with one
// multiply-add for the exponent where a difference and a product are two. `largest` times log2 e is rounded, which puts
// all exponents off by the same little; the factor takes that back. Where the little is large, or the product infinite,
// two logits are the same or 64 apart, and a slope of 1, which rounds nothing, serves as well.
template <class C>
constexpr C kCoarse = C(128) / std::numeric_limits<C>::epsilon();  // from here on numbers are 128 apart
template <class C>
class PixelGradient {
 public:
  PixelGradient() = default;
  __device__ __forceinline__ PixelGradient(C largest, C factor)
      : slope_(static_cast<C>(math::kLog2E)), base_(-largest * slope_) {
    if (!(std::abs(base_) < kCoarse<C>)) slope_ = C(1), base_ = -largest;
    factor_ = factor * math::exp2_fast(-exponent(largest));
  }
  __device__ __forceinline__ C of(C logit) const { return math::exp2_fast(exponent(logit)) * factor_; }

 private:
  __device__ __forceinline__ C exponent(C logit) const { return std::fma(logit, slope_, base_); }

  C slope_, base_, factor_;
};

// The launch for each layout: loss_planar.cu, loss_interleaved.cu.
void loss_planar(const LossParams& p);
void loss_interleaved(const LossParams& p);

}  // namespace fastcolor::cuda
