// decode_rgb, decode_chroma: on a CPU the two halves one after the other, since ab of the network's size stays in the
// cache between them.
#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

void decode_rgb(const DecodeRgbParams& p) {
  ops().annealed_mean(p.decode);
  ops().paint_rgb(p.paint);
}

void decode_chroma(const DecodeChromaParams& p) {
  ops().annealed_mean(p.decode);
  ops().paint_chroma(p.paint);
}

void enter_decode_paint(Ops& table) {
  table.decode_rgb = decode_rgb;
  table.decode_chroma = decode_chroma;
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
