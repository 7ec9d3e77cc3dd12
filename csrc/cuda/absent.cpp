// The CUDA side of a library built without nvcc: the same symbols, which say so.
#include "../ops.h"

namespace fastcolor::cuda {

const Ops& ops() { throw std::runtime_error(problem()); }
bool built() { return false; }
int device_count() { return 0; }
std::string problem() {
  return "fastcolor was built without CUDA: install the CUDA toolkit (nvcc) and install fastcolor again";
}

}  // namespace fastcolor::cuda
