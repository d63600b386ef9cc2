#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/models/build.h"
#include "engine/ops/action_value_loss.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/pool2d.h"
#include "engine/ops/reshape.h"
#include "engine/ops/scale.h"
#include "engine/tasks/agent.h"
#include "engine/tasks/q_evaluation.h"
#include "engine/tasks/q_learner.h"

namespace hone::engine::tasks {
namespace {

class QLearning final : public AgentTask {
 public:
  using AgentTask::AgentTask;

  std::unique_ptr<TaskState> NewState(const TrainingConfig& config) const override {
    return std::make_unique<QLearner>(options(), config.seed, config.batch_size);
  }
  absl::Status FillInputs(const data::Dataset&, const Examples& examples, const TaskState* state,
                          const Inputs& inputs) const override {
    return static_cast<const QLearner*>(state)->Fill(examples, inputs);
  }

  absl::StatusOr<TaskGraph> BuildLoss(const TrainingConfig& config, const DataInfo& info, size_t,
                                      const BatchShape& shape) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    HONE_ASSIGN_OR_RETURN(const Value values,
                          Values(graph, config.model, FeaturesInput(graph, info, shape.batch),
                                 /*training=*/true, result.model));
    graph.set_scope("loss");
    const TensorType numbers = {{shape.batch}, DType::kF32};
    const ActionValueLossResult loss = ActionValueLoss(
        graph, values, graph.Input(kTakenInput, {{shape.batch}, DType::kS32}),
        graph.Input(kWantedInput, numbers), graph.Input(kWeightsInput, numbers),
        options().loss == ReinforcementLearningOptions::Loss::kHuber ? ActionValueError::kHuber
                                                                     : ActionValueError::kSquared,
        options().huber_delta);
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request.fetch = {loss.loss.sum, loss.loss.weight, graph.Constant(0), loss.errors};
    return result;
  }

  std::vector<ForwardSpec> forwards(const TrainingConfig& config) const override {
    return {{.name = kActProgram, .shape = {.batch = options().copies}},
            {.name = kAfterProgram, .shape = {.batch = config.batch_size}},
            {.name = kEvaluateProgram, .shape = {.batch = EvaluationBatch(options())}}};
  }

  absl::StatusOr<TaskGraph> BuildForward(const TrainingConfig& config, const DataInfo& info,
                                         const ForwardSpec& spec) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const Value features = FeaturesInput(graph, info, spec.shape.batch);
    std::vector<Value>& fetch = result.built.request.fetch;
    if (spec.name != kAfterProgram || options().double_q) {
      HONE_ASSIGN_OR_RETURN(const Value values, Values(graph, config.model, features,
                                                       /*training=*/false, result.model));
      fetch.push_back(values);
    }
    if (spec.name == kAfterProgram) {
      // The target network, whose values nothing moves but copies of the other's.
      graph.Freeze([rules = config.parameter_rules](absl::string_view name) {
        return absl::StartsWith(name, absl::StrCat(kTargetScope, ".")) || Freezes(rules, name);
      });
      const Graph::Scope scope(graph, kTargetScope);
      models::BuiltModel target;
      HONE_ASSIGN_OR_RETURN(const Value values, Values(graph, config.model, features,
                                                       /*training=*/false, target));
      fetch.insert(fetch.begin(), values);
    }
    return result;
  }

  absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                            const DataInfo& info,
                                            const BatchShape& shape) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    HONE_ASSIGN_OR_RETURN(result.model.output,
                          Values(graph, model, FeaturesInput(graph, info, shape.batch),
                                 /*training=*/false, result.model));
    result.built.request = {.graph = &graph, .fetch = {result.model.output}, .gradients = {}};
    return result;
  }

  nlohmann::json ToJson() const override {
    return {
        {"kind", "reinforcement_learning"}, {"environment", tasks::ToJson(options().environment)},
        {"dueling", options().dueling},     {"double_q", options().double_q},
        {"n_step", options().n_step},       {"discount", options().discount}};
  }

 private:
  int64_t memory_bytes() const override {
    return Replay::BytesFor(options().replay, spec().record_bytes);
  }

  // [batch, actions]: what the network says that each action is worth.
  absl::StatusOr<Value> Values(Graph& graph, const models::ModelDescription& model, Value features,
                               bool training, models::BuiltModel& built) const {
    HONE_ASSIGN_OR_RETURN(
        models::BuiltModel network,
        models::BuildModel(graph, model, features, {.training = training, .logits = true}));
    const Shape& output = graph.shape(network.output);
    const int64_t actions = this->actions();
    const int64_t wanted = actions + (options().dueling ? 1 : 0);
    const int64_t batch = output[0];
    if (output != Shape{batch, wanted}) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model.layers (", network.layers.back().name, "): the last layer must have ", wanted,
          " units, one for each action", options().dueling ? " and one for the state" : "",
          ", got output shape ", network.layers.back().output_shape.ToString()));
    }
    Value values = network.output;
    if (options().dueling) {
      const Graph::Scope scope(graph, "dueling");
      const Value state = Slice(graph, values, 0, 1);
      const Value advantages = Slice(graph, values, 1, actions + 1);
      const Value mean =
          GlobalAveragePool2d(graph, Reshape(graph, advantages, {batch, 1, 1, actions}));
      values = AddBroadcast(graph, AddBroadcast(graph, advantages, state),
                            ScaleBy(graph, mean, graph.Constant(-1)));
    }
    HONE_RETURN_IF_ERROR(graph.status());
    built = std::move(network);
    return values;
  }
};

}  // namespace

std::unique_ptr<Task> MakeQLearning(const ReinforcementLearningOptions& options) {
  return std::make_unique<QLearning>(options);
}

}  // namespace hone::engine::tasks
