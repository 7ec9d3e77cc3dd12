// math/softmax.h on vectors as wide as the registers.
#pragma once

#include "../math/softmax.h"
#include "lanes.h"

namespace fastcolor::math {

template <>
struct Lanes<cpu::FASTCOLOR_ISA::Floats> {
  using Floats = cpu::FASTCOLOR_ISA::Floats;
  static FC_HD Floats lowest() { return cpu::FASTCOLOR_ISA::all_lanes<Floats>(kLowest<float>); }
  static FC_HD Floats max(const Floats& x, const Floats& m) { return cpu::FASTCOLOR_ISA::max_lanes(x, m); }
  static FC_HD Floats exp2(const Floats& x) { return cpu::FASTCOLOR_ISA::exp2_lanes(x); }
};

}  // namespace fastcolor::math
