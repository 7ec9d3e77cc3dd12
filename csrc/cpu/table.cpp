// The table of one instruction set's launchers. Filled when first asked for: at load time this code might run on a
// processor that lacks the instructions.
#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

#include "../launchers.h"

const Ops& ops() {
  static const Ops table = table_of_launchers();
  return table;
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
