// Integers to pointers, release the GIL, call. Arguments stand in the order sources, destinations, sizes, scalars,
// dtype, then the target as (device, stream, threads).
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "ops.h"

namespace py = pybind11;
using namespace fastcolor;

namespace {

using Address = uintptr_t;  // 0 is null

template <class T = void>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

using TargetTuple = std::tuple<int, Address, int>;
Target target_of(const TargetTuple& t) { return {std::get<0>(t), at(std::get<1>(t)), std::get<2>(t)}; }

// Points a and b (2, bins), then the search tables: (points, lattice, cell_start, candidates, bins).
using PaletteTuple = std::tuple<Address, Address, Address, Address, int>;
Palette palette_of(const PaletteTuple& t) {
  const auto& [points, lattice, cell_start, candidates, bins] = t;
  return {at<float>(points),       at<float>(points) + bins, at<int32_t>(lattice),
          at<int32_t>(cell_start), at<int32_t>(candidates),  bins};
}

template <class Params>
void launch(void (*Ops::*op)(const Params&), const Params& params, const Target& target) {
  const py::gil_scoped_release release;
  const Ops& ops = target.device < 0 ? cpu::ops() : cuda::ops();
  (ops.*op)(params);
}
template <class Params>
void launch(void (*Ops::*op)(const Params&), const Params& params) {
  launch(op, params, params.target);
}

template <void (*Ops::*op)(const ColorParams&)>
void color(Address source, Address grad_output, Address destination, int64_t images, int64_t pixels, bool interleaved,
           bool chroma_gamut, int dtype, const TargetTuple& target) {
  launch(op, ColorParams{at(source), at(grad_output), at(destination), images, pixels, interleaved,
                         static_cast<DType>(dtype), chroma_gamut ? Gamut::kChroma : Gamut::kClip, target_of(target)});
}

void encode_bins(Address ab, Address index, Address weight, int64_t images, int64_t pixels, int neighbours,
                 float sigma_ab, const PaletteTuple& palette, const TargetTuple& target) {
  launch(&Ops::encode_bins, EncodeParams{at<float>(ab), at<int32_t>(index), at<float>(weight), images, pixels,
                                         neighbours, sigma_ab, palette_of(palette), target_of(target)});
}

void pixel_weight(Address ab, Address class_weight, Address mask, Address weight, int64_t images, int64_t pixels,
                  const PaletteTuple& palette, const TargetTuple& target) {
  launch(&Ops::pixel_weight,
         PixelWeightParams{at<float>(ab), at<float>(class_weight), at<uint8_t>(mask), at<float>(weight), images, pixels,
                           palette_of(palette), target_of(target)});
}

void loss(Address logits, Address ab, Address class_weight, Address mask, Address divisor, Address pixel_loss,
          Address grad_logits, int64_t images, int64_t pixels, int neighbours, float sigma_ab, float gamma,
          double grad_scale, bool channels_last, int dtype, const PaletteTuple& palette, const TargetTuple& target) {
  launch(&Ops::loss,
         LossParams{at(logits), at<float>(ab), at<float>(class_weight), at<uint8_t>(mask), at<float>(divisor),
                    at(pixel_loss), at(grad_logits), images, pixels, neighbours, sigma_ab, gamma, grad_scale,
                    channels_last, static_cast<DType>(dtype), palette_of(palette), target_of(target)});
}

void scale_grad(Address grad, Address factor, int64_t images, int64_t pixels, int64_t bins, bool per_pixel,
                bool channels_last, int dtype, const TargetTuple& target) {
  launch(&Ops::scale_grad, ScaleGradParams{at(grad), at(factor), images, pixels, bins, per_pixel, channels_last,
                                           static_cast<DType>(dtype), target_of(target)});
}

template <void (*Ops::*op)(const DecodeParams&)>
void decode(Address logits, Address grad_ab, Address ab, Address stats, Address grad_logits, int64_t images,
            int64_t pixels, double temperature, bool channels_last, int dtype, const PaletteTuple& palette,
            const TargetTuple& target) {
  launch(op, DecodeParams{at(logits), at(grad_ab), at(ab), at(stats), at(grad_logits), images, pixels, temperature,
                          channels_last, static_cast<DType>(dtype), palette_of(palette), target_of(target)});
}

// Of the ops that paint at once: forward alone.
DecodeParams decode_params(Address logits, Address ab, Address stats, int64_t images, int64_t pixels,
                           double temperature, bool channels_last, int dtype, const PaletteTuple& palette,
                           const TargetTuple& target) {
  return {at(logits),
          nullptr,
          at(ab),
          at(stats),
          nullptr,
          images,
          pixels,
          temperature,
          channels_last,
          static_cast<DType>(dtype),
          palette_of(palette),
          target_of(target)};
}

void luma_to_input(Address luma, Address lightness, int64_t images, int64_t height, int64_t width, int64_t out_height,
                   int64_t out_width, float code_offset, float code_scale, int dtype, const TargetTuple& target) {
  launch(&Ops::luma_to_input, LumaToInputParams{at(luma),
                                                at<float>(lightness),
                                                images,
                                                height,
                                                width,
                                                out_height,
                                                out_width,
                                                {code_offset, code_scale},
                                                static_cast<DType>(dtype),
                                                target_of(target)});
}

void paint_rgb(Address ab, Address source, Address rgb, int64_t images, int64_t ab_height, int64_t ab_width,
               int64_t height, int64_t width, float saturation, bool chroma_gamut, int source_kind, int dtype,
               const TargetTuple& target) {
  launch(&Ops::paint_rgb,
         PaintRgbParams{at<float>(ab), at(source), at<uint8_t>(rgb), images, ab_height, ab_width, height, width,
                        saturation, chroma_gamut ? Gamut::kChroma : Gamut::kClip, static_cast<Source>(source_kind),
                        static_cast<DType>(dtype), target_of(target)});
}

void paint_chroma(Address ab, Address luma, Address cb, Address cr, int64_t images, int64_t ab_height, int64_t ab_width,
                  int64_t height, int64_t width, int step_x, int step_y, bool centered, float code_offset,
                  float code_scale, float k_red, float k_blue, float chroma_scale, float chroma_middle,
                  float chroma_max, float saturation, int dtype, const TargetTuple& target) {
  launch(&Ops::paint_chroma, PaintChromaParams{at<float>(ab),
                                               at(luma),
                                               at(cb),
                                               at(cr),
                                               images,
                                               ab_height,
                                               ab_width,
                                               height,
                                               width,
                                               step_x,
                                               step_y,
                                               centered,
                                               {code_offset, code_scale},
                                               k_red,
                                               k_blue,
                                               chroma_scale,
                                               chroma_middle,
                                               chroma_max,
                                               saturation,
                                               static_cast<DType>(dtype),
                                               target_of(target)});
}

void decode_rgb(Address logits, Address source, Address ab, Address stats, Address progress, Address rgb,
                int64_t images, int64_t ab_height, int64_t ab_width, int64_t height, int64_t width, double temperature,
                float saturation, bool chroma_gamut, int source_kind, bool channels_last, int logits_dtype, int dtype,
                const PaletteTuple& palette, const TargetTuple& target) {
  launch(&Ops::decode_rgb,
         DecodeRgbParams{decode_params(logits, ab, stats, images, ab_height * ab_width, temperature, channels_last,
                                       logits_dtype, palette, target),
                         {at<float>(ab), at(source), at<uint8_t>(rgb), images, ab_height, ab_width, height, width,
                          saturation, chroma_gamut ? Gamut::kChroma : Gamut::kClip, static_cast<Source>(source_kind),
                          static_cast<DType>(dtype), target_of(target)},
                         at<uint32_t>(progress)},
         target_of(target));
}

void decode_chroma(Address logits, Address luma, Address ab, Address stats, Address progress, Address cb, Address cr,
                   int64_t images, int64_t ab_height, int64_t ab_width, int64_t height, int64_t width,
                   double temperature, int step_x, int step_y, bool centered, float code_offset, float code_scale,
                   float k_red, float k_blue, float chroma_scale, float chroma_middle, float chroma_max,
                   float saturation, bool channels_last, int logits_dtype, int dtype, const PaletteTuple& palette,
                   const TargetTuple& target) {
  launch(&Ops::decode_chroma,
         DecodeChromaParams{decode_params(logits, ab, stats, images, ab_height * ab_width, temperature, channels_last,
                                          logits_dtype, palette, target),
                            {at<float>(ab),
                             at(luma),
                             at(cb),
                             at(cr),
                             images,
                             ab_height,
                             ab_width,
                             height,
                             width,
                             step_x,
                             step_y,
                             centered,
                             {code_offset, code_scale},
                             k_red,
                             k_blue,
                             chroma_scale,
                             chroma_middle,
                             chroma_max,
                             saturation,
                             static_cast<DType>(dtype),
                             target_of(target)},
                            at<uint32_t>(progress)},
         target_of(target));
}

void block_motion(Address luma, Address previous, Address motion, Address error, int64_t images, int64_t height,
                  int64_t width, int radius, const TargetTuple& target) {
  launch(&Ops::block_motion, BlockMotionParams{at<uint8_t>(luma), at<uint8_t>(previous), at<int32_t>(motion),
                                               at<int32_t>(error), images, height, width, radius, target_of(target)});
}

void temporal_average(Address ab, Address luma, Address previous_ab, Address previous_luma, Address motion,
                      Address keep, Address out, int64_t images, int64_t height, int64_t width, float tolerance,
                      float tolerance_ab, const TargetTuple& target) {
  launch(&Ops::temporal_average,
         TemporalAverageParams{at<float>(ab), at<uint8_t>(luma), at<float>(previous_ab), at<uint8_t>(previous_luma),
                               at<int32_t>(motion), at<float>(keep), at<float>(out), images, height, width, tolerance,
                               tolerance_ab, target_of(target)});
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "fastcolor's kernels. Private: use fastcolor.ops.";
  m.def("isa", &cpu::isa);
  m.def("has_bf16", &cpu::has_bf16);
  m.def("has_vnni", &cpu::has_vnni);
  m.def("cuda_built", &cuda::built);
  m.def("cuda_device_count", &cuda::device_count);
  m.def("cuda_problem", &cuda::problem);
  m.def("rgb_to_lab", &color<&Ops::rgb_to_lab>);
  m.def("rgb_to_lab_backward", &color<&Ops::rgb_to_lab_backward>);
  m.def("lab_to_rgb", &color<&Ops::lab_to_rgb>);
  m.def("lab_to_rgb_backward", &color<&Ops::lab_to_rgb_backward>);
  m.def("encode_bins", &encode_bins);
  m.def("pixel_weight", &pixel_weight);
  m.def("loss", &loss);
  m.def("scale_grad", &scale_grad);
  m.def("annealed_mean", &decode<&Ops::annealed_mean>);
  m.def("annealed_mean_backward", &decode<&Ops::annealed_mean_backward>);
  m.def("luma_to_input", &luma_to_input);
  m.def("paint_rgb", &paint_rgb);
  m.def("paint_chroma", &paint_chroma);
  m.def("decode_rgb", &decode_rgb);
  m.def("decode_chroma", &decode_chroma);
  m.def("block_motion", &block_motion);
  m.def("temporal_average", &temporal_average);
}
