// Upsampling of one value along one axis, codes of video, and the pixels that both paint ops share.
#pragma once

#include "color.h"
#include "luma_to_input.h"

namespace fastcolor::math {

// ---- bilinear upsampling, pixel centres at i + 0.5, edges repeated ("align_corners=False") ----

template <class Int>
struct TapOf {
  Int low, high;
  float fraction;  // of high
};
using Tap = TapOf<int64_t>;
// `place`: among the pixels of the small grid, or beyond its ends.
template <class Int>
FC_HD TapOf<Int> tap_at(float place, Int small) {
  const float at = clamp_number(place, 0.0f, static_cast<float>(small - 1));
  const Int low = static_cast<Int>(at);
  return {low, low + 1 < small ? low + 1 : small - 1, at - static_cast<float>(low)};
}
// `position`: in the large grid, pixel i is at i. `ratio`: small size / large size.
template <class Int>
FC_HD TapOf<Int> bilinear_tap(float position, float ratio, Int small) {
  return tap_at((position + 0.5f) * ratio - 0.5f, small);
}
template <class T>  // float, or a vector of floats
FC_HD T lerp(T low, T high, T fraction) {
  return low + (high - low) * fraction;
}

// Note [Sharp edges]. Colours of network size, enlarged bilinearly, run over edges by a cell. Where colour changes with
// lightness within 3x3 cells, it does so within a cell too: to the enlarged colour comes the slope times what enlarged
// lightness lacks of the pixel's own. A mean over a cell is left as it was, and where there is no slope nothing changes.
FC_HD float sharpened(float color, float slope, float difference) { return color + slope * difference; }

// ---- code values ----

template <class T>
FC_HD T to_code(float value, float largest) {
  return static_cast<T>(static_cast<int32_t>(clamp_number(value + 0.5f, 0.0f, largest)));
}

// ---- pixels ----

// Note [Neutral ends]. Black and white have no colour: at L = 0 and L = 100 only a = b = 0 is in the gamut, which opens
// from both as a cone. Below L = 8 that is exact: CIE's f is linear there, so L, a and b of a surface fall with the
// light in proportion. A network that knows shapes and not this limit colours letterbox bars, margins and paper. So
// chroma is multiplied by a factor that rises from 0 to 1 over kDarkRise from L = kBlack, and over kLightRise down from
// L = kWhite:
//  - 0 up to L = 1 (codes 0 to 3 of 255, luma 16 to 19 of a film) and from 98.25 (250 to 255) on: what scanners, noise
//    and compression leave of black and of white comes out gray to the bit;
//  - 1 from L = 6: on photographs the true chroma over the predicted rises in proportion to L up to about 8 (0.3 at
//    L = 1, 0.6 at 3, 1 at 8), but rare colours lose by a longer rise what common ones gain;
//  - 1 down from L = 97.75: below white a light yellow is in gamut, 34 units of chroma for each unit of L, and
//    photographs hold such colours; a longer rise costs them more than margins gain;
//  - between, 3 x^2 - 2 x^3, which has no corner that would show as an edge in a sky or a shadow.
// Of 200 pictures of BSDS500 by the default network it takes 0.002 points of macro AuC, half of that where it must: in
// what is all but white. AuC loses 0.002 points, PSNR 0.004 dB.
constexpr float kBlack = 1.0f, kDarkRise = 5.0f, kWhite = 98.25f, kLightRise = 0.5f;

// `most` times the factor. fy: of the lightness.
FC_HD float chroma_share(float fy, float most) {
  const float dark = fy * (116 / kDarkRise) - (16 + kBlack) / kDarkRise,
              light = (16 + kWhite) / kLightRise - fy * (116 / kLightRise);
  const float inside = min_number(saturated(dark), saturated(light));
  return 2.0f * most * (inside * inside * (1.5f - inside));
}

FC_HD FyAb<float> saturate(FyAb<float> color, float saturation, Gamut gamut) {
  const float factor = chroma_share(color.fy, saturation);
  color.a *= factor;
  color.b *= factor;
  return gamut == Gamut::kChroma ? reduce_chroma(color) : color;
}

// Luma where a chroma sample sits when chroma has every second column: midway to the right neighbour, or on the pixel
// itself, where a 1-2-1 filter keeps finer detail from turning into colour.
FC_HD float luma_at_site(float left, float here, float right, bool centered) {
  return centered ? 0.5f * (here + right) : 0.25f * (left + 2.0f * here + right);
}

// Luma of a pixel in 0..255, by the matrix's weights of red and blue.
FC_HD float luma_of(Vec3<float> rgb, float k_red, float k_blue) {
  return k_red * rgb.x + (1.0f - k_red - k_blue) * rgb.y + k_blue * rgb.z;
}

// Cb of the blue channel or Cr of the red one is (channel - luma) * scale + middle, of channel and luma in 0..255:
// chroma_scale() gives the scale, of that channel's luma weight k and the codes from the least to the largest Cb or Cr.
inline float chroma_scale(float k, float codes) { return codes / (510.0f * (1.0f - k)); }
// Not rounded. A NaN colour is no colour.
FC_HD float chroma_code(float channel, float luma, float scale, float middle) {
  const float difference = channel - luma;
#ifdef __CUDA_ARCH__  // where lab_to_rgb_255() makes no NaN
  return difference * scale + middle;
#else
  return (difference == difference ? difference : 0.0f) * scale + middle;
#endif
}

}  // namespace fastcolor::math
