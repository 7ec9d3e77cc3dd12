// scale_grad: a gradient times one factor, or one factor a pixel, in place.
#include "reduce.cuh"

namespace fastcolor::cuda {

namespace {

constexpr int kBlockWarps = 8, kBlockThreads = kBlockWarps * kWarpThreads;  // of a block

// One factor for all: nothing is touched when it is 1, as it is behind loss.backward().
template <class T>
__global__ void __launch_bounds__(kBlockThreads) scale_grad_kernel(T* grad, const Compute<T>* factor, int64_t count) {
  const Compute<T> f = *factor;
  if (f == Compute<T>(1)) return;
  constexpr int kWord = kWordElements<T>;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
  if (aligned(grad, 16) && (thread + 1) * kWord <= count) {
    Pack<T, kWord> pack = load_pack<kWord>(grad + thread * kWord);
#pragma unroll
    for (int i = 0; i < kWord; i++) math::store(&pack.value[i], math::load(&pack.value[i]) * f);
    store_pack(grad + thread * kWord, pack);
  } else {
    for (int64_t i = thread * kWord; i < count && i < (thread + 1) * kWord; i++) {
      math::store(grad + i, math::load(grad + i) * f);
    }
  }
}

// One factor a pixel. A run is what lies side by side: the pixels of a channel, or the channels of a pixel. A warp
// scales kUnroll * kWarpThreads elements of one run.
template <class T>
__global__ void __launch_bounds__(kBlockThreads)
    scale_grad_per_pixel_kernel(ScaleGradParams p, int64_t runs, int64_t length, int64_t parts) {
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * kBlockWarps + threadIdx.x / kWarpThreads, run = warp / parts;
  if (run >= runs) return;
  T* grad = static_cast<T*>(p.grad) + run * length;
  // The factor of a run's first element, and how far the next element's is from it.
  const int64_t at = p.channels_last ? run : run / p.bins * p.pixels, step = p.channels_last ? 0 : 1;
  const Compute<T>* factor = static_cast<const Compute<T>*>(p.factor) + at;
  const int64_t first = (warp - run * parts) * (kUnroll * kWarpThreads) + threadIdx.x % kWarpThreads;
#pragma unroll
  for (int u = 0; u < kUnroll; u++) {
    const int64_t i = first + u * kWarpThreads;
    if (i < length) math::store(grad + i, math::load(grad + i) * factor[i * step]);
  }
}

}  // namespace

void scale_grad(const ScaleGradParams& p) {
  const int64_t count = p.images * p.pixels * p.bins;
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    if (!p.per_pixel) {
      constexpr int64_t kBlockElements = kBlockThreads * kWordElements<T>;
      launch(p.target, Launch(ceil_div(count, kBlockElements), kBlockThreads), scale_grad_kernel<T>,
             static_cast<T*>(p.grad), static_cast<const Compute<T>*>(p.factor), count);
      return;
    }
    const int64_t length = p.channels_last ? p.bins : p.pixels, runs = count == 0 ? 0 : count / length;
    const int64_t parts = ceil_div(length, kUnroll * kWarpThreads);
    launch(p.target, Launch(ceil_div(runs * parts, kBlockWarps), kBlockThreads), scale_grad_per_pixel_kernel<T>, p,
           runs, length, parts);
  });
}

}  // namespace fastcolor::cuda
