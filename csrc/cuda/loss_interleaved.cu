// The loss of logits (N, pixels, bins): a tile is one contiguous range. It is copied to shared memory, where its
// gradient takes its place; the threads of a pixel share out its channels.
#include "loss_tile.cuh"

namespace fastcolor::cuda {

namespace {

// Blocks of a multiprocessor at once: as many as shared memory leaves room for at 313 bins on one of 228 KB.
template <class T>
constexpr int kResidentBlocks = sizeof(T) == 8 ? 2 : 5;

// 2^log_count pixels.
template <class T>
__global__ void __launch_bounds__(kLossThreads, kResidentBlocks<T>)
    interleaved_loss_kernel(LossParams p, Divisor tiles, int log_count) {
  using C = Compute<T>;
  constexpr C k = static_cast<C>(math::kLog2E);
  const int bins = p.palette.bins, stride = row_stride(bins), count = 1 << log_count;
  const LossShared<T> shared(p, count, kLossThreads >> log_count, stride << log_count);
  const Tile tile = tile_of_block(tiles, count);
  const int64_t first = tile.image * p.pixels + tile.first, left = p.pixels - tile.first;
  const int rows = left < count ? static_cast<int>(left) : count;
  copy_rows<kLossThreads, true>(static_cast<const T*>(p.logits) + first * bins, shared.logits, rows, bins);

  const int slot = threadIdx.x;  // the first threads finish one pixel each
  const bool finishes_kept = slot < rows && is_kept(p, first + slot);
  if (finishes_kept) {
    const float* ab = p.ab + tile.image * 2 * p.pixels + tile.first + slot;
    encode_pixel(ab[0], ab[p.pixels], p.palette, p.neighbours, p.sigma_ab, count, shared.index + slot,
                 shared.weight + slot);
  }
  __syncthreads();
  // This thread's pixel and channels.
  const int pixel = threadIdx.x & (count - 1), part = threadIdx.x >> log_count;
  const Channels channels = channels_of(bins, part, kLogWarps + 5 - log_count);
  T* mine = shared.logits + pixel * stride;
  math::Softmax<C> softmax;
  if (pixel < rows) {
    each_group(channels, [&](int c, int n) {
      C v[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; u++) v[u] = u < n ? C(math::load(mine + c + u)) : absent_logit<C>();
      softmax.raise(v, k);
#pragma unroll
      for (int u = 0; u < kUnroll; u++) softmax.add(v[u], k);
    });
  }
  shared.slots[part * count + pixel] = softmax.largest;
  shared.slots[(shared.parts + part) * count + pixel] = softmax.sum;
  __syncthreads();
  if (slot < rows) {
    const C loss = !finishes_kept ? C(0) : finish_pixel(p, shared, slot, [&](int32_t bin) {
      return C(math::load(shared.logits + slot * stride + bin));
    });
    static_cast<C*>(p.pixel_loss)[first + slot] = loss;
  }
  if (p.grad_logits == nullptr) return;
  __syncthreads();
  // Gradients as if no bin were a target; the slots hold what belongs to those that are.
  if (pixel < rows) {
    const PixelGradient<C> gradient(shared.largest[pixel], shared.factor[pixel]);
    if (is_kept(p, first + pixel)) {
      each_group(channels, [&](int c, int n) {
#pragma unroll
        for (int u = 0; u < kUnroll; u++) {
          if (u < n) math::store(mine + c + u, gradient.of(math::load(mine + c + u)));
        }
      });
    } else {
      for (int c = channels.first; c < channels.last; c++) mine[c] = T{};
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < p.neighbours << log_count; i += kLossThreads) {
    const int other = i & (count - 1);
    if (other >= rows || !is_kept(p, first + other)) continue;
    math::store(shared.logits + other * stride + shared.index[i], shared.slots[i]);
  }
  __syncthreads();
  copy_rows<kLossThreads, false>(shared.logits, static_cast<T*>(p.grad_logits) + first * bins, rows, bins);
}

template <class T>
void launch_interleaved(const LossParams& p) {
  const auto bytes = [&](int log_count) {
    return LossShared<T>::bytes(p, 1 << log_count, kLossThreads >> log_count,
                                static_cast<size_t>(row_stride(p.palette.bins)) << log_count);
  };
  int log_count = 5;  // 4 pixels of 1024 doubles fit
  while (log_count > 2 && bytes(log_count) > kPlainSharedBytes) log_count--;
  const int64_t tiles = ceil_div(p.pixels, 1 << log_count);
  launch(p.target, Launch(p.images * tiles, kLossThreads, bytes(log_count)), interleaved_loss_kernel<T>, p, tiles,
         log_count);
}

}  // namespace

void loss_interleaved(const LossParams& p) {
  dispatch_float(p.dtype, [&](auto t) { launch_interleaved<decltype(t)>(p); });
}

}  // namespace fastcolor::cuda
