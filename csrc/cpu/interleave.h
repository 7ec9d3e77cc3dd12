// Three planes of codes into one run of interleaved 8-bit pixels. A vector holds a whole pixel in each lane, and then
// drops every fourth byte: compilers do not vectorise bytes at a stride of three by themselves.
#pragma once

#include "lanes.h"
#include "runs.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

#ifdef __SSSE3__  // below it a shuffle of bytes is emulated, slower than the plain loop
// pixels: in each lane the bytes red, green, blue and anything. The first three quarters of the result are wanted.
FC_INLINE Words drop_fourth_bytes(Words pixels) {
  typedef uint8_t Bytes __attribute__((vector_size(sizeof(Words))));
  Bytes within;  // each 16 bytes by themselves: processors shuffle those at once
  for (unsigned k = 0; k < sizeof(Words); k++) within[k] = static_cast<uint8_t>(k / 16 * 16 + k % 16 * 4 / 3 % 16);
  Words across;
  for (unsigned k = 0; k < kLanes; k++) across[k] = k / 3 * 4 + k % 3;
  return __builtin_shuffle(reinterpret_cast<Words>(__builtin_shuffle(reinterpret_cast<Bytes>(pixels), within)), across);
}
#endif

// codes in [0, 255], rounded here. pixels: (n, 3).
inline void interleave(const Planes<float>& codes, int n, uint8_t* pixels) {
  int i = 0;
#ifdef __SSSE3__
  const auto rounded = [](const float* c) __attribute__((always_inline)) {
    return reinterpret_cast<Words>(__builtin_convertvector(load_lanes<Floats>(c) + 0.5f, Ints));
  };
  for (; i + kLanes <= n; i += kLanes) {
    const Words pixel = rounded(codes.x + i) | rounded(codes.y + i) << 8 | rounded(codes.z + i) << 16;
    const Words packed = drop_fourth_bytes(pixel);
    std::memcpy(pixels + 3 * i, &packed, 3 * kLanes);
  }
#endif
  for (; i < n; i++) {
    pixels[3 * i] = math::to_byte(codes.x[i]);
    pixels[3 * i + 1] = math::to_byte(codes.y[i]);
    pixels[3 * i + 2] = math::to_byte(codes.z[i]);
  }
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
