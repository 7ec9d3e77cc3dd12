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

// s_q from the statistics of the forward pass: the largest logit and 1 / sum exp((z - largest) / T).
template <class C>
FC_HD C annealed_probability(C logit, C largest, C inverse_sum, C inverse_temperature) {
  return exp_fast((logit - largest) * inverse_temperature) * inverse_sum;
}

// The gradient of a logit. probability: s_q / T.
template <class C>
FC_HD C annealed_mean_vjp(C probability, C bin_a, C bin_b, C a, C b, C grad_a, C grad_b) {
  return probability * (grad_a * (bin_a - a) + grad_b * (bin_b - b));
}
template <class C>  // where the temperature may be 0: the mode does not move with the logits
FC_HD C annealed_mean_vjp(C probability, C bin_a, C bin_b, C a, C b, C grad_a, C grad_b, C inverse_temperature) {
  if (inverse_temperature == C(0)) return C(0);
  return annealed_mean_vjp(inverse_temperature * probability, bin_a, bin_b, a, b, grad_a, grad_b);
}

}  // namespace fastcolor::math
