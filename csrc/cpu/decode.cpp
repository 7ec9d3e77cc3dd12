// The annealed mean and its gradient. Forward per pixel at 313 bins in f32: 1252 bytes read, 16 written.
#include "../math/decode.h"

#include <cfloat>

#include "parallel.h"
#include "rows.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

namespace {

constexpr int kTile = 512;
constexpr int kBlock = 8;

// Running softmax of a tile: largest logit, sum of exponentials, sums of exponential times bin.
template <class C>
struct Sums {
  alignas(64) C largest[kTile], weight[kTile], a[kTile], b[kTile];
};

// Channels c to c + channels of all pixels of the tile; see Note [Blocked softmax] in loss.cpp.
template <int channels, class T, class C>
inline void add_block(const T* __restrict__ logits, int64_t stride, const float* bin_a, const float* bin_b,
                      C inverse_temperature, int n, Sums<C>& s) {
#pragma omp simd
  for (int i = 0; i < n; i++) {
    C v[channels];
    C m = s.largest[i];
#pragma GCC unroll 8
    for (int c = 0; c < channels; c++) {
      v[c] = math::load(logits + c * stride + i);
      m = v[c] > m ? v[c] : m;
    }
    const C shrink = math::exp_fast((s.largest[i] - m) * inverse_temperature);
    C weight = s.weight[i] * shrink, a = s.a[i] * shrink, b = s.b[i] * shrink;
#pragma GCC unroll 8
    for (int c = 0; c < channels; c++) {
      const C e = math::exp_fast((v[c] - m) * inverse_temperature);
      weight += e;
      a += e * bin_a[c];
      b += e * bin_b[c];
    }
    s.largest[i] = m;
    s.weight[i] = weight;
    s.a[i] = a;
    s.b[i] = b;
  }
}

template <class T>
void planar_tile(const DecodeParams& p, int64_t image, int64_t first, int n) {
  using C = Compute<T>;
  const int bins = p.palette.bins;
  const T* logits = static_cast<const T*>(p.logits) + image * bins * p.pixels + first;
  const C inverse_temperature = static_cast<C>(1 / p.temperature);
  Sums<C> s;
  for (int i = 0; i < n; i++) {
    s.largest[i] = static_cast<C>(-FLT_MAX);
    s.weight[i] = s.a[i] = s.b[i] = 0;
  }
  int c = 0;
  for (; c + kBlock <= bins; c += kBlock) {
    add_block<kBlock>(logits + c * p.pixels, p.pixels, p.palette.a + c, p.palette.b + c, inverse_temperature, n, s);
  }
  for (; c < bins; c++) {
    add_block<1>(logits + c * p.pixels, p.pixels, p.palette.a + c, p.palette.b + c, inverse_temperature, n, s);
  }
  const int64_t out = image * 2 * p.pixels + first;
  C *ab = static_cast<C*>(p.ab) + out, *stats = static_cast<C*>(p.stats) + out;
#pragma omp simd
  for (int i = 0; i < n; i++) {
    const C inverse = C(1) / s.weight[i];
    ab[i] = s.a[i] * inverse;
    ab[i + p.pixels] = s.b[i] * inverse;
    stats[i] = s.largest[i];
    stats[i + p.pixels] = inverse;
  }
}

// Sums over one pixel's row of exp((z - largest) / T), alone and times each bin.
template <class T, class C>
inline void row_sums(const T* __restrict__ row, const float* __restrict__ bin_a, const float* __restrict__ bin_b,
                     int bins, C largest, C inverse_temperature, C& weight, C& a, C& b) {
  C sum = 0, sum_a = 0, sum_b = 0;
#pragma omp simd reduction(+ : sum, sum_a, sum_b)
  for (int c = 0; c < bins; c++) {
    const C e = math::exp_fast((C(math::load(row + c)) - largest) * inverse_temperature);
    sum += e;
    sum_a += e * bin_a[c];
    sum_b += e * bin_b[c];
  }
  weight = sum;
  a = sum_a;
  b = sum_b;
}

template <class T>
void row_tile(const DecodeParams& p, int64_t image, int64_t first, int n) {
  using C = Compute<T>;
  const int bins = p.palette.bins;
  for (int i = 0; i < n; i++) {
    const T* row = static_cast<const T*>(p.logits) + (image * p.pixels + first + i) * bins;
    const C largest = row_largest(row, bins);
    C weight, a, b;
    row_sums(row, p.palette.a, p.palette.b, bins, largest, static_cast<C>(1 / p.temperature), weight, a, b);
    const int64_t out = image * 2 * p.pixels + first + i;
    C *ab = static_cast<C*>(p.ab) + out, *stats = static_cast<C*>(p.stats) + out;
    ab[0] = a / weight;
    ab[p.pixels] = b / weight;
    stats[0] = largest;
    stats[p.pixels] = 1 / weight;
  }
}

// Temperature 0: the bin of the largest logit, the lowest index on ties; NaN anywhere gives NaN.
template <class T>
void mode_pixel(const DecodeParams& p, int64_t image, int64_t pixel) {
  using C = Compute<T>;
  const int64_t stride = p.channels_last ? 1 : p.pixels;
  const T* logits = static_cast<const T*>(p.logits) + image * p.palette.bins * p.pixels +
                    (p.channels_last ? pixel * p.palette.bins : pixel);
  C largest = math::load(logits), poison = largest == largest ? C(0) : largest;
  int best = 0;
  for (int c = 1; c < p.palette.bins; c++) {
    const C x = math::load(logits + c * stride);
    poison += x == x ? C(0) : x;
    best = x > largest ? c : best;
    largest = x > largest ? x : largest;
  }
  const int64_t out = image * 2 * p.pixels + pixel;
  C *ab = static_cast<C*>(p.ab) + out, *stats = static_cast<C*>(p.stats) + out;
  poison = poison == poison ? C(0) : poison;
  ab[0] = p.palette.a[best] + poison;
  ab[p.pixels] = p.palette.b[best] + poison;
  stats[0] = largest;
  stats[p.pixels] = 1;
}

template <class T>
void backward_tile(const DecodeParams& p, int64_t image, int64_t first, int n) {
  using C = Compute<T>;
  const int bins = p.palette.bins;
  // The mode does not move with the logits: at temperature 0 the gradient is 0.
  const C inverse_temperature = p.temperature == 0 ? C(0) : static_cast<C>(1 / p.temperature);
  const int64_t at = image * 2 * p.pixels + first, start = image * bins * p.pixels;
  const C *ab = static_cast<const C*>(p.ab) + at, *stats = static_cast<const C*>(p.stats) + at;
  const C* g = static_cast<const C*>(p.grad_ab) + at;
  const T* logits = static_cast<const T*>(p.logits) + start;
  T* grad = static_cast<T*>(p.grad_logits) + start;
  const auto of = [&](const T* logit, int c, int i) __attribute__((always_inline)) {
    const C probability =
        math::annealed_probability(C(math::load(logit)), stats[i], stats[i + p.pixels], inverse_temperature);
    return math::annealed_mean_vjp(probability, C(p.palette.a[c]), C(p.palette.b[c]), ab[i], ab[i + p.pixels], g[i],
                                   g[i + p.pixels], inverse_temperature);
  };
  if (p.channels_last) {
    for (int i = 0; i < n; i++) {
      const int64_t row = (first + i) * bins;
#pragma omp simd
      for (int c = 0; c < bins; c++) math::store(grad + row + c, of(logits + row + c, c, i));
    }
  } else {
    for (int c = 0; c < bins; c++) {
      const int64_t run = c * p.pixels + first;
#pragma omp simd
      for (int i = 0; i < n; i++) math::store(grad + run + i, of(logits + run + i, c, i));
    }
  }
}

}  // namespace

void annealed_mean(const DecodeParams& p) {
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_chunks(p.images, p.pixels, kTile, 70.0, p.target.threads, [&](int64_t image, int64_t first, int n) {
      if (p.temperature == 0) {
        for (int i = 0; i < n; i++) mode_pixel<T>(p, image, first + i);
      } else {
        p.channels_last ? row_tile<T>(p, image, first, n) : planar_tile<T>(p, image, first, n);
      }
    });
  });
}

void annealed_mean_backward(const DecodeParams& p) {
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_chunks(p.images, p.pixels, kTile, 120.0, p.target.threads,
                    [&](int64_t image, int64_t first, int n) { backward_tile<T>(p, image, first, n); });
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
