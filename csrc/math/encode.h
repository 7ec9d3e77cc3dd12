// The nearest bins of an ab colour and their Gaussian weights.
//
// Two searches give the same answer as brute force in exact arithmetic, ties going to the lower bin:
//
// Note [Lattice]. On a full square lattice of spacing 10 with bins ordered by (a, b), let 0 be the nearest node, u and
// v the distances to it along a and b (0 <= u, v <= 5), X and Y its neighbours towards the colour along a and b, XY the
// one towards both, MX and MY the opposite neighbours. The five nearest nodes lie among these six:
//     0 first; X before Y iff u > v;  then two of XY, MX, MY:  MX before MY iff u < v,
//     XY before MX iff 2u + v > 5,  XY before MY iff u + 2v > 5.
// Every other node is at least as far as MX or MY and behind them in order. u and v are exact in float (a - 10 i
// cancels without rounding); the sums are compared with their rounding error, so no comparison is decided by rounding.
//
// Note [Candidates]. Elsewhere (the rim of the grid, any other palette, more than five neighbours) a table of 2.5-unit
// cells lists the bins that can be among the nearest of some point of the cell, and the search runs over those, in
// double. Outside the table it runs over all bins.
#pragma once

#include "../ops.h"
#include "scalar.h"

namespace fastcolor::math {

constexpr int kMaxNeighbours = 16;
constexpr int kLatticeNodes = 32;  // a side; node (16, 16) is ab = (0, 0)
constexpr float kLatticeSpacing = 10.0f;
constexpr float kCell = 2.5f, kCellOrigin = -120.0f;
constexpr int kCells = 96;  // a side

// Is x + y > 5, decided exactly? (Knuth's two-sum gives the rounding error of x + y.)
FC_HD bool sum_above_five(float x, float y) {
  const float sum = x + y, part = sum - x;
  const float error = (x - (sum - part)) + (y - part);
  return sum > 5.0f || (sum == 5.0f && error > 0.0f);
}
FC_HD bool sum_is_five(float x, float y) {
  const float sum = x + y, part = sum - x;
  return sum == 5.0f && (x - (sum - part)) + (y - part) == 0.0f;
}

struct LatticeAxis {
  int node;        // nearest, 0 is the middle; a colour midway goes to the lower
  int towards;     // +1 or -1: the side the colour lies on; -1 when on the node, so that equal distances keep order
  float distance;  // to the nearest node, in [0, 5]
};
FC_HD LatticeAxis lattice_axis(float x) {
  const float inside = x > -115.0f ? (x < 115.0f ? x : 115.0f) : -115.0f;  // NaN becomes -115
  float nearest = (inside * (1.0f / kLatticeSpacing) + kRounder) - kRounder;
  float offset = inside - kLatticeSpacing * nearest;
  const float correction = offset > 5.0f ? 1.0f : offset <= -5.0f ? -1.0f : 0.0f;
  nearest += correction;
  offset = inside - kLatticeSpacing * nearest;
  return {static_cast<int>(nearest), offset > 0.0f ? 1 : -1, offset < 0.0f ? -offset : offset};
}

// The five nearest by Note [Lattice]: bins in order and their squared distances minus the nearest's.
// False when not all six candidates are bins; the outputs are then indices in range but not the answer.
FC_HD bool lattice_nearest(float a, float b, const int32_t* lattice, int32_t index[5], float excess[5]) {
  const LatticeAxis x = lattice_axis(a), y = lattice_axis(b);
  const int32_t *row = lattice + kLatticeNodes / 2, *flags = lattice + kLatticeNodes;
  const int quadrant = (x.towards < 0 ? 1 : 0) + (y.towards < 0 ? 2 : 0);
  const int here = (x.node + kLatticeNodes / 2) * kLatticeNodes + y.node + kLatticeNodes / 2;
  const bool found = ((flags[here] >> quadrant) & 1) != 0;

  const int32_t row_0 = row[x.node] + y.node, row_x = row[x.node + x.towards] + y.node,
                row_mx = row[x.node - x.towards] + y.node;
  const float u = x.distance, v = y.distance;
  // Squared distances minus u^2 + v^2.
  const float to_x = 100.0f - 20.0f * u, to_y = 100.0f - 20.0f * v, to_mx = 100.0f + 20.0f * u,
              to_my = 100.0f + 20.0f * v;

  const bool lower_a = x.towards < 0;  // X, XY then have a lower index than 0's row; MX a higher one
  const bool x_first = u > v || (u == v && lower_a);
  const bool mx_first = u < v || (u == v && !lower_a);
  const bool xy_before_mx = sum_above_five(2.0f * u, v) || (sum_is_five(2.0f * u, v) && lower_a);
  const bool xy_before_my = sum_above_five(2.0f * v, u) || (sum_is_five(2.0f * v, u) && lower_a);

  index[0] = row_0;
  excess[0] = 0.0f;
  index[1] = x_first ? row_x : row_0 + y.towards;
  excess[1] = x_first ? to_x : to_y;
  index[2] = x_first ? row_0 + y.towards : row_x;
  excess[2] = x_first ? to_y : to_x;

  const int32_t near = mx_first ? row_mx : row_0 - y.towards, far = mx_first ? row_0 - y.towards : row_mx;
  const float to_near = mx_first ? to_mx : to_my, to_far = mx_first ? to_my : to_mx;
  const bool before_near = mx_first ? xy_before_mx : xy_before_my, before_far = mx_first ? xy_before_my : xy_before_mx;
  const int32_t diagonal = row_x + y.towards;
  const float to_diagonal = to_x + to_y;
  index[3] = before_near ? diagonal : near;
  excess[3] = before_near ? to_diagonal : to_near;
  index[4] = before_near ? near : before_far ? diagonal : far;
  excess[4] = before_near ? to_near : before_far ? to_diagonal : to_far;
  return found;
}

// The nearest bins by Note [Candidates]. `index` in order of distance, `excess` as above. NaN gives bins 0, 1, ... and
// NaN.
FC_HD void search_nearest(float a, float b, const Palette& palette, int neighbours, int32_t* index, float* excess) {
  const float row = (a - kCellOrigin) * (1.0f / kCell), column = (b - kCellOrigin) * (1.0f / kCell);
  const bool in_table = row >= 0.0f && row < kCells && column >= 0.0f && column < kCells;
  const int cell = in_table ? static_cast<int>(row) * kCells + static_cast<int>(column) : 0;
  const int first = in_table ? palette.cell_start[cell] : 0;
  const int last = in_table ? palette.cell_start[cell + 1] : palette.bins;

  double nearest[kMaxNeighbours];
  int found = 0;
  for (int i = first; i < last; i++) {
    const int bin = in_table ? palette.candidates[i] : i;
    const double da = static_cast<double>(a) - palette.a[bin], db = static_cast<double>(b) - palette.b[bin];
    const double squared = da * da + db * db;
    if (found == neighbours && !(squared < nearest[found - 1])) continue;
    int at = found < neighbours ? found++ : neighbours - 1;
    for (; at > 0 && squared < nearest[at - 1]; at--) {  // candidates ascend, so equal distances stay in order
      nearest[at] = nearest[at - 1];
      index[at] = index[at - 1];
    }
    nearest[at] = squared;
    index[at] = bin;
  }
  for (int k = neighbours - 1; k >= 0; k--) excess[k] = static_cast<float>(nearest[k] - nearest[0]);
}

// Turns excess_k into weight_k = exp(-excess_k / (2 sigma^2)) / sum, in place.
// stride: distance between two neighbours of a pixel.
FC_HD void gaussian_weights(float a, float b, float* excess, int neighbours, int64_t stride, float sigma_ab) {
  const float scale = -kLog2E / (2.0f * sigma_ab * sigma_ab);
  float sum = 1.0f + (a - a) + (b - b);  // NaN and infinite colours end in NaN
  for (int k = 1; k < neighbours; k++) {
    const float w = exp2_fast(excess[k * stride] * scale);
    excess[k * stride] = w;
    sum += w;
  }
  const float inverse = 1.0f / sum;
  excess[0] = inverse;
  for (int k = 1; k < neighbours; k++) excess[k * stride] *= inverse;
}

// ---- one pixel without arrays, for processors whose registers cannot be indexed ----

// The bins that Note [Candidates] leaves for a colour: palette.candidates[first..last), or all bins first..last.
struct Candidates {
  int first, last;
  bool in_table;
};
FC_HD Candidates candidates_of(float a, float b, const Palette& palette) {
  const float row = (a - kCellOrigin) * (1.0f / kCell), column = (b - kCellOrigin) * (1.0f / kCell);
  if (!(row >= 0.0f && row < kCells && column >= 0.0f && column < kCells)) return {0, palette.bins, false};
  const int cell = static_cast<int>(row) * kCells + static_cast<int>(column);
  return {palette.cell_start[cell], palette.cell_start[cell + 1], true};
}

struct Neighbour {
  double squared;  // distance
  int bin;
};
// x^2 + y^2, each operation rounded: fused to one multiply-add it would tell (x, y) from (y, x), and ties with it.
FC_HD double squared_length(double x, double y) {
#ifdef __CUDA_ARCH__
  return __dadd_rn(__dmul_rn(x, x), __dmul_rn(y, y));
#else
  return x * x + y * y;
#endif
}
// The neighbour that follows `after` in the order of (distance, bin); {-1, -1} comes before all. NaN gives 0, 1, ...
FC_HD Neighbour next_neighbour(float a, float b, const Palette& palette, const Candidates& among, Neighbour after) {
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
    if (lattice_nearest(a, b, palette.lattice, bins, excess)) {
      gaussian_weights(a, b, excess, 5, 1, sigma_ab);
      for (int k = 0; k < 5; k++) {
        index[k * stride] = bins[k];
        weight[k * stride] = excess[k];
      }
      return;
    }
  }
  const Candidates among = candidates_of(a, b, palette);
  Neighbour at = next_neighbour(a, b, palette, among, {-1.0, -1});
  const double nearest = at.squared;
  for (int k = 0; k < neighbours; k++) {
    if (k > 0) at = next_neighbour(a, b, palette, among, at);
    index[k * stride] = at.bin;
    weight[k * stride] = static_cast<float>(at.squared - nearest);
  }
  gaussian_weights(a, b, weight, neighbours, stride, sigma_ab);
}

FC_HD int nearest_bin(float a, float b, const Palette& palette) {
  if (palette.lattice != nullptr) {
    int32_t bins[5];
    float excess[5];
    if (lattice_nearest(a, b, palette.lattice, bins, excess)) return bins[0];
  }
  return next_neighbour(a, b, palette, candidates_of(a, b, palette), {-1.0, -1}).bin;
}

}  // namespace fastcolor::math
