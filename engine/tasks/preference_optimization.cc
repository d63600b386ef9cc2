#include "engine/tasks/preference_optimization.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/chats.h"
#include "engine/data/packed_documents.h"
#include "engine/graph/sum.h"
#include "engine/ops/binary_cross_entropy.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/mul.h"
#include "engine/ops/reshape.h"
#include "engine/ops/scale.h"
#include "engine/ops/segment_pool.h"
#include "engine/ops/token_cross_entropy.h"
#include "engine/tasks/causal_model.h"
#include "engine/tasks/one_graph_task.h"
#include "engine/tasks/state_bytes.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tasks/window_filler.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

// s32 [2 n + 1]: of the rows with a target, where each answer's begin. Of a program that foretells
// all tokens, those of the whole sequence; the others have no loss.
constexpr char kAnswerOffsets[] = "answer_offsets";
constexpr char kAnswerRows[] = "answer_rows";  // f32 [2 n, 1]: how many they are
// f32 [2 n, 1]: −log π_ref of each answer; 0 while the reference itself is computed.
constexpr char kReference[] = "reference";
constexpr char kPreferred[] = "preferred";  // s32 [n], all 1: the first answer is the better one
constexpr char kSection[] = "reference";    // of the run state

// Answers that stand for each example, in this order.
constexpr int64_t kSides = 2;
constexpr int64_t kPieces[kSides] = {data::kChosenPiece, data::kRejectedPiece};

// What the reference says of all answers of a run: −log π_ref.
class ReferenceAnswers final : public TaskState {
 public:
  explicit ReferenceAnswers(const PreferenceOptimizationOptions& options) : options_(options) {}

  // 0 where none were computed, as for a plan.
  absl::StatusOr<float> of(int32_t row, int64_t side) const {
    const auto at = static_cast<size_t>(kSides * row + side);
    if (!values_.empty() && at >= values_.size()) {
      return absl::InternalError(
          absl::StrCat("the reference has ", values_.size(), " answers, not that of row ", row));
    }
    return values_.empty() ? 0 : values_[at];
  }

  absl::Status Begin(const BeginContext& context) override;
  absl::Status BeginStep(const StepContext&) override { return absl::OkStatus(); }

  void Save(checkpoint::RunState& state) const override {
    StateWriter out;
    out.Add(static_cast<int64_t>(values_.size()));
    out.AddAll(values_);
    state.sections[kSection] = out.Take();
  }

  absl::Status Restore(const checkpoint::RunState& state) override {
    const auto section = state.sections.find(kSection);
    if (section == state.sections.end()) {
      return absl::InvalidArgumentError(absl::StrCat("the checkpoint has no section \"", kSection,
                                                     "\": it is not of preferences"));
    }
    StateReader in(section->second);
    int64_t count = 0;
    in.Take(count);
    if (in.ok() && count >= 0 && count <= std::ssize(section->second)) {
      values_.resize(static_cast<size_t>(count));
      in.TakeAll(values_);
    }
    return in.done() ? absl::OkStatus()
                     : absl::InvalidArgumentError(absl::StrCat(
                           "the checkpoint's section \"", kSection, "\" is not what was written"));
  }

 private:
  PreferenceOptimizationOptions options_;
  std::vector<float> values_;  // [rows of the data set, sides]
};

// Means over the examples. Outputs are log π − log π_ref of all chosen answers, then of all
// rejected.
class RewardScorer final : public Scorer {
 public:
  explicit RewardScorer(double beta) : beta_(beta) {}

  void Add(const float* outputs, std::span<const int32_t> rows) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      const double chosen = outputs[i], rejected = outputs[rows.size() + i];
      chosen_ += chosen;
      rejected_ += rejected;
      right_ += chosen > rejected ? 1 : 0;
    }
    count_ += static_cast<double>(rows.size());
  }

  Evaluation Finish() const override {
    const double count = std::max(count_, 1.0);
    Evaluation result;
    result.metrics = {{"rewards_chosen", beta_ * chosen_ / count},
                      {"rewards_rejected", beta_ * rejected_ / count},
                      {"rewards_margin", beta_ * (chosen_ - rejected_) / count},
                      {"reward_accuracy", right_ / count}};
    return result;
  }

 private:
  double beta_;
  double chosen_ = 0, rejected_ = 0, right_ = 0, count_ = 0;
};

class PreferenceOptimization : public OneGraphTask {
 public:
  explicit PreferenceOptimization(const PreferenceOptimizationOptions& options)
      : options_(options) {}

  absl::string_view name() const override { return "preference_optimization"; }

  absl::Status CheckData(const DataInfo& info) const override {
    return info.preprocessing.text.has_value()
               ? absl::OkStatus()
               : absl::InvalidArgumentError(
                     "preference_optimization: the data must be preferences");
  }

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                const TrainingConfig&) const override {
    if (!std::isfinite(options_.beta) || options_.beta <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("preference_optimization.beta: must be above 0, got ", options_.beta));
    }
    return data::LoadPreferences(options, options_.window);
  }

  absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const override {
    // How many tokens the answers have is only known when they have been read.
    HONE_ASSIGN_OR_RETURN(const data::LoadedData loaded, MakeExamples(config.data, config));
    return InfoOf(loaded, *this, config, evaluation_batch(config));
  }

  absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig&, const DataInfo& info,
                                               int64_t count, int64_t bucket) const override {
    // So many examples as a batch of the bucket has come to its tokens, which are rounded up, and
    // to as many that are learned as it has room for.
    const PackedShape whole = PackedShape::Of({.batch = 0, .bucket = bucket}, true);
    const int64_t batch = whole.sequences / kSides;
    const auto vocabulary = static_cast<uint64_t>(info.preprocessing.text->tokenizer->size());
    const auto examples = std::make_shared<data::PackedDocuments>();
    RandomStream random(1, "made-up preferences");
    for (int64_t i = 0; i < count; ++i) {
      std::vector<std::vector<int32_t>> row(kSides);
      std::vector<std::vector<uint8_t>> learned(kSides);
      for (int64_t side = 0; side < kSides; ++side) {
        const int64_t number = i % batch * kSides + side, sequences = batch * kSides;
        const auto share = [&](int64_t of) {
          return of / sequences + (number < of % sequences ? 1 : 0);
        };
        const int64_t read = std::clamp<int64_t>(share(whole.rows), 1, options_.window);
        std::vector<int32_t>& tokens = row[static_cast<size_t>(side)];
        tokens.resize(static_cast<size_t>(read) + 1);
        std::ranges::generate(tokens,
                              [&] { return static_cast<int32_t>(random.NextBelow(vocabulary)); });
        std::vector<uint8_t>& of_tokens = learned[static_cast<size_t>(side)];
        of_tokens.assign(tokens.size(), whole.eighths == 0 ? 1 : 0);
        std::fill_n(of_tokens.rbegin(), std::min(read, share(whole.rows * whole.eighths / 8)),
                    uint8_t{1});
      }
      examples->AddRow(row, learned);
    }
    return data::Dataset(std::shared_ptr<const data::OwnExamples>(examples));
  }

  std::vector<int64_t> buckets(const TrainingConfig&) const override { return {}; }
  int64_t BucketOf(const data::Dataset& dataset, std::span<const int32_t> rows,
                   const TaskState*) const override {
    const data::PackedDocuments& examples = data::PackedDocumentsOf(dataset);
    const int64_t planned = PlannedRows(examples.CountTokens(rows));
    return PackedShape{.rows = planned,
                       .sequences = kSides * std::ssize(rows),
                       .eighths = PackedShape::EighthsFor(examples.CountLearned(rows), planned)}
        .bucket();
  }
  bool evaluates_training_rows() const override { return true; }
  int64_t kept_bytes_per_row() const override { return kSides * int64_t{sizeof(float)}; }

  TokenCounts CountTokens(const data::Dataset& dataset,
                          std::span<const int32_t> rows) const override {
    const data::PackedDocuments& examples = data::PackedDocumentsOf(dataset);
    return {.read = examples.CountTokens(rows), .learned = examples.CountLearned(rows)};
  }

  std::unique_ptr<TaskState> NewState(const TrainingConfig&) const override {
    return std::make_unique<ReferenceAnswers>(options_);
  }

  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples,
                          const TaskState* state, const Inputs& inputs) const override {
    const data::PackedDocuments& of_rows = data::PackedDocumentsOf(dataset);
    const auto* const reference = static_cast<const ReferenceAnswers*>(state);
    HONE_ASSIGN_OR_RETURN(WindowFiller filler,
                          WindowFiller::Begin(inputs, PackedShape::Of(inputs.shape(), true)));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> few, inputs.Find<int32_t>(kLearnedInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> offsets, inputs.Find<int32_t>(kAnswerOffsets));
    HONE_ASSIGN_OR_RETURN(const std::span<float> answer_rows, inputs.Find<float>(kAnswerRows));
    HONE_ASSIGN_OR_RETURN(const std::span<float> references, inputs.Find<float>(kReference));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> preferred, inputs.Find<int32_t>(kPreferred));
    const size_t answers = kSides * examples.rows.size();
    if (offsets.size() != answers + 1 || answer_rows.size() != answers ||
        references.size() != answers || preferred.size() != examples.rows.size()) {
      return absl::InternalError(absl::StrCat("a program for ", preferred.size(),
                                              " preferences was given ", examples.rows.size()));
    }
    size_t at = 0;
    offsets[0] = 0;
    for (int64_t side = 0; side < kSides; ++side) {
      for (const int32_t row : examples.rows) {
        const std::span<const int32_t> tokens = of_rows.piece(row, kPieces[side]);
        const std::span<const uint8_t> learned = of_rows.learned(row, kPieces[side]);
        HONE_RETURN_IF_ERROR(filler.Add(tokens, learned, 0));
        const auto count = static_cast<int32_t>(
            few.empty() ? std::ssize(tokens) - 1 : std::ranges::count(learned.subspan(1), 1));
        answer_rows[at] = static_cast<float>(count);
        offsets[at + 1] = offsets[at] + count;
        references[at] = 0;
        if (reference != nullptr) {
          HONE_ASSIGN_OR_RETURN(references[at], reference->of(row, side));
        }
        ++at;
      }
    }
    filler.Finish();
    std::ranges::fill(preferred, 1);
    return absl::OkStatus();
  }

  void AddTrainingMetrics(size_t, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    const double examples = std::max(sums.weight, 1.0);
    values["reward_accuracy"] = sums.correct / examples;
    values["rewards_chosen"] = sums.own[0] / examples;
    values["rewards_rejected"] = sums.own[1] / examples;
    values["rewards_margin"] = (sums.own[0] - sums.own[1]) / examples;
  }

  // So many that a batch has about two thousand tokens at most.
  int64_t evaluation_batch(const TrainingConfig&) const override { return EvaluationBatch(); }
  int64_t EvaluationBatch() const { return std::max<int64_t>(1024 / options_.window, 1); }

  std::unique_ptr<Scorer> NewScorer(const data::Dataset&, const DataInfo&) const override {
    return std::make_unique<RewardScorer>(options_.beta);
  }

  nlohmann::json ToJson() const override {
    return {{"kind", std::string(name())}, {"window", options_.window}, {"beta", options_.beta}};
  }

  std::optional<TaskOptions> saved_as() const override {
    return LanguageModelingOptions{.window = options_.window, .documents = Documents::kChats};
  }

 private:
  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                  const BatchShape& shape, bool training) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const PackedShape planned = PackedShape::Of(shape, true);
    const int64_t examples = shape.batch, answers = kSides * shape.batch;
    const std::vector<models::NamedValue> inputs =
        TextInputs(graph, {.batch = answers, .bucket = planned.rows});
    models::BuildOptions options = {.training = training, .logits = true};
    if (planned.eighths > 0) {
      const Graph::Scope scope(graph, "input");
      options.places = graph.Input(kLearnedInput, {{planned.learned()}, DType::kS32});
    }
    HONE_RETURN_IF_ERROR(
        AddCausalModel(config.model, info.preprocessing, options_.window, inputs, options, result));
    const int64_t rows = planned.eighths > 0 ? planned.learned() : planned.rows;
    const Value targets = graph.Input(kTargetsInput, {{rows}, DType::kS32});
    const Value offsets = graph.Input(kAnswerOffsets, {{answers + 1}, DType::kS32});
    const Value answer_rows = graph.Input(kAnswerRows, {{answers, 1}, DType::kF32});
    const Value reference = graph.Input(kReference, {{answers, 1}, DType::kF32});
    const Value preferred = graph.Input(kPreferred, {{examples}, DType::kS32});
    graph.set_scope("loss");
    const auto minus = [&](Value a, Value b) {
      return Sum(graph, a, ScaleBy(graph, b, graph.Constant(-1)));
    };
    // Sums of −log π, by way of means, and log π − log π_ref.
    const Value losses =
        Reshape(graph, TokenLosses(graph, result.model.output, targets), {rows, 1});
    const Value sums =
        Mul(graph, SegmentPool(graph, losses, offsets, SegmentPoolKind::kMean), answer_rows);
    const Value ratios = minus(reference, sums);
    const Value beta = graph.Constant(options_.beta);
    const Value chosen = ScaleBy(graph, Slice(graph, ratios, 0, examples, 0), beta);
    const Value rejected = ScaleBy(graph, Slice(graph, ratios, examples, answers, 0), beta);
    const Value margins = minus(chosen, rejected);
    const Loss loss = BinaryCrossEntropy(graph, margins, preferred, {});
    result.built.request.fetch = {loss.sum, loss.weight, loss.correct};
    if (training) {
      // kFetchOwn
      result.built.request.fetch.push_back(SumTo(graph, chosen, Shape{}));
      result.built.request.fetch.push_back(SumTo(graph, rejected, Shape{}));
    }
    HONE_RETURN_IF_ERROR(graph.status());
    result.model.output = ratios;
    return result;
  }

  PreferenceOptimizationOptions options_;
};

// The same task, whose evaluations leave what the model says of each answer. Without a reference
// that is its log-probability.
class ReferencePass final : public PreferenceOptimization {
 public:
  // `values` outlive it: −log π, [rows of the data set, sides].
  ReferencePass(const PreferenceOptimizationOptions& options, std::span<float> values)
      : PreferenceOptimization(options), values_(values) {}

  std::unique_ptr<Scorer> NewScorer(const data::Dataset&, const DataInfo&) const override {
    return std::make_unique<Keeper>(values_);
  }

 private:
  class Keeper final : public Scorer {
   public:
    explicit Keeper(std::span<float> values) : values_(values) {}
    void Add(const float* outputs, std::span<const int32_t> rows) override {
      for (size_t side = 0; side < kSides; ++side) {
        for (size_t i = 0; i < rows.size(); ++i) {
          values_[kSides * static_cast<size_t>(rows[i]) + side] = -outputs[side * rows.size() + i];
        }
      }
    }
    Evaluation Finish() const override { return {}; }

   private:
    std::span<float> values_;
  };

  std::span<float> values_;
};

absl::Status ReferenceAnswers::Begin(const BeginContext& context) {
  constexpr size_t kBatchesAtOnce = 16;  // between which the run may be asked to end
  const data::Splits& splits = context.splits;
  context.log(absl::StrCat(
      "what the model says of both answers is the reference: it is computed once, for ",
      splits.train.size() + splits.validation.size() + splits.test.size(), " preferences"));
  std::vector<float> values(static_cast<size_t>(kSides * context.dataset.size()));
  const ReferencePass pass(options_, values);
  const auto at_once = kBatchesAtOnce * static_cast<size_t>(pass.EvaluationBatch());
  const auto progress = [](double) {};
  for (const std::vector<int32_t>* const part : {&splits.train, &splits.validation, &splits.test}) {
    for (std::span<const int32_t> left = *part; !left.empty();) {
      if (context.asked_to_end()) {
        return absl::CancelledError("the run was asked to end before its first step");
      }
      const std::span<const int32_t> rows = left.first(std::min(at_once, left.size()));
      HONE_RETURN_IF_ERROR(context.programs
                               .EvaluateRows(pass, {.dataset = context.dataset,
                                                    .info = context.info,
                                                    .state = nullptr,
                                                    .programs = context.programs,
                                                    .rows = rows,
                                                    .split = "reference",
                                                    .artifacts = context.artifacts,
                                                    .progress = progress})
                               .status());
      left = left.subspan(rows.size());
    }
  }
  if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) {
    return absl::OutOfRangeError(
        "the model that the training begins with gives an answer no finite log-probability");
  }
  values_ = std::move(values);
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<Task> MakePreferenceOptimization(const PreferenceOptimizationOptions& options) {
  return std::make_unique<PreferenceOptimization>(options);
}

}  // namespace hone::engine::tasks
