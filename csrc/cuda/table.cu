// The table of CUDA launchers, and what this machine can run of it.
#include "launch.cuh"

namespace fastcolor::cuda {

#include "../launchers.h"

namespace {

// Does this library hold machine code for a device, or code that the driver can translate for it? Machine code runs on
// later chips of the same major number; what is to be translated is of the last architecture alone (CMakeLists.txt).
bool built_for(int device) {
#ifdef __CUDA_ARCH_LIST__
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  const int chip = 100 * major + 10 * minor;
  int last = 0;
  for (const int built : {__CUDA_ARCH_LIST__}) {
    if (built / 100 == major && built <= chip) return true;
    last = built > last ? built : last;
  }
  return chip >= last;
#else
  return device >= 0;
#endif
}

// Asked once: a driver does not appear while a process runs.
struct Devices {
  int count = 0;
  std::string problem;
  Devices() {
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
      count = 0;
      problem = cudaGetErrorString(error);
      cudaGetLastError();
    } else if (count > 0 && !built_for(0)) {
      count = 0;
      problem = "these kernels were built for other GPUs than the first one here";
    }
  }
};
const Devices& devices() {
  static const Devices once;
  return once;
}

}  // namespace

const Ops& ops() {
  static const Ops table = table_of_launchers();
  return table;
}

bool built() { return true; }
int device_count() { return devices().count; }
std::string problem() { return devices().problem; }

}  // namespace fastcolor::cuda
