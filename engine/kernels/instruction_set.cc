#include "engine/kernels/instruction_set.h"

#include "engine/base/cpu.h"
#include "hwy/targets.h"

namespace hone::engine::kernels {

void KeepToInstructionSet() {
  static const bool done = [] {
#if HWY_ARCH_X86
    // Better targets have smaller numbers, and what is disabled are all below the best allowed one.
    if (CpuInstructionSet() == InstructionSet::kLeast) {
      hwy::DisableTargets(HWY_AVX2 | (HWY_AVX2 - 1));
    } else if (CpuInstructionSet() == InstructionSet::kAvx2) {
      hwy::DisableTargets(HWY_AVX2 - 1);
    }
#endif
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace hone::engine::kernels
