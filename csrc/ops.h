// The whole internal API: one parameter struct an op, and one table of launchers a backend.
// Shapes are N C H W with `pixels` = H * W. All tensors are dense; every size is 64-bit.
// Python has validated and allocated: nothing below checks shapes again.
#pragma once

#include "common.h"

namespace fastcolor {

// Where an op runs. CPU: `threads` as torch counts them. CUDA: the device's index and the stream to launch on.
struct Target {
  int device = -1;  // -1 is the CPU
  void* stream = nullptr;
  int threads = 1;
};

enum class Gamut : int { kClip, kChroma };

// image <-> lab. `image`: (N,3,pixels), or (N,pixels,3) when `interleaved`; u8, f32 or f64.
// `lab`: (N,3,pixels), f64 when the image is f64, else f32.
struct ColorParams {
  const void* source;
  const void* grad_output;  // backward only, the type and shape of the forward's output
  void* destination;
  int64_t images, pixels;
  bool interleaved;
  DType dtype;  // of the RGB side
  Gamut gamut;  // lab_to_rgb only
  Target target;
};

// A palette and the tables of its nearest-bin search (math/encode.h).
struct Palette {
  const float* a;             // (bins)
  const float* b;             // (bins)
  const int32_t* lattice;     // fastcolor/bins.py; null unless the palette is a square lattice
  const int32_t* cell_start;  // (cells + 1)
  const int32_t* candidates;  // (cell_start[cells])
  int bins;
};

// ab (N,2,pixels) f32 -> index, weight (N,neighbours,pixels).
struct EncodeParams {
  const float* ab;
  int32_t* index;
  float* weight;
  int64_t images, pixels;
  int neighbours;
  float sigma_ab;
  Palette palette;
  Target target;
};

// The class weight of every pixel's nearest bin, times the mask: (N,pixels) f32.
struct PixelWeightParams {
  const float* ab;
  const float* class_weight;  // (bins), or null for 1
  const uint8_t* mask;        // (N,pixels), or null
  float* weight;
  int64_t images, pixels;
  Palette palette;
  Target target;
};

// Logits (N,bins,pixels), or (N,pixels,bins) when `channels_last`.
struct LossParams {
  const void* logits;
  const float* ab;            // (N,2,pixels)
  const float* class_weight;  // (bins), or null for 1
  const uint8_t* mask;        // (N,pixels), or null
  const float* divisor;       // one value on the target, or null for 1: the gradient is divided by it
  void* pixel_loss;           // (N,pixels), weighted and masked, not divided; f64 when the logits are, else f32
  void* grad_logits;          // like logits, may be logits itself; null when no gradient is wanted
  int64_t images, pixels;
  int neighbours;
  float sigma_ab, gamma;
  double grad_scale;
  bool channels_last;
  DType dtype;
  Palette palette;
  Target target;
};

// grad *= factor, in place. factor: one value, or one a pixel (N,pixels); f64 when the gradient is, else f32.
struct ScaleGradParams {
  void* grad;
  const void* factor;
  int64_t images, pixels, bins;
  bool per_pixel, channels_last;
  DType dtype;
  Target target;
};

// Annealed mean of logits. `stats` (N,2,pixels): the largest logit and 1 / sum exp((z - largest) / T), which backward
// reads again. ab and stats are f64 when the logits are f64, else f32.
struct DecodeParams {
  const void* logits;
  const void* grad_ab;  // backward only
  void* ab;             // written by forward, read by backward
  void* stats;
  void* grad_logits;  // backward only
  int64_t images, pixels;
  double temperature;
  bool channels_last;
  DType dtype;
  Palette palette;  // only a, b and bins are read
  Target target;
};

// How code values of a luma plane map to [0, 1]: (code - offset) * scale, clipped.
struct LumaCode {
  float offset, scale;
};

// luma (N,height,width) u8 or u16 -> lightness (N,1,out_height,out_width) f32, triangle filter as wide as the
// shrinking.
struct LumaToInputParams {
  const void* luma;
  float* lightness;
  int64_t images, height, width, out_height, out_width;
  LumaCode code;
  DType dtype;
  Target target;
};

enum class Source : int { kLightness, kRgb, kGray };  // f32 (N,1,H,W); u8 (N,H,W,3); u8 or u16 (N,H,W)

// ab (N,2,ab_height,ab_width) f32, upsampled bilinearly, joined with the source's lightness -> rgb u8
// (N,height,width,3).
struct PaintRgbParams {
  const float* ab;  // (N,2,ab_height,ab_width); sharp: (N,5,...), ab, lightness, and the slopes of a and b over it
  bool sharp;       // Note [Sharp edges]
  const void* source;
  uint8_t* rgb;
  int64_t images, ab_height, ab_width, height, width;
  float saturation;
  Gamut gamut;
  Source source_kind;
  DType dtype;  // of the source
  Target target;
};

// ab as for PaintRgbParams and a luma plane -> its two chroma planes (N,ceil(height/step_y),ceil(width/step_x)).
struct PaintChromaParams {
  const float* ab;
  bool sharp;
  const void* luma;
  void* cb;
  void* cr;
  int64_t images, ab_height, ab_width, height, width;
  int step_x, step_y;  // 1 or 2
  bool centered;       // chroma midway between two luma columns; else on the even one
  LumaCode code;
  float k_red, k_blue;                            // luma weights of the matrix
  float chroma_scale, chroma_middle, chroma_max;  // code = difference * scale + middle, in 0..max
  float saturation;
  DType dtype;  // of luma and chroma: u8 or u16
  Target target;
};

// Motion of patches of 8x8 pixels from luma to the frame before it: luma[y, x] is like previous[y + dy, x + dx].
struct BlockMotionParams {
  const uint8_t* luma;      // (N,height,width)
  const uint8_t* previous;  // (N,height,width)
  int32_t* motion;          // (N,2,ceil(height/8),ceil(width/8)): dy, dx in -radius..radius
  int32_t* error;           // (N,ceil(height/8),ceil(width/8)): sum of absolute differences
  int64_t images, height, width;
  int radius;
  Target target;
};

// Average of ab and, along the motion, of the frame before: out = ab + keep * agreements * (previous_ab - ab).
struct TemporalAverageParams {
  const float* ab;      // (N,2,height,width), and previous_ab
  const uint8_t* luma;  // (N,height,width), and previous_luma
  const float* previous_ab;
  const uint8_t* previous_luma;
  const int32_t* motion;  // (N,2,ceil(height/8),ceil(width/8))
  const float* keep;      // (N), in [0, 1]: the share of what was before
  float* out;             // (N,2,height,width)
  int64_t images, height, width;
  float tolerance, tolerance_ab;  // codes of luma, Lab units
  Target target;
};

// The one list of launchers: FC_OPS(f) is f(name, its parameters) for each. A backend defines a function of every name.
#define FC_OPS(f)                                                                                                      \
  f(rgb_to_lab, ColorParams) f(rgb_to_lab_backward, ColorParams) f(lab_to_rgb, ColorParams)                            \
      f(lab_to_rgb_backward, ColorParams) f(encode_bins, EncodeParams) f(pixel_weight, PixelWeightParams)              \
          f(loss, LossParams) f(scale_grad, ScaleGradParams) f(annealed_mean, DecodeParams)                            \
              f(annealed_mean_backward, DecodeParams) f(luma_to_input, LumaToInputParams) f(paint_rgb, PaintRgbParams) \
                  f(paint_chroma, PaintChromaParams) f(block_motion, BlockMotionParams)                                \
                      f(temporal_average, TemporalAverageParams)

// A backend's table of them.
struct Ops {
#define FC_MEMBER(name, Params) void (*name)(const Params&);
  FC_OPS(FC_MEMBER)
#undef FC_MEMBER
};

namespace cpu {
const Ops& ops();   // for the best instruction set of this processor; FASTCOLOR_ISA=baseline|avx2|avx512 lowers it
const char* isa();  // its name
bool has_vnni();    // does the processor multiply 8-bit integers four at a time (AVX or AVX-512 VNNI)?
bool has_bf16();    // does the processor multiply in bfloat16 (AVX-512 BF16 or AMX)?
}  // namespace cpu

namespace cuda {
const Ops& ops();       // throws when built without CUDA
bool built();           // was this library built with CUDA kernels?
int device_count();     // usable devices; 0 without a driver
std::string problem();  // why device_count() is 0, in CUDA's own words; empty when it is not
}  // namespace cuda

}  // namespace fastcolor
