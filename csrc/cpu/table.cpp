// The table of one instruction set's launchers. Filled when first asked for: at load time this code might run on a
// processor that lacks the instructions.
#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

void enter_color(Ops&);
void enter_encode(Ops&);
void enter_loss(Ops&);
void enter_scale_grad(Ops&);
void enter_decode(Ops&);
void enter_luma_to_input(Ops&);
void enter_paint(Ops&);
void enter_decode_paint(Ops&);
void enter_temporal(Ops&);

const Ops& ops() {
  static const Ops table = [] {
    Ops entered{};
    for (const auto enter : {enter_color, enter_encode, enter_loss, enter_scale_grad, enter_decode, enter_luma_to_input,
                             enter_paint, enter_decode_paint, enter_temporal})
      enter(entered);
    return entered;
  }();
  return table;
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
