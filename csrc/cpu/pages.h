// Huge pages for large outputs. A fresh tensor's first write to each page goes through the system, which fills the page
// with zeros; pages of 2 MB instead of 4 KB are 512 times fewer such writes.
#pragma once

#include <cstdint>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace fastcolor::cpu::FASTCOLOR_ISA {

// Asks for them inside [memory, memory + bytes), which stay so after the tensor is freed. Where the system has none to
// give, nothing changes. Worth it for outputs of 12 bytes a pixel and more, and of whole pictures: the others' are
// small.
inline void prefer_huge_pages([[maybe_unused]] const void* memory, [[maybe_unused]] int64_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kHugePage = uintptr_t{1} << 21;
  const uintptr_t start = reinterpret_cast<uintptr_t>(memory), end = start + static_cast<uintptr_t>(bytes);
  const uintptr_t first = (start + kHugePage - 1) & ~(kHugePage - 1), last = end & ~(kHugePage - 1);
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace fastcolor::cpu::FASTCOLOR_ISA
