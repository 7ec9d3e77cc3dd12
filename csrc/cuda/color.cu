// rgb_to_lab, lab_to_rgb and their backward passes. Per pixel: 3 bytes or floats on the RGB side, 12 bytes of Lab.
// A thread owns four consecutive pixels of one image.
#include "../math/color.h"

#include "linear.cuh"
#include "vec.cuh"

namespace fastcolor::cuda {

namespace {

constexpr int kBlockThreads = 256;  // of a block
constexpr int kThreadPixels = 4;    // pixels of a thread: four floats are the widest word that one instruction moves
constexpr int kTilePixels = kBlockThreads * kThreadPixels;  // pixels of a tile, a block each

template <class T>
struct Run {
  T x[kThreadPixels], y[kThreadPixels], z[kThreadPixels];
};

// Where a thread's run lies: in image `image`, pixels first to first + n (n <= kThreadPixels; 0 for an idle thread).
struct Place {
  int64_t image, first;
  int n;
  bool wide;  // n is kThreadPixels and every pointer is aligned for packs of kThreadPixels elements
};
__device__ __forceinline__ Place place_of_thread(int64_t pixels, const Divisor& tiles, bool wide) {
  const Tile tile = tile_of_block(tiles, kTilePixels);
  const int64_t first = tile.first + static_cast<int64_t>(threadIdx.x) * kThreadPixels, left = pixels - first;
  return {tile.image, first,
          left >= kThreadPixels ? kThreadPixels
          : left > 0            ? static_cast<int>(left)
                                : 0,
          wide && left >= kThreadPixels};
}

// planes: (N,3,pixels), or (N,pixels,3) when `interleaved`. Pixels beyond n are 0.
template <class T>
__device__ __forceinline__ Run<T> load_run(const T* planes, int64_t pixels, bool interleaved, const Place& at) {
  Run<T> run;
  const T* image = planes + at.image * 3 * pixels;
  if (at.wide && interleaved) {
    const T* p = image + 3 * at.first;
    const Pack<T, kThreadPixels> pack[3] = {load_pack<kThreadPixels>(p), load_pack<kThreadPixels>(p + kThreadPixels),
                                            load_pack<kThreadPixels>(p + 2 * kThreadPixels)};
#pragma unroll
    for (int i = 0; i < kThreadPixels; i++) {
      run.x[i] = pack[3 * i / kThreadPixels].value[3 * i % kThreadPixels];
      run.y[i] = pack[(3 * i + 1) / kThreadPixels].value[(3 * i + 1) % kThreadPixels];
      run.z[i] = pack[(3 * i + 2) / kThreadPixels].value[(3 * i + 2) % kThreadPixels];
    }
  } else if (at.wide) {
    const T* p = image + at.first;
    const Pack<T, kThreadPixels> x = load_pack<kThreadPixels>(p), y = load_pack<kThreadPixels>(p + pixels),
                                 z = load_pack<kThreadPixels>(p + 2 * pixels);
#pragma unroll
    for (int i = 0; i < kThreadPixels; i++) run.x[i] = x.value[i], run.y[i] = y.value[i], run.z[i] = z.value[i];
  } else {
    const int64_t step = interleaved ? 3 : 1, plane = interleaved ? 1 : pixels;
    const T* p = image + at.first * step;
#pragma unroll
    for (int i = 0; i < kThreadPixels; i++) {
      run.x[i] = i < at.n ? p[i * step] : T(0);
      run.y[i] = i < at.n ? p[i * step + plane] : T(0);
      run.z[i] = i < at.n ? p[i * step + 2 * plane] : T(0);
    }
  }
  return run;
}

template <class T>
__device__ __forceinline__ void store_run(const Run<T>& run, T* planes, int64_t pixels, bool interleaved,
                                          const Place& at) {
  T* image = planes + at.image * 3 * pixels;
  if (at.wide && interleaved) {
    Pack<T, kThreadPixels> pack[3];
#pragma unroll
    for (int i = 0; i < kThreadPixels; i++) {
      pack[3 * i / kThreadPixels].value[3 * i % kThreadPixels] = run.x[i];
      pack[(3 * i + 1) / kThreadPixels].value[(3 * i + 1) % kThreadPixels] = run.y[i];
      pack[(3 * i + 2) / kThreadPixels].value[(3 * i + 2) % kThreadPixels] = run.z[i];
    }
#pragma unroll
    for (int i = 0; i < 3; i++) store_pack(image + 3 * at.first + i * kThreadPixels, pack[i]);
  } else if (at.wide) {
    Pack<T, kThreadPixels> x, y, z;
#pragma unroll
    for (int i = 0; i < kThreadPixels; i++) x.value[i] = run.x[i], y.value[i] = run.y[i], z.value[i] = run.z[i];
    T* p = image + at.first;
    store_pack(p, x);
    store_pack(p + pixels, y);
    store_pack(p + 2 * pixels, z);
  } else {
    const int64_t step = interleaved ? 3 : 1, plane = interleaved ? 1 : pixels;
    T* p = image + at.first * step;
#pragma unroll
    for (int i = 0; i < kThreadPixels; i++) {
      if (i >= at.n) continue;
      p[i * step] = run.x[i];
      p[i * step + plane] = run.y[i];
      p[i * step + 2 * plane] = run.z[i];
    }
  }
}

template <class T>
__device__ __forceinline__ math::Vec3<T> pixel(const Run<T>& run, int i) {
  return {run.x[i], run.y[i], run.z[i]};
}
template <class T>
__device__ __forceinline__ void set_pixel(Run<T>& run, int i, const math::Vec3<T>& v) {
  run.x[i] = v.x, run.y[i] = v.y, run.z[i] = v.z;
}

// T: of the RGB side. Lab is computed and kept in Compute<T>.
template <class T>
__global__ void __launch_bounds__(kBlockThreads) rgb_to_lab_kernel(ColorParams p, Divisor tiles, bool wide) {
  using C = Compute<T>;
  const Place at = place_of_thread(p.pixels, tiles, wide);
  const Run<T> rgb = load_run(static_cast<const T*>(p.source), p.pixels, p.interleaved, at);
  Run<C> lab;
  if constexpr (std::is_same_v<T, uint8_t>) {
    float* linear = reinterpret_cast<float*>(shared_memory());
    fill_linear_table(linear);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kThreadPixels; i++) {
      set_pixel(lab, i, math::linear_to_lab<float>({linear[rgb.x[i]], linear[rgb.y[i]], linear[rgb.z[i]]}));
    }
  } else {
#pragma unroll
    for (int i = 0; i < kThreadPixels; i++) set_pixel(lab, i, math::rgb_to_lab(pixel(rgb, i)));
  }
  store_run(lab, static_cast<C*>(p.destination), p.pixels, false, at);
}

template <class T>
__global__ void __launch_bounds__(kBlockThreads) rgb_to_lab_backward_kernel(ColorParams p, Divisor tiles, bool wide) {
  const Place at = place_of_thread(p.pixels, tiles, wide);
  const Run<T> rgb = load_run(static_cast<const T*>(p.source), p.pixels, p.interleaved, at);
  const Run<T> grad_lab = load_run(static_cast<const T*>(p.grad_output), p.pixels, false, at);
  Run<T> grad_rgb;
#pragma unroll
  for (int i = 0; i < kThreadPixels; i++)
    set_pixel(grad_rgb, i, math::rgb_to_lab_vjp(pixel(rgb, i), pixel(grad_lab, i)));
  store_run(grad_rgb, static_cast<T*>(p.destination), p.pixels, p.interleaved, at);
}

template <class T>
__global__ void __launch_bounds__(kBlockThreads) lab_to_rgb_kernel(ColorParams p, Divisor tiles, bool wide) {
  using C = Compute<T>;
  const Place at = place_of_thread(p.pixels, tiles, wide);
  const Run<C> lab = load_run(static_cast<const C*>(p.source), p.pixels, false, at);
  Run<T> rgb;
#pragma unroll
  for (int i = 0; i < kThreadPixels; i++) {
    const math::FyAb<C> color = math::fy_ab(pixel(lab, i));
    const math::FyAb<C> fitted = p.gamut == Gamut::kChroma ? math::reduce_chroma(color) : color;
    if constexpr (std::is_same_v<T, uint8_t>) {
      const math::Vec3<uint32_t> c = math::lab_to_bytes(fitted);
      const auto byte = [](uint32_t word) { return static_cast<uint8_t>(word >> 8); };
      set_pixel<uint8_t>(rgb, i, {byte(c.x), byte(c.y), byte(c.z)});
    } else {
      set_pixel(rgb, i, math::lab_to_rgb(fitted));
    }
  }
  store_run(rgb, static_cast<T*>(p.destination), p.pixels, p.interleaved, at);
}

template <class T>
__global__ void __launch_bounds__(kBlockThreads) lab_to_rgb_backward_kernel(ColorParams p, Divisor tiles, bool wide) {
  const Place at = place_of_thread(p.pixels, tiles, wide);
  const Run<T> lab = load_run(static_cast<const T*>(p.source), p.pixels, false, at);
  const Run<T> grad_rgb = load_run(static_cast<const T*>(p.grad_output), p.pixels, p.interleaved, at);
  Run<T> grad_lab;
#pragma unroll
  for (int i = 0; i < kThreadPixels; i++)
    set_pixel(grad_lab, i, math::lab_to_rgb_vjp(pixel(lab, i), pixel(grad_rgb, i)));
  store_run(grad_lab, static_cast<T*>(p.destination), p.pixels, false, at);
}

void launch_color(const ColorParams& p, void (*kernel)(ColorParams, Divisor, bool), size_t shared_bytes,
                  const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  // The widest pack is kThreadPixels elements of 4 or 8 bytes; a plane of a multiple of kThreadPixels pixels keeps what
  // follows aligned.
  const size_t widest = p.dtype == DType::kF64 ? kThreadPixels * sizeof(double) : kThreadPixels * sizeof(float);
  const bool wide = p.pixels % kThreadPixels == 0 && aligned(p.source, widest) && aligned(p.destination, widest) &&
                    aligned(p.grad_output, widest);
  const int64_t tiles = ceil_div(p.pixels, kTilePixels);
  launch(p.target, Launch(p.images * tiles, kBlockThreads, shared_bytes, file, line), kernel, p, tiles, wide);
}

}  // namespace

void rgb_to_lab(const ColorParams& p) {
  p.dtype == DType::kU8    ? launch_color(p, rgb_to_lab_kernel<uint8_t>, kTableBytes)
  : p.dtype == DType::kF64 ? launch_color(p, rgb_to_lab_kernel<double>, 0)
                           : launch_color(p, rgb_to_lab_kernel<float>, 0);
}

void rgb_to_lab_backward(const ColorParams& p) {
  launch_color(p, p.dtype == DType::kF64 ? rgb_to_lab_backward_kernel<double> : rgb_to_lab_backward_kernel<float>, 0);
}

void lab_to_rgb(const ColorParams& p) {
  p.dtype == DType::kU8    ? launch_color(p, lab_to_rgb_kernel<uint8_t>, 0)
  : p.dtype == DType::kF64 ? launch_color(p, lab_to_rgb_kernel<double>, 0)
                           : launch_color(p, lab_to_rgb_kernel<float>, 0);
}

void lab_to_rgb_backward(const ColorParams& p) {
  launch_color(p, p.dtype == DType::kF64 ? lab_to_rgb_backward_kernel<double> : lab_to_rgb_backward_kernel<float>, 0);
}

}  // namespace fastcolor::cuda
