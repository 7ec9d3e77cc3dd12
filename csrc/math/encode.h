// The nearest bins of an ab colour and their Gaussian weights.
//
// Two searches (on the CPU the second in three forms: few candidates, more, any number) give the same answer as brute
// force in exact arithmetic, ties going to the lower bin:
//
// Note [Lattice]. On a full square lattice of spacing 10 with bins ordered by (a, b), let 0 be the nearest node, u and
// v the distances to it along a and b (0 <= u, v <= 5), X and Y its neighbours towards the colour along a and b, XY the
// one towards both, MX and MY the opposite neighbours.
//
//     b ^          Y ------ XY
//       |          |        |
//       |          |  c     |     c: the colour, u right of 0 and v above it
//       |          |        |
//       |  MX ---- 0 ------ X
//       |          |
//       |          MY
//       +---------------------> a
//
// The five nearest nodes lie among these six:
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
constexpr int kLatticeNodes = 32;  // a side, and the bits of a word; node (16, 16) is ab = (0, 0)
constexpr int kLatticeMiddle = kLatticeNodes / 2;
constexpr float kLatticeSpacing = 10.0f;
constexpr float kCell = 2.5f, kCellOrigin = -120.0f;
constexpr int kCells = 96;  // a side

// Truth values here are 0 and 1 in an int: compilers do not vectorise the choice between two bools.
FC_HD int32_t truth(bool x) { return x ? 1 : 0; }

// How x + y compares with 5, decided exactly: 1 above, 0 equal, -1 below. (Knuth's two-sum gives the rounding error.)
FC_HD int32_t sum_against_five(float x, float y) {
  const float sum = x + y, part = sum - x;
  const float error = (x - (sum - part)) + (y - part), rest = sum == 5.0f ? error : sum - 5.0f;
  return rest > 0.0f ? 1 : rest < 0.0f ? -1 : 0;
}

struct LatticeAxis {
  int node;        // nearest, 0 is the middle; a colour midway goes to the lower
  int towards;     // +1 or -1: the side the colour lies on; -1 when on the node, so that equal distances keep order
  float distance;  // to the nearest node, in [0, 5]
};
FC_HD LatticeAxis lattice_axis(float x) {
  // Node 12, where 115 goes, is never a bin (fastcolor/bins.py), so what is clipped here is searched for elsewhere.
  const float inside = x > -115.0f ? (x < 115.0f ? x : 115.0f) : -115.0f;  // NaN becomes -115
  float nearest = (inside * (1.0f / kLatticeSpacing) + kRounder) - kRounder;
  float offset = inside - kLatticeSpacing * nearest;
  const float correction = offset > 5.0f ? 1.0f : offset <= -5.0f ? -1.0f : 0.0f;
  nearest += correction;
  offset = inside - kLatticeSpacing * nearest;
  return {static_cast<int>(nearest), offset > 0.0f ? 1 : -1, offset < 0.0f ? -offset : offset};
}

// What the table knows about the six candidates: the bin of 0, of X and of MX, and whether all six are bins. lattice: a
// number for each line of nodes along b, the bin of its node at b = 0; then for each quadrant and line a word, whose
// bits say of which nodes the six are bins. The vectors of cpu/encode.cpp do the same.
struct LatticeLines {
  int32_t bin_0, bin_x, bin_mx, found;
};
FC_HD LatticeLines lattice_lines(int32_t node_x, int32_t node_y, int32_t towards_x, int32_t towards_y,
                                 const int32_t* lattice) {
  const int quadrant = (towards_x < 0 ? 1 : 0) + (towards_y < 0 ? 2 : 0);
  const int32_t *line = lattice + kLatticeMiddle, *whole = line + (1 + quadrant) * kLatticeNodes;
  return {line[node_x] + node_y, line[node_x + towards_x] + node_y, line[node_x - towards_x] + node_y,
          (whole[node_x] >> (node_y + kLatticeMiddle)) & 1};
}

// Hands the five nearest by Note [Lattice] to put(k, bin, squared distance minus the nearest's) in order. Arrays here
// would keep compilers from vectorising.
template <class Put>
FC_HD void lattice_order(float u, float v, int32_t towards_x, int32_t towards_y, int32_t bin_0, int32_t bin_x,
                         int32_t bin_mx, Put&& put) {
  // Squared distances minus u^2 + v^2.
  const float to_x = 100.0f - 20.0f * u, to_y = 100.0f - 20.0f * v, to_mx = 100.0f + 20.0f * u,
              to_my = 100.0f + 20.0f * v;
  // Equal distances: X and XY have a lower index than 0's line, MX a higher one, when the colour lies on the lower
  // side.
  const int32_t lower_a = truth(towards_x < 0), equal = truth(u == v);
  const int32_t x_first = truth(u > v) | (equal & lower_a), mx_first = truth(u < v) | (equal & (1 - lower_a));
  const int32_t xy_before_mx = truth(sum_against_five(2.0f * u, v) + lower_a > 0);
  const int32_t xy_before_my = truth(sum_against_five(2.0f * v, u) + lower_a > 0);

  const int32_t bin_y = bin_0 + towards_y, bin_my = bin_0 - towards_y, bin_xy = bin_x + towards_y;
  put(0, bin_0, 0.0f);
  put(1, x_first != 0 ? bin_x : bin_y, x_first != 0 ? to_x : to_y);
  put(2, x_first != 0 ? bin_y : bin_x, x_first != 0 ? to_y : to_x);

  const int32_t near = mx_first != 0 ? bin_mx : bin_my, far = mx_first != 0 ? bin_my : bin_mx;
  const float to_near = mx_first != 0 ? to_mx : to_my, to_far = mx_first != 0 ? to_my : to_mx, to_xy = to_x + to_y;
  const int32_t before_near = mx_first != 0 ? xy_before_mx : xy_before_my;
  const int32_t before_far = mx_first != 0 ? xy_before_my : xy_before_mx;
  const int32_t later = before_far != 0 ? bin_xy : far;
  const float to_later = before_far != 0 ? to_xy : to_far;
  put(3, before_near != 0 ? bin_xy : near, before_near != 0 ? to_xy : to_near);
  put(4, before_near != 0 ? near : later, before_near != 0 ? to_near : to_later);
}

// Both together; false when not all six candidates are bins: what was put is then in range but no answer.
template <class Put>
FC_HD bool lattice_nearest(float a, float b, const int32_t* lattice, Put&& put) {
  const LatticeAxis x = lattice_axis(a), y = lattice_axis(b);
  const LatticeLines lines = lattice_lines(x.node, y.node, x.towards, y.towards, lattice);
  lattice_order(x.distance, y.distance, x.towards, y.towards, lines.bin_0, lines.bin_x, lines.bin_mx, put);
  return lines.found != 0;
}

// The bins that Note [Candidates] leaves for a colour: palette.candidates[first..last), or all bins first..last.
struct Candidates {
  int first, last;
  bool in_table;
};
FC_HD Candidates candidates_of(float a, float b, const Palette& palette) {
  const float cell_a = (a - kCellOrigin) * (1.0f / kCell), cell_b = (b - kCellOrigin) * (1.0f / kCell);
  if (!(cell_a >= 0.0f && cell_a < kCells && cell_b >= 0.0f && cell_b < kCells)) return {0, palette.bins, false};
  const int cell = static_cast<int>(cell_a) * kCells + static_cast<int>(cell_b);
  return {palette.cell_start[cell], palette.cell_start[cell + 1], true};
}

// The nearest bins by Note [Candidates]. `index` in order of distance, `excess` as above. NaN gives bins 0, 1, ... and
// NaN.
FC_HD void search_nearest(float a, float b, const Palette& palette, int neighbours, int32_t* index, float* excess) {
  const Candidates among = candidates_of(a, b, palette);
  double nearest[kMaxNeighbours];
  int found = 0;
  for (int i = among.first; i < among.last; i++) {
    const int bin = among.in_table ? palette.candidates[i] : i;
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

// The same for a colour whose cell has at most `lanes` candidates, without branches: the place of a candidate among the
// sorted is the number of candidates before it. False where it does not apply.
template <int lanes>
FC_HD bool rank_nearest(float a, float b, const Palette& palette, int neighbours, int32_t* index, float* excess) {
  const Candidates among = candidates_of(a, b, palette);
  const int count = among.last - among.first;
  if (!among.in_table || count > lanes) return false;
  double squared[lanes];
  int32_t bin[lanes];
  for (int i = 0; i < lanes; i++) {
    bin[i] = palette.candidates[among.first + (i < count ? i : 0)];
    const double da = static_cast<double>(a) - palette.a[bin[i]], db = static_cast<double>(b) - palette.b[bin[i]];
    squared[i] = i < count ? da * da + db * db : 1e30;
  }
  int64_t place[lanes] = {};
  for (int j = 0; j < count; j++) {  // candidates ascend, so equal distances stay in order
    for (int i = 0; i < lanes; i++) {
      place[i] += squared[j] < squared[i] ? 1 : 0;
      place[i] += squared[j] == squared[i] ? (j < i ? 1 : 0) : 0;
    }
  }
  int32_t sorted_bin[lanes];
  double sorted[lanes];
  for (int i = 0; i < count; i++) {
    sorted_bin[place[i]] = bin[i];
    sorted[place[i]] = squared[i];
  }
  for (int k = 0; k < neighbours; k++) {
    index[k] = sorted_bin[k];
    excess[k] = static_cast<float>(sorted[k] - sorted[0]);
  }
  return true;
}

// Turns excess_k into weight_k = exp(-excess_k / (2 sigma^2)) / sum, in place.
// stride: distance between two neighbours of a pixel.
FC_HD void gaussian_weights(float a, float b, float* excess, int neighbours, int64_t stride, float sigma_ab) {
  const float scale = static_cast<float>(-kLog2E) / (2.0f * sigma_ab * sigma_ab);
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

}  // namespace fastcolor::math
