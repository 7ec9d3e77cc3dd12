// encode_bins, pixel_weight. 8 bytes read and 40 written a pixel at five neighbours.
#include "../math/encode.h"

#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

constexpr int kRun = 256;

// Five neighbours by the lattice; returns how many pixels it could not answer and marks them with index -1.
int lattice_run(const float* __restrict__ a, const float* __restrict__ b, int n, const int32_t* __restrict__ lattice,
                int64_t stride, int32_t* __restrict__ index, float* __restrict__ excess) {
  int missed = 0;
#pragma omp simd reduction(+ : missed)
  for (int p = 0; p < n; p++) {
    int32_t bins[5];
    float distance[5];
    const bool found = math::lattice_nearest(a[p], b[p], lattice, bins, distance);
    missed += found ? 0 : 1;
    index[p] = found ? bins[0] : -1;
    excess[p] = distance[0];
    for (int k = 1; k < 5; k++) {
      index[k * stride + p] = bins[k];
      excess[k * stride + p] = distance[k];
    }
  }
  return missed;
}

void search_pixel(float a, float b, const Palette& palette, int neighbours, int64_t stride, int32_t* index,
                  float* excess) {
  int32_t bins[math::kMaxNeighbours];
  float distance[math::kMaxNeighbours];
  math::search_nearest(a, b, palette, neighbours, bins, distance);
  for (int k = 0; k < neighbours; k++) {
    index[k * stride] = bins[k];
    excess[k * stride] = distance[k];
  }
}

}  // namespace

void encode_run(const float* a, const float* b, int n, const Palette& palette, int neighbours, float sigma_ab,
                int64_t stride, int32_t* index, float* weight) {
  const bool lattice = palette.lattice != nullptr && neighbours == 5;
  const int missed = lattice ? lattice_run(a, b, n, palette.lattice, stride, index, weight) : n;
  if (missed > 0) {
    for (int p = 0; p < n; p++) {
      if (!lattice || index[p] < 0) search_pixel(a[p], b[p], palette, neighbours, stride, index + p, weight + p);
    }
  }
  if (neighbours == 5) {  // a constant count lets the loop over pixels vectorise
#pragma omp simd
    for (int p = 0; p < n; p++) math::gaussian_weights(a[p], b[p], weight + p, 5, stride, sigma_ab);
  } else {
    for (int p = 0; p < n; p++) math::gaussian_weights(a[p], b[p], weight + p, neighbours, stride, sigma_ab);
  }
}

void encode_bins(const EncodeParams& p) {
  parallel_chunks(p.images, p.pixels, kRun, 6.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
    const float* a = p.ab + image * 2 * p.pixels + first;
    const int64_t out = image * p.neighbours * p.pixels + first;
    encode_run(a, a + p.pixels, n, p.palette, p.neighbours, p.sigma_ab, p.pixels, p.index + out, p.weight + out);
  });
}

void pixel_weight(const PixelWeightParams& p) {
  parallel_chunks(p.images, p.pixels, kRun, 6.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
    alignas(64) int32_t index[5 * kRun];
    alignas(64) float excess[5 * kRun];
    const float* a = p.ab + image * 2 * p.pixels + first;
    // Five neighbours although one is read: that is the search with the closed form.
    encode_run(a, a + p.pixels, n, p.palette, 5, 5.0f, kRun, index, excess);
    const int64_t at = image * p.pixels + first;
    for (int i = 0; i < n; i++) {
      const bool keep = p.mask == nullptr || p.mask[at + i] != 0;
      p.weight[at + i] = !keep ? 0.0f : p.class_weight == nullptr ? 1.0f : p.class_weight[index[i]];
    }
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
