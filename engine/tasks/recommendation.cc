#include "engine/tasks/recommendation.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/ratings.h"
#include "engine/graph/sum.h"
#include "engine/ops/binary_cross_entropy.h"
#include "engine/ops/concat.h"
#include "engine/ops/regression_loss.h"
#include "engine/ops/scale.h"
#include "engine/tasks/one_graph_task.h"
#include "engine/tasks/ranking.h"
#include "engine/tasks/rating_answers.h"
#include "engine/tasks/task_programs.h"

namespace hone::engine::tasks {
namespace {

using data::RatingIndex;
using data::Ratings;
using Feedback = RecommendationOptions::Feedback;

constexpr absl::string_view kFeedback[] = {"explicit", "implicit"};  // by Feedback
constexpr char kUser[] = "user", kItem[] = "item", kTargets[] = "targets", kOnes[] = "ones";
constexpr char kScore[] = "score";
// Pairs that are scored in one run of the program `score`.
constexpr int64_t kScoredPairs = 2048;
// Users whose lists are looked at while it trains; at the end all are.
constexpr int64_t kMostUsersInTraining = 1000;
constexpr int kMostDraws = 100;

// Whether a change of `input` could change `value`.
bool DependsOn(const Graph& graph, Value value, Value input) {
  std::vector<bool> changes(graph.nodes().size());
  changes[static_cast<size_t>(input.node)] = true;
  for (size_t i = static_cast<size_t>(input.node) + 1; i <= static_cast<size_t>(value.node); ++i) {
    changes[i] = std::ranges::any_of(graph.nodes()[i].inputs, [&](Value read) {
      return changes[static_cast<size_t>(read.node)];
    });
  }
  return changes[static_cast<size_t>(value.node)];
}

const Ratings& RatingsOf(const data::Dataset& dataset) {
  return static_cast<const Ratings&>(*dataset.own());
}

// Errors in the ratings' own unit, of what a model of them would answer: on their scale; what is
// not known of a row is guessed by the index.
class RatingScorer final : public Scorer {
 public:
  RatingScorer(const data::Dataset& dataset, const DataInfo& info)
      : ratings_(RatingsOf(dataset)),
        mean_(info.preprocessing.target_mean[0]),
        std_(info.preprocessing.target_std[0]) {}

  void Add(const float* outputs, std::span<const int32_t> rows) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      const int32_t row = rows[i];
      const double error = Error(outputs[i], row);
      squared_ += error * error;
      absolute_ += std::abs(error);
      noise_ += ratings_.knows_noise() ? std::pow(ratings_.noise(row), 2) : 0;
      ++count_;
    }
  }

  void AddErrors(const float* outputs, std::span<const int32_t> rows,
                 std::vector<ExampleError>& errors) const override {
    for (size_t i = 0; i < rows.size(); ++i) {
      errors.push_back({rows[i], std::pow(Error(outputs[i], rows[i]), 2)});
    }
  }

  Evaluation Finish() const override {
    const double count = std::max<double>(static_cast<double>(count_), 1);
    Evaluation result;
    result.metrics = {{"rmse", std::sqrt(squared_ / count)}, {"mae", absolute_ / count}};
    if (noise_ > 0) {
      result.own_metrics["rmse_over_floor"] = std::sqrt(squared_ / noise_);
    }
    return result;
  }

 private:
  double Error(float output, int32_t row) const {
    const data::RatingIndex& index = ratings_.index();
    const double said = ratings_.is_cold(row)
                            ? index.Guess(ratings_.user(row), ratings_.item(row))
                            : std::clamp(output * std_ + mean_, index.lowest, index.highest);
    return said - ratings_.value(row);
  }

  const Ratings& ratings_;
  const double mean_, std_;
  double squared_ = 0;
  double absolute_ = 0;
  double noise_ = 0;
  int64_t count_ = 0;
};

class Recommendation final : public OneGraphTask {
 public:
  explicit Recommendation(const RecommendationOptions& options) : options_(options) {}

  absl::string_view name() const override { return "recommendation"; }

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                const TrainingConfig&) const override {
    data::LoadOptions ours = options;
    ours.ratings.values_count = !implicit();
    return data::LoadRatings(ours);
  }

  absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const override {
    HONE_ASSIGN_OR_RETURN(const data::LoadedData loaded, MakeExamples(config.data, config));
    return InfoOf(loaded, *this);
  }

  // Pairs by chance.
  absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig&, const DataInfo& info,
                                               int64_t count, int64_t) const override {
    Ratings::Parts parts;
    HONE_ASSIGN_OR_RETURN(parts.index, RatingIndex::FromJson(info.preprocessing.own));
    RandomStream random(1, "made-up ratings");
    for (int64_t i = 0; i < count; ++i) {
      parts.users.push_back(static_cast<int32_t>(random.NextBelow(parts.index.users.size())));
      parts.items.push_back(static_cast<int32_t>(random.NextBelow(parts.index.items.size())));
      parts.values.push_back(random.NextUniform(-1, 1));
    }
    return data::Dataset(std::make_shared<const Ratings>(std::move(parts)));
  }

  absl::Status CheckData(const DataInfo& info) const override {
    return RatingIndex::SizesOf(info.preprocessing.own).status();
  }

  std::vector<ForwardSpec> forwards(const TrainingConfig&) const override {
    if (!implicit()) {
      return {};
    }
    return {{.name = kScore, .shape = {.batch = kScoredPairs}}};
  }
  absl::StatusOr<TaskGraph> BuildForward(const TrainingConfig& config, const DataInfo& info,
                                         const ForwardSpec& spec) const override {
    TaskGraph result = NewTaskGraph(config);
    HONE_RETURN_IF_ERROR(BuildScores(config.model, info, spec.shape.batch, false, result));
    result.built.request.fetch = {result.model.output};
    return result;
  }

  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples, const TaskState*,
                          const Inputs& inputs) const override {
    const Ratings& ratings = RatingsOf(dataset);
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> users, inputs.Find<int32_t>(kUser));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> items, inputs.Find<int32_t>(kItem));
    const size_t count = examples.rows.size();
    HONE_ASSIGN_OR_RETURN(const std::span<float> targets, inputs.Find<float>(kTargets));
    // What is not known is evaluated without the model; any number serves to run it. Shuffled rows
    // lie anywhere: each is asked for some rows before it is read.
    constexpr size_t kAhead = 32;
    for (size_t i = 0; i < count; ++i) {
      __builtin_prefetch(&ratings.row(examples.rows[std::min(i + kAhead, count - 1)]));
      const Ratings::Row& row = ratings.row(examples.rows[i]);
      users[i] = std::max(row.user, 0);
      items[i] = std::max(row.item, 0);
      if (!targets.empty()) {
        targets[i] = row.target;
      }
    }
    if (!implicit()) {
      return absl::OkStatus();
    }
    // Each pair so many times; behind all of them as many pairs with drawn items.
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> ones, inputs.Find<int32_t>(kOnes));
    std::ranges::fill(ones, 1);
    const size_t half = count * static_cast<size_t>(options_.negatives);
    for (size_t i = count; i < half; ++i) {
      users[i] = users[i - count];
      items[i] = items[i - count];
    }
    std::copy_n(users.begin(), half, users.begin() + static_cast<std::ptrdiff_t>(half));
    for (size_t i = 0; i < half; ++i) {
      const size_t example = i % count;
      items[half + i] = Draw(ratings, users[i], items[i], examples.epoch, examples.rows[example],
                             static_cast<int64_t>(i / count));
    }
    return absl::OkStatus();
  }

  void AddTrainingMetrics(size_t, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    if (implicit() && sums.weight > 0) {
      values["pairs_in_order"] = sums.correct / sums.weight;
    }
  }

  std::unique_ptr<Scorer> NewScorer(const data::Dataset& dataset,
                                    const DataInfo& info) const override {
    if (implicit()) {
      return std::make_unique<NoScorer>();
    }
    return std::make_unique<RatingScorer>(dataset, info);
  }
  ErrorKind error_kind() const override {
    return implicit() ? ErrorKind::kNone : ErrorKind::kSquared;
  }

  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override {
    HONE_ASSIGN_OR_RETURN(Evaluation result, Task::Evaluate(context));
    if (!implicit()) {
      // In the unit of the training loss, with the guesses for what is not known.
      const double std = context.info.preprocessing.target_std[0];
      result.metrics["loss"] = std::pow(result.metrics.at("rmse") / std, 2);
      return result;
    }
    HONE_RETURN_IF_ERROR(AddRanking(context, result));
    return result;
  }

  int64_t evaluation_batch(const TrainingConfig&) const override { return 1024; }

  nlohmann::json ToJson() const override {
    return {{"kind", std::string(name())},
            {"feedback", std::string(kFeedback[static_cast<size_t>(options_.feedback)])},
            {"negatives", options_.negatives}};
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    return NewRatingAnswerer(preprocessing, implicit());
  }

  absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                            const DataInfo& info,
                                            const BatchShape& shape) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    result.built.request.graph = result.built.graph.get();
    HONE_RETURN_IF_ERROR(BuildScores(model, info, shape.batch, false, result));
    result.built.request.fetch = {result.model.output};
    return result;
  }

 private:
  bool implicit() const { return options_.feedback == Feedback::kImplicit; }

  // Tables of users and items have as many rows as there are.
  static absl::StatusOr<models::ModelDescription> WithRows(const models::ModelDescription& model,
                                                           const DataInfo& info) {
    HONE_ASSIGN_OR_RETURN(const RatingIndex::Sizes sizes,
                          RatingIndex::SizesOf(info.preprocessing.own));
    models::ModelDescription result = model;
    for (models::LayerDescription& layer : result.layers) {
      auto* embedding = std::get_if<layers::EmbeddingOptions>(&layer.kind);
      if (embedding == nullptr || layer.inputs.size() != 1) {
        continue;
      }
      const bool users = layer.inputs[0] == kUser;
      const int64_t least = users ? sizes.users : sizes.items;
      if (!users && layer.inputs[0] != kItem) {
        continue;
      }
      if (embedding->rows != 0 && embedding->rows < least) {
        return absl::InvalidArgumentError(absl::StrCat("model.layers (", layer.name,
                                                       "): rows must "
                                                       "be at least ",
                                                       least, ", one for each ", layer.inputs[0],
                                                       ", got ", embedding->rows));
      }
      embedding->rows = std::max(embedding->rows, least);
    }
    return result;
  }

  // The model's number for each of so many pairs, [pairs, 1].
  absl::Status BuildScores(const models::ModelDescription& model, const DataInfo& info,
                           int64_t pairs, bool training, TaskGraph& result) const {
    HONE_ASSIGN_OR_RETURN(const models::ModelDescription sized, WithRows(model, info));
    Graph& graph = *result.built.graph;
    const TensorType index = {{pairs}, DType::kS32};
    std::vector<models::NamedValue> inputs;
    for (const char* input : {kUser, kItem}) {
      inputs.push_back({input, graph.Input(input, index)});
    }
    HONE_ASSIGN_OR_RETURN(result.model, models::BuildModel(graph, sized, inputs,
                                                           {.training = training, .logits = true}));
    for (const models::NamedValue& input : inputs) {
      if (graph.status().ok() && !DependsOn(graph, result.model.output, input.value)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "model.layers (", result.model.layers.back().name, "): the last layer must give a ",
            "number for a user and an item, and what it gives does not depend on the ",
            input.name));
      }
    }
    const Shape& output = graph.shape(result.model.output);
    if (output != Shape{pairs, 1}) {
      const models::LayerSummary& last = result.model.layers.back();
      return absl::InvalidArgumentError(
          absl::StrCat("model.layers (", last.name,
                       "): the last layer must give one number for a user and an item, got output "
                       "shape ",
                       last.output_shape.ToString()));
    }
    return graph.status();
  }

  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                  const BatchShape& shape, bool training) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const int64_t half = shape.batch * options_.negatives;
    const int64_t pairs = implicit() ? 2 * half : shape.batch;
    HONE_RETURN_IF_ERROR(BuildScores(config.model, info, pairs, training, result));
    const Value scores = result.model.output;
    Loss loss;
    if (implicit()) {
      const Value ones = graph.Input(kOnes, {{half}, DType::kS32});
      graph.set_scope("loss");
      const Value rated = Slice(graph, scores, 0, half, 0);
      const Value drawn = Slice(graph, scores, half, pairs, 0);
      const Value ahead = Sum(graph, rated, ScaleBy(graph, drawn, graph.Constant(-1)));
      loss = BinaryCrossEntropy(graph, ahead, ones, {});
    } else {
      const Value targets = graph.Input(kTargets, {{shape.batch, 1}, DType::kF32});
      graph.set_scope("loss");
      loss = RegressionLoss(graph, scores, targets, RegressionKind::kMeanSquaredError);
    }
    HONE_RETURN_IF_ERROR(graph.status());
    const Value correct = loss.correct.valid() ? loss.correct : graph.Constant(0);
    result.built.request.fetch = {loss.sum, loss.weight, correct};
    return result;
  }

  // An item that the user has not rated: the same for the same seed, epoch, row and number. Of a
  // user who has rated nearly all, perhaps one that was rated.
  static int32_t Draw(const Ratings& ratings, int32_t user, int32_t item, int64_t epoch,
                      int32_t row, int64_t number) {
    const RatingIndex& index = ratings.index();
    const auto items = static_cast<uint32_t>(index.items.size());
    int32_t drawn = 0;
    for (int tries = 0; tries < kMostDraws;) {
      const std::array<uint32_t, 4> words = Philox(
          {static_cast<uint32_t>(row), static_cast<uint32_t>(epoch), static_cast<uint32_t>(number),
           static_cast<uint32_t>(tries)},
          {static_cast<uint32_t>(ratings.seed()), static_cast<uint32_t>(ratings.seed() >> 32)});
      for (size_t w = 0; w < words.size(); ++w, ++tries) {
        drawn = static_cast<int32_t>(uint64_t{words[w]} * items >> 32);
        if (drawn != item && !index.HasRated(user, drawn)) {
          return drawn;
        }
      }
    }
    return drawn;
  }

  // Hit rate and NDCG of the held-out ratings.
  static absl::Status AddRanking(const EvaluationContext& context, Evaluation& result) {
    const Ratings& ratings = RatingsOf(context.dataset);
    HONE_ASSIGN_OR_RETURN(const Program* program,
                          context.programs.forward(kScore, {.batch = kScoredPairs}));
    const Inputs inputs(*program, {.batch = kScoredPairs});
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> users, inputs.Find<int32_t>(kUser));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> items, inputs.Find<int32_t>(kItem));
    const size_t all_items = ratings.index().items.size();
    const auto score = [&](std::span<const int32_t> of, std::span<float> scores) -> absl::Status {
      for (size_t begin = 0; begin < scores.size(); begin += users.size()) {
        const size_t count = std::min(users.size(), scores.size() - begin);
        for (size_t i = 0; i < users.size(); ++i) {
          const size_t pair = i < count ? begin + i : 0;
          users[i] = of[pair / all_items];
          items[i] = static_cast<int32_t>(pair % all_items);
        }
        HONE_RETURN_IF_ERROR(context.programs.Run(*program, {}));
        std::copy_n(static_cast<const float*>(program->fetched(0)), count, scores.data() + begin);
      }
      context.progress(-1);
      return absl::OkStatus();
    };
    HONE_ASSIGN_OR_RETURN(
        const RankingQuality quality,
        RankHeldOut(ratings, context.rows, context.split == "validation" ? kMostUsersInTraining : 0,
                    score));
    result.metrics["hit_rate"] = quality.hit_rate;
    result.metrics["ndcg"] = quality.ndcg;
    return absl::OkStatus();
  }

  RecommendationOptions options_;
};

}  // namespace

std::unique_ptr<Task> MakeRecommendation(const RecommendationOptions& options) {
  return std::make_unique<Recommendation>(options);
}

absl::StatusOr<RecommendationOptions> RecommendationFromJson(const nlohmann::json& json) {
  RecommendationOptions options{.negatives = json.at("negatives").get<int64_t>()};
  const auto feedback = json.at("feedback").get<std::string>();
  const auto found = std::ranges::find(kFeedback, feedback);
  if (found == std::end(kFeedback) || options.negatives < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("`task.feedback` is not known: \"", feedback, "\", or no `task.negatives`"));
  }
  options.feedback = static_cast<Feedback>(found - std::begin(kFeedback));
  return options;
}

}  // namespace hone::engine::tasks
