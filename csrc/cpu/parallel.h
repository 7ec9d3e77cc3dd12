// What the CPU kernels share: loops over threads, scratch memory, the table of launchers. Every file of csrc/cpu is
// compiled once an instruction set, in a namespace of its own, so that nothing built for one processor can be linked
// into the code for another.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "../ops.h"

#ifndef FASTCOLOR_ISA
#error "compile csrc/cpu with -DFASTCOLOR_ISA=<namespace>"
#endif

namespace fastcolor::cpu::FASTCOLOR_ISA {

// Calls f(i) for i in [0, count). `cost`: work of one call in f32 in nanoseconds, measured on one core of an AMD EPYC
// (Zen 5) and rounded, right to a factor of three; below about 0.3 ms in all a second thread costs more than it saves,
// and nothing else depends on it.
template <class F>
void parallel_for(int64_t count, double cost, int threads, F&& f) {
  if (threads <= 1 || count <= 1 || static_cast<double>(count) * cost < 3e5) {
    for (int64_t i = 0; i < count; i++) f(i);
    return;
  }
  // Threads fetch work in shares of about 60 us, as long as there are eight for each: a fetch takes 0.1 us when another
  // thread is at the same counter.
  [[maybe_unused]] const int64_t share =
      std::clamp<int64_t>(static_cast<int64_t>(6e4 / cost), 1, std::max<int64_t>(count / (8 * threads), 1));
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, share) num_threads(threads)
#endif
  for (int64_t i = 0; i < count; i++) f(i);
}

// Calls f(image, first, n) for runs of at most `chunk` pixels; `cost` of one pixel, as above.
template <class F>
void parallel_chunks(int64_t images, int64_t pixels, int64_t chunk, double cost, int threads, F&& f) {
  const int64_t chunks = (pixels + chunk - 1) / chunk;
  parallel_for(images * chunks, cost * static_cast<double>(std::min(chunk, pixels)), threads, [&](int64_t i) {
    const int64_t first = i % chunks * chunk;
    f(i / chunks, first, static_cast<int>(std::min(chunk, pixels - first)));
  });
}

// Scratch memory of this thread, kept between calls so that its pages stay mapped. Not cleared. The next call from the
// same thread reuses it.
template <class T>
T* scratch(int64_t count) {
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  thread_local std::unique_ptr<void, Free> buffer;
  thread_local int64_t capacity = 0;
  const int64_t bytes = (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
  if (bytes > capacity) {
    buffer.reset();
    buffer.reset(std::aligned_alloc(64, static_cast<size_t>(bytes)));
    if (!buffer) std::abort();
    capacity = bytes;
  }
  return static_cast<T*>(buffer.get());
}

// The launchers of this instruction set.
const Ops& ops();

// The nearest bins of a run of pixels, shared by encode_bins and loss. a, b: (n); index, weight: (neighbours, stride).
void encode_run(const float* a, const float* b, int n, const Palette& palette, int neighbours, float sigma_ab,
                int64_t stride, int32_t* index, float* weight);

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
