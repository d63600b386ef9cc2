#include "engine/tasks/reinforcement_learning.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/models/build.h"
#include "engine/ops/action_value_loss.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/pool2d.h"
#include "engine/ops/reshape.h"
#include "engine/ops/scale.h"
#include "engine/tasks/config.h"
#include "engine/tasks/maze_answerer.h"
#include "engine/tasks/q_evaluation.h"
#include "engine/tasks/q_learner.h"
#include "engine/tasks/task.h"

namespace hone::engine::tasks {
namespace {

using environments::Control;
using environments::MazeOptions;

constexpr absl::string_view kControls[] = {"cart_pole", "mountain_car", "acrobot"};
constexpr absl::string_view kViews[] = {"cell", "planes"};

// Stands for the data set that there is none of: its rows are numbers, its bytes the replay's.
class NoExamples final : public data::OwnExamples {
 public:
  NoExamples(int64_t size, int64_t bytes, uint64_t hash)
      : size_(size), bytes_(bytes), hash_(hash) {}
  int64_t size() const override { return size_; }
  int64_t bytes() const override { return bytes_; }
  uint64_t content_hash() const override { return hash_; }

 private:
  int64_t size_, bytes_;
  uint64_t hash_;
};

nlohmann::json ToJson(const environments::EnvironmentOptions& options) {
  if (const auto* control = std::get_if<Control>(&options)) {
    return {{"kind", std::string(kControls[static_cast<size_t>(*control)])}};
  }
  const auto& maze = std::get<MazeOptions>(options);
  nlohmann::json json = {{"kind", "maze"},
                         {"view", std::string(kViews[static_cast<size_t>(maze.view)])},
                         {"unseen", maze.unseen},
                         {"height", maze.own ? maze.own->height : maze.shape.height},
                         {"width", maze.own ? maze.own->width : maze.shape.width}};
  if (!maze.unseen) {
    json["maze"] = environments::ToText(environments::MazeOf(maze));
  }
  return json;
}

absl::StatusOr<environments::EnvironmentOptions> EnvironmentFromJson(const nlohmann::json& json) {
  const auto kind = json.at("kind").get<std::string>();
  if (const auto found = std::ranges::find(kControls, kind); found != std::end(kControls)) {
    return static_cast<Control>(found - std::begin(kControls));
  }
  if (kind != "maze") {
    return absl::InvalidArgumentError(
        absl::StrCat("`task.environment.kind` is not known: \"", kind, "\""));
  }
  MazeOptions maze;
  const auto view = std::ranges::find(kViews, json.at("view").get<std::string>());
  if (view == std::end(kViews)) {
    return absl::InvalidArgumentError("`task.environment.view` must be cell or planes");
  }
  maze.view = static_cast<MazeOptions::View>(view - std::begin(kViews));
  maze.unseen = json.at("unseen").get<bool>();
  maze.shape.height = json.at("height").get<int64_t>();
  maze.shape.width = json.at("width").get<int64_t>();
  for (const int64_t side : {maze.shape.height, maze.shape.width}) {
    if (side < environments::kLeastMazeSide || side > environments::kMostMazeSide) {
      return absl::InvalidArgumentError(
          absl::StrCat("`task.environment`: the sides of a maze must be ",
                       environments::kLeastMazeSide, " to ", environments::kMostMazeSide));
    }
  }
  if (!maze.unseen) {
    HONE_ASSIGN_OR_RETURN(maze.own, environments::ParseMaze(json.at("maze").get<std::string>(),
                                                            "`task.environment.maze`"));
    maze.shape.height = maze.own->height;
    maze.shape.width = maze.own->width;
  }
  return maze;
}

// "maze 8 × 8", "cart_pole".
std::string Describe(const environments::EnvironmentOptions& options,
                     const environments::EnvironmentSpec& spec) {
  const auto* maze = std::get_if<MazeOptions>(&options);
  const std::string what =
      maze == nullptr
          ? std::string(kControls[static_cast<size_t>(std::get<Control>(options))])
          : absl::StrCat(maze->unseen ? "mazes" : "maze", " of ",
                         absl::StrJoin({maze->own ? maze->own->height : maze->shape.height,
                                        maze->own ? maze->own->width : maze->shape.width},
                                       " × "),
                         " cells");
  return absl::StrCat(what, ", seen as [", absl::StrJoin(spec.observation, ", "), "], actions ",
                      absl::StrJoin(spec.actions, ", "));
}

class ReinforcementLearning final : public Task {
 public:
  explicit ReinforcementLearning(const ReinforcementLearningOptions& options)
      : options_(options), spec_(environments::MakeEnvironment(options.environment)->spec()) {}

  absl::string_view name() const override { return "reinforcement_learning"; }
  absl::Status CheckData(const DataInfo&) const override { return absl::OkStatus(); }

  // An epoch is what lies between two evaluations.
  int64_t own_examples(const TrainingConfig& config) const override {
    return config.batch_size *
           std::max<int64_t>(1, options_.evaluate_every / options_.steps_each());
  }

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions&,
                                                const TrainingConfig& config) const override {
    const int64_t rows = own_examples(config);
    if (rows > std::numeric_limits<int32_t>::max() / 2) {
      return absl::InvalidArgumentError(absl::StrCat(
          "reinforcement_learning.evaluate_every: must be smaller: the batches between two "
          "evaluations have ",
          rows, " examples, at most ", std::numeric_limits<int32_t>::max() / 2, " can be counted"));
    }
    data::LoadedData data;
    data.dataset = data::Dataset(
        std::make_shared<NoExamples>(rows, Replay::BytesFor(options_.replay, spec_.record_bytes),
                                     NameHash(tasks::ToJson(options_.environment).dump())));
    data.splits.train.resize(static_cast<size_t>(rows));
    std::iota(data.splits.train.begin(), data.splits.train.end(), 0);
    data.preprocessing = Preprocess();
    data.report.source = Describe(options_.environment, spec_);
    data.report.format = "environment";
    return data;
  }

  std::unique_ptr<TaskState> NewState(const TrainingConfig& config) const override {
    return std::make_unique<QLearner>(options_, config.seed, config.batch_size);
  }
  absl::Status FillInputs(const data::Dataset&, const Examples& examples, const TaskState* state,
                          const Inputs& inputs) const override {
    return static_cast<const QLearner*>(state)->Fill(examples, inputs);
  }
  void AddTrainingMetrics(size_t, const Sums&, std::map<std::string, double>&) const override {}

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
        options_.loss == ReinforcementLearningOptions::Loss::kHuber ? ActionValueError::kHuber
                                                                    : ActionValueError::kSquared,
        options_.huber_delta);
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request.fetch = {loss.loss.sum, loss.loss.weight, graph.Constant(0), loss.errors};
    return result;
  }

  absl::StatusOr<TaskGraph> BuildEvaluation(const TrainingConfig&, const DataInfo&,
                                            const BatchShape&) const override {
    return absl::InternalError("an agent evaluates itself: nothing is held out");
  }

  std::vector<ForwardSpec> forwards(const TrainingConfig& config) const override {
    return {{.name = kActProgram, .shape = {.batch = options_.copies}},
            {.name = kAfterProgram, .shape = {.batch = config.batch_size}},
            {.name = kEvaluateProgram, .shape = {.batch = EvaluationBatch(options_)}}};
  }

  absl::StatusOr<TaskGraph> BuildForward(const TrainingConfig& config, const DataInfo& info,
                                         const ForwardSpec& spec) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const Value features = FeaturesInput(graph, info, spec.shape.batch);
    std::vector<Value>& fetch = result.built.request.fetch;
    if (spec.name != kAfterProgram || options_.double_q) {
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

  bool evaluates_without_rows() const override { return true; }
  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override {
    return EvaluateAgent(options_, context);
  }
  std::unique_ptr<Scorer> NewScorer(const data::Dataset&, const DataInfo&) const override {
    return nullptr;
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
  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    if (const auto* maze = std::get_if<MazeOptions>(&options_.environment)) {
      return std::make_unique<MazeAnswerer>(*maze);
    }
    return std::make_unique<FeaturesAnswerer>(preprocessing);
  }

  nlohmann::json ToJson() const override {
    return {
        {"kind", "reinforcement_learning"}, {"environment", tasks::ToJson(options_.environment)},
        {"dueling", options_.dueling},      {"double_q", options_.double_q},
        {"n_step", options_.n_step},        {"discount", options_.discount}};
  }

 private:
  data::Preprocessing Preprocess() const {
    data::Preprocessing preprocessing;
    if (spec_.observation_names.empty()) {
      preprocessing.input = data::Preprocessing::Input::kOwn;
      preprocessing.own_features = {Shape(spec_.observation), DType::kF32};
      return preprocessing;
    }
    preprocessing.input = data::Preprocessing::Input::kTable;
    for (const std::string& name : spec_.observation_names) {
      preprocessing.columns.push_back({.name = name, .categories = {}});
    }
    return preprocessing;
  }

  // [batch, actions]: what the network says that each action is worth.
  absl::StatusOr<Value> Values(Graph& graph, const models::ModelDescription& model, Value features,
                               bool training, models::BuiltModel& built) const {
    HONE_ASSIGN_OR_RETURN(
        models::BuiltModel network,
        models::BuildModel(graph, model, features, {.training = training, .logits = true}));
    const Shape& output = graph.shape(network.output);
    const auto actions = static_cast<int64_t>(spec_.actions.size());
    const int64_t wanted = actions + (options_.dueling ? 1 : 0);
    const int64_t batch = output[0];
    if (output != Shape{batch, wanted}) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model.layers (", network.layers.back().name, "): the last layer must have ", wanted,
          " units, one for each action", options_.dueling ? " and one for the state" : "",
          ", got output shape ", network.layers.back().output_shape.ToString()));
    }
    Value values = network.output;
    if (options_.dueling) {
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

  ReinforcementLearningOptions options_;
  environments::EnvironmentSpec spec_;
};

}  // namespace

int64_t LoopSteps(const ReinforcementLearningOptions& options) {
  const int64_t most =
      options.episodes > 0
          ? options.episodes * environments::MakeEnvironment(options.environment)->spec().most_steps
          : options.steps;
  return (most + options.steps_each() - 1) / options.steps_each();
}

std::unique_ptr<Task> MakeReinforcementLearning(const ReinforcementLearningOptions& options) {
  return std::make_unique<ReinforcementLearning>(options);
}

absl::StatusOr<ReinforcementLearningOptions> ReinforcementLearningFromJson(
    const nlohmann::json& json) {
  ReinforcementLearningOptions options;
  HONE_ASSIGN_OR_RETURN(options.environment, EnvironmentFromJson(json.at("environment")));
  options.dueling = json.at("dueling").get<bool>();
  options.double_q = json.at("double_q").get<bool>();
  options.n_step = json.at("n_step").get<int64_t>();
  options.discount = json.at("discount").get<float>();
  return options;
}

}  // namespace hone::engine::tasks
