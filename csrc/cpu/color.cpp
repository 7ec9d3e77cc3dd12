// rgb_to_lab, lab_to_rgb and their backward passes. Per pixel: 3 bytes or floats on the RGB side, 3 floats of Lab.
#include "../math/color.h"

#include "interleave.h"
#include "linear.h"
#include "pages.h"
#include "parallel.h"
#include "runs.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

// image: first pixel of the run; `step` between pixels, `plane` between channels.
template <class T>
inline void load_planes(const T* image, int64_t step, int64_t plane, int n, Planes<T>& out) {
  for (int i = 0; i < n; i++) {
    out.x[i] = image[i * step];
    out.y[i] = image[i * step + plane];
    out.z[i] = image[i * step + 2 * plane];
  }
}
template <class T>
inline void store_planes(const Planes<T>& planes, int64_t step, int64_t plane, int n, T* image) {
  for (int i = 0; i < n; i++) {
    image[i * step] = planes.x[i];
    image[i * step + plane] = planes.y[i];
    image[i * step + 2 * plane] = planes.z[i];
  }
}

// Where pixel `first` of an image starts on the RGB side, and how to walk from there.
struct Walk {
  int64_t start, step, plane;
};
Walk walk(const ColorParams& p, int64_t image, int64_t first) {
  const int64_t base = image * 3 * p.pixels;
  return p.interleaved ? Walk{base + 3 * first, 3, 1} : Walk{base + first, 1, p.pixels};
}

// The type Lab is computed and kept in, given the RGB side's: f64 for f64, else f32.
template <class F>
void dispatch_lab(DType dtype, F&& f) {
  dtype == DType::kF64 ? f(double{}) : f(float{});
}

// The bytes of one pixel of the RGB side, and of the Lab side.
int64_t rgb_bytes(DType dtype) { return dtype == DType::kU8 ? 3 : dtype == DType::kF64 ? 24 : 12; }
int64_t lab_bytes(DType dtype) { return dtype == DType::kF64 ? 24 : 12; }

template <class T>
void linear_run_to_lab(const Planes<T>& c, int n, T* l, T* a, T* b) {
  using V = Widest<T>;
  const auto convert = [&](auto v, int i) __attribute__((always_inline)) {
    using W = decltype(v);
    const auto lab = math::linear_to_lab<W>({load_lanes<W>(c.x + i), load_lanes<W>(c.y + i), load_lanes<W>(c.z + i)});
    store_lanes(l + i, lab.x);
    store_lanes(a + i, lab.y);
    store_lanes(b + i, lab.z);
  };
  int i = 0;
  for (; i + lanes_of<V>() <= n; i += lanes_of<V>()) convert(V{}, i);
  for (; i < n; i++) convert(T{}, i);
}

}  // namespace

void rgb_to_lab(const ColorParams& p) {
  prefer_huge_pages(p.destination, p.images * p.pixels * lab_bytes(p.dtype));
  parallel_chunks(p.images, p.pixels, kRun, 2.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
    const Walk w = walk(p, image, first);
    const int64_t out = image * 3 * p.pixels + first;
    dispatch_lab(p.dtype, [&](auto t) {
      using T = decltype(t);
      Planes<T> linear;
      if (p.dtype == DType::kU8) {
        if constexpr (std::is_same_v<T, float>) {
          const uint8_t* codes = static_cast<const uint8_t*>(p.source) + w.start;
          p.interleaved ? look_up<3>(codes, 1, n, linear) : look_up<1>(codes, w.plane, n, linear);
        }
      } else {
        load_planes(static_cast<const T*>(p.source) + w.start, w.step, w.plane, n, linear);
#pragma omp simd
        for (int i = 0; i < n; i++) {
          linear.x[i] = math::srgb_to_linear(linear.x[i]);
          linear.y[i] = math::srgb_to_linear(linear.y[i]);
          linear.z[i] = math::srgb_to_linear(linear.z[i]);
        }
      }
      T* lab = static_cast<T*>(p.destination) + out;
      linear_run_to_lab(linear, n, lab, lab + p.pixels, lab + 2 * p.pixels);
    });
  });
}

void rgb_to_lab_backward(const ColorParams& p) {
  prefer_huge_pages(p.destination, p.images * p.pixels * rgb_bytes(p.dtype));
  parallel_chunks(p.images, p.pixels, kRun, 8.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
    const Walk w = walk(p, image, first);
    dispatch_lab(p.dtype, [&](auto t) {
      using T = decltype(t);
      Planes<T> rgb;
      load_planes(static_cast<const T*>(p.source) + w.start, w.step, w.plane, n, rgb);
      const T* g = static_cast<const T*>(p.grad_output) + image * 3 * p.pixels + first;
#pragma omp simd
      for (int i = 0; i < n; i++) {
        const math::Vec3<T> grad =
            math::rgb_to_lab_vjp<T>({rgb.x[i], rgb.y[i], rgb.z[i]}, {g[i], g[i + p.pixels], g[i + 2 * p.pixels]});
        rgb.x[i] = grad.x;
        rgb.y[i] = grad.y;
        rgb.z[i] = grad.z;
      }
      store_planes(rgb, w.step, w.plane, n, static_cast<T*>(p.destination) + w.start);
    });
  });
}

void lab_to_rgb(const ColorParams& p) {
  prefer_huge_pages(p.destination, p.images * p.pixels * rgb_bytes(p.dtype));
  parallel_chunks(p.images, p.pixels, kRun, 2.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
    const Walk w = walk(p, image, first);
    dispatch_lab(p.dtype, [&](auto t) {
      using T = decltype(t);
      const T* lab = static_cast<const T*>(p.source) + image * 3 * p.pixels + first;
      const T *l = lab, *a = lab + p.pixels, *b = lab + 2 * p.pixels;
      Planes<T> fitted;
      if (p.gamut == Gamut::kChroma) {
        for (int i = 0; i < n; i++) {
          const math::FyAb<T> c = math::reduce_chroma(math::fy_ab<T>({l[i], a[i], b[i]}));
          fitted.y[i] = c.a;
          fitted.z[i] = c.b;
        }
        a = fitted.y, b = fitted.z;
      }
      if constexpr (std::is_same_v<T, float>) {
        if (p.dtype == DType::kU8) {
          Planes<float> codes;
          lab_run_to_255(l, a, b, n, codes);
          uint8_t* to = static_cast<uint8_t*>(p.destination) + w.start;
          if (p.interleaved) {
            interleave(codes, n, to);
          } else {
            run_to_bytes(codes.x, n, to);
            run_to_bytes(codes.y, n, to + w.plane);
            run_to_bytes(codes.z, n, to + 2 * w.plane);
          }
          return;
        }
      }
      Planes<T> rgb;
#pragma omp simd
      for (int i = 0; i < n; i++) {
        const math::Vec3<T> c = math::lab_to_rgb(math::fy_ab<T>({l[i], a[i], b[i]}));
        rgb.x[i] = c.x;
        rgb.y[i] = c.y;
        rgb.z[i] = c.z;
      }
      store_planes(rgb, w.step, w.plane, n, static_cast<T*>(p.destination) + w.start);
    });
  });
}

void lab_to_rgb_backward(const ColorParams& p) {
  prefer_huge_pages(p.destination, p.images * p.pixels * lab_bytes(p.dtype));
  parallel_chunks(p.images, p.pixels, kRun, 8.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
    const Walk w = walk(p, image, first);
    dispatch_lab(p.dtype, [&](auto t) {
      using T = decltype(t);
      Planes<T> grad;
      load_planes(static_cast<const T*>(p.grad_output) + w.start, w.step, w.plane, n, grad);
      const int64_t at = image * 3 * p.pixels + first;
      const T* lab = static_cast<const T*>(p.source) + at;
      T* out = static_cast<T*>(p.destination) + at;
#pragma omp simd
      for (int i = 0; i < n; i++) {
        const math::Vec3<T> g = math::lab_to_rgb_vjp<T>({lab[i], lab[i + p.pixels], lab[i + 2 * p.pixels]},
                                                        {grad.x[i], grad.y[i], grad.z[i]});
        out[i] = g.x;
        out[i + p.pixels] = g.y;
        out[i + 2 * p.pixels] = g.z;
      }
    });
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
