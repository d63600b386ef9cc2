#include "engine/graph/lowering.h"

#include "engine/base/status.h"

namespace hone::engine {

void Lowering::EmitPrimitive(const onednn::Primitive& primitive,
                             std::vector<std::pair<onednn::Arg, Slot>> arguments) {
  if (primitive.scratchpad_bytes() > 0) {
    arguments.emplace_back(onednn::Arg::kScratchpad, Scratch(primitive.scratchpad_bytes()));
  }
  Emit(primitive.implementation(),
       [primitive, arguments](const Memory& memory) -> absl::StatusOr<StepFunction> {
         std::vector<onednn::Execution::Argument> bound;
         for (const auto& [arg, slot] : arguments) {
           bound.push_back({arg, memory[slot]});
         }
         HONE_ASSIGN_OR_RETURN(const onednn::Execution execution,
                               onednn::Execution::Create(primitive, bound));
         return [execution](const RunScalars&) { return execution.Run(); };
       });
}

}  // namespace hone::engine
