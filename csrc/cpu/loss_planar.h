// The loss of logits (N, bins, pixels): lanes over pixels.
//
// Note [Grouped softmax]. Channels come in groups of kGroupBins, each one step of Note [Running softmax]. A group keeps
// its exponentials, relative to the maximum at that moment, in a scratch that stays in L2. When the sum is known,
// probabilities are the scratch times one factor a group and pixel: one exponential a logit in all.
#pragma once

#include "loss_tile.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {  // loss.cpp alone includes this

// Measured (csrc/README.md). Channels of a group: 16 take 10 to 50 % longer, 4 as long. Channels that are asked for
// ahead: without, f32 takes up to 9 %, bf16 80 % longer; 8 and 32 are as good.
constexpr int kGroupBins = 8, kAheadBins = 16;

// A group of channels of the pixels i to i + lanes: a step of math::Softmax, written out, since through it g++ 12 made
// code that took 8 % longer without a mask (AVX-512).
template <int channels, bool masked, class V, class T, class C>
FC_INLINE void add_group_at(const T* logits, int64_t stride, int i, C* exponentials, Tile<C>& t, C* group_largest) {
  constexpr C k = static_cast<C>(math::kLog2E);
  V v[channels];
  const V before = load_lanes<V>(t.largest + i);
  V m = before;
  for (int c = 0; c < channels; c++) {
    v[c] = load_lanes<V>(logits + c * stride + i);
    if constexpr (masked) v[c] = load_lanes<V>(t.keep + i) == C(0) ? all_lanes<V>(C(0)) : v[c];
    m = max_lanes(v[c], m);
  }
  V sum = load_lanes<V>(t.sum + i) * math::Lanes<V>::exp2((before - m) * k);
  for (int c = 0; c < channels; c++) {
    const V e = math::Lanes<V>::exp2((v[c] - m) * k);
    store_lanes(exponentials + c * kTilePixels + i, e);
    sum += e;
  }
  store_lanes(t.largest + i, m);
  store_lanes(group_largest + i, m);
  store_lanes(t.sum + i, sum);
}
template <int channels, bool masked, class T, class C>
void add_group(const T* logits, int64_t stride, int n, C* exponentials, Tile<C>& t, C* group_largest) {
  using V = Widest<C>;
  int i = 0;
  for (; i + lanes_of<V>() <= n; i += lanes_of<V>()) {
    add_group_at<channels, masked, V>(logits, stride, i, exponentials, t, group_largest);
  }
  for (; i < n; i++) add_group_at<channels, masked, C>(logits, stride, i, exponentials, t, group_largest);
}

// Finished gradients (bins, kTilePixels) that are still to be written, n of each channel.
template <class T>
struct Pending {
  const Compute<T>* gradient = nullptr;
  T* grad = nullptr;
  int n = 0;

  void write(int channel, int channels, int64_t stride, bool past_cache) const {
    for (int c = channel; n > 0 && c < channel + channels; c++) {
      write_run(gradient + c * kTilePixels, n, past_cache, grad + c * stride);
    }
  }
};

// Softmax of a tile: t.largest, t.sum, and each group's exponentials with the maximum they refer to. Writing the tile
// before goes along with it, group by group: memory takes the one while the processor computes the other.
template <bool masked, class T, class C>
void planar_softmax(const T* logits, int64_t stride, int bins, int n, bool past_cache, const Pending<T>& before,
                    Tile<C>& t, C* exponentials, C* group_largest) {
  for (int i = 0; i < n; i++) {
    t.largest[i] = math::kLowest<C>;
    t.sum[i] = 0;
  }
  constexpr C k = static_cast<C>(math::kLog2E);
  int c = 0;
  for (; c + kGroupBins <= bins; c += kGroupBins) {
    if (c + kAheadBins + kGroupBins <= bins) prefetch_runs(logits + (c + kAheadBins) * stride, stride, kGroupBins, n);
    before.write(c, kGroupBins, stride, past_cache);
    add_group<kGroupBins, masked, T, C>(logits + c * stride, stride, n, exponentials + c * kTilePixels, t,
                                        group_largest + c / kGroupBins * kTilePixels);
  }
  before.write(c, bins - c, stride, past_cache);
  for (; c < bins; c++) {  // the last group may see its maximum rise, so it is brought to one reference below
    alignas(64) C earlier_largest[kTilePixels];
    for (int i = 0; i < n; i++) earlier_largest[i] = t.largest[i];
    add_group<1, masked, T, C>(logits + c * stride, stride, n, exponentials + c * kTilePixels, t,
                               group_largest + c / kGroupBins * kTilePixels);
    for (int earlier = c / kGroupBins * kGroupBins; earlier < c; earlier++) {
#pragma omp simd
      for (int i = 0; i < n; i++)
        exponentials[earlier * kTilePixels + i] *= math::exp2_fast((earlier_largest[i] - t.largest[i]) * k);
    }
  }
}

// Turns a tile's exponentials into gradients, in place.
template <class C>
void planar_gradient(const LossParams& p, int n, const Tile<C>& t, const C* group_largest, C* exponentials) {
  constexpr C k = static_cast<C>(math::kLog2E);
  const int bins = p.palette.bins;
  for (int first = 0; first < bins; first += kGroupBins) {
    const C* reference = group_largest + first / kGroupBins * kTilePixels;
    alignas(64) C scale[kTilePixels];
#pragma omp simd
    for (int i = 0; i < n; i++) scale[i] = t.factor[i] * math::exp2_fast((reference[i] - t.largest[i]) * k);
    for (int c = first; c < std::min(first + kGroupBins, bins); c++) {
      C* channel = exponentials + c * kTilePixels;
#pragma omp simd
      for (int i = 0; i < n; i++) channel[i] *= scale[i];
    }
  }
  for (int j = 0; j < p.neighbours; j++) {
    for (int i = 0; i < n; i++)
      exponentials[t.index[j * kTilePixels + i] * kTilePixels + i] = t.target[j * kTilePixels + i];
  }
}

// A run of tiles of one image.
template <bool masked, class T>
void planar_strip(const LossParams& p, int64_t image, int64_t first, int64_t count, double grad_scale,
                  bool past_cache) {
  using C = Compute<T>;
  const int bins = p.palette.bins, groups = (bins + kGroupBins - 1) / kGroupBins;
  const int64_t volume = static_cast<int64_t>(groups) * kGroupBins * kTilePixels;
  C* buffers = scratch<C>(2 * volume + groups * kTilePixels);
  C* group_largest = buffers + 2 * volume;
  Pending<T> pending;
  Tile<C> t;
  for (int64_t at = first; at < first + count; at += kTilePixels) {
    const int n = static_cast<int>(std::min<int64_t>(kTilePixels, first + count - at));
    const int64_t start = image * bins * p.pixels + at;
    const T* logits = static_cast<const T*>(p.logits) + start;
    C* exponentials = pending.gradient == buffers ? buffers + volume : buffers;
    load_targets(p, image, at, n, t);
    planar_softmax<masked>(logits, p.pixels, bins, n, past_cache, pending, t, exponentials, group_largest);
    for (int k = 0; k < p.neighbours; k++) {
      for (int i = 0; i < n; i++) {
        t.target[k * kTilePixels + i] = math::load(logits + t.index[k * kTilePixels + i] * p.pixels + i);
      }
    }
    finish_tile(p, n, grad_scale, t, static_cast<C*>(p.pixel_loss) + image * p.pixels + at);
    if (p.grad_logits == nullptr) continue;
    planar_gradient(p, n, t, group_largest, exponentials);
    pending = {exponentials, static_cast<T*>(p.grad_logits) + start, n};
  }
  pending.write(0, bins, p.pixels, past_cache);
}

}  // namespace

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
