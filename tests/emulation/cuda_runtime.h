// The words of CUDA that csrc/cuda uses, for a C++ compiler: the very kernels run on the CPU, a block after the other.
//
// The threads of a block are fibers. A thread runs until a barrier or a shuffle, then another one does, in an order
// shuffled by FASTCOLOR_EMULATION_SEED, as that of the blocks is: results that depend on a missing barrier, or on the
// order of blocks, change with the seed. Dynamic shared memory has exactly the size of the launch, is filled with NaN,
// and stands between fences. What is wrong becomes a launch error in words. It sees indices and synchronisation; not
// speed, inline PTX, a GPU's arithmetic or blocks that run at once.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 64 << 10, kFenceBytes = 4 << 10;
constexpr int kDevices = 2;
constexpr int kSharedBytesPerBlock = 227 << 10, kSharedBytesPerMultiprocessor = 228 << 10;  // as on sm_90

enum class State { kReady, kAtBarrier, kAtWarpBarrier, kAtShuffle, kDone };

struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  ucontext_t context;
  jmp_buf resume;
  bool started = false;
  State state = State::kDone;
  int shuffles = 0;
  uint64_t slot[2];  // what it offers to a shuffle; two, so that the next one cannot overtake a reader
  void* fake_stack = nullptr;
};

struct Machine {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::function<void()> kernel;
  ucontext_t scheduler_context;
  jmp_buf scheduler;
  size_t current = 0;
  std::vector<unsigned char> shared;  // fence, bytes of the launch, fence
  size_t shared_size = 0;
  uint32_t random = 0;
  std::string error;
  int device = 0;
  std::map<const void*, int> most_shared;  // set by cudaFuncSetAttribute
  const void* scheduler_stack = nullptr;
  size_t scheduler_stack_bytes = 0;
  void* scheduler_fake_stack = nullptr;
};
inline Machine machine;

inline void log(const std::string& line) {
  if (const char* path = std::getenv("FASTCOLOR_EMULATION_LOG")) {
    if (FILE* file = std::fopen(path, "a")) {
      std::fprintf(file, "%s\n", line.c_str());
      std::fclose(file);
    }
  }
}

// ---- switching: setjmp spares the system calls of swapcontext, which the address sanitizer needs to follow ----

__attribute__((noinline)) inline void leave(State state) {
  Fiber& self = *machine.fibers[machine.current];
  self.state = state;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&self.fake_stack, machine.scheduler_stack, machine.scheduler_stack_bytes);
  swapcontext(&self.context, &machine.scheduler_context);
  __sanitizer_finish_switch_fiber(machine.fibers[machine.current]->fake_stack, nullptr, nullptr);
#else
  if (_setjmp(self.resume) == 0) _longjmp(machine.scheduler, 1);
#endif
}

// A fiber runs one thread of one block after the other.
inline void run_fiber() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &machine.scheduler_stack, &machine.scheduler_stack_bytes);
#endif
  for (;;) {
    machine.kernel();
    leave(State::kDone);
  }
}

__attribute__((noinline)) inline void enter(size_t i) {
  Fiber& fiber = *machine.fibers[i];
  machine.current = i;
  threadIdx = dim3(static_cast<unsigned>(i));
  threadIdx.y = threadIdx.z = 0;
  if (!fiber.started) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run_fiber, 0);
  }
#ifdef __SANITIZE_ADDRESS__
  fiber.started = true;
  __sanitizer_start_switch_fiber(&machine.scheduler_fake_stack, fiber.stack.get(), kStackBytes);
  swapcontext(&machine.scheduler_context, &fiber.context);
  __sanitizer_finish_switch_fiber(machine.scheduler_fake_stack, nullptr, nullptr);
#else
  if (_setjmp(machine.scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  setcontext(&fiber.context);
#endif
}

// ---- one block ----

inline size_t count_in(State state, size_t first, size_t last) {
  size_t count = 0;
  for (size_t i = first; i < last; i++) count += machine.fibers[i]->state == state ? 1 : 0;
  return count;
}
inline void release(size_t first, size_t last) {
  for (size_t i = first; i < last; i++) machine.fibers[i]->state = State::kReady;
}

template <class T>
void shuffle_order(std::vector<T>& order) {
  for (size_t i = order.size(); machine.random != 0 && i > 1; i--) {
    machine.random = machine.random * 1664525u + 1013904223u;
    std::swap(order[i - 1], order[(machine.random >> 8) % i]);
  }
}

// Runs all threads to their end; false with machine.error when they wait for each other.
inline bool run_threads(size_t threads) {
  std::vector<size_t> order(threads);
  for (size_t i = 0; i < threads; i++) order[i] = i;
  release(0, threads);
  for (;;) {
    shuffle_order(order);
    for (const size_t i : order) {
      if (machine.fibers[i]->state == State::kReady) enter(i);
    }
    bool released = false;
    for (size_t warp = 0; warp < threads; warp += kWarp) {
      const size_t end = warp + kWarp < threads ? warp + kWarp : threads;
      for (const State state : {State::kAtWarpBarrier, State::kAtShuffle}) {
        if (count_in(state, warp, end) == end - warp) release(warp, end), released = true;
      }
    }
    const size_t waiting = count_in(State::kAtBarrier, 0, threads), done = count_in(State::kDone, 0, threads);
    if (done == threads) return true;
    if (waiting == threads) release(0, threads), released = true;
    if (released) continue;
    const bool gone = waiting > 0 && waiting + done == threads;
    machine.error = gone ? "a barrier that threads which have returned never reach"
                         : "threads wait at different barriers or shuffles";
    return false;
  }
}

inline bool run_block(size_t threads, size_t shared_bytes) {
  machine.shared.assign(shared_bytes + 2 * kFenceBytes, 0xff);  // NaN in every floating-point type
  machine.shared_size = shared_bytes;
  unsigned char* const fence[2] = {machine.shared.data(), machine.shared.data() + kFenceBytes + shared_bytes};
#ifdef __SANITIZE_ADDRESS__
  for (unsigned char* f : fence) __asan_poison_memory_region(f, kFenceBytes);
#endif
  const bool finished = run_threads(threads);
#ifdef __SANITIZE_ADDRESS__
  for (unsigned char* f : fence) __asan_unpoison_memory_region(f, kFenceBytes);
#endif
  for (size_t i = 0; i < kFenceBytes; i++) {
    if (fence[0][i] != 0xff || fence[1][i] != 0xff) machine.error = "shared memory was written out of bounds";
  }
  if (finished && machine.error.empty()) return true;
  for (const auto& fiber : machine.fibers) fiber->started = false;  // their stacks hold a kernel cut short
  return false;
}

inline unsigned char* shared_bytes() { return machine.shared.data() + kFenceBytes; }

template <class T>
T shuffle(T value, size_t lane) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  Fiber& self = *machine.fibers[machine.current];
  const int turn = self.shuffles++ % 2;
  std::memcpy(&self.slot[turn], &value, sizeof(T));
  const size_t source = machine.current / kWarp * kWarp + lane;
  leave(State::kAtShuffle);
  T result;
  std::memcpy(&result, &machine.fibers[source]->slot[turn], sizeof(T));
  return result;
}

}  // namespace emulation

inline void __syncthreads() { emulation::leave(emulation::State::kAtBarrier); }
inline void __syncwarp() { emulation::leave(emulation::State::kAtWarpBarrier); }
// Bytes 0-3 of a and 4-7 of b, chosen by the selector's four digits.
inline uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
  uint32_t chosen = 0;
  for (int i = 0; i < 4; i++) chosen |= static_cast<uint32_t>(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
  return chosen;
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulation::shuffle(value, (threadIdx.x % emulation::kWarp) ^ static_cast<unsigned>(mask));
}

// ---- the runtime ----

enum cudaError_t { cudaSuccess, cudaErrorInvalidValue, cudaErrorInvalidDevice, cudaErrorLaunchFailure };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerMultiprocessor, cudaDevAttrMaxSharedMemoryPerBlockOptin };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
using cudaStream_t = void*;

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

inline const char* cudaGetErrorName(cudaError_t) { return "emulation"; }
inline const char* cudaGetErrorString(cudaError_t) { return emulation::machine.error.c_str(); }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t emulation_error(cudaError_t error, const char* words) {
  emulation::machine.error = words;
  return error;
}

inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulation::kDevices;
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = emulation::machine.device;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= emulation::kDevices) return emulation_error(cudaErrorInvalidDevice, "no such device");
  emulation::machine.device = device;
  emulation::log("device " + std::to_string(device));
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  char line[64];
  std::snprintf(line, sizeof(line), "memset device %d stream %zx", emulation::machine.device,
                reinterpret_cast<size_t>(stream));
  emulation::log(line);
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  if (which == cudaDevAttrMaxSharedMemoryPerBlockOptin) {
    *value = emulation::kSharedBytesPerBlock;
    return cudaSuccess;
  }
  const char* other = std::getenv("FASTCOLOR_EMULATION_SHARED");  // of a smaller GPU
  *value = other == nullptr ? emulation::kSharedBytesPerMultiprocessor : std::atoi(other);
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int bytes) {
  if (bytes > emulation::kSharedBytesPerBlock) return emulation_error(cudaErrorInvalidValue, "too much shared memory");
  emulation::machine.most_shared[reinterpret_cast<const void*>(kernel)] = bytes;
  emulation::log("most shared memory " + std::to_string(bytes));
  return cudaSuccess;
}

namespace emulation {

// Whoever wants to carry out launches in place of the fibers: tests/emulation/launches.py, with a GPU's machine code.
// Gets the kernel's offset in this library, blocks, threads, bytes of shared memory, and the parameters as a GPU gets
// them; returns 0, or anything else when it failed.
using OnLaunch = int (*)(size_t kernel, unsigned blocks, unsigned threads, size_t shared_bytes, const void* parameters,
                         size_t parameter_bytes);
inline OnLaunch on_launch = nullptr;
extern "C" __attribute__((visibility("default"), used)) inline void fastcolor_emulation_on_launch(OnLaunch f) {
  on_launch = f;
}

template <class... Params>
std::vector<unsigned char> packed_parameters(const Params&... params) {
  std::vector<unsigned char> bytes;
  const auto add = [&](const void* param, size_t size, size_t alignment) {
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment + size);
    std::memcpy(bytes.data() + bytes.size() - size, param, size);
  };
  (add(&params, sizeof(params), alignof(Params)), ...);
  bytes.resize((bytes.size() + 3) / 4 * 4);
  return bytes;
}

}  // namespace emulation

// Kernels are logged by their offset in this library, which the symbol table turns into a name.
template <class... Params>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Params... params) {
  using emulation::machine;
  const void* address = reinterpret_cast<const void*>(kernel);
  const size_t threads = config->blockDim.x,
               most = machine.most_shared.count(address) ? static_cast<size_t>(machine.most_shared[address]) : 48 << 10;
  if (config->gridDim.x == 0 || threads == 0 || threads > 1024)
    return emulation_error(cudaErrorInvalidValue, "invalid launch size");
  if (config->dynamicSmemBytes > most)
    return emulation_error(cudaErrorInvalidValue, "more shared memory than was asked for");
  Dl_info library{};
  dladdr(address, &library);
  char line[96];
  std::snprintf(line, sizeof(line), "launch %zx device %d stream %zx",
                static_cast<size_t>(static_cast<const char*>(address) - static_cast<const char*>(library.dli_fbase)),
                machine.device, reinterpret_cast<size_t>(config->stream));
  emulation::log(line);
  if (emulation::on_launch != nullptr) {
    const std::vector<unsigned char> bytes = emulation::packed_parameters(params...);
    const int problem = emulation::on_launch(
        static_cast<size_t>(static_cast<const char*>(address) - static_cast<const char*>(library.dli_fbase)),
        config->gridDim.x, config->blockDim.x, config->dynamicSmemBytes, bytes.data(), bytes.size());
    return problem == 0 ? cudaSuccess : emulation_error(cudaErrorLaunchFailure, "the machine code's run failed");
  }

  const char* seed = std::getenv("FASTCOLOR_EMULATION_SEED");
  machine.random = seed == nullptr || *seed == 0 ? 0 : static_cast<uint32_t>(std::atoi(seed)) * 2654435761u | 1u;
  machine.error.clear();
  machine.kernel = [=] { kernel(params...); };
  while (machine.fibers.size() < threads) machine.fibers.push_back(std::make_unique<emulation::Fiber>());
  gridDim = config->gridDim, blockDim = config->blockDim;
  std::vector<unsigned> blocks(gridDim.x);
  for (unsigned i = 0; i < gridDim.x; i++) blocks[i] = i;
  emulation::shuffle_order(blocks);
  for (const unsigned block : blocks) {
    blockIdx = dim3(block, 0, 0);
    if (!emulation::run_block(threads, config->dynamicSmemBytes)) {
      machine.error += ", block " + std::to_string(block);
      return cudaErrorLaunchFailure;
    }
  }
  return cudaSuccess;
}
