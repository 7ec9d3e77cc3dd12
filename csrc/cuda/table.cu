// The table of CUDA launchers, and what this machine can run of it.
#include "launch.cuh"

namespace fastcolor::cuda {

#include "../launchers.h"

namespace {

// Asked once: a driver does not appear while a process runs.
struct Devices {
  int count = 0;
  cudaError_t error;
  Devices() : error(cudaGetDeviceCount(&count)) {
    if (error != cudaSuccess) {
      count = 0;
      cudaGetLastError();
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
std::string problem() { return devices().count > 0 ? "" : cudaGetErrorString(devices().error); }

}  // namespace fastcolor::cuda
