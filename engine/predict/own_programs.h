#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/plan/program.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/task_programs.h"

namespace hone::engine::predict {

// The programs that a task answers with (TaskModel::answering), over one store and one arena. Not
// thread safe.
class OwnPrograms final : public tasks::ForwardPrograms {
 public:
  using Build = std::function<absl::StatusOr<tasks::TaskGraph>(const tasks::ForwardSpec& spec)>;

  // Builds the graphs. Errors of `build`.
  static absl::StatusOr<std::unique_ptr<OwnPrograms>> Make(
      const std::vector<tasks::ForwardSpec>& specs, const Build& build);
  OwnPrograms(const OwnPrograms&) = delete;
  OwnPrograms& operator=(const OwnPrograms&) = delete;

  // For whoever declares their parameters.
  std::vector<const Graph*> graphs() const;
  // When the store is allocated, which outlives this.
  absl::Status Compile(ParameterStore& store, int threads);

  absl::StatusOr<const Program*> forward(absl::string_view name,
                                         const tasks::BatchShape& shape) const override;
  absl::Status Run(const Program& program, const RunScalars& scalars) override;

 private:
  struct Own {
    tasks::ForwardSpec spec;
    tasks::TaskGraph graph;
    std::vector<Program> program = {};  // one, once it is compiled
  };

  OwnPrograms() = default;

  std::vector<Own> programs_;
  Buffer arena_;
};

}  // namespace hone::engine::predict
