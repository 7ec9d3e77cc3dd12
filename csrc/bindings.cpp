// Integers to pointers, release the GIL, call. What belongs together comes as a tuple, in the order of its struct's
// fields: a volume, planes, the palette, a film's codes, the target. fastcolor/ops/_tensors.py makes these tuples;
// fastcolor/_C.pyi, which a test compares with this file, has every signature.
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

// ---- groups of arguments ----

using TargetTuple = std::tuple<int, Address, int>;
Target target_of(const TargetTuple& target) {
  const auto& [device, stream, threads] = target;
  return {.device = device, .stream = at(stream), .threads = threads};
}

// Points a and b (2, bins), then the search tables.
using PaletteTuple = std::tuple<Address, Address, Address, Address, int>;
Palette palette_of(const PaletteTuple& palette) {
  const auto& [points, lattice, cell_start, candidates, bins] = palette;
  return {.a = at<float>(points),
          .b = at<float>(points) + bins,
          .lattice = at<int32_t>(lattice),
          .cell_start = at<int32_t>(cell_start),
          .candidates = at<int32_t>(candidates),
          .bins = bins};
}

// Logits, or their gradient.
using VolumeTuple = std::tuple<Address, int64_t, int64_t, int64_t, bool, int>;
struct Volume {
  void* data;
  int64_t images, bins, pixels;
  bool channels_last;
  DType dtype;
};
Volume volume_of(const VolumeTuple& volume) {
  const auto& [data, images, bins, pixels, channels_last, dtype] = volume;
  return {.data = at(data),
          .images = images,
          .bins = bins,
          .pixels = pixels,
          .channels_last = channels_last,
          .dtype = static_cast<DType>(dtype)};
}

// One plane an image, or several of one size.
using PlanesTuple = std::tuple<Address, int64_t, int64_t, int64_t, int>;
struct Planes {
  void* data;
  int64_t images, height, width;
  DType dtype;
  template <class T>
  T* of() const {
    return static_cast<T*>(data);
  }
};
Planes planes_of(const PlanesTuple& planes) {
  const auto& [data, images, height, width, dtype] = planes;
  return {.data = at(data), .images = images, .height = height, .width = width, .dtype = static_cast<DType>(dtype)};
}

using LumaCodeTuple = std::tuple<float, float>;
LumaCode luma_code_of(const LumaCodeTuple& code) {
  const auto& [offset, scale] = code;
  return {.offset = offset, .scale = scale};
}

// Luma columns and rows to a chroma site, and is it midway between columns; luma weights of red and blue; scale, middle
// and largest of the chroma codes.
using ChromaGridTuple = std::tuple<int, int, bool>;
using ChromaCodeTuple = std::tuple<float, float, float, float, float>;

Gamut gamut_of(bool chroma_gamut) { return chroma_gamut ? Gamut::kChroma : Gamut::kClip; }

template <class Params>
void launch(void (*Ops::*op)(const Params&), const Params& params) {
  const py::gil_scoped_release release;
  const Ops& ops = params.target.device < 0 ? cpu::ops() : cuda::ops();
  (ops.*op)(params);
}

// ---- ops ----

template <void (*Ops::*op)(const ColorParams&)>
void color(Address source, Address destination, std::tuple<int64_t, int64_t> size, bool interleaved, bool chroma_gamut,
           int dtype, const TargetTuple& target) {
  const auto& [images, pixels] = size;
  launch(op, ColorParams{.source = at(source),
                         .grad_output = nullptr,
                         .destination = at(destination),
                         .images = images,
                         .pixels = pixels,
                         .interleaved = interleaved,
                         .dtype = static_cast<DType>(dtype),
                         .gamut = gamut_of(chroma_gamut),
                         .target = target_of(target)});
}

template <void (*Ops::*op)(const ColorParams&)>
void color_backward(Address source, Address grad_output, Address destination, std::tuple<int64_t, int64_t> size,
                    bool interleaved, int dtype, const TargetTuple& target) {
  const auto& [images, pixels] = size;
  launch(op, ColorParams{.source = at(source),
                         .grad_output = at(grad_output),
                         .destination = at(destination),
                         .images = images,
                         .pixels = pixels,
                         .interleaved = interleaved,
                         .dtype = static_cast<DType>(dtype),
                         .gamut = Gamut::kClip,
                         .target = target_of(target)});
}

void encode_bins(const PlanesTuple& ab_planes, Address index, Address weight, int neighbours, float sigma_ab,
                 const PaletteTuple& palette, const TargetTuple& target) {
  const Planes ab = planes_of(ab_planes);
  launch(&Ops::encode_bins, EncodeParams{.ab = ab.of<float>(),
                                         .index = at<int32_t>(index),
                                         .weight = at<float>(weight),
                                         .images = ab.images,
                                         .pixels = ab.height * ab.width,
                                         .neighbours = neighbours,
                                         .sigma_ab = sigma_ab,
                                         .palette = palette_of(palette),
                                         .target = target_of(target)});
}

void pixel_weight(const PlanesTuple& ab_planes, Address class_weight, Address mask, Address weight,
                  const PaletteTuple& palette, const TargetTuple& target) {
  const Planes ab = planes_of(ab_planes);
  launch(&Ops::pixel_weight, PixelWeightParams{.ab = ab.of<float>(),
                                               .class_weight = at<float>(class_weight),
                                               .mask = at<uint8_t>(mask),
                                               .weight = at<float>(weight),
                                               .images = ab.images,
                                               .pixels = ab.height * ab.width,
                                               .palette = palette_of(palette),
                                               .target = target_of(target)});
}

// weights: of classes, mask, divisor. outputs: the pixels' losses, the logits' gradient. terms: neighbours, sigma,
// gamma, scale of the gradient.
void loss(const VolumeTuple& logits_volume, Address ab, std::tuple<Address, Address, Address> weights,
          std::tuple<Address, Address> outputs, std::tuple<int, float, float, double> terms,
          const PaletteTuple& palette, const TargetTuple& target) {
  const Volume logits = volume_of(logits_volume);
  const auto& [class_weight, mask, divisor] = weights;
  const auto& [pixel_loss, grad_logits] = outputs;
  const auto& [neighbours, sigma_ab, gamma, grad_scale] = terms;
  launch(&Ops::loss, LossParams{.logits = logits.data,
                                .ab = at<float>(ab),
                                .class_weight = at<float>(class_weight),
                                .mask = at<uint8_t>(mask),
                                .divisor = at<float>(divisor),
                                .pixel_loss = at(pixel_loss),
                                .grad_logits = at(grad_logits),
                                .images = logits.images,
                                .pixels = logits.pixels,
                                .neighbours = neighbours,
                                .sigma_ab = sigma_ab,
                                .gamma = gamma,
                                .grad_scale = grad_scale,
                                .channels_last = logits.channels_last,
                                .dtype = logits.dtype,
                                .palette = palette_of(palette),
                                .target = target_of(target)});
}

void scale_grad(const VolumeTuple& grad_volume, Address factor, bool per_pixel, const TargetTuple& target) {
  const Volume grad = volume_of(grad_volume);
  launch(&Ops::scale_grad, ScaleGradParams{.grad = grad.data,
                                           .factor = at(factor),
                                           .images = grad.images,
                                           .pixels = grad.pixels,
                                           .bins = grad.bins,
                                           .per_pixel = per_pixel,
                                           .channels_last = grad.channels_last,
                                           .dtype = grad.dtype,
                                           .target = target_of(target)});
}

void annealed_mean(const VolumeTuple& logits_volume, Address ab, Address stats, double temperature,
                   const PaletteTuple& palette, const TargetTuple& target) {
  const Volume logits = volume_of(logits_volume);
  launch(&Ops::annealed_mean, DecodeParams{.logits = logits.data,
                                           .grad_ab = nullptr,
                                           .ab = at(ab),
                                           .stats = at(stats),
                                           .grad_logits = nullptr,
                                           .images = logits.images,
                                           .pixels = logits.pixels,
                                           .temperature = temperature,
                                           .channels_last = logits.channels_last,
                                           .dtype = logits.dtype,
                                           .palette = palette_of(palette),
                                           .target = target_of(target)});
}

void annealed_mean_backward(const VolumeTuple& logits_volume, Address grad_ab, Address ab, Address stats,
                            Address grad_logits, double temperature, const PaletteTuple& palette,
                            const TargetTuple& target) {
  const Volume logits = volume_of(logits_volume);
  launch(&Ops::annealed_mean_backward, DecodeParams{.logits = logits.data,
                                                    .grad_ab = at(grad_ab),
                                                    .ab = at(ab),
                                                    .stats = at(stats),
                                                    .grad_logits = at(grad_logits),
                                                    .images = logits.images,
                                                    .pixels = logits.pixels,
                                                    .temperature = temperature,
                                                    .channels_last = logits.channels_last,
                                                    .dtype = logits.dtype,
                                                    .palette = palette_of(palette),
                                                    .target = target_of(target)});
}

void luma_to_input(const PlanesTuple& luma_planes, const PlanesTuple& lightness_planes, const LumaCodeTuple& code,
                   const TargetTuple& target) {
  const Planes luma = planes_of(luma_planes), lightness = planes_of(lightness_planes);
  launch(&Ops::luma_to_input, LumaToInputParams{.luma = luma.data,
                                                .lightness = lightness.of<float>(),
                                                .images = luma.images,
                                                .height = luma.height,
                                                .width = luma.width,
                                                .out_height = lightness.height,
                                                .out_width = lightness.width,
                                                .code = luma_code_of(code),
                                                .dtype = luma.dtype,
                                                .target = target_of(target)});
}

void paint_rgb(const PlanesTuple& ab_planes, bool sharp, const PlanesTuple& source_planes, int source_kind, Address rgb,
               float saturation, bool chroma_gamut, const TargetTuple& target) {
  const Planes ab = planes_of(ab_planes), source = planes_of(source_planes);
  launch(&Ops::paint_rgb, PaintRgbParams{.ab = ab.of<float>(),
                                         .sharp = sharp,
                                         .source = source.data,
                                         .rgb = at<uint8_t>(rgb),
                                         .images = source.images,
                                         .ab_height = ab.height,
                                         .ab_width = ab.width,
                                         .height = source.height,
                                         .width = source.width,
                                         .saturation = saturation,
                                         .gamut = gamut_of(chroma_gamut),
                                         .source_kind = static_cast<Source>(source_kind),
                                         .dtype = source.dtype,
                                         .target = target_of(target)});
}

void paint_chroma(const PlanesTuple& ab_planes, bool sharp, const PlanesTuple& luma_planes, std::tuple<Address, Address> chroma,
                  const ChromaGridTuple& grid, const LumaCodeTuple& luma_code, const ChromaCodeTuple& chroma_code,
                  float saturation, const TargetTuple& target) {
  const Planes ab = planes_of(ab_planes), luma = planes_of(luma_planes);
  const auto& [cb, cr] = chroma;
  const auto& [step_x, step_y, centered] = grid;
  const auto& [k_red, k_blue, chroma_scale, chroma_middle, chroma_max] = chroma_code;
  launch(&Ops::paint_chroma, PaintChromaParams{.ab = ab.of<float>(),
                                               .sharp = sharp,
                                               .luma = luma.data,
                                               .cb = at(cb),
                                               .cr = at(cr),
                                               .images = luma.images,
                                               .ab_height = ab.height,
                                               .ab_width = ab.width,
                                               .height = luma.height,
                                               .width = luma.width,
                                               .step_x = step_x,
                                               .step_y = step_y,
                                               .centered = centered,
                                               .code = luma_code_of(luma_code),
                                               .k_red = k_red,
                                               .k_blue = k_blue,
                                               .chroma_scale = chroma_scale,
                                               .chroma_middle = chroma_middle,
                                               .chroma_max = chroma_max,
                                               .saturation = saturation,
                                               .dtype = luma.dtype,
                                               .target = target_of(target)});
}

void block_motion(const PlanesTuple& luma_planes, Address previous, Address motion, Address error, int radius,
                  const TargetTuple& target) {
  const Planes luma = planes_of(luma_planes);
  launch(&Ops::block_motion, BlockMotionParams{.luma = luma.of<uint8_t>(),
                                               .previous = at<uint8_t>(previous),
                                               .motion = at<int32_t>(motion),
                                               .error = at<int32_t>(error),
                                               .images = luma.images,
                                               .height = luma.height,
                                               .width = luma.width,
                                               .radius = radius,
                                               .target = target_of(target)});
}

// before: ab and luma of the frame before. tolerance: of luma, of ab.
void temporal_average(Address ab, const PlanesTuple& luma_planes, std::tuple<Address, Address> before, Address motion,
                      Address keep, Address out, std::tuple<float, float> tolerance, const TargetTuple& target) {
  const Planes luma = planes_of(luma_planes);
  const auto& [previous_ab, previous_luma] = before;
  const auto& [tolerance_luma, tolerance_ab] = tolerance;
  launch(&Ops::temporal_average, TemporalAverageParams{.ab = at<float>(ab),
                                                       .luma = luma.of<uint8_t>(),
                                                       .previous_ab = at<float>(previous_ab),
                                                       .previous_luma = at<uint8_t>(previous_luma),
                                                       .motion = at<int32_t>(motion),
                                                       .keep = at<float>(keep),
                                                       .out = at<float>(out),
                                                       .images = luma.images,
                                                       .height = luma.height,
                                                       .width = luma.width,
                                                       .tolerance = tolerance_luma,
                                                       .tolerance_ab = tolerance_ab,
                                                       .target = target_of(target)});
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  using py::arg;
  m.doc() = "fastcolor's kernels. Private: use fastcolor.ops.";
  m.attr("INTERFACE") = 3;  // one more with every change of a signature: fastcolor/_native.py expects it
  m.def("isa", &cpu::isa);
  m.def("has_bf16", &cpu::has_bf16);
  m.def("has_vnni", &cpu::has_vnni);
  m.def("cuda_built", &cuda::built);
  m.def("cuda_device_count", &cuda::device_count);
  m.def("cuda_problem", &cuda::problem);
  for (const auto& [name, function] :
       {std::pair("rgb_to_lab", &color<&Ops::rgb_to_lab>), std::pair("lab_to_rgb", &color<&Ops::lab_to_rgb>)}) {
    m.def(name, function, arg("source"), arg("destination"), arg("size"), arg("interleaved"), arg("chroma_gamut"),
          arg("dtype"), arg("target"));
  }
  for (const auto& [name, function] : {std::pair("rgb_to_lab_backward", &color_backward<&Ops::rgb_to_lab_backward>),
                                       std::pair("lab_to_rgb_backward", &color_backward<&Ops::lab_to_rgb_backward>)}) {
    m.def(name, function, arg("source"), arg("grad_output"), arg("destination"), arg("size"), arg("interleaved"),
          arg("dtype"), arg("target"));
  }
  m.def("encode_bins", &encode_bins, arg("ab"), arg("index"), arg("weight"), arg("neighbours"), arg("sigma"),
        arg("palette"), arg("target"));
  m.def("pixel_weight", &pixel_weight, arg("ab"), arg("class_weight"), arg("mask"), arg("weight"), arg("palette"),
        arg("target"));
  m.def("loss", &loss, arg("logits"), arg("ab"), arg("weights"), arg("outputs"), arg("terms"), arg("palette"),
        arg("target"));
  m.def("scale_grad", &scale_grad, arg("grad"), arg("factor"), arg("per_pixel"), arg("target"));
  m.def("annealed_mean", &annealed_mean, arg("logits"), arg("ab"), arg("stats"), arg("temperature"), arg("palette"),
        arg("target"));
  m.def("annealed_mean_backward", &annealed_mean_backward, arg("logits"), arg("grad_ab"), arg("ab"), arg("stats"),
        arg("grad_logits"), arg("temperature"), arg("palette"), arg("target"));
  m.def("luma_to_input", &luma_to_input, arg("luma"), arg("lightness"), arg("code"), arg("target"));
  m.def("paint_rgb", &paint_rgb, arg("ab"), arg("sharp"), arg("source"), arg("source_kind"), arg("rgb"), arg("saturation"),
        arg("chroma_gamut"), arg("target"));
  m.def("paint_chroma", &paint_chroma, arg("ab"), arg("sharp"), arg("luma"), arg("chroma"), arg("grid"), arg("luma_code"),
        arg("chroma_code"), arg("saturation"), arg("target"));
  m.def("block_motion", &block_motion, arg("luma"), arg("previous"), arg("motion"), arg("error"), arg("radius"),
        arg("target"));
  m.def("temporal_average", &temporal_average, arg("ab"), arg("luma"), arg("before"), arg("motion"), arg("keep"),
        arg("out"), arg("tolerance"), arg("target"));
}
