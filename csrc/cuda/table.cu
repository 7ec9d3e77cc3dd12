// The table of CUDA launchers, and what this machine can run of it.
#include "launch.cuh"

namespace fastcolor::cuda {

void enter_color(Ops&);
void enter_encode(Ops&);
void enter_loss(Ops&);
void enter_scale_grad(Ops&);
void enter_decode(Ops&);
void enter_luma_to_input(Ops&);
void enter_paint(Ops&);
void enter_decode_paint(Ops&);
void enter_temporal(Ops&);

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
  static const Ops table = [] {
    Ops entered{};
    for (const auto enter : {enter_color, enter_encode, enter_loss, enter_scale_grad, enter_decode, enter_luma_to_input,
                             enter_paint, enter_decode_paint, enter_temporal})
      enter(entered);
    return entered;
  }();
  return table;
}

bool built() { return true; }
int device_count() { return devices().count; }
std::string problem() { return devices().count > 0 ? "" : cudaGetErrorString(devices().error); }

}  // namespace fastcolor::cuda
