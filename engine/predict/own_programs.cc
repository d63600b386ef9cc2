#include "engine/predict/own_programs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine::predict {

absl::StatusOr<std::unique_ptr<OwnPrograms>> OwnPrograms::Make(
    const std::vector<tasks::ForwardSpec>& specs, const Build& build) {
  std::unique_ptr<OwnPrograms> own(new OwnPrograms());
  for (const tasks::ForwardSpec& spec : specs) {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph, build(spec));
    graph.built.request.update_buffers = !graph.built.graph->updates().empty();
    own->programs_.push_back({spec, std::move(graph)});
  }
  return own;
}

std::vector<const Graph*> OwnPrograms::graphs() const {
  std::vector<const Graph*> graphs;
  for (const Own& own : programs_) {
    graphs.push_back(own.graph.built.graph.get());
  }
  return graphs;
}

absl::Status OwnPrograms::Compile(ParameterStore& store, int threads) {
  int64_t bytes = 64;
  for (Own& own : programs_) {
    HONE_ASSIGN_OR_RETURN(Program program,
                          Program::Compile(own.graph.built.request, store, {.threads = threads}));
    bytes = std::max(bytes, program.arena_bytes());
    own.program.push_back(std::move(program));
  }
  arena_ = Buffer(bytes);
  for (Own& own : programs_) {
    HONE_RETURN_IF_ERROR(own.program[0].Bind(arena_.as<std::byte>()));
  }
  return absl::OkStatus();
}

absl::StatusOr<const Program*> OwnPrograms::forward(absl::string_view name,
                                                    const tasks::BatchShape& shape) const {
  for (const Own& own : programs_) {
    if (own.spec.name == name && own.spec.shape == shape) {
      return &own.program[0];
    }
  }
  return absl::NotFoundError(absl::StrCat("no program ", name, " for ", shape.batch,
                                          " examples in bucket ", shape.bucket));
}

absl::Status OwnPrograms::Run(const Program& program, const RunScalars& scalars) {
  return program.Run(scalars);
}

}  // namespace hone::engine::predict
