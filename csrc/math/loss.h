// The loss of one pixel from the log-probabilities of its target bins, and its derivative.
//
// Note [Focal gradient]. With target weights Z_j on bins j and f(p) = -(1-p)^gamma log p the loss is sum_j Z_j f(p_j).
// Through the softmax, d loss / d z_q = H p_q - h_q with h_j = -Z_j f'(p_j) p_j (0 for other bins) and H = sum_j h_j,
// where -f'(p) p = (1-p)^gamma - gamma (1-p)^(gamma-1) p log p. At gamma = 0 this is h = Z, H = 1: p - Z.
//
// Source: Zhang et al., ECCV 2016, equation 2; Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
#pragma once

#include "scalar.h"

namespace fastcolor::math {

// f(p), from log p. `with_gamma`: is gamma not 0?
template <bool with_gamma, class T>
FC_HD T focal(T log_p, T gamma) {
  if constexpr (!with_gamma) return -log_p;
  const T miss = max_of(T(0), T(1) - exp_fast(log_p));
  return -log_p * (miss > T(0) ? pow_positive(max_of(T(1e-12), miss), gamma) : miss);
}

// -f'(p) p, from log p.
template <bool with_gamma, class T>
FC_HD T focal_vjp(T log_p, T gamma) {
  if constexpr (!with_gamma) return T(1) + (log_p - log_p);  // NaN stays
  const T p = exp_fast(log_p), miss = max_of(T(1e-12), T(1) - p);
  return pow_positive(miss, gamma - T(1)) * (miss - gamma * p * log_p) + (log_p - log_p);
}

// Where gamma is only known at run time.
template <class T>
FC_HD T focal(T log_p, T gamma) {
  return gamma == T(0) ? focal<false>(log_p, gamma) : focal<true>(log_p, gamma);
}
template <class T>
FC_HD T focal_vjp(T log_p, T gamma) {
  return gamma == T(0) ? focal_vjp<false>(log_p, gamma) : focal_vjp<true>(log_p, gamma);
}

}  // namespace fastcolor::math
