// Reductions over one pixel's row of channels, in a fixed number of lanes: element by element, so that they vectorise
// without leave to reorder or to forget NaN.
#pragma once

#include <cfloat>

#include "../math/scalar.h"
#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

constexpr int kLanes = 32;

// The largest of `count` values; NaN is passed over. -FLT_MAX when nothing is larger: a finite value, because a
// difference of infinities would be NaN.
template <class T>
inline Compute<T> row_largest(const T* row, int count) {
  using C = Compute<T>;
  alignas(64) C lane[kLanes];
  for (int k = 0; k < kLanes; k++) lane[k] = static_cast<C>(-FLT_MAX);
  int c = 0;
  for (; c + kLanes <= count; c += kLanes) {
#pragma omp simd
    for (int k = 0; k < kLanes; k++) {
      const C x = math::load(row + c + k);
      lane[k] = x > lane[k] ? x : lane[k];
    }
  }
  for (; c < count; c++) {
    const C x = math::load(row + c);
    lane[0] = x > lane[0] ? x : lane[0];
  }
  C largest = lane[0];
  for (int k = 1; k < kLanes; k++) largest = lane[k] > largest ? lane[k] : largest;
  return largest;
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
