#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/reference.h"
#include "engine/plan/program.h"
#include "tests/support/golden.h"
#include "tests/support/status_matchers.h"

// A first training step of a net, held against a golden one
// (tests/golden/): by the reference interpreter and by programs.
namespace hone::engine::testing {

struct GoldenStep {
  Graph graph;
  Value loss = {};
  std::vector<Value> parameters = {};
  std::vector<Value> gradients = {};

  const std::string& name(size_t i) const { return graph.node(parameters[i].node).parameter.name; }

  // Adds the gradients of all parameters; the graph has its loss.
  absl::Status Differentiate() {
    for (size_t i = 0; i < graph.nodes().size(); ++i) {
      if (graph.nodes()[i].kind == Graph::Node::Kind::kParameter) {
        parameters.push_back({static_cast<int32_t>(i), 0});
      }
    }
    gradients = engine::Differentiate(graph, loss, parameters, {.rows = false});
    return graph.status();
  }
};

// Number i of an input.
using NumberOfInput = std::function<double(const std::string& input, int64_t i)>;

struct StepResult {
  double loss_sum = 0;
  std::vector<std::vector<double>> gradients = {};  // of GoldenStep::parameters
};

inline absl::StatusOr<StepResult> ByReference(const GoldenStep& step, const nlohmann::json& golden,
                                              const NumberOfInput& number) {
  std::vector<Value> fetch = {step.loss};
  fetch.insert(fetch.end(), step.gradients.begin(), step.gradients.end());
  const auto source = [&](const Graph::Node& node) {
    DoubleTensor tensor(node.types[0].shape);
    const nlohmann::json* parameter = FindParameter(golden, node.parameter.name);
    for (int64_t i = 0; i < tensor.shape.elements(); ++i) {
      tensor[i] = parameter != nullptr ? Start(*parameter, i) : number(node.name, i);
    }
    return tensor;
  };
  HONE_ASSIGN_OR_RETURN(const std::vector<DoubleTensor> values,
                        Interpret(step.graph, fetch, source));
  StepResult result{.loss_sum = values[0][0]};
  for (size_t i = 1; i < values.size(); ++i) {
    result.gradients.push_back(values[i].values);
  }
  return result;
}

inline absl::StatusOr<StepResult> ByProgram(const GoldenStep& step, const nlohmann::json& golden,
                                            const NumberOfInput& number, int threads) {
  ParameterStore store;
  for (const Value parameter : step.parameters) {
    HONE_RETURN_IF_ERROR(store.Declare(step.graph.node(parameter.node).parameter).status());
  }
  store.Allocate(1);
  ProgramRequest request;
  request.graph = &step.graph;
  request.fetch = {step.loss};
  for (size_t i = 0; i < step.parameters.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(const ParameterId id, store.Find(step.name(i)));
    request.gradients.emplace_back(step.gradients[i], id);
    const std::span<float> values = store.mutable_values(id).f32();
    for (size_t k = 0; k < values.size(); ++k) {
      values[k] = Start(*FindParameter(golden, step.name(i)), static_cast<int64_t>(k));
    }
  }
  store.MarkChanged();
  HONE_ASSIGN_OR_RETURN(Program program, Program::Compile(request, store, {.threads = threads}));
  const Buffer arena(program.arena_bytes());
  HONE_RETURN_IF_ERROR(program.Bind(arena.as<std::byte>()));
  store.RefreshAll();
  for (const Graph::Node& node : step.graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kInput) {
      void* const to = program.input(node.name);
      if (to == nullptr) {
        continue;  // nobody reads it
      }
      for (int64_t i = 0; i < node.types[0].shape.elements(); ++i) {
        if (node.types[0].dtype == DType::kF32) {
          static_cast<float*>(to)[i] = static_cast<float>(number(node.name, i));
        } else {
          static_cast<int32_t*>(to)[i] = static_cast<int32_t>(number(node.name, i));
        }
      }
    }
  }
  const ScopedThreads scoped(threads);
  HONE_RETURN_IF_ERROR(program.Run({}));
  StepResult result{.loss_sum = program.fetched_scalar(0)};
  for (size_t i = 0; i < step.parameters.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(const ParameterId id, store.Find(step.name(i)));
    const std::span<const float> gradient = store.gradients(id, 0);
    result.gradients.emplace_back(gradient.begin(), gradient.end());
  }
  return result;
}

// Threads of the program, 0: the reference interpreter.
inline void ExpectGolden(const GoldenStep& step, const nlohmann::json& golden,
                         const NumberOfInput& number, int threads) {
  ASSERT_EQ(step.parameters.size(), golden["parameters"].size());
  for (size_t i = 0; i < step.parameters.size(); ++i) {
    ASSERT_NE(FindParameter(golden, step.name(i)), nullptr) << step.name(i);
  }
  const auto result =
      threads == 0 ? ByReference(step, golden, number) : ByProgram(step, golden, number, threads);
  ASSERT_THAT(result, hone::testing::IsOk());
  const double tolerance = threads == 0 ? 1e-9 : 1e-5;
  const auto loss = golden["loss_sum"].get<double>();
  EXPECT_NEAR(result->loss_sum, loss, tolerance * loss);
  for (size_t i = 0; i < result->gradients.size(); ++i) {
    // The bias of keys has the gradient 0, since it moves all scores of a query alike: what
    // rounding leaves of it is held against 0.1, which all others are larger than.
    const nlohmann::json& gradient = (*FindParameter(golden, step.name(i)))["gradient"];
    const double norm = std::max(gradient["norm"].get<double>(), 0.1);
    EXPECT_LE(ErrorOf<double>(result->gradients[i], gradient), tolerance * norm) << step.name(i);
  }
}

inline std::string NameOfGolden(
    const ::testing::TestParamInfo<std::tuple<const char*, int>>& info) {
  const int threads = std::get<1>(info.param);
  return std::string(std::get<0>(info.param)) + (threads == 0   ? "_Reference"
                                                 : threads == 1 ? "_OneThread"
                                                                : "_Team");
}

}  // namespace hone::engine::testing
