#include "engine/tasks/agent.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/tasks/maze_answerer.h"
#include "engine/tasks/q_evaluation.h"

namespace hone::engine::tasks {
namespace {

using environments::Control;
using environments::MazeOptions;

constexpr absl::string_view kControls[] = {"cart_pole", "mountain_car", "acrobot"};
constexpr absl::string_view kViews[] = {"cell", "planes"};

// Stands for the data set that there is none of: its rows are numbers, its bytes those of
// what the agent keeps.
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

}  // namespace

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

AgentTask::AgentTask(const ReinforcementLearningOptions& options)
    : options_(options), spec_(environments::MakeEnvironment(options.environment)->spec()) {}

int64_t AgentTask::own_examples(const TrainingConfig& config) const {
  return config.batch_size * LoopStepsWithin(options_, options_.evaluate_every);
}

absl::StatusOr<data::LoadedData> AgentTask::MakeExamples(const data::LoadOptions&,
                                                         const TrainingConfig& config) const {
  const int64_t rows = own_examples(config);
  if (rows > std::numeric_limits<int32_t>::max() / 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "reinforcement_learning.evaluate_every: must be smaller: the batches between two "
        "evaluations have ",
        rows, " examples, at most ", std::numeric_limits<int32_t>::max() / 2, " can be counted"));
  }
  data::LoadedData data;
  data.dataset = data::Dataset(std::make_shared<NoExamples>(
      rows, memory_bytes(), NameHash(tasks::ToJson(options_.environment).dump())));
  data.splits.train.resize(static_cast<size_t>(rows));
  std::iota(data.splits.train.begin(), data.splits.train.end(), 0);
  data.preprocessing = Preprocess();
  data.report.source = Describe(options_.environment, spec_);
  data.report.format = "environment";
  return data;
}

absl::StatusOr<TaskGraph> AgentTask::BuildEvaluation(const TrainingConfig&, const DataInfo&,
                                                     const BatchShape&) const {
  return absl::InternalError("an agent evaluates itself: nothing is held out");
}

absl::StatusOr<Evaluation> AgentTask::Evaluate(const EvaluationContext& context) const {
  return EvaluateAgent(options_, context);
}

absl::StatusOr<std::unique_ptr<Answerer>> AgentTask::NewAnswerer(
    const data::Preprocessing& preprocessing) const {
  if (const auto* maze = std::get_if<MazeOptions>(&options_.environment)) {
    return std::make_unique<MazeAnswerer>(*maze);
  }
  return std::make_unique<FeaturesAnswerer>(preprocessing);
}

data::Preprocessing AgentTask::Preprocess() const {
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

}  // namespace hone::engine::tasks
