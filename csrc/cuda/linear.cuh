// Linear light of the 256 code values of 8-bit sRGB, in shared memory: a lookup in place of a power.
#pragma once

#include "../math/color.h"
#include "launch.cuh"

namespace fastcolor::cuda {

constexpr size_t kLinearTableBytes = 256 * sizeof(float);

// table: (256) in shared memory, filled by all threads of the block. Ends in a barrier.
__device__ __forceinline__ void fill_linear_table(float* table) {
  for (int code = threadIdx.x; code < 256; code += blockDim.x) {
    table[code] = math::srgb_to_linear(static_cast<float>(code) * (1 / 255.0f));
  }
  __syncthreads();
}

}  // namespace fastcolor::cuda
