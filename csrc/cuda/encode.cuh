// The nearest bins of one pixel without arrays, because a GPU's registers cannot be indexed: for encode.cu and the
// loss.
#pragma once

#include "../math/encode.h"

#include "launch.cuh"

namespace fastcolor::cuda {

struct Neighbour {
  double squared;  // distance
  int bin;
};
// x^2 + y^2, each operation rounded: fused to one multiply-add it would tell (x, y) from (y, x), and ties with it. (The
// CPU's search has -ffp-contract=off for it, CMakeLists.txt; the emulation of tests/ has no such instruction.)
FC_HD double squared_length(double x, double y) {
#ifdef __CUDA_ARCH__
  return __dadd_rn(__dmul_rn(x, x), __dmul_rn(y, y));
#else
  return x * x + y * y;
#endif
}
// The neighbour that follows `after` in the order of (distance, bin); {-1, -1} comes before all. NaN gives 0, 1, ...
FC_HD Neighbour next_neighbour(float a, float b, const Palette& palette, const math::Candidates& among,
                               Neighbour after) {
  Neighbour best = {0.0, -1};
  for (int i = among.first; i < among.last; i++) {
    const int bin = among.in_table ? palette.candidates[i] : i;
    const double squared =
        squared_length(static_cast<double>(a) - palette.a[bin], static_cast<double>(b) - palette.b[bin]);
    const bool follows = squared > after.squared || (!(squared < after.squared) && bin > after.bin);
    if (follows && (best.bin < 0 || squared < best.squared)) best = {squared, bin};
  }
  return best;
}

// The pixel's bins, nearest first, and their weights. stride: between two neighbours in index and weight.
FC_HD void encode_pixel(float a, float b, const Palette& palette, int neighbours, float sigma_ab, int64_t stride,
                        int32_t* index, float* weight) {
  if (palette.lattice != nullptr && neighbours == 5) {
    int32_t bins[5];
    float excess[5];
    const auto put = [&](int k, int32_t bin, float more) {
      bins[k] = bin;
      excess[k] = more;
    };
    if (math::lattice_nearest(a, b, palette.lattice, put)) {
      math::gaussian_weights(a, b, excess, 5, 1, sigma_ab);
      for (int k = 0; k < 5; k++) {
        index[k * stride] = bins[k];
        weight[k * stride] = excess[k];
      }
      return;
    }
  }
  const math::Candidates among = math::candidates_of(a, b, palette);
  Neighbour at = next_neighbour(a, b, palette, among, {-1.0, -1});
  const double nearest = at.squared;
  for (int k = 0; k < neighbours; k++) {
    if (k > 0) at = next_neighbour(a, b, palette, among, at);
    index[k * stride] = at.bin;
    weight[k * stride] = static_cast<float>(at.squared - nearest);
  }
  math::gaussian_weights(a, b, weight, neighbours, stride, sigma_ab);
}

FC_HD int nearest_bin(float a, float b, const Palette& palette) {
  if (palette.lattice != nullptr) {
    int nearest = 0;
    const auto put = [&](int k, int32_t bin, float) { nearest = k == 0 ? bin : nearest; };
    if (math::lattice_nearest(a, b, palette.lattice, put)) return nearest;
  }
  return next_neighbour(a, b, palette, math::candidates_of(a, b, palette), {-1.0, -1}).bin;
}

}  // namespace fastcolor::cuda
