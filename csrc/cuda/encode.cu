// encode_bins, pixel_weight: one thread a pixel. 8 bytes read and 40 written a pixel at five neighbours.
#include "encode.cuh"
#include "vec.cuh"

namespace fastcolor::cuda {

namespace {

constexpr int kBlockThreads = 256;  // of a block, a thread a pixel

// Left to itself the compiler takes 40 registers and spills one.
__global__ void __launch_bounds__(kBlockThreads, 4) encode_bins_kernel(EncodeParams p, Divisor tiles) {
  const Tile tile = tile_of_block(tiles, kBlockThreads);
  const int64_t pixel = tile.first + threadIdx.x;
  if (pixel >= p.pixels) return;
  const float* ab = p.ab + tile.image * 2 * p.pixels + pixel;
  const int64_t out = tile.image * p.neighbours * p.pixels + pixel;
  encode_pixel(ab[0], ab[p.pixels], p.palette, p.neighbours, p.sigma_ab, p.pixels, p.index + out, p.weight + out);
}

__global__ void __launch_bounds__(kBlockThreads) pixel_weight_kernel(PixelWeightParams p, Divisor tiles) {
  const Tile tile = tile_of_block(tiles, kBlockThreads);
  const int64_t pixel = tile.first + threadIdx.x;
  if (pixel >= p.pixels) return;
  const int64_t at = tile.image * p.pixels + pixel;
  float weight = p.mask == nullptr || p.mask[at] != 0 ? 1.0f : 0.0f;
  if (weight != 0.0f && p.class_weight != nullptr) {
    const float* ab = p.ab + tile.image * 2 * p.pixels + pixel;
    weight = p.class_weight[nearest_bin(ab[0], ab[p.pixels], p.palette)];
  }
  p.weight[at] = weight;
}

}  // namespace

void encode_bins(const EncodeParams& p) {
  const int64_t tiles = ceil_div(p.pixels, kBlockThreads);
  launch(p.target, Launch(p.images * tiles, kBlockThreads), encode_bins_kernel, p, tiles);
}

void pixel_weight(const PixelWeightParams& p) {
  const int64_t tiles = ceil_div(p.pixels, kBlockThreads);
  launch(p.target, Launch(p.images * tiles, kBlockThreads), pixel_weight_kernel, p, tiles);
}

}  // namespace fastcolor::cuda
