// One bin's part in the annealed mean ab = sum_q s_q c_q, s = softmax(z / T), and its derivative.
// Source: Zhang et al., ECCV 2016, equation 5. d ab_k / d z_q = s_q (c_qk - ab_k) / T.
#pragma once

#include "scalar.h"

namespace fastcolor::math {

// s_q from the statistics of the forward pass: the largest logit and 1 / sum exp((z - largest) / T).
template <class T>
FC_HD T annealed_probability(T logit, T largest, T inverse_sum, T inverse_temperature) {
  return exp_fast((logit - largest) * inverse_temperature) * inverse_sum;
}

template <class T>
FC_HD T annealed_mean_vjp(T probability, T bin_a, T bin_b, T a, T b, T grad_a, T grad_b, T inverse_temperature) {
  if (inverse_temperature == T(0)) return T(0);  // temperature 0: the mode does not move with the logits
  return inverse_temperature * probability * (grad_a * (bin_a - a) + grad_b * (bin_b - b));
}

}  // namespace fastcolor::math
