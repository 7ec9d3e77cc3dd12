// Stands in for the CPU kernels, which the emulated extension does not need.
#include "../../csrc/ops.h"

namespace fastcolor::cpu {

const Ops& ops() { throw std::runtime_error("the emulated extension runs CUDA kernels alone"); }
const char* isa() { return "emulated"; }
bool has_vnni() { return false; }
bool has_bf16() { return false; }

}  // namespace fastcolor::cpu
