// encode_bins, pixel_weight. 8 bytes read and 40 written a pixel at five neighbours.
#include "../math/encode.h"

#include "lanes.h"
#include "pages.h"
#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

constexpr int kEncodeRun = 256;

// Of a run of pixels: the nearest node and where the colour lies from it.
struct LatticeRun {
  alignas(64) float u[kEncodeRun], v[kEncodeRun];
  alignas(64) int32_t node_x[kEncodeRun], node_y[kEncodeRun], towards_x[kEncodeRun], towards_y[kEncodeRun];
  alignas(64) int32_t bin_0[kEncodeRun], bin_x[kEncodeRun], bin_mx[kEncodeRun], found[kEncodeRun];
};

#ifdef __AVX512F__
// A table of 32 numbers in two registers.
struct Table32 {
  Ints low, high;
  explicit Table32(const int32_t* from) {
    std::memcpy(&low, from, sizeof(low));
    std::memcpy(&high, from + kLanes, sizeof(high));
  }
  Ints operator[](const Ints& at) const { return __builtin_shuffle(low, high, at); }
};

// As math::lattice_lines for the first pixels, whole vectors of them; returns how many. From memory each pixel
// would gather four numbers.
int look_up_lines(const int32_t* lattice, int n, LatticeRun& run) {
  static_assert(math::kLatticeNodes == 2 * kLanes, "a table of lines is two vectors");
  const Table32 line(lattice),
      whole[4] = {Table32(lattice + 32), Table32(lattice + 64), Table32(lattice + 96), Table32(lattice + 128)};
  int p = 0;
  for (; p + kLanes <= n; p += kLanes) {
    Ints x, y, towards_x, towards_y;
    std::memcpy(&x, run.node_x + p, sizeof(x));
    std::memcpy(&y, run.node_y + p, sizeof(y));
    std::memcpy(&towards_x, run.towards_x + p, sizeof(x));
    std::memcpy(&towards_y, run.towards_y + p, sizeof(y));
    x += math::kLatticeMiddle;
    store_lanes(run.bin_0 + p, line[x] + y);
    store_lanes(run.bin_x + p, line[x + towards_x] + y);
    store_lanes(run.bin_mx + p, line[x - towards_x] + y);
    const Ints above = towards_x < 0 ? whole[1][x] : whole[0][x], below = towards_x < 0 ? whole[3][x] : whole[2][x];
    store_lanes(run.found + p, (towards_y < 0 ? below : above) >> (y + math::kLatticeMiddle) & 1);
  }
  return p;
}
#else
int look_up_lines(const int32_t*, int, LatticeRun&) { return 0; }
#endif

// Five neighbours by the lattice. Returns how many of the n <= kEncodeRun pixels it could not answer; their places, in
// order, are in `missed`. The table is read in a loop of its own: the two around it then vectorise.
int lattice_run(const float* __restrict__ a, const float* __restrict__ b, int n, const int32_t* __restrict__ lattice,
                int64_t stride, int32_t* __restrict__ index, float* __restrict__ excess, int32_t* __restrict__ missed) {
  LatticeRun run;
#pragma omp simd
  for (int p = 0; p < n; p++) {
    const math::LatticeAxis x = math::lattice_axis(a[p]), y = math::lattice_axis(b[p]);
    run.u[p] = x.distance;
    run.v[p] = y.distance;
    run.node_x[p] = x.node;
    run.node_y[p] = y.node;
    run.towards_x[p] = x.towards;
    run.towards_y[p] = y.towards;
  }
  for (int p = look_up_lines(lattice, n, run); p < n; p++) {
    const math::LatticeLines lines =
        math::lattice_lines(run.node_x[p], run.node_y[p], run.towards_x[p], run.towards_y[p], lattice);
    run.bin_0[p] = lines.bin_0;
    run.bin_x[p] = lines.bin_x;
    run.bin_mx[p] = lines.bin_mx;
    run.found[p] = lines.found;
  }
  int misses = 0;
  for (int p = 0; p < n; p++) {
    missed[misses] = p;
    misses += 1 - run.found[p];
  }
#pragma omp simd
  for (int p = 0; p < n; p++) {
    const auto put = [&](int k, int32_t bin, float more) __attribute__((always_inline)) {
      index[k * stride + p] = bin;
      excess[k * stride + p] = more;
    };
    math::lattice_order(run.u[p], run.v[p], run.towards_x[p], run.towards_y[p], run.bin_0[p], run.bin_x[p],
                        run.bin_mx[p], put);
  }
  return misses;
}

void search_pixel(float a, float b, const Palette& palette, int neighbours, int64_t stride, int32_t* index,
                  float* excess) {
  int32_t bins[math::kMaxNeighbours];
  float distance[math::kMaxNeighbours];
  if (!math::rank_nearest<8>(a, b, palette, neighbours, bins, distance) &&
      !math::rank_nearest<16>(a, b, palette, neighbours, bins, distance)) {
    math::search_nearest(a, b, palette, neighbours, bins, distance);
  }
  for (int k = 0; k < neighbours; k++) {
    index[k * stride] = bins[k];
    excess[k * stride] = distance[k];
  }
}

}  // namespace

void encode_run(const float* a, const float* b, int n, const Palette& palette, int neighbours, float sigma_ab,
                int64_t stride, int32_t* index, float* weight) {
  const auto search = [&](int p) { search_pixel(a[p], b[p], palette, neighbours, stride, index + p, weight + p); };
  if (palette.lattice != nullptr && neighbours == 5) {
    int32_t missed[kEncodeRun + 1];
    const int misses = lattice_run(a, b, n, palette.lattice, stride, index, weight, missed);
    for (int i = 0; i < misses; i++) search(missed[i]);
  } else {
    for (int p = 0; p < n; p++) search(p);
  }
  if (neighbours == 5) {  // a constant count lets the loop over pixels vectorise
#pragma omp simd
    for (int p = 0; p < n; p++) math::gaussian_weights(a[p], b[p], weight + p, 5, stride, sigma_ab);
  } else {
    for (int p = 0; p < n; p++) math::gaussian_weights(a[p], b[p], weight + p, neighbours, stride, sigma_ab);
  }
}

void encode_bins(const EncodeParams& p) {
  prefer_huge_pages(p.index, p.images * p.neighbours * p.pixels * 4);
  prefer_huge_pages(p.weight, p.images * p.neighbours * p.pixels * 4);
  parallel_chunks(p.images, p.pixels, kEncodeRun, 6.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
    const float* a = p.ab + image * 2 * p.pixels + first;
    const int64_t out = image * p.neighbours * p.pixels + first;
    encode_run(a, a + p.pixels, n, p.palette, p.neighbours, p.sigma_ab, p.pixels, p.index + out, p.weight + out);
  });
}

void pixel_weight(const PixelWeightParams& p) {
  parallel_chunks(p.images, p.pixels, kEncodeRun, 6.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
    alignas(64) int32_t index[5 * kEncodeRun];
    alignas(64) float excess[5 * kEncodeRun];
    const float* a = p.ab + image * 2 * p.pixels + first;
    // Five neighbours although one is read: that is the search with the closed form.
    encode_run(a, a + p.pixels, n, p.palette, 5, 5.0f, kEncodeRun, index, excess);
    const int64_t at = image * p.pixels + first;
    for (int i = 0; i < n; i++) {
      const bool keep = p.mask == nullptr || p.mask[at + i] != 0;
      p.weight[at + i] = !keep ? 0.0f : p.class_weight == nullptr ? 1.0f : p.class_weight[index[i]];
    }
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
