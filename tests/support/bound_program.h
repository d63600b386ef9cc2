#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/status.h"
#include "engine/graph/reference.h"
#include "engine/plan/program.h"

namespace hone::engine::testing {

inline Value AddParameter(Graph& graph, absl::string_view name, const Shape& shape,
                          ParameterRole role = ParameterRole::kTrainable) {
  ParameterSpec spec;
  spec.name = std::string(name);
  spec.shape = shape;
  spec.initializer = {.kind = Initializer::Kind::kNormal};
  spec.role = role;
  return graph.Parameter(spec);
}

// The store of a graph's parameters, allocated and initialised.
inline absl::StatusOr<ParameterStore> StoreOf(const Graph& graph, int shards = 1,
                                              uint64_t seed = 1) {
  ParameterStore store;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      HONE_RETURN_IF_ERROR(store.Declare(node.parameter).status());
    }
  }
  store.Allocate(shards);
  store.Initialize(seed);
  return store;
}

// A program with an arena of its own.
struct BoundProgram {
  Program program;
  Buffer arena;

  static absl::StatusOr<BoundProgram> Make(const ProgramRequest& request, ParameterStore& store,
                                           const ProgramOptions& options = {}) {
    HONE_ASSIGN_OR_RETURN(Program program, Program::Compile(request, store, options));
    Buffer arena(program.arena_bytes());
    HONE_RETURN_IF_ERROR(program.Bind(arena.as<std::byte>()));
    store.RefreshAll();
    return BoundProgram{std::move(program), std::move(arena)};
  }
};

// Puts numbers into an input of the program, from the beginning.
template <typename T>
void Give(const Program& program, absl::string_view name, const std::vector<T>& numbers) {
  std::copy(numbers.begin(), numbers.end(), static_cast<T*>(program.input(name)));
}

// Numbers in [−1, 1) that follow from the seed.
inline std::vector<float> RandomNumbers(int64_t count, uint64_t seed) {
  RandomStream random(seed, "numbers");
  std::vector<float> numbers(static_cast<size_t>(count));
  std::ranges::generate(numbers, [&] { return random.NextUniform(-1, 1); });
  return numbers;
}

}  // namespace hone::engine::testing
