#pragma once

#include <gmock/gmock.h>

#include <cstdint>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "engine/checkpoint/run_state.h"
#include "engine/data/dataset.h"
#include "engine/data/text_preprocessing.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/inputs.h"
#include "engine/tasks/table.h"
#include "engine/tasks/task.h"
#include "engine/text/tokenizer.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// All gradients of a task that reads texts.
namespace hone::engine::testing {

// The shape of a batch of all rows.
inline tasks::BatchShape ShapeOfAll(const tasks::Task& task, const data::Dataset& dataset) {
  std::vector<int32_t> rows(static_cast<size_t>(dataset.size()));
  std::iota(rows.begin(), rows.end(), 0);
  return {dataset.size(), task.BucketOf(dataset, rows, nullptr)};
}

struct GradientOptions {
  // What is fetched before the gradients; the first one is differentiated.
  std::vector<int> fetch = {tasks::kFetchLossSum};
  // What the initial values of all parameters are multiplied by.
  float weights = 1;
  // What the task's state is restored from, where the task has one.
  checkpoint::RunState state = {};
};

// What config.task fetches for a batch of all rows, then the loss's gradients with respect to all
// parameters, one behind the other.
inline std::vector<double> LossAndGradients(const tasks::TrainingConfig& config,
                                            std::shared_ptr<const text::Tokenizer> tokenizer,
                                            const data::Dataset& dataset,
                                            const GradientOptions& options = {}) {
  const auto task = tasks::MakeTask(config.task);
  tasks::DataInfo info;
  info.preprocessing.input = data::Preprocessing::Input::kText;
  info.preprocessing.text = data::TextPreprocessing{.tokenizer = std::move(tokenizer)};
  std::vector<int32_t> rows(static_cast<size_t>(dataset.size()));
  std::iota(rows.begin(), rows.end(), 0);
  const tasks::BatchShape shape = ShapeOfAll(*task, dataset);
  auto built = task->BuildLoss(config, info, 0, shape);
  EXPECT_THAT(built, hone::testing::IsOk());
  Graph& graph = *built->built.graph;
  std::vector<Value> parameters;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    if (graph.nodes()[i].kind == Graph::Node::Kind::kParameter) {
      parameters.push_back({static_cast<int32_t>(i), 0});
    }
  }
  ProgramRequest request = {.graph = &graph, .fetch = {}, .gradients = {}};
  for (const int fetch : options.fetch) {
    request.fetch.push_back(built->built.request.fetch[static_cast<size_t>(fetch)]);
  }
  for (const Value gradient : Differentiate(graph, request.fetch[0], parameters, {.rows = false})) {
    request.fetch.push_back(gradient);
  }
  EXPECT_THAT(graph.status(), hone::testing::IsOk());
  auto store = StoreOf(graph).value();
  if (options.weights != 1) {
    for (ParameterId id = 0; id < store.size(); ++id) {
      for (float& value : store.mutable_values(id).f32()) {
        value *= options.weights;
      }
    }
    store.MarkChanged();
  }
  auto bound = BoundProgram::Make(request, store);
  EXPECT_THAT(bound, hone::testing::IsOk());
  const std::unique_ptr<tasks::TaskState> state = task->NewState(config);
  if (state != nullptr) {
    EXPECT_THAT(state->Restore(options.state), hone::testing::IsOk());
  }
  EXPECT_THAT(
      task->FillInputs(dataset, {.rows = rows}, state.get(), tasks::Inputs(bound->program, shape)),
      hone::testing::IsOk());
  EXPECT_THAT(bound->program.Run({}), hone::testing::IsOk());
  std::vector<double> numbers;
  for (size_t i = 0; i < request.fetch.size(); ++i) {
    const auto* values = static_cast<const float*>(bound->program.fetched(static_cast<int>(i)));
    numbers.insert(numbers.end(), values, values + graph.shape(request.fetch[i]).elements());
  }
  return numbers;
}

}  // namespace hone::engine::testing
