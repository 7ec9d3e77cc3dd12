// What both layouts of the loss share: a tile of pixels, from its target bins to its losses and the factors of its
// gradient, and how a finished gradient reaches memory.
#pragma once

#include "../math/loss.h"

#include "../math/encode.h"
#include "../math/softmax.h"
#include "lanes.h"
#include "parallel.h"
#include "stream.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {  // loss.cpp alone includes this

constexpr int kTilePixels = 128;  // pixels of a tile: 64 and 256 are no faster (measured: csrc/README.md)

// A tile of pixels on its way: what is wanted of them, what the logits say, and what the gradient is made of.
template <class C>
struct Tile {
  alignas(64) int32_t index[math::kMaxNeighbours * kTilePixels];  // target bins
  alignas(64) float weight[math::kMaxNeighbours * kTilePixels];
  alignas(64) float pixel_weight[kTilePixels];  // class weight times mask
  alignas(64) C keep[kTilePixels];              // mask, 0 or 1
  alignas(64) C largest[kTilePixels], sum[kTilePixels];
  alignas(64) C target[math::kMaxNeighbours * kTilePixels];  // logits of the target bins, then their gradients
  alignas(64) C factor[kTilePixels];                         // gradient of any other bin over its exponential
};

template <class C>
void load_targets(const LossParams& p, int64_t image, int64_t first, int n, Tile<C>& t) {
  const float* a = p.ab + image * 2 * p.pixels + first;
  encode_run(a, a + p.pixels, n, p.palette, p.neighbours, p.sigma_ab, kTilePixels, t.index, t.weight);
  const uint8_t* mask = p.mask == nullptr ? nullptr : p.mask + image * p.pixels + first;
  for (int i = 0; i < n; i++) {
    t.keep[i] = mask == nullptr || mask[i] != 0 ? C(1) : C(0);
    t.pixel_weight[i] = t.keep[i] == C(0) ? 0.0f : p.class_weight == nullptr ? 1.0f : p.class_weight[t.index[i]];
  }
}

// From largest, sum and the targets' logits: the loss of each pixel (Note [Focal gradient] in math/loss.h), `factor`
// and the targets' gradients. `focal`: is gamma not 0?
template <bool focal, class C>
void finish_tile(const LossParams& p, int n, double grad_scale, Tile<C>& t, C* __restrict__ pixel_loss) {
  alignas(64) C log_sum[kTilePixels], total[kTilePixels], h_sum[kTilePixels], h[math::kMaxNeighbours * kTilePixels];
  const C gamma = focal ? static_cast<C>(p.gamma) : C(0), grad = static_cast<C>(grad_scale);
#pragma omp simd
  for (int i = 0; i < n; i++) {
    log_sum[i] = math::log2_fast(t.sum[i]) * static_cast<C>(math::kLn2);
    total[i] = h_sum[i] = 0;
  }
  for (int k = 0; k < p.neighbours; k++) {
    C *target = t.target + k * kTilePixels, *h_k = h + k * kTilePixels;
    const float* weight = t.weight + k * kTilePixels;
#pragma omp simd
    for (int i = 0; i < n; i++) {
      const C log_p = target[i] - t.largest[i] - log_sum[i];
      const auto terms = math::target_terms<focal>(static_cast<C>(weight[i]), log_p, gamma);
      total[i] += terms.loss;
      h_k[i] = terms.h;
      h_sum[i] += terms.h;
      target[i] = math::exp_fast(log_p);
    }
  }
#pragma omp simd
  for (int i = 0; i < n; i++) {
    const C scale = static_cast<C>(t.pixel_weight[i]) * grad;
    pixel_loss[i] = t.keep[i] == C(0) ? C(0) : static_cast<C>(t.pixel_weight[i]) * total[i];
    t.factor[i] = t.keep[i] == C(0) ? C(0) : math::gradient_factor(scale, h_sum[i], t.sum[i]);
  }
  for (int k = 0; k < p.neighbours; k++) {
    C *target = t.target + k * kTilePixels, *h_k = h + k * kTilePixels;
#pragma omp simd
    for (int i = 0; i < n; i++) {
      const C scale = static_cast<C>(t.pixel_weight[i]) * grad;
      target[i] = t.keep[i] == C(0) ? C(0) : math::target_gradient(scale, target[i], h_sum[i], h_k[i]);
    }
  }
}

template <class C>
void finish_tile(const LossParams& p, int n, double grad_scale, Tile<C>& t, C* pixel_loss) {
  p.gamma == 0 ? finish_tile<false>(p, n, grad_scale, t, pixel_loss)
               : finish_tile<true>(p, n, grad_scale, t, pixel_loss);
}

// A run of finished gradients out of the scratch.
template <class T, class C>
inline void write_run(const C* __restrict__ gradient, int64_t n, bool past_cache, T* __restrict__ grad) {
  if constexpr (std::is_same_v<T, C>) {
    past_cache ? stream_copy(grad, gradient, n) : static_cast<void>(std::copy_n(gradient, n, grad));
  } else {
    constexpr int64_t kStagedElements = 512;  // 1 KB of 16-bit values, which stays in L1
    alignas(64) T run[kStagedElements];
    for (int64_t first = 0; first < n; first += kStagedElements) {
      const int64_t count = std::min(kStagedElements, n - first);
      T* to = past_cache ? run : grad + first;
      store_run(to, count, [&](auto v, int64_t i) __attribute__((always_inline)) {
        return load_lanes<decltype(v)>(gradient + first + i);
      });
      if (past_cache) stream_copy(grad + first, run, count);
    }
  }
}

}  // namespace

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
