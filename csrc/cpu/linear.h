// Codes of 8 bits to linear light, by table.
#pragma once

#include "../math/color.h"

#include <array>

#include "runs.h"

namespace fastcolor::cpu::FASTCOLOR_ISA {

// The linear light of every code. Twice, as the first and as the second of two floats in one word: a pair of pixels is
// looked up by integer instructions and stored at once, where single floats would wait for the store ports.
struct LinearTable {
  std::array<uint64_t, 256> first, second;
  LinearTable() {
    for (size_t i = 0; i < 256; i++) {
      const auto linear = static_cast<float>(math::srgb_to_linear(static_cast<double>(i) / 255.0));
      const float pairs[2][2] = {{linear, 0.0f}, {0.0f, linear}};
      std::memcpy(&first[i], pairs[0], 8);
      std::memcpy(&second[i], pairs[1], 8);
    }
  }
  float operator[](uint8_t code) const {
    float linear;
    std::memcpy(&linear, &first[code], 4);
    return linear;
  }
};
// Made at first use: a constructor at load time would run this instruction set's code on processors that lack it.
inline const LinearTable& linear_table() {
  static const LinearTable table;
  return table;
}

// codes: first pixel of the run; kStep between pixels, `plane` between channels. out: linear light.
template <int64_t kStep>
inline void look_up(const uint8_t* codes, int64_t plane, int n, Planes<float>& out) {
  const LinearTable& table = linear_table();
  float* const to[3] = {out.x, out.y, out.z};
  int i = 0;
  for (; i + 2 <= n; i += 2, codes += 2 * kStep) {
    for (int c = 0; c < 3; c++) {
      const uint64_t pair = table.first[codes[c * plane]] | table.second[codes[c * plane + kStep]];
      std::memcpy(to[c] + i, &pair, 8);
    }
  }
  for (; i < n; i++, codes += kStep) {
    for (int c = 0; c < 3; c++) to[c][i] = table[codes[c * plane]];
  }
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
