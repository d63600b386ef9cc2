#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/sum.h"
#include "engine/models/build.h"
#include "engine/ops/clipped_policy_loss.h"
#include "engine/ops/regression_loss.h"
#include "engine/ops/scale.h"
#include "engine/ops/softmax.h"
#include "engine/tasks/agent.h"
#include "engine/tasks/policy_learner.h"
#include "engine/tasks/q_evaluation.h"

namespace hone::engine::tasks {
namespace {

constexpr char kPolicyNetwork[] = "policy", kValueNetwork[] = "value";

class PolicyLearning final : public AgentTask {
 public:
  using AgentTask::AgentTask;

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& data,
                                                const TrainingConfig& config) const override {
    const PolicyOptions& policy = *options().policy;
    const int64_t steps = policy.rollout * options().copies;
    if (config.batch_size != policy.minibatch || steps % policy.minibatch != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("training.batch_size: must divide the steps of a rollout, ", policy.rollout,
                       " of each of ", options().copies, " copies, got ", config.batch_size));
    }
    return AgentTask::MakeExamples(data, config);
  }

  std::unique_ptr<TaskState> NewState(const TrainingConfig& config) const override {
    return std::make_unique<PolicyLearner>(options(), config.seed);
  }
  absl::Status FillInputs(const data::Dataset&, const Examples& examples, const TaskState* state,
                          const Inputs& inputs) const override {
    return static_cast<const PolicyLearner*>(state)->Fill(examples, inputs);
  }

  absl::StatusOr<TaskGraph> BuildLoss(const TrainingConfig& config, const DataInfo& info, size_t,
                                      const BatchShape& shape) const override {
    const PolicyOptions& policy = *options().policy;
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const Value features = FeaturesInput(graph, info, shape.batch);
    HONE_ASSIGN_OR_RETURN(const Value logits, Network(kPolicyNetwork, actions(), config.model,
                                                      features, /*training=*/true, result));
    HONE_ASSIGN_OR_RETURN(const Value values, Network(kValueNetwork, 1, config.model, features,
                                                      /*training=*/true, result));
    result.model.output = logits;
    graph.set_scope("loss");
    const TensorType numbers = {{shape.batch}, DType::kF32};
    const ClippedPolicyResult acting = ClippedPolicyLoss(
        graph, logits, graph.Input(kTakenInput, {{shape.batch}, DType::kS32}),
        graph.Input(kLogTakenInput, numbers), graph.Input(kAdvantagesInput, numbers),
        {.clip = policy.clip, .entropy = policy.entropy_coefficient});
    const Loss valuing =
        RegressionLoss(graph, values, graph.Input(kReturnsInput, {{shape.batch, 1}, DType::kF32}),
                       RegressionKind::kMeanSquaredError);
    const Value sum = Sum(graph, acting.loss.sum,
                          ScaleBy(graph, valuing.sum, graph.Constant(policy.value_coefficient)));
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request.fetch = {sum,
                                  acting.loss.weight,
                                  graph.Constant(0),
                                  acting.entropy,
                                  acting.divergence,
                                  acting.clipped,
                                  valuing.sum};
    return result;
  }

  std::vector<ForwardSpec> forwards(const TrainingConfig&) const override {
    return {{.name = kActProgram, .shape = {.batch = options().copies}},
            {.name = kEvaluateProgram, .shape = {.batch = EvaluationBatch(options())}}};
  }

  absl::StatusOr<TaskGraph> BuildForward(const TrainingConfig& config, const DataInfo& info,
                                         const ForwardSpec& spec) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const Value features = FeaturesInput(graph, info, spec.shape.batch);
    HONE_ASSIGN_OR_RETURN(const Value logits, Network(kPolicyNetwork, actions(), config.model,
                                                      features, /*training=*/false, result));
    result.model.output = logits;
    if (spec.name == kEvaluateProgram) {
      result.built.request.fetch = {Softmax(graph, logits)};
    } else {
      HONE_ASSIGN_OR_RETURN(const Value values, Network(kValueNetwork, 1, config.model, features,
                                                        /*training=*/false, result));
      result.built.request.fetch = {logits, values};
    }
    HONE_RETURN_IF_ERROR(graph.status());
    return result;
  }

  // How probable each action is.
  absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                            const DataInfo& info,
                                            const BatchShape& shape) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    HONE_ASSIGN_OR_RETURN(const Value logits, Network(kPolicyNetwork, actions(), model,
                                                      FeaturesInput(graph, info, shape.batch),
                                                      /*training=*/false, result));
    result.model.output = Softmax(graph, logits);
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request = {.graph = &graph, .fetch = {result.model.output}, .gradients = {}};
    return result;
  }

  nlohmann::json ToJson() const override {
    return {{"kind", "reinforcement_learning"},
            {"environment", tasks::ToJson(options().environment)},
            {"algorithm", kPolicyAlgorithm},
            {"discount", options().discount}};
  }

 private:
  int64_t memory_bytes() const override {
    return PolicyLearner::BytesFor(options(), spec().record_bytes);
  }

  // Adds a network, whose last layer has so many units.
  absl::StatusOr<Value> Network(absl::string_view network, int64_t units,
                                const models::ModelDescription& model, Value features,
                                bool training, TaskGraph& to) const {
    Graph& graph = *to.built.graph;
    HONE_ASSIGN_OR_RETURN(models::BuiltModel built,
                          models::BuildNetwork(graph, model, network, {{"input", features}},
                                               {.training = training, .logits = true}));
    HONE_RETURN_IF_ERROR(graph.status());
    const Shape& output = graph.shape(built.output);
    if (output != Shape{graph.shape(features)[0], units}) {
      const auto found =
          std::ranges::find(model.networks, network, &models::NetworkDescription::name);
      return absl::InvalidArgumentError(
          absl::StrCat("model.networks[", found - model.networks.begin(), "] (", network,
                       "): the last layer must have ", units,
                       units == 1 ? " unit" : " units, one for each action", ", got output shape ",
                       built.layers.back().output_shape.ToString()));
    }
    std::ranges::move(built.layers, std::back_inserter(to.model.layers));
    to.model.depth = std::max(to.model.depth, built.depth);
    to.model.needs_batch_statistics =
        to.model.needs_batch_statistics || built.needs_batch_statistics;
    return built.output;
  }
};

}  // namespace

std::unique_ptr<Task> MakePolicyLearning(const ReinforcementLearningOptions& options) {
  return std::make_unique<PolicyLearning>(options);
}

}  // namespace hone::engine::tasks
