// What every CUDA launcher shares: the device guard, the checked launch, and how a grid covers images.
// No launcher allocates or waits, so all can be captured into a CUDA graph.
//
// Sizes in csrc/cuda (threads of a block, blocks of a multiprocessor, loads in flight) follow from the reasons beside
// them and from nvcc's report of registers; none was timed on a GPU. Without a reason it is 128 or 256 threads, which
// divide the 2048 of a multiprocessor and leave a grid enough blocks.
#pragma once

#include <cuda_runtime.h>

#include "../ops.h"

namespace fastcolor::cuda {

constexpr int kWarpThreads = 32;  // threads of a warp
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr size_t kPlainSharedBytes = 48 << 10;  // CUDA's limit: more dynamic shared memory has to be asked for

// Throws what CUDA says, and where.
inline void check(cudaError_t error, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // a failed launch leaves its error behind, and whoever asks next would take it for their own
  const char* slash = std::strrchr(file, '/');
  throw std::runtime_error(std::string(slash == nullptr ? file : slash + 1) + ":" + std::to_string(line) + ": " +
                           cudaGetErrorName(error) + ": " + cudaGetErrorString(error));
}

// Makes a device current, and the previous one again at the end.
class DeviceGuard {
 public:
  DeviceGuard(int device, const char* file, int line) {
    check(cudaGetDevice(&previous_), file, line);
    changed_ = previous_ != device;
    if (changed_) check(cudaSetDevice(device), file, line);
  }
  ~DeviceGuard() {
    if (changed_) cudaSetDevice(previous_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int previous_ = 0;
  bool changed_ = false;
};

// Size of one launch, and the line that asked for it.
struct Launch {
  Launch(int64_t block_count, int thread_count, size_t shared = 0, const char* in_file = __builtin_FILE(),
         int at_line = __builtin_LINE())
      : blocks(block_count), threads(thread_count), shared_bytes(shared), file(in_file), line(at_line) {}
  int64_t blocks;  // 0 launches nothing
  int threads;
  size_t shared_bytes;  // dynamic
  const char* file;
  int line;
};

template <class... Params, class... Args>
void launch(const Target& target, const Launch& size, void (*kernel)(Params...), const Args&... args) {
  if (size.blocks == 0) return;
  if (size.blocks > INT32_MAX) {
    throw std::runtime_error("too large for one CUDA launch: " + std::to_string(size.blocks) + " blocks");
  }
  const DeviceGuard guard(target.device, size.file, size.line);
  if (size.shared_bytes > kPlainSharedBytes) {
    // The device's most, not this launch's: the attribute is the kernel's, and a launch of another thread may need
    // more.
    int most = 0;
    check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, target.device), size.file, size.line);
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most), size.file, size.line);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(size.blocks));
  config.blockDim = dim3(static_cast<unsigned>(size.threads));
  config.dynamicSmemBytes = size.shared_bytes;
  config.stream = static_cast<cudaStream_t>(target.stream);
  check(cudaLaunchKernelEx(&config, kernel, Params(args)...), size.file, size.line);
}

inline void set_zero(const Target& target, void* memory, size_t bytes, const char* file = __builtin_FILE(),
                     int line = __builtin_LINE()) {
  if (bytes == 0) return;
  const DeviceGuard guard(target.device, file, line);
  check(cudaMemsetAsync(memory, 0, bytes, static_cast<cudaStream_t>(target.stream)), file, line);
}

constexpr int64_t ceil_div(int64_t count, int64_t size) { return (count + size - 1) / size; }

// Divides block numbers, which are below 2^31, by a number of the launch in three instructions; a division is some 25.
// n / d = n m / 2^(31 + s) for 2^(s-1) < d <= 2^s and m = 2^(31 + s) / d rounded up: the error, at most n d / (d
// 2^(31 + s)), is less than 1 / d. (Granlund and Montgomery, "Division by invariant integers", PLDI 1994.)
class Divisor {
 public:
  Divisor(int64_t divisor) : divisor_(static_cast<unsigned>(divisor)), shift_(0) {
    while ((int64_t{1} << shift_) < divisor) shift_++;
    multiplier_ = divisor > 0 ? static_cast<unsigned>(((uint64_t{1} << (31 + shift_)) + divisor - 1) / divisor) : 0;
  }
  FC_HD unsigned quotient(unsigned n) const {
    return static_cast<unsigned>((static_cast<uint64_t>(2 * n) * multiplier_) >> 32) >> shift_;
  }
  FC_HD unsigned value() const { return divisor_; }

 private:
  unsigned divisor_, multiplier_, shift_;
};

// A grid of images, each cut into `tiles` runs of `size` pixels: one block a tile.
struct Tile {
  int64_t image, first;
};
__device__ __forceinline__ Tile tile_of_block(const Divisor& tiles, int size) {
  const unsigned image = tiles.quotient(blockIdx.x);
  return {image, static_cast<int64_t>(blockIdx.x - image * tiles.value()) * size};
}

// A block owns a part of one row. All rows of all images are numbered through.
struct RowPart {
  int64_t image, row, first;  // first: column
};
__device__ __forceinline__ RowPart part_of_block(const Divisor& rows_per_image, const Divisor& parts, int size) {
  const unsigned row = parts.quotient(blockIdx.x), image = rows_per_image.quotient(row);
  return {image, row - image * rows_per_image.value(), static_cast<int64_t>(blockIdx.x - row * parts.value()) * size};
}

// The dynamic shared memory of the block, 16-byte aligned. All shared memory is dynamic, so that the emulation of
// tests/ can fill it with NaN and fence it.
__device__ __forceinline__ unsigned char* shared_memory() {
#ifdef __CUDACC__
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  return shared_bytes;
#else
  return emulation::shared_bytes();
#endif
}

}  // namespace fastcolor::cuda
