#pragma once

namespace hone::engine::kernels {

// Makes the kernels keep to CpuInstructionSet(), where that is less than the processor has. Once
// for the process, before a kernel runs: who compiles programs or makes optimizers calls it.
void KeepToInstructionSet();

}  // namespace hone::engine::kernels
