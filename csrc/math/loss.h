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

// What one target bin of weight z adds to the loss, and its h.
template <class T>
struct TargetTerms {
  T loss, h;
};
template <bool with_gamma, class T>
FC_HD TargetTerms<T> target_terms(T z, T log_p, T gamma) {
  return {z * focal<with_gamma>(log_p, gamma), z * focal_vjp<with_gamma>(log_p, gamma)};
}
template <class T>  // where gamma is only known at run time
FC_HD TargetTerms<T> target_terms(T z, T log_p, T gamma) {
  return gamma == T(0) ? target_terms<false>(z, log_p, gamma) : target_terms<true>(z, log_p, gamma);
}

// The gradient of a bin that is no target, over its exponential: H p_q = (H / sum) exponential_q. scale: what the
// pixel's loss counts for.
template <class T>
FC_HD T gradient_factor(T scale, T h_sum, T sum) {
  return scale * h_sum / sum;
}
// The gradient of a target bin.
template <class T>
FC_HD T target_gradient(T scale, T probability, T h_sum, T h) {
  return scale * (probability * h_sum - h);
}

}  // namespace fastcolor::math
