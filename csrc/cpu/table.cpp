// The table of one instruction set's launchers.
#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

extern const Ops kOps;
const Ops kOps = {
    rgb_to_lab,   rgb_to_lab_backward, lab_to_rgb,    lab_to_rgb_backward,    encode_bins,      pixel_weight,
    loss,         scale_grad,          annealed_mean, annealed_mean_backward, luma_to_input,    paint_rgb,
    paint_chroma, decode_rgb,          decode_chroma, block_motion,           temporal_average,
};

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
