// Note [Smoothing over time]. The colours of the frame before follow the motion of luma, patch by patch, and are
// averaged with what the network says now: out = new + keep * agreements * (before - new). Agreement of luma: what was
// hidden, or moved in another way than its patch, takes the new colour at once. Of colour: a thing leaves no trail
// on ground as bright as itself, while flicker is small against the difference of two things.
#pragma once

#include "../common.h"

namespace fastcolor::math {

constexpr int kPatch = 8;  // side of a patch, which has one motion, in pixels: what the field calls a block
// What a pixel of motion must save in the sum of differences: a quarter of a code a pixel of the patch. Without it,
// noise would move flat patches about.
constexpr int kMotionCost = 16;
constexpr int kMaxRadius = 15;  // of the search: a rank has ten bits for a candidate's number
static_assert((2 * kMaxRadius + 1) * (2 * kMaxRadius + 1) <= 1 << 10);

// A candidate's rank: the smallest wins, the first in scan order among equals. Below 2^27: a sum of 64 differences of
// 255 at most and the cost of 30 pixels, and 31^2 candidates.
FC_HD uint32_t motion_rank(int sum, int dy, int dx, int radius) {
  const int index = (dy + radius) * (2 * radius + 1) + dx + radius;
  const int way = (dy < 0 ? -dy : dy) + (dx < 0 ? -dx : dx);
  return (static_cast<uint32_t>(sum + kMotionCost * way) << 10) | static_cast<uint32_t>(index);
}
struct Motion {
  int dy, dx, sum;  // sum: of absolute differences
};
FC_HD Motion motion_of_rank(uint32_t rank, int radius) {
  const int index = static_cast<int>(rank & 1023u), side = 2 * radius + 1;
  const int dy = index / side - radius, dx = index % side - radius;
  const int way = (dy < 0 ? -dy : dy) + (dx < 0 ? -dx : dx);
  return {dy, dx, static_cast<int>(rank >> 10) - kMotionCost * way};
}

// 1 where values are equal, 1/2 where they differ by the tolerance, falling with the fourth power: flat over noise,
// steep beyond. `squared`: (difference / tolerance)^2.
FC_HD float agreement(float squared) { return 1.0f / (1.0f + squared * squared); }
// The share of a pixel's former colour. luma, a, b: differences between now and then; the inverse squares of both
// tolerances.
FC_HD float former_share(float keep, float luma, float a, float b, float inverse_luma, float inverse_ab) {
  return keep * agreement(luma * luma * inverse_luma) * agreement((a * a + b * b) * inverse_ab);
}

FC_HD float temporal_mix(float now, float before, float weight) { return now + weight * (before - now); }

}  // namespace fastcolor::math
