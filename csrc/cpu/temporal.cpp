// block_motion, temporal_average: motion between two lumas of network size, and the gated average along it.
#include "../math/temporal.h"

#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

using math::kPatch;

// `rows` rows of luma from row `first` on, as 16-bit values for lanes of one width, edges repeated: `margin` columns on
// either side, and rows beyond the plane.
void fill_band(const uint8_t* luma, int64_t height, int64_t width, int64_t first, int64_t rows, int64_t margin,
               int64_t stride, int16_t* band) {
  for (int64_t r = 0; r < rows; r++) {
    const uint8_t* from = luma + std::clamp<int64_t>(first + r, 0, height - 1) * width;
    int16_t* row = band + r * stride;
    std::fill(row, row + margin, from[0]);
    for (int64_t x = 0; x < width; x++) row[margin + x] = from[x];
    std::fill(row + margin + width, row + stride, from[width - 1]);
  }
}

// Sums of absolute differences of every column of a band: (width). `Rows`: of the patch, known where it is whole.
template <int Rows>
void column_sums(const int16_t* __restrict__ now, const int16_t* __restrict__ before, int64_t stride, int64_t width,
                 int rows, int16_t* __restrict__ sum) {
  const int count = Rows > 0 ? Rows : rows;
#pragma omp simd
  for (int64_t x = 0; x < width; x++) {
    int16_t total = 0;
    for (int r = 0; r < count; r++) {
      const int16_t d = static_cast<int16_t>(now[r * stride + x] - before[r * stride + x]);
      total = static_cast<int16_t>(total + (d < 0 ? -d : d));
    }
    sum[x] = total;
  }
}

}  // namespace

void block_motion(const BlockMotionParams& p) {
  const int64_t across = (p.width + kPatch - 1) / kPatch, down = (p.height + kPatch - 1) / kPatch;
  const int64_t radius = p.radius, stride = across * kPatch + 2 * radius, side = 2 * radius + 1;
  const double cost = static_cast<double>(side * side * p.width) * 0.4;
  parallel_for(p.images * down, cost, p.target.threads, [&](int64_t i) {
    const int64_t image = i / down, row = i % down, first = row * kPatch;
    const int rows = static_cast<int>(std::min<int64_t>(kPatch, p.height - first));
    // 16-bit: now, before, column sums; then 32-bit ranks.
    const int64_t shorts = (kPatch + kPatch + 2 * radius) * stride + across * kPatch;
    int16_t* now = scratch<int16_t>(shorts + 2 * across + 2);
    int16_t *before = now + kPatch * stride, *sum = before + (kPatch + 2 * radius) * stride;
    uint32_t* best = reinterpret_cast<uint32_t*>(now + (shorts + 1) / 2 * 2);
    fill_band(p.luma + image * p.height * p.width, p.height, p.width, first, rows, 0, stride, now);
    fill_band(p.previous + image * p.height * p.width, p.height, p.width, first - radius, rows + 2 * radius, radius,
              stride, before);
    std::fill(sum, sum + across * kPatch, int16_t{0});  // columns beyond the plane stay 0
    std::fill(best, best + across, UINT32_MAX);
    for (int64_t dy = -radius; dy <= radius; dy++) {
      for (int64_t dx = -radius; dx <= radius; dx++) {
        const int16_t* moved = before + (dy + radius) * stride + dx + radius;
        rows == kPatch ? column_sums<kPatch>(now, moved, stride, p.width, rows, sum)
                       : column_sums<0>(now, moved, stride, p.width, rows, sum);
        const uint32_t rank =
            math::motion_rank(0, static_cast<int>(dy), static_cast<int>(dx), static_cast<int>(radius));
#pragma omp simd
        for (int64_t b = 0; b < across; b++) {
          uint32_t total = 0;
          for (int k = 0; k < kPatch; k++) total += static_cast<uint32_t>(sum[b * kPatch + k]);
          const uint32_t ranked = rank + (total << 10);
          best[b] = ranked < best[b] ? ranked : best[b];
        }
      }
    }
    int32_t* motion = p.motion + (image * 2 * down + row) * across;
    for (int64_t b = 0; b < across; b++) {
      const math::Motion found = math::motion_of_rank(best[b], static_cast<int>(radius));
      motion[b] = found.dy;
      motion[down * across + b] = found.dx;
      p.error[(image * down + row) * across + b] = found.sum;
    }
  });
}

void temporal_average(const TemporalAverageParams& p) {
  const int64_t across = (p.width + kPatch - 1) / kPatch, down = (p.height + kPatch - 1) / kPatch;
  const int64_t pixels = p.height * p.width;
  const float inverse_luma = 1.0f / (p.tolerance * p.tolerance);
  const float inverse_ab = 1.0f / (p.tolerance_ab * p.tolerance_ab);
  parallel_for(p.images * p.height, static_cast<double>(p.width), p.target.threads, [&](int64_t i) {
    const int64_t image = i / p.height, y = i % p.height;
    const uint8_t *luma = p.luma + i * p.width, *previous = p.previous_luma + image * pixels;
    const float *now_a = p.ab + image * 2 * pixels + y * p.width, *before_a = p.previous_ab + image * 2 * pixels;
    float* out_a = p.out + image * 2 * pixels + y * p.width;
    const float keep = p.keep[image];
    const int32_t* motion = p.motion + (image * 2 * down + y / kPatch) * across;
    for (int64_t b = 0; b < across; b++) {
      const int64_t x = b * kPatch, n = std::min<int64_t>(kPatch, p.width - x);
      const int64_t dx = motion[down * across + b];
      const int64_t from = std::clamp<int64_t>(y + motion[b], 0, p.height - 1) * p.width;
      int64_t column[kPatch];
      float weight[kPatch];
      for (int64_t k = 0; k < n; k++) column[k] = from + std::clamp<int64_t>(x + k + dx, 0, p.width - 1);
      for (int64_t k = 0; k < n; k++) {
        const float d = static_cast<float>(luma[x + k]) - static_cast<float>(previous[column[k]]);
        const float a = now_a[x + k] - before_a[column[k]];
        const float b_apart = now_a[pixels + x + k] - before_a[pixels + column[k]];
        weight[k] = math::former_share(keep, d, a, b_apart, inverse_luma, inverse_ab);
      }
      for (int64_t plane = 0; plane < 2 * pixels; plane += pixels) {
        const float *now = now_a + plane, *before = before_a + plane;
        for (int64_t k = 0; k < n; k++) {
          out_a[plane + x + k] = math::temporal_mix(now[x + k], before[column[k]], weight[k]);
        }
      }
    }
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
