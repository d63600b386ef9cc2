#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/models/build.h"
#include "engine/optim/optimizer.h"
#include "engine/plan/replicas.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"

namespace hone::engine::tasks {

// One update within a step of training: a loss, and the parameters that an optimizer moves against
// it. Most tasks have one; the two halves of a GAN have one each.
struct UpdateSpec {
  std::string name;        // such as "generator"; "" where a task has only one
  std::string parameters;  // those whose names begin so are moved; "": all that are trainable
  std::optional<optim::OptimizerOptions> optimizer = {};  // else the job's
  int64_t every = 1;        // it is made at the steps every, 2 · every, …, counted from 1
  double clip_weights = 0;  // above 0: what it moves is cut to ± this after the update

  bool due(int64_t step) const { return step % every == 0; }
};

// A program that a task runs itself, beside those of the losses: "act", "decode".
struct ForwardSpec {
  std::string name;
  BatchShape shape;
};

// A graph with what was found on the way.
struct TaskGraph {
  BuiltGraph built;
  models::BuiltModel model;
};

// With an empty graph in which the job's rules freeze parameters. What freezing changes beside the
// updates, such as a batch normalisation's statistics, follows in graphs that begin so.
TaskGraph NewTaskGraph(const TrainingConfig& config);
void FreezeByRules(const std::vector<ParameterRule>& rules, Graph& graph);

// The values that a loss fetches, in this order. A task's own may follow.
inline constexpr int kFetchLossSum = 0;
inline constexpr int kFetchLossWeight = 1;
inline constexpr int kFetchCorrect = 2;  // 0 for regression: the builder fetches a constant
// An evaluation fetches the model's output behind them.
inline constexpr int kFetchOutput = 3;
// A loss may fetch scalars of its own from there on, which are added up over a batch as the others
// are.
inline constexpr int kFetchOwn = 3;
inline constexpr size_t kMostOwn = 2;
// Their sums; 0 where a loss fetches fewer.
struct OwnSums {
  std::array<double, kMostOwn> values = {};

  double operator[](size_t i) const { return values[i]; }
  void Add(const OwnSums& more) {
    for (size_t i = 0; i < kMostOwn; ++i) {
      values[i] += more.values[i];
    }
  }
};

inline constexpr char kFeaturesInput[] = "features";

// The input "features" [batch, …], pictures made numbers.
Value FeaturesInput(Graph& graph, const DataInfo& info, int64_t batch);

// The model behind a program's examples: the input "features", or, of texts, "tokens" and "offsets"
// (text_inputs.h). Errors of models::BuildModel.
absl::StatusOr<models::BuiltModel> BuildModelOfExamples(Graph& graph,
                                                        const models::ModelDescription& model,
                                                        const DataInfo& info,
                                                        const BatchShape& shape,
                                                        const models::BuildOptions& options);

// A task's graphs: what a step trains, what an evaluation reads, what the task runs itself.
class TaskGraphs {
 public:
  virtual ~TaskGraphs() = default;

  // Those of a step, in the order in which they are made; each sees what those before it changed.
  virtual std::vector<UpdateSpec> updates() const { return {UpdateSpec{}}; }
  // Model and loss of an update, for a batch. INVALID_ARGUMENT where model, task and data do not
  // fit.
  virtual absl::StatusOr<TaskGraph> BuildLoss(const TrainingConfig& config, const DataInfo& info,
                                              size_t update, const BatchShape& shape) const = 0;
  // Forward only: fetches the same and then the model's output.
  virtual absl::StatusOr<TaskGraph> BuildEvaluation(const TrainingConfig& config,
                                                    const DataInfo& info,
                                                    const BatchShape& shape) const = 0;
  // The programs that the task's state runs, and their graphs, which fetch what it likes.
  virtual std::vector<ForwardSpec> forwards(const TrainingConfig&) const { return {}; }
  virtual absl::StatusOr<TaskGraph> BuildForward(const TrainingConfig& config, const DataInfo& info,
                                                 const ForwardSpec& spec) const;
};

}  // namespace hone::engine::tasks
