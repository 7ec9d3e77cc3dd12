// Three planes of bytes into one run of interleaved pixels, 16 pixels at a time: compilers do not vectorise
// bytes at a stride of three by themselves.
#pragma once

#include "parallel.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

#ifdef __SSSE3__  // below it a byte shuffle is emulated, slower than the plain loop
typedef uint8_t Bytes16 __attribute__((vector_size(16)));

// Lane j of the result: x[(start + j) / 3] of the plane x whose turn it is, (start + j) % 3.
template <int start>
inline Bytes16 interleaved(Bytes16 x, Bytes16 y, Bytes16 z) {
  Bytes16 pick_xy, pick_z;
  for (int j = 0; j < 16; j++) {
    const int at = start + j, pixel = at / 3, plane = at % 3;
    pick_xy[j] = static_cast<uint8_t>(plane == 1 ? 16 + pixel : pixel);
    pick_z[j] = static_cast<uint8_t>(plane == 2 ? 16 + pixel : j);
  }
  return __builtin_shuffle(__builtin_shuffle(x, y, pick_xy), z, pick_z);
}
inline Bytes16 load_bytes(const uint8_t* from) {
  Bytes16 v;
  std::memcpy(&v, from, 16);
  return v;
}
inline void store_bytes(Bytes16 v, uint8_t* to) { std::memcpy(to, &v, 16); }
#endif

// x, y, z: (n) each; pixels: (n, 3).
inline void interleave(const uint8_t* x, const uint8_t* y, const uint8_t* z, int n, uint8_t* pixels) {
  int i = 0;
#ifdef __SSSE3__
  for (; i + 16 <= n; i += 16) {
    const Bytes16 a = load_bytes(x + i), b = load_bytes(y + i), c = load_bytes(z + i);
    store_bytes(interleaved<0>(a, b, c), pixels + 3 * i);
    store_bytes(interleaved<16>(a, b, c), pixels + 3 * i + 16);
    store_bytes(interleaved<32>(a, b, c), pixels + 3 * i + 32);
  }
#endif
  for (; i < n; i++) {
    pixels[3 * i] = x[i];
    pixels[3 * i + 1] = y[i];
    pixels[3 * i + 2] = z[i];
  }
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
