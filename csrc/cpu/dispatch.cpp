// Chooses the instruction set once, when first asked. Built for the lowest common one.
#include <cstdlib>
#include <string>

#include "../ops.h"

namespace fastcolor::cpu {

namespace baseline {
const Ops& ops();
}
#ifdef FASTCOLOR_X86
namespace avx2 {
const Ops& ops();
}
namespace avx512 {
const Ops& ops();
}
#endif

namespace {

struct Choice {
  const char* name;
  const Ops* ops;
};

Choice choose() {
  const char* wanted = std::getenv("FASTCOLOR_ISA");
  const std::string limit = wanted == nullptr ? "" : wanted;
  if (!limit.empty() && limit != "baseline" && limit != "avx2" && limit != "avx512") {
    throw std::invalid_argument("FASTCOLOR_ISA: must be baseline, avx2 or avx512, got '" + limit + "'");
  }
#ifdef FASTCOLOR_X86
  __builtin_cpu_init();
  // What x86-64-v4 and x86-64-v3 add to the baseline, as the compiler's -march has them.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("movbe") && __builtin_cpu_supports("f16c") &&
                  __builtin_cpu_supports("lzcnt");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4 && (limit.empty() || limit == "avx512")) return {"avx512", &avx512::ops()};
  if (v3 && (limit.empty() || limit != "baseline")) return {"avx2", &avx2::ops()};
#endif
  return {"baseline", &baseline::ops()};
}

const Choice& choice() {
  static const Choice kChoice = choose();
  return kChoice;
}

}  // namespace

const Ops& ops() { return *choice().ops; }
const char* isa() { return choice().name; }
bool has_vnni() {
#ifdef FASTCOLOR_X86
  __builtin_cpu_init();
#if __GNUC__ >= 11  // earlier ones do not know the name
  if (__builtin_cpu_supports("avxvnni")) return true;
#endif
  return __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}
bool has_bf16() {
#ifdef FASTCOLOR_X86
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") || __builtin_cpu_supports("amx-bf16");
#else
  return false;
#endif
}

}  // namespace fastcolor::cpu
