// The annealed mean ab = sum_q s_q c_q of the palette's colours c under s = softmax(z / T), and its derivative.
// Source: Zhang et al., ECCV 2016, equation 5. d ab_k / d z_q = s_q (c_qk - ab_k) / T.
#pragma once

#include "softmax.h"

namespace fastcolor::math {

// Running sums of the mean, as Note [Running softmax] has them; k = log2(e) / T.
template <class V>
struct AnnealedMean {
  Softmax<V> softmax;
  V a{}, b{};  // colours under the softmax's weights

  // As of the softmax; `group`: its logits, or the largest of them and of those before.
  template <class Group, class C>
  FC_HD void raise(const Group& group, C k) {
    const V shrink = softmax.raise(group, k);
    a *= shrink;
    b *= shrink;
  }
  template <class Color, class C>
  FC_HD void add(V logit, Color bin_a, Color bin_b, C k) {
    const V weight = softmax.add(logit, k);
    a += weight * bin_a;
    b += weight * bin_b;
  }
  template <class C>
  FC_HD void merge(const AnnealedMean& other, C k) {
    const auto shares = softmax.merge(other.softmax, k);
    a = a * shares.mine + other.a * shares.theirs;
    b = b * shares.mine + other.b * shares.theirs;
  }
};

template <class C>
constexpr C kNaN = std::numeric_limits<C>::quiet_NaN();

// What the sums of colours are multiplied by in the end. The largest logit adds 1 to the sum of weights: less means
// that all logits are -infinity, and no colour follows from that.
template <class C>
FC_HD C annealed_inverse(C sum) {
  return sum < C(0.5) ? kNaN<C> : C(1) / sum;
}

// What the gradients of a pixel's logits share: with f = 1 / (T sum) and w_q = exp((z_q - largest) / T), so that
// s_q / T = f w_q, the gradient of z_q is w_q (f grad_a a_q + f grad_b b_q - f (grad_a a + grad_b b)).
template <class C>
struct AnnealedGradient {
  C a, b, mean;

  AnnealedGradient() = default;
  // ab_a, ab_b: the pixel's colour.
  FC_HD AnnealedGradient(C f, C ab_a, C ab_b, C grad_a, C grad_b)
      : a(f * grad_a), b(f * grad_b), mean(a * ab_a + b * ab_b) {}
  FC_HD C of(C weight, C bin_a, C bin_b) const { return weight * (a * bin_a + (b * bin_b - mean)); }
};

}  // namespace fastcolor::math
