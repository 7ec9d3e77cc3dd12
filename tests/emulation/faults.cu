// Kernels with one planted fault each: what the emulation must catch. Usage: faults NAME; prints "right" or what is
// wrong. Each kernel should turn the values of its block around: to[i] = from[n - 1 - i].
#include <cmath>
#include <cstdio>
#include <string>

#include "../../csrc/cuda/launch.cuh"

namespace {

using fastcolor::cuda::shared_memory;

constexpr int kThreads = 64;

enum Fault {
  kNone,
  kMissingBarrier,
  kRaceInOneOrder,  // right when threads run in ascending order
  kDivergentBarrier,
  kReturnBeforeBarrier,
  kDivergentShuffle,
  kSharedOverrun,
  kGlobalOverrun,
  kUninitialised,
};

template <Fault fault>
__global__ void turn_kernel(const float* from, float* to) {
  float* shared = reinterpret_cast<float*>(shared_memory());
  const int i = static_cast<int>(threadIdx.x), last = kThreads - 1;
  if (fault == kReturnBeforeBarrier && i == 5) return;
  if (fault != kUninitialised || i != 7) shared[fault == kSharedOverrun ? i + 1 : i] = from[i];
  if (fault == kDivergentBarrier && i < 16) {
    __syncwarp();
  } else if (fault != kMissingBarrier && fault != kRaceInOneOrder) {
    __syncthreads();
  }
  if (fault == kDivergentShuffle && i < 40) __shfl_xor_sync(0xffffffffu, 1.0f, 1);
  if (fault == kRaceInOneOrder) {  // the upper half reads what the lower half wrote, and stores for both
    if (i > last / 2) to[i] = shared[last - i], to[last - i] = from[i];
    return;
  }
  to[fault == kGlobalOverrun ? i + 1 : i] = shared[last - i];
}

template <Fault fault>
int run() {
  std::vector<float> from(kThreads), to(kThreads);
  for (int i = 0; i < kThreads; i++) from[static_cast<size_t>(i)] = static_cast<float>(i);
  try {
    fastcolor::cuda::launch({0, nullptr, 1}, fastcolor::cuda::Launch(2, kThreads, kThreads * sizeof(float)),
                            turn_kernel<fault>, from.data(), to.data());
  } catch (const std::runtime_error& error) {
    std::puts(error.what());
    return 1;
  }
  for (size_t i = 0; i < kThreads; i++) {
    if (to[i] == from[kThreads - 1 - i]) continue;
    std::puts(std::isnan(to[i]) ? "NaN" : "wrong value");
    return 1;
  }
  std::puts("right");
  return 0;
}

}  // namespace

int main(int, char** argument) {
  const std::string name = argument[1];
  return name == "none"                    ? run<kNone>()
         : name == "missing_barrier"       ? run<kMissingBarrier>()
         : name == "race_in_one_order"     ? run<kRaceInOneOrder>()
         : name == "divergent_barrier"     ? run<kDivergentBarrier>()
         : name == "return_before_barrier" ? run<kReturnBeforeBarrier>()
         : name == "divergent_shuffle"     ? run<kDivergentShuffle>()
         : name == "shared_overrun"        ? run<kSharedOverrun>()
         : name == "global_overrun"        ? run<kGlobalOverrun>()
         : name == "uninitialised"         ? run<kUninitialised>()
                                           : 2;
}
