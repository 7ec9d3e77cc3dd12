// What both layouts of the loss share: the size of a block, and what a pixel counts for.
#pragma once

#include "../math/loss.h"

#include "../math/softmax.h"
#include "encode.cuh"
#include "reduce.cuh"

namespace fastcolor::cuda {

constexpr int kBlockWarps = 8, kBlockThreads = kBlockWarps * kWarpThreads;  // of a block: five rounds for 313 channels
// Blocks of a multiprocessor at once: as many as shared memory leaves room for at 313 bins on one of 228 KB, a tile
// being 84 KB for f64, 46 KB for pairs of 16-bit values, 43 KB for f32; fewer registers would spill.
template <class T, int per_lane = 1>
constexpr int kResidentBlocks = sizeof(T) == 8  ? 2
                                : per_lane == 2 ? 4
                                                : 5;

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

// The launch for each layout: loss_planar.cu, loss_interleaved.cu.
void loss_planar(const LossParams& p);
void loss_interleaved(const LossParams& p);

}  // namespace fastcolor::cuda
