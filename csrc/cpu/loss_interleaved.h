// The loss of logits (N, pixels, bins): lanes over channels.
#pragma once

#include "loss_tile.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {  // loss.cpp alone includes this

// out, in place: 2^(k (out - largest)). Returns their sum. Written out: with two of math::Softmax, bfloat16
// takes 8 % longer in all (measured: csrc/README.md).
template <class C>
C pixel_exponentials(C pixel_largest, int count, C* out) {
  using V = Widest<C>;
  constexpr int kStep = lanes_of<V>();
  constexpr C k = static_cast<C>(math::kLog2E);
  const V largest = all_lanes<V>(pixel_largest);
  V sum = all_lanes<V>(C(0)), sum_2 = sum;  // two chains of additions
  int c = 0;
  for (; c + 2 * kStep <= count; c += 2 * kStep) {
    const V e = math::Lanes<V>::exp2((load_lanes<V>(out + c) - largest) * k);
    const V e_2 = math::Lanes<V>::exp2((load_lanes<V>(out + c + kStep) - largest) * k);
    store_lanes(out + c, e);
    store_lanes(out + c + kStep, e_2);
    sum += e;
    sum_2 += e_2;
  }
  if (c < count) {
    const V e = math::Lanes<V>::exp2((load_lanes<V>(out + c) - largest) * k);
    store_lanes(out + c, e);
    sum += e;
  }
  return sum_of_lanes<C>(V(sum + sum_2));
}

// Finished gradients (n, bins), contiguous at both ends, that are still to be written.
template <class T>
struct PendingPixels {
  const T* gradient = nullptr;
  T* grad = nullptr;
  int64_t count = 0;

  // The part-th of `parts` equal parts, cut at the cache lines of `grad`.
  void write(int part, int parts, bool past_cache) const {
    constexpr int64_t kLineElements = 64 / static_cast<int64_t>(sizeof(T));
    const int64_t skew = static_cast<int64_t>(reinterpret_cast<uintptr_t>(grad) / sizeof(T)) % kLineElements;
    const auto cut = [&](int at) {
      return at == 0 ? 0 : at == parts ? count : (count * at / parts + skew) / kLineElements * kLineElements - skew;
    };
    const int64_t first = std::max<int64_t>(cut(part), 0), last = std::max<int64_t>(cut(part + 1), 0);
    write_run(gradient + first, last - first, past_cache, grad + first);
  }
};

// A run of tiles of one image, like planar_strip.
template <class T>
void interleaved_strip(const LossParams& p, int64_t image, int64_t first, int64_t count, double grad_scale,
                       bool past_cache) {
  using C = Compute<T>;
  constexpr int64_t kAheadPixels =
      4;  // asked for ahead: without, it takes 1.5 times as long (measured: csrc/README.md)
  const int bins = p.palette.bins, width = padded(bins);
  const int64_t volume = static_cast<int64_t>(kTilePixels) * width;
  C* exponentials = scratch<C>(3 * volume + 2 * width);
  T* buffers[2] = {reinterpret_cast<T*>(exponentials + volume),
                   reinterpret_cast<T*>(exponentials + 2 * volume + width)};
  PendingPixels<T> pending;
  Tile<C> t;
  for (int64_t at = first; at < first + count; at += kTilePixels) {
    const int n = static_cast<int>(std::min<int64_t>(kTilePixels, first + count - at));
    const int64_t start = (image * p.pixels + at) * bins;
    const T* logits = static_cast<const T*>(p.logits) + start;
    load_targets(p, image, at, n, t);
    for (int i = 0; i < n; i++) {
      C* logit = exponentials + i * width;
      if (at + i + kAheadPixels < first + count) prefetch_runs(logits + (i + kAheadPixels) * bins, bins, 1, bins);
      pending.write(i, n, past_cache);
      if (t.keep[i] == C(0)) {  // whatever the pixel holds
        std::fill(logit, logit + width, C(0));
        t.largest[i] = 0;
      } else {
        t.largest[i] = widen_pixel(logits + i * bins, bins, logit);
      }
      for (int k = 0; k < p.neighbours; k++) t.target[k * kTilePixels + i] = logit[t.index[k * kTilePixels + i]];
      t.sum[i] = pixel_exponentials(t.largest[i], width, logit);
    }
    finish_tile(p, n, grad_scale, t, static_cast<C*>(p.pixel_loss) + image * p.pixels + at);
    if (p.grad_logits == nullptr) continue;

    // Pixels are made in order, because each ends with a few elements too many that the next one overwrites.
    T* gradient = pending.gradient == buffers[0] ? buffers[1] : buffers[0];
    for (int i = 0; i < n; i++) {
      const C *exponential = exponentials + i * width, factor = t.factor[i];
      T* to = gradient + i * bins;
      store_run(to, width, [&](auto v, int64_t c) __attribute__((always_inline)) {
        return load_lanes<decltype(v)>(exponential + c) * factor;
      });
      for (int k = 0; k < p.neighbours; k++)
        math::store(to + t.index[k * kTilePixels + i], t.target[k * kTilePixels + i]);
    }
    pending = {gradient, static_cast<T*>(p.grad_logits) + start, static_cast<int64_t>(n) * bins};
  }
  pending.write(0, 1, past_cache);
}

}  // namespace

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
