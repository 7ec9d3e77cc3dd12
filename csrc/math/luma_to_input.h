// From codes of luma to [0, 1], and anti-aliased shrinking along one axis: a triangle as wide as the ratio of sizes,
// renormalised at the edges.
#pragma once

#include "../ops.h"
#include "scalar.h"

namespace fastcolor::math {

FC_HD float luma_to_unit(float code, const LumaCode& luma) {
  return saturated(code * luma.scale - luma.offset * luma.scale);
}

struct Window {
  int64_t first, last;  // [first, last)
  float center, inverse_support;
};
FC_HD Window triangle_window(int64_t out, double ratio, int64_t size) {
  const double support = ratio > 1.0 ? ratio : 1.0, center = (static_cast<double>(out) + 0.5) * ratio;
  const int64_t first = static_cast<int64_t>(center - support + 0.5),
                last = static_cast<int64_t>(center + support + 0.5);
  return {first < 0 ? 0 : first, last > size ? size : last, static_cast<float>(center - 0.5),
          static_cast<float>(1.0 / support)};
}
// Not normalised: divide by the sum over the window.
FC_HD float triangle_weight(const Window& w, int64_t i) {
  const float x = (static_cast<float>(i) - w.center) * w.inverse_support;
  return max_of(0.0f, 1.0f - (x < 0.0f ? -x : x));
}

}  // namespace fastcolor::math
