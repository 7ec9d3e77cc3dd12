// Of the 256 code values of 8 bits, in shared memory: a lookup in place of powers. sRGB's linear light, and a gray's fy.
#pragma once

#include "../math/color.h"
#include "launch.cuh"

namespace fastcolor::cuda {

constexpr int kTableSize = 256;
constexpr size_t kTableBytes = kTableSize * sizeof(float);

// table: (256) in shared memory, of f(code / 255), filled by all threads of the block. Another thread may read it after
// the next barrier.
template <class F>
__device__ __forceinline__ void fill_table(float* table, F&& f) {
  for (int code = threadIdx.x; code < 256; code += blockDim.x) table[code] = f(static_cast<float>(code) * (1 / 255.0f));
}
__device__ __forceinline__ void fill_linear_table(float* table) {
  fill_table(table, [](float gray) { return math::srgb_to_linear(gray); });
}
__device__ __forceinline__ void fill_fy_table(float* table) {
  fill_table(table, [](float gray) { return math::gray_to_fy(gray); });
}

}  // namespace fastcolor::cuda
