#include "engine/ops/random_key.h"

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"

namespace hone::engine {

uint64_t RandomLayer(const Graph& graph, absl::string_view kind) {
  int64_t before = 0;
  for (const Graph::Node& node : graph.nodes()) {
    before += node.op != nullptr && node.name == graph.scope() && node.op->kind() == kind;
  }
  return NameHash(absl::StrCat(graph.scope(), "/", kind, before));
}

uint64_t RandomKey(const RunScalars& scalars, uint64_t layer) {
  const auto words =
      Philox({static_cast<uint32_t>(scalars.step), static_cast<uint32_t>(scalars.step >> 32),
              static_cast<uint32_t>(layer), static_cast<uint32_t>(layer >> 32)},
             {static_cast<uint32_t>(scalars.seed), static_cast<uint32_t>(scalars.seed >> 32)});
  return uint64_t{words[1]} << 32 | words[0];
}

}  // namespace hone::engine
