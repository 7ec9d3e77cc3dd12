// The rebalanced cross entropy and its gradient in one pass: every logit is read from memory once and every gradient
// written once. Per pixel at 313 bins in f32: 1252 bytes read, 1252 written (none without a gradient).
// The formula is math/loss.h; the loops are loss_planar.h and loss_interleaved.h, a layout each.
#include "loss_interleaved.h"
#include "loss_planar.h"
#include "pages.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

// Tiles that one thread takes one after the other. Each tile is written while the next is computed, so of a strip one
// is written with nothing beside it; yet 64x64 pixels are two strips to share out.
constexpr int kStripTiles = 16;

void loss(const LossParams& p) {
  const double grad_scale = p.grad_scale / (p.divisor == nullptr ? 1.0 : static_cast<double>(*p.divisor));
  dispatch_float(p.dtype, [&](auto t) {
    using T = decltype(t);
    const int64_t bytes = p.images * p.pixels * p.palette.bins * static_cast<int64_t>(sizeof(T));
    const bool fresh = p.grad_logits != nullptr && p.grad_logits != p.logits,
               past_cache = fresh && bytes >= kStreamBytes;
    if (fresh) prefer_huge_pages(p.grad_logits, bytes);
    parallel_chunks(p.images, p.pixels, kStripTiles * kTilePixels, 150.0, p.target.threads,
                    [&](int64_t image, int64_t first, int n) {
                      p.channels_last     ? interleaved_strip<T>(p, image, first, n, grad_scale, past_cache)
                      : p.mask != nullptr ? planar_strip<true, T>(p, image, first, n, grad_scale, past_cache)
                                          : planar_strip<false, T>(p, image, first, n, grad_scale, past_cache);
                      if (past_cache) stream_fence();
                    });
  });
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
