// scale_grad: a gradient times one factor, or one factor a pixel, in place.
#include "../math/scalar.h"

#include "lanes.h"
#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

void scale_grad(const ScaleGradParams& p) {
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    using C = Compute<T>;
    // Runs along the memory: pixels of one channel, or channels of one pixel.
    const int64_t runs = p.channels_last ? p.pixels : p.bins, length = p.channels_last ? p.bins : p.pixels;
    parallel_for(p.images * runs, 0.2 * static_cast<double>(length), p.target.threads, [&](int64_t run) {
      T* grad = static_cast<T*>(p.grad) + run * length;
      const int64_t image = run / runs;
      const bool along = p.per_pixel && !p.channels_last;
      const C* factor = static_cast<const C*>(p.factor);
      if (p.per_pixel) factor += image * p.pixels + (along ? 0 : run % runs);
      store_run(grad, length, [&](auto v, int64_t i) __attribute__((always_inline)) {
        using V = decltype(v);
        return load_lanes<V>(grad + i) * (along ? load_lanes<V>(factor + i) : all_lanes<V>(*factor));
      });
    });
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
