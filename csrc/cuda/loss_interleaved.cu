// The loss of logits (N, pixels, bins): a tile is one contiguous range; lanes over channels, warps over pixels.
#include "loss_tile.cuh"

namespace fastcolor::cuda {

namespace {

// One pixel's loss; its gradient takes the place of its logits in `pixel`, (bins) in shared memory. A whole warp calls.
// index, weight: of the pixel's target bins, `stride` apart.
template <class T>
__device__ __forceinline__ Compute<T> finish_pixel(const LossParams& p, T* pixel, const int32_t* index,
                                                   const float* weight, int stride) {
  using C = Compute<T>;
  const int lane = threadIdx.x % kWarpThreads, bins = p.palette.bins;
  math::Softmax<C> softmax;
  C& largest = softmax.largest;
  for (int c = lane; c < bins; c += kWarpThreads) largest = math::max_of(largest, C(math::load(pixel + c)));
  largest = warp_max(largest);
  for (int c = lane; c < bins; c += kWarpThreads) softmax.add(C(math::load(pixel + c)), C(math::kLog2E));
  const C sum = warp_sum(softmax.sum);

  const bool target = lane < p.neighbours;  // a lane each; see Note [Focal gradient]
  const int32_t bin = target ? index[lane * stride] : 0;
  const C z = target ? static_cast<C>(weight[lane * stride]) : C(0), gamma = static_cast<C>(p.gamma);
  const C log_p = C(math::load(pixel + bin)) - largest - std::log(sum);
  const math::TargetTerms<C> terms = math::target_terms(z, log_p, gamma);
  const C h = target ? terms.h : C(0), h_sum = warp_sum(h), total = warp_sum(target ? terms.loss : C(0));
  const float pixel_weight = class_weight_of(p, index[0]);
  if (p.grad_logits != nullptr) {
    const C scale = static_cast<C>(pixel_weight) * gradient_scale<C>(p),
            factor = math::gradient_factor(scale, h_sum, sum);
    __syncwarp();  // every lane has its target's logit
    for (int c = lane; c < bins; c += kWarpThreads) {
      math::store(pixel + c, math::exp_fast(C(math::load(pixel + c)) - largest) * factor);
    }
    __syncwarp();
    if (target) math::store(pixel + bin, math::target_gradient(scale, math::exp_fast(log_p), h_sum, h));
  }
  return static_cast<C>(pixel_weight) * total;
}

// Shared memory: the logits of `count` pixels, then index and weight (neighbours, count).
template <class T>
__global__ void __launch_bounds__(kBlockThreads, kResidentBlocks<T>) interleaved_loss_kernel(LossParams p, int count) {
  const int bins = p.palette.bins;
  T* logits = reinterpret_cast<T*>(shared_memory());
  int32_t* index = reinterpret_cast<int32_t*>(logits + count * bins);
  float* weight = reinterpret_cast<float*>(index + p.neighbours * count);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * count, left = p.images * p.pixels - first;
  const int n = left < count ? static_cast<int>(left) : count;

  copy_flat(static_cast<const T*>(p.logits) + first * bins, logits, n * bins);
  if (static_cast<int>(threadIdx.x) < n && is_kept(p, first + threadIdx.x)) {
    const int64_t image = (first + threadIdx.x) / p.pixels, pixel = first + threadIdx.x - image * p.pixels;
    const float* ab = p.ab + image * 2 * p.pixels + pixel;
    encode_pixel(ab[0], ab[p.pixels], p.palette, p.neighbours, p.sigma_ab, count, index + threadIdx.x,
                 weight + threadIdx.x);
  }
  __syncthreads();
  for (int i = threadIdx.x / kWarpThreads; i < n; i += kBlockWarps) {
    Compute<T> loss = 0;
    if (is_kept(p, first + i)) {
      loss = finish_pixel(p, logits + i * bins, index + i, weight + i, count);
    } else {
      for (int c = threadIdx.x % kWarpThreads; c < bins; c += kWarpThreads) logits[i * bins + c] = T{};
    }
    if (threadIdx.x % kWarpThreads == 0) static_cast<Compute<T>*>(p.pixel_loss)[first + i] = loss;
  }
  if (p.grad_logits == nullptr) return;
  __syncthreads();
  copy_flat(logits, static_cast<T*>(p.grad_logits) + first * bins, n * bins);
}

template <class T>
void launch_interleaved(const LossParams& p) {
  // 4 pixels of 1024 doubles fit, 8 of floats, 16 of 16-bit values: every tile starts 16-byte aligned if the first
  // does.
  const size_t pixel = static_cast<size_t>(p.palette.bins) * sizeof(T) + static_cast<size_t>(p.neighbours) * 8;
  int count = kWarpThreads;
  while (count > 4 && static_cast<size_t>(count) * pixel > kPlainSharedBytes) count /= 2;
  launch(p.target, Launch(ceil_div(p.images * p.pixels, count), kBlockThreads, static_cast<size_t>(count) * pixel),
         interleaved_loss_kernel<T>, p, count);
}

}  // namespace

void loss_interleaved(const LossParams& p) {
  dispatch_float(p.dtype, [&](auto t) { launch_interleaved<decltype(t)>(p); });
}

}  // namespace fastcolor::cuda
