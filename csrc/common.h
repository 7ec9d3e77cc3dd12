// What every file shares: the host/device qualifier, element types and their dispatch. No CUDA runtime, no Python.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#ifdef __CUDACC__
#define FC_HD __host__ __device__ __forceinline__
#else
#define FC_HD inline __attribute__((always_inline))
#endif

namespace fastcolor {

enum class DType : int { kU8, kU16, kF16, kBF16, kF32, kF64 };

// 16-bit floats as they lie in memory. Arithmetic is in float: see load() and store().
struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// The type that sums and formulas of an element type are computed in.
template <class T>
struct ComputeType {
  using type = float;
};
template <>
struct ComputeType<double> {
  using type = double;
};
template <class T>
using Compute = typename ComputeType<T>::type;

template <class To, class From>
FC_HD To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "bit_cast needs equal sizes");
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

// Calls f with a value of the element type; the value only carries the type.
template <class F>
void dispatch_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF16:
      return f(Half{});
    case DType::kBF16:
      return f(BFloat16{});
    case DType::kF32:
      return f(float{});
    case DType::kF64:
      return f(double{});
    default:
      throw std::invalid_argument("dtype: must be a floating-point type, got code " +
                                  std::to_string(static_cast<int>(dtype)));
  }
}

// The same for code values of pictures and films: u8, else u16.
template <class F>
void dispatch_code(DType dtype, F&& f) {
  dtype == DType::kU8 ? f(uint8_t{}) : f(uint16_t{});
}

}  // namespace fastcolor
