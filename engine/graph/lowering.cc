#include "engine/graph/lowering.h"

#include "engine/base/status.h"

namespace hone::engine {

BindFunction Lowering::BindPrimitive(const onednn::Primitive& primitive,
                                     std::vector<std::pair<onednn::Arg, Slot>> arguments) {
  if (primitive.scratchpad_bytes() > 0) {
    arguments.emplace_back(onednn::Arg::kScratchpad, Scratch(primitive.scratchpad_bytes()));
  }
  return [primitive, arguments](const Memory& memory) -> absl::StatusOr<StepFunction> {
    std::vector<onednn::Execution::Argument> bound;
    for (const auto& [arg, slot] : arguments) {
      bound.push_back({arg, memory[slot]});
    }
    HONE_ASSIGN_OR_RETURN(const onednn::Execution execution,
                          onednn::Execution::Create(primitive, bound));
    return [execution](const RunScalars&) { return execution.Run(); };
  };
}

void Lowering::EmitPrimitive(const onednn::Primitive& primitive,
                             std::vector<std::pair<onednn::Arg, Slot>> arguments) {
  Emit(primitive.implementation(), BindPrimitive(primitive, std::move(arguments)));
}

}  // namespace hone::engine
