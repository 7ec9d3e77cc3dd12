// block_motion, temporal_average: motion between two lumas of network size, and the gated average along it.
#include "../math/temporal.h"

#include "launch.cuh"

namespace fastcolor::cuda {

namespace {

using math::kPatch;
constexpr int kAverageThreads = 256;  // of a block, a thread a pixel

__device__ __forceinline__ int64_t clamped(int64_t x, int64_t size) { return x < 0 ? 0 : x < size ? x : size - 1; }

// One warp a patch; its lanes share the candidates. Shared memory, in codes as floats, which are exact here
// and which the emulation can fill with NaN: the patch, and the window of the frame before that the search reads.
__global__ void __launch_bounds__(kWarpThreads)
    block_motion_kernel(BlockMotionParams p, unsigned down, unsigned across) {
  float* now = reinterpret_cast<float*>(shared_memory());  // (kPatch, kPatch)
  float* before = now + kPatch * kPatch;                   // (side, side)
  const unsigned image = blockIdx.x / (down * across), at = blockIdx.x - image * down * across;
  const int64_t top = static_cast<int64_t>(at / across) * kPatch, left = static_cast<int64_t>(at % across) * kPatch;
  const int radius = p.radius, side = kPatch + 2 * radius, candidates = 2 * radius + 1;
  const uint8_t *luma = p.luma + image * p.height * p.width, *previous = p.previous + image * p.height * p.width;
  for (int i = threadIdx.x; i < kPatch * kPatch; i += kWarpThreads) {
    now[i] = luma[clamped(top + i / kPatch, p.height) * p.width + clamped(left + i % kPatch, p.width)];
  }
  for (int i = threadIdx.x; i < side * side; i += kWarpThreads) {
    before[i] =
        previous[clamped(top - radius + i / side, p.height) * p.width + clamped(left - radius + i % side, p.width)];
  }
  __syncthreads();
  const int rows = p.height - top < kPatch ? static_cast<int>(p.height - top) : kPatch;
  const int columns = p.width - left < kPatch ? static_cast<int>(p.width - left) : kPatch;
  uint32_t best = UINT32_MAX;
  for (int i = threadIdx.x; i < candidates * candidates; i += kWarpThreads) {
    const int dy = i / candidates, dx = i % candidates;
    float sum = 0;
    for (int y = 0; y < rows; y++) {
      for (int x = 0; x < columns; x++) {
        const float d = now[y * kPatch + x] - before[(y + dy) * side + x + dx];
        sum += d < 0.0f ? -d : d;
      }
    }
    const uint32_t rank = math::motion_rank(static_cast<int>(sum), dy - radius, dx - radius, radius);
    best = rank < best ? rank : best;
  }
#pragma unroll
  for (int step = kWarpThreads / 2; step > 0; step /= 2) {
    const uint32_t other = __shfl_xor_sync(kAllLanes, best, step);
    best = other < best ? other : best;
  }
  if (threadIdx.x > 0) return;
  const math::Motion found = math::motion_of_rank(best, radius);
  const int64_t patches = static_cast<int64_t>(down) * across;
  p.motion[image * 2 * patches + at] = found.dy;
  p.motion[image * 2 * patches + patches + at] = found.dx;
  p.error[image * patches + at] = found.sum;
}

// One thread a pixel.
__global__ void __launch_bounds__(kAverageThreads)
    temporal_average_kernel(TemporalAverageParams p, Divisor tiles, float inverse_luma, float inverse_ab) {
  const Tile tile = tile_of_block(tiles, kAverageThreads);
  const int64_t pixels = p.height * p.width, at = tile.first + threadIdx.x;
  if (at >= pixels) return;
  const int64_t y = at / p.width, x = at - y * p.width;
  const int64_t across = (p.width + kPatch - 1) / kPatch, patches = (p.height + kPatch - 1) / kPatch * across;
  const int32_t* motion = p.motion + tile.image * 2 * patches + y / kPatch * across + x / kPatch;
  const int64_t from = clamped(y + motion[0], p.height) * p.width + clamped(x + motion[patches], p.width);
  const float d = static_cast<float>(p.luma[tile.image * pixels + at]) -
                  static_cast<float>(p.previous_luma[tile.image * pixels + from]);
  const int64_t base = tile.image * 2 * pixels;
  const float a = p.ab[base + at], b = p.ab[base + pixels + at];
  const float before_a = p.previous_ab[base + from], before_b = p.previous_ab[base + pixels + from];
  const float weight = math::former_share(p.keep[tile.image], d, a - before_a, b - before_b, inverse_luma, inverse_ab);
  p.out[base + at] = math::temporal_mix(a, before_a, weight);
  p.out[base + pixels + at] = math::temporal_mix(b, before_b, weight);
}

}  // namespace

void block_motion(const BlockMotionParams& p) {
  const int64_t across = ceil_div(p.width, kPatch), down = ceil_div(p.height, kPatch), side = kPatch + 2 * p.radius;
  launch(p.target,
         Launch(p.images * down * across, kWarpThreads, static_cast<size_t>(kPatch * kPatch + side * side) * 4),
         block_motion_kernel, p, down, across);
}

void temporal_average(const TemporalAverageParams& p) {
  const int64_t tiles = ceil_div(p.height * p.width, kAverageThreads);
  launch(p.target, Launch(p.images * tiles, kAverageThreads), temporal_average_kernel, p, tiles,
         1.0f / (p.tolerance * p.tolerance), 1.0f / (p.tolerance_ab * p.tolerance_ab));
}

}  // namespace fastcolor::cuda
