// The loss of logits (N, pixels, bins): a tile is one contiguous range; lanes over channels, warps over pixels.
#include "loss_tile.cuh"

namespace fastcolor::cuda {

namespace {

// One pixel's loss; its gradient takes the place of its logits in `row`, (bins) in shared memory. A whole warp calls.
// index, weight: of the pixel's target bins, `stride` apart.
template <class T>
__device__ __forceinline__ Compute<T> finish_row(const LossParams& p, T* row, const int32_t* index, const float* weight,
                                                 int stride) {
  using C = Compute<T>;
  const int lane = threadIdx.x % kWarpThreads, bins = p.palette.bins;
  math::Softmax<C> softmax;
  C& largest = softmax.largest;
  for (int c = lane; c < bins; c += kWarpThreads) largest = math::max_of(largest, C(math::load(row + c)));
  largest = warp_max(largest);
  for (int c = lane; c < bins; c += kWarpThreads) softmax.add(C(math::load(row + c)), C(math::kLog2E));
  const C sum = warp_sum(softmax.sum);

  const bool target = lane < p.neighbours;  // a lane each; see Note [Focal gradient]
  const int32_t bin = target ? index[lane * stride] : 0;
  const C z = target ? static_cast<C>(weight[lane * stride]) : C(0), gamma = static_cast<C>(p.gamma);
  const C log_p = C(math::load(row + bin)) - largest - std::log(sum);
  const C h = target ? z * math::focal_vjp(log_p, gamma) : C(0), h_sum = warp_sum(h);
  const C total = warp_sum(target ? z * math::focal(log_p, gamma) : C(0));
  const float pixel_weight = class_weight_of(p, index[0]);
  if (p.grad_logits != nullptr) {
    const C scale = static_cast<C>(pixel_weight) * gradient_scale<C>(p), factor = scale * h_sum / sum;
    __syncwarp();  // every lane has its target's logit
    for (int c = lane; c < bins; c += kWarpThreads) {
      math::store(row + c, math::exp_fast(C(math::load(row + c)) - largest) * factor);
    }
    __syncwarp();
    if (target) math::store(row + bin, scale * (math::exp_fast(log_p) * h_sum - h));
  }
  return static_cast<C>(pixel_weight) * total;
}

// Shared memory: the logits of `rows` pixels, then index and weight (neighbours, rows).
template <class T>
__global__ void __launch_bounds__(kBlockThreads, kResidentBlocks<T>) row_loss_kernel(LossParams p, int rows) {
  const int bins = p.palette.bins;
  T* tile = reinterpret_cast<T*>(shared_memory());
  int32_t* index = reinterpret_cast<int32_t*>(tile + rows * bins);
  float* weight = reinterpret_cast<float*>(index + p.neighbours * rows);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * rows, left = p.images * p.pixels - first;
  const int n = left < rows ? static_cast<int>(left) : rows;

  copy_flat(static_cast<const T*>(p.logits) + first * bins, tile, n * bins);
  if (static_cast<int>(threadIdx.x) < n && is_kept(p, first + threadIdx.x)) {
    const int64_t image = (first + threadIdx.x) / p.pixels, pixel = first + threadIdx.x - image * p.pixels;
    const float* ab = p.ab + image * 2 * p.pixels + pixel;
    math::encode_pixel(ab[0], ab[p.pixels], p.palette, p.neighbours, p.sigma_ab, rows, index + threadIdx.x,
                       weight + threadIdx.x);
  }
  __syncthreads();
  for (int i = threadIdx.x / kWarpThreads; i < n; i += kBlockWarps) {
    Compute<T> loss = 0;
    if (is_kept(p, first + i)) {
      loss = finish_row(p, tile + i * bins, index + i, weight + i, rows);
    } else {
      for (int c = threadIdx.x % kWarpThreads; c < bins; c += kWarpThreads) tile[i * bins + c] = T{};
    }
    if (threadIdx.x % kWarpThreads == 0) static_cast<Compute<T>*>(p.pixel_loss)[first + i] = loss;
  }
  if (p.grad_logits == nullptr) return;
  __syncthreads();
  copy_flat(tile, static_cast<T*>(p.grad_logits) + first * bins, n * bins);
}

template <class T>
void launch_rows(const LossParams& p) {
  // 4 rows of 1024 doubles fit, 8 of floats, 16 of 16-bit values: every tile starts 16-byte aligned if the first does.
  const size_t row = static_cast<size_t>(p.palette.bins) * sizeof(T) + static_cast<size_t>(p.neighbours) * 8;
  int rows = kWarpThreads;
  while (rows > 4 && static_cast<size_t>(rows) * row > kPlainSharedBytes) rows /= 2;
  launch(p.target, Launch(ceil_div(p.images * p.pixels, rows), kBlockThreads, static_cast<size_t>(rows) * row),
         row_loss_kernel<T>, p, rows);
}

}  // namespace

void loss_rows(const LossParams& p) {
  dispatch_float(p.dtype, [&](auto t) { launch_rows<decltype(t)>(p); });
}

}  // namespace fastcolor::cuda
