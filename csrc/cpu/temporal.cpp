// block_motion, temporal_average: motion between two lumas of network size, and the gated average along it.
#include "../math/temporal.h"

#include "lanes.h"
#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

using math::kPatch;

// Patches that one register holds a row of, and for each the sum of its eight absolute differences: what x86 has an
// instruction for.
#if defined(__AVX512BW__)
constexpr int kPatches = 8;
#elif defined(__AVX2__)
constexpr int kPatches = 4;
#elif defined(__SSE2__)
constexpr int kPatches = 2;
#else
constexpr int kPatches = 1;
#endif
constexpr int kStripe = kPatches * kPatch;  // pixels, one byte each

// A number a patch, in the low half of 64 bits; as 32-bit integers they compare on any processor.
typedef int32_t Sums __attribute__((vector_size(kStripe)));
typedef uint64_t Wide __attribute__((vector_size(kStripe)));

FC_INLINE Sums row_differences(const uint8_t* now, const uint8_t* moved) {
#if defined(__AVX512BW__)
  return bit_cast<Sums>(_mm512_sad_epu8(_mm512_loadu_si512(now), _mm512_loadu_si512(moved)));
#elif defined(__AVX2__)
  const auto load = [](const uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); };
  return bit_cast<Sums>(_mm256_sad_epu8(load(now), load(moved)));
#elif defined(__SSE2__)
  const auto load = [](const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); };
  return bit_cast<Sums>(_mm_sad_epu8(load(now), load(moved)));
#else
  int32_t sum = 0;
  for (int x = 0; x < kPatch; x++) sum += std::abs(static_cast<int32_t>(now[x]) - static_cast<int32_t>(moved[x]));
  return Sums{sum, 0};
#endif
}

FC_INLINE Sums in_each_patch(uint32_t x) { return bit_cast<Sums>(Wide{} + x); }

// `rows` rows of luma from row `first` on, `stride` bytes each: `margin` columns before it, what is left behind it;
// edges repeated, rows beyond the plane too.
void fill_band(const uint8_t* luma, int64_t height, int64_t width, int64_t first, int64_t rows, int64_t margin,
               int64_t stride, uint8_t* band) {
  for (int64_t r = 0; r < rows; r++) {
    const uint8_t* from = luma + std::clamp<int64_t>(first + r, 0, height - 1) * width;
    uint8_t* row = band + r * stride;
    std::memset(row, from[0], static_cast<size_t>(margin));
    std::memcpy(row + margin, from, static_cast<size_t>(width));
    std::memset(row + margin + width, from[width - 1], static_cast<size_t>(stride - margin - width));
  }
}

// The best rank of each patch of a stripe. now: its first pixel; before: the same place of the frame before, with as
// much around it as the search reads. `Rows`: of the patches, known where they are whole.
template <int Rows>
Sums search(const uint8_t* now, const uint8_t* before, int64_t stride, int known_rows, int radius) {
  const int rows = Rows > 0 ? Rows : known_rows;
  Sums best = in_each_patch(INT32_MAX);
  for (int dy = -radius; dy <= radius; dy++) {
    for (int dx = -radius; dx <= radius; dx++) {
      const uint8_t* moved = before + dy * stride + dx;
      Sums sum{};
#pragma GCC unroll 8
      for (int r = 0; r < rows; r++) sum += row_differences(now + r * stride, moved + r * stride);
      const Sums rank = (sum << 10) + in_each_patch(math::motion_rank(0, dy, dx, radius));
      best = rank < best ? rank : best;
    }
  }
  return best;
}

// The same of one patch that the plane's right edge cuts.
uint32_t search_cut(const uint8_t* now, const uint8_t* before, int64_t stride, int rows, int64_t columns, int radius) {
  uint32_t best = UINT32_MAX;
  for (int dy = -radius; dy <= radius; dy++) {
    for (int dx = -radius; dx <= radius; dx++) {
      int sum = 0;
      for (int r = 0; r < rows; r++) {
        const uint8_t *a = now + r * stride, *b = before + (dy + r) * stride + dx;
        for (int64_t x = 0; x < columns; x++) sum += std::abs(static_cast<int>(a[x]) - static_cast<int>(b[x]));
      }
      best = std::min(best, math::motion_rank(sum, dy, dx, radius));
    }
  }
  return best;
}

// A row of the frame before, each patch from where its motion leads, edges repeated.
struct Row {
  float *luma, *a, *b;
};
// dy, dx: of the row's patches. luma, a, b: the frame before.
void bring_row(const int32_t* dy, const int32_t* dx, int64_t y, int64_t height, int64_t width, const uint8_t* luma,
               const float* a, const float* b, const Row& row) {
  for (int64_t first = 0; first < width; first += kPatch) {
    const int64_t patch = first / kPatch, n = std::min<int64_t>(kPatch, width - first);
    const int64_t line = std::clamp<int64_t>(y + dy[patch], 0, height - 1) * width, column = first + dx[patch];
    if (n == kPatch && column >= 0 && column + kPatch <= width) {
      for (int64_t k = 0; k < kPatch; k++) row.luma[first + k] = luma[line + column + k];
      std::memcpy(row.a + first, a + line + column, kPatch * sizeof(float));
      std::memcpy(row.b + first, b + line + column, kPatch * sizeof(float));
      continue;
    }
    for (int64_t k = 0; k < n; k++) {
      const int64_t from = line + std::clamp<int64_t>(column + k, 0, width - 1);
      row.luma[first + k] = luma[from];
      row.a[first + k] = a[from];
      row.b[first + k] = b[from];
    }
  }
}

}  // namespace

void block_motion(const BlockMotionParams& p) {
  const int64_t across = (p.width + kPatch - 1) / kPatch, down = (p.height + kPatch - 1) / kPatch;
  const int64_t whole = p.width / kPatch, stripes = (whole + kPatches - 1) / kPatches;
  const int64_t radius = p.radius, side = 2 * radius + 1;
  const int64_t stride = std::max(stripes * kStripe, p.width) + 2 * radius;
  const double cost = static_cast<double>(side * side * p.width) * 0.03;
  parallel_for(p.images * down, cost, p.target.threads, [&](int64_t i) {
    const int64_t image = i / down, row = i % down, first = row * kPatch;
    const int rows = static_cast<int>(std::min<int64_t>(kPatch, p.height - first)), reach = static_cast<int>(radius);
    uint8_t* now = scratch<uint8_t>((kPatch + kPatch + 2 * radius) * stride);
    uint8_t* before = now + kPatch * stride;
    fill_band(p.luma + image * p.height * p.width, p.height, p.width, first, rows, 0, stride, now);
    fill_band(p.previous + image * p.height * p.width, p.height, p.width, first - radius, rows + 2 * radius, radius,
              stride, before);
    const uint8_t* same = before + radius * stride + radius;  // the place of `now`
    int32_t* motion = p.motion + (image * 2 * down + row) * across;
    int32_t* error = p.error + (image * down + row) * across;
    const auto found = [&](int64_t b, uint32_t rank) {
      const math::Motion best = math::motion_of_rank(rank, reach);
      motion[b] = best.dy;
      motion[down * across + b] = best.dx;
      error[b] = best.sum;
    };
    for (int64_t b = 0; b < whole; b += kPatches) {
      const Sums best = rows == kPatch ? search<kPatch>(now + b * kPatch, same + b * kPatch, stride, rows, reach)
                                       : search<0>(now + b * kPatch, same + b * kPatch, stride, rows, reach);
      for (int64_t k = 0; k < std::min<int64_t>(kPatches, whole - b); k++) {
        found(b + k, static_cast<uint32_t>(best[2 * k]));
      }
    }
    if (whole < across) {
      const int64_t x = whole * kPatch;
      found(whole, search_cut(now + x, same + x, stride, rows, p.width - x, reach));
    }
  });
}

void temporal_average(const TemporalAverageParams& p) {
  const int64_t across = (p.width + kPatch - 1) / kPatch, down = (p.height + kPatch - 1) / kPatch;
  const int64_t pixels = p.height * p.width;
  const float inverse_luma = 1.0f / (p.tolerance * p.tolerance);
  const float inverse_ab = 1.0f / (p.tolerance_ab * p.tolerance_ab);
  parallel_for(p.images * p.height, static_cast<double>(p.width), p.target.threads, [&](int64_t i) {
    const int64_t image = i / p.height, y = i % p.height, first = image * 2 * pixels;
    float* space = scratch<float>(3 * p.width);
    const Row before = {space, space + p.width, space + 2 * p.width};
    const int32_t* motion = p.motion + (image * 2 * down + y / kPatch) * across;
    bring_row(motion, motion + down * across, y, p.height, p.width, p.previous_luma + image * pixels,
              p.previous_ab + first, p.previous_ab + first + pixels, before);
    const uint8_t* __restrict__ luma = p.luma + i * p.width;
    const float *__restrict__ now_a = p.ab + first + y * p.width, *__restrict__ now_b = now_a + pixels;
    const float *__restrict__ then = before.luma, *__restrict__ before_a = before.a, *__restrict__ before_b = before.b;
    float *__restrict__ out_a = p.out + first + y * p.width, *__restrict__ out_b = out_a + pixels;
    const float keep = p.keep[image];
#pragma omp simd
    for (int64_t x = 0; x < p.width; x++) {
      const float share = math::former_share(keep, static_cast<float>(luma[x]) - then[x], now_a[x] - before_a[x],
                                             now_b[x] - before_b[x], inverse_luma, inverse_ab);
      out_a[x] = math::temporal_mix(now_a[x], before_a[x], share);
      out_b[x] = math::temporal_mix(now_b[x], before_b[x], share);
    }
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
