#include "engine/tasks/translation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/sentence_pairs.h"
#include "engine/models/translation.h"
#include "engine/ops/cross_entropy.h"
#include "engine/tasks/task.h"
#include "engine/tasks/translation_answers.h"
#include "engine/tasks/translation_evaluation.h"
#include "engine/tasks/translator.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

using data::SentencePairs;
using data::SentencePairsOf;

constexpr char kTargets[] = "targets";  // s32 [rows]: the token behind each one, −1 where none is
constexpr char kSampling[] = "sampling";  // f32 []: the share of tokens that are guesses

// The planned count for so many tokens of one side: as PlannedRows, but above 256 the next multiple
// of a 16th of the power of two below. Each two counts that meet are a program of their own.
int64_t PlannedSide(int64_t tokens) {
  constexpr int64_t kFine = 256;
  if (tokens <= kFine) {
    return PlannedRows(tokens);
  }
  const auto step = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(tokens))) / 16;
  return (tokens + step - 1) / step * step;
}

// A batch's rows of both sides as one bucket.
struct PairRows {
  int64_t source = 0;
  int64_t target = 0;

  static PairRows Of(int64_t bucket) {
    return {bucket >> kTargetBits, bucket & ((int64_t{1} << kTargetBits) - 1)};
  }
  int64_t bucket() const { return source << kTargetBits | target; }

  static constexpr int kTargetBits = 31;
};

// Puts the tokens of pairs one behind another, and where each begins.
class SideFiller {
 public:
  SideFiller(std::span<int32_t> tokens, std::span<int32_t> offsets)
      : tokens_(tokens), offsets_(offsets) {
    if (!offsets_.empty()) {
      offsets_[0] = 0;
    }
  }
  // Of both those that the program reads.
  void Add(std::span<const int32_t> tokens) {
    if (!tokens_.empty()) {
      std::ranges::copy(tokens, tokens_.subspan(row_).begin());
    }
    End(tokens.size());
  }
  // The same, changed as the training wants it.
  void AddChanged(std::span<const int32_t> tokens, const data::TextAugmenter& changes,
                  const data::AugmentKey& key) {
    if (tokens_.empty()) {
      return Add(tokens);
    }
    const std::span<int32_t> room = tokens_.subspan(row_, tokens.size());
    End(static_cast<size_t>(changes.Augment(key, tokens, room, nullptr)));
  }
  // What is behind all of them.
  void Finish(int32_t value) {
    std::ranges::fill(tokens_.subspan(std::min(row_, tokens_.size())), value);
  }

 private:
  // A sequence of so many tokens has been added.
  void End(size_t tokens) {
    row_ += tokens;
    ++sequences_;
    if (!offsets_.empty()) {
      offsets_[sequences_] = static_cast<int32_t>(row_);
    }
  }

  std::span<int32_t> tokens_;
  std::span<int32_t> offsets_;
  size_t row_ = 0;
  size_t sequences_ = 0;
};

// The share of guesses at the step that is made. All of it follows from the step's number.
class SamplingState final : public TaskState {
 public:
  explicit SamplingState(const ScheduledSampling& sampling)
      : sampling_(sampling), share_(sampling.ShareAt(1)) {}

  absl::Status BeginStep(const StepContext& context) override {
    share_ = sampling_.ShareAt(context.step);
    return absl::OkStatus();
  }
  void AddMetrics(std::map<std::string, double>& values) const override {
    values["sampled_share"] = share_;
  }
  void Save(checkpoint::RunState&) const override {}
  absl::Status Restore(const checkpoint::RunState&) override { return absl::OkStatus(); }

  double share() const { return share_; }

 private:
  ScheduledSampling sampling_;
  double share_;
};

class Translation final : public Task {
 public:
  explicit Translation(const TranslationOptions& options) : options_(options) {}

  absl::string_view name() const override { return "translation"; }

  absl::Status CheckData(const DataInfo& info) const override {
    return CheckPreprocessing(info.preprocessing);
  }

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                const TrainingConfig&) const override {
    return data::LoadSentencePairs(options);
  }

  absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const override {
    // How many tokens the sentences have is only known when they have been read.
    HONE_ASSIGN_OR_RETURN(const data::LoadedData loaded, MakeExamples(config.data, config));
    return InfoOf(loaded, *this, config, evaluation_batch(config));
  }

  // So many pairs as a batch has come to the bucket's tokens.
  absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig& config, const DataInfo& info,
                                               int64_t count, int64_t bucket) const override {
    const int64_t batch = std::min(config.batch_size, info.train);
    const PairRows rows = PairRows::Of(bucket);
    const text::Tokenizer& target_tokens = *info.preprocessing.target_text->tokenizer;
    RandomStream random(1, "made-up sentences");
    const auto draw = [&](int64_t length, int64_t vocabulary, std::vector<int32_t>& to) {
      for (int64_t t = 0; t < length; ++t) {
        to.push_back(static_cast<int32_t>(random.NextBelow(static_cast<uint64_t>(vocabulary))));
      }
    };
    const auto pairs = std::make_shared<SentencePairs>();
    for (int64_t i = 0; i < count; ++i) {
      const auto share = [&](int64_t of) { return of / batch + (i % batch < of % batch ? 1 : 0); };
      std::vector<int32_t> source, target = {target_tokens.special().begin};
      draw(share(rows.source), info.preprocessing.text->tokenizer->size(), source);
      draw(share(rows.target), target_tokens.size(), target);
      pairs->Add(pairs->AddSentence(), source, target);
    }
    return data::Dataset(std::shared_ptr<const data::OwnExamples>(pairs));
  }

  std::vector<int64_t> buckets(const TrainingConfig&) const override { return {}; }
  int64_t BucketOf(const data::Dataset& dataset, std::span<const int32_t> rows,
                   const TaskState*) const override {
    const SentencePairs& pairs = SentencePairsOf(dataset);
    return PairRows{PlannedSide(pairs.CountSourceTokens(rows)),
                    PlannedSide(pairs.CountTargetTokens(rows))}
        .bucket();
  }

  absl::StatusOr<TaskGraph> BuildLoss(const TrainingConfig& config, const DataInfo& info, size_t,
                                      const BatchShape& shape) const override {
    return Build(config, info, shape, true);
  }

  absl::StatusOr<TaskGraph> BuildEvaluation(const TrainingConfig& config, const DataInfo& info,
                                            const BatchShape& shape) const override {
    HONE_ASSIGN_OR_RETURN(TaskGraph result, Build(config, info, shape, false));
    // No example's output is asked for; logits of a large vocabulary need not be kept.
    result.built.request.fetch.push_back(result.built.request.fetch[kFetchLossSum]);
    return result;
  }

  std::vector<ForwardSpec> forwards(const TrainingConfig&) const override {
    return TranslatorPrograms(EvaluationShape(options_));
  }
  absl::StatusOr<TaskGraph> BuildForward(const TrainingConfig& config, const DataInfo& info,
                                         const ForwardSpec& spec) const override {
    return BuildTranslatorProgram(NewTaskGraph(config), config.model, info,
                                  EvaluationShape(options_), spec);
  }

  std::unique_ptr<TaskState> NewState(const TrainingConfig&) const override {
    return options_.sampling.has_value() ? std::make_unique<SamplingState>(*options_.sampling)
                                         : nullptr;
  }

  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples,
                          const TaskState* state, const Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> share, inputs.Find<float>(kSampling));
    if (!share.empty()) {
      if (state == nullptr) {
        return absl::InternalError("a program that samples is run without the task's state");
      }
      share[0] = static_cast<float>(static_cast<const SamplingState*>(state)->share());
    }
    const SentencePairs& pairs = SentencePairsOf(dataset);
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> source_tokens,
                          inputs.Find<int32_t>(models::kSourceTokensInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> source_offsets,
                          inputs.Find<int32_t>(models::kSourceOffsetsInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> tokens, inputs.Find<int32_t>(kTokensInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> offsets, inputs.Find<int32_t>(kOffsetsInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> targets, inputs.Find<int32_t>(kTargets));
    const PairRows rows = PairRows::Of(inputs.shape().bucket);
    const auto fits = [&](std::span<const int32_t> those) {
      return those.empty() || those.size() == examples.rows.size() + 1;
    };
    if (pairs.CountSourceTokens(examples.rows) > rows.source ||
        pairs.CountTargetTokens(examples.rows) > rows.target || !fits(source_offsets) ||
        !fits(offsets)) {
      return absl::InternalError(absl::StrCat("a program for ", inputs.shape().batch,
                                              " pairs with ", rows.source, " and ", rows.target,
                                              " tokens was given others"));
    }
    SideFiller source(source_tokens, source_offsets), target(tokens, offsets),
        label(targets, std::span<int32_t>());
    for (const int32_t row : examples.rows) {
      const std::span<const int32_t> translation = pairs.target(row);
      if (examples.text_changes == nullptr) {
        source.Add(pairs.source(row));
      } else {
        source.AddChanged(pairs.source(row), *examples.text_changes,
                          {.seed = examples.seed, .epoch = examples.epoch, .row = row});
      }
      target.Add(translation.first(translation.size() - 1));
      label.Add(translation.subspan(1));
    }
    source.Finish(0);
    target.Finish(0);
    label.Finish(-1);
    return absl::OkStatus();
  }

  void AddTrainingMetrics(size_t, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    values["token_accuracy"] = sums.weight > 0 ? sums.correct / sums.weight : 0;
    if (options_.label_smoothing == 0) {
      values["perplexity"] = std::exp(sums.mean_loss());
    }
  }

  // So many pairs that a batch's logits are not large.
  int64_t evaluation_batch(const TrainingConfig&) const override { return 64; }

  std::unique_ptr<Scorer> NewScorer(const data::Dataset&, const DataInfo&) const override {
    return std::make_unique<NoScorer>();
  }

  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override {
    HONE_ASSIGN_OR_RETURN(Evaluation result, Task::Evaluate(context));
    result.metrics["perplexity"] = std::exp(result.metrics.at("loss"));
    HONE_RETURN_IF_ERROR(EvaluateTranslations(options_, context, result));
    return result;
  }

  nlohmann::json ToJson() const override {
    nlohmann::json json = {{"kind", std::string(name())},
                           {"label_smoothing", options_.label_smoothing},
                           {"beams", options_.beams},
                           {"length_penalty", options_.length_penalty},
                           {"longest", options_.longest}};
    if (const auto& sampling = options_.sampling; sampling.has_value()) {
      json["scheduled_sampling"] = {
          {"from", sampling->from}, {"to", sampling->to}, {"steps", sampling->steps}};
    }
    return json;
  }

  std::vector<ForwardSpec> answering(const DataInfo&) const override {
    return TranslatorPrograms(AnswerShape(options_));
  }
  absl::StatusOr<TaskGraph> BuildAnswering(const models::ModelDescription& model,
                                           const DataInfo& info,
                                           const ForwardSpec& spec) const override {
    TaskGraph start;
    start.built.graph = std::make_unique<Graph>();
    return BuildTranslatorProgram(std::move(start), model, info, AnswerShape(options_), spec);
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    HONE_RETURN_IF_ERROR(CheckPreprocessing(preprocessing));
    return NewTranslationAnswerer(preprocessing, options_);
  }

 private:
  static absl::Status CheckPreprocessing(const data::Preprocessing& preprocessing) {
    return preprocessing.text.has_value() && preprocessing.target_text.has_value()
               ? absl::OkStatus()
               : absl::InvalidArgumentError(
                     "translation: the data must be sentences with their translations");
  }

  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                  const BatchShape& shape, bool training) const {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const PairRows rows = PairRows::Of(shape.bucket);
    std::vector<models::NamedValue> inputs;
    {
      const Graph::Scope scope(graph, "input");
      for (const auto& [name, count] :
           {std::pair{models::kSourceTokensInput, rows.source},
            std::pair{models::kSourceOffsetsInput, shape.batch + 1},
            std::pair{kTokensInput, rows.target}, std::pair{kOffsetsInput, shape.batch + 1}}) {
        inputs.push_back({std::string(name), graph.Input(name, {{count}, DType::kS32})});
      }
    }
    models::BuildOptions options = {.training = training, .logits = true};
    if (training && options_.sampling.has_value()) {
      options.translation.sampling = graph.Input(kSampling, {Shape{}, DType::kF32});
    }
    options.vocabulary = info.preprocessing.target_text->tokenizer->size();
    options.translation.source_vocabulary = info.preprocessing.text->tokenizer->size();
    HONE_ASSIGN_OR_RETURN(result.model, models::BuildModel(graph, config.model, inputs, options));
    if (graph.shape(result.model.output) != Shape{rows.target, options.vocabulary}) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.preset: must be one that translates, and give ", options.vocabulary,
                       " numbers for each token of a translation, got output shape ",
                       graph.shape(result.model.output).ToString()));
    }
    const Value targets = graph.Input(kTargets, {{rows.target}, DType::kS32});
    graph.set_scope("loss");
    const Loss loss = CrossEntropy(
        graph, result.model.output, targets,
        {.label_smoothing = training ? options_.label_smoothing : 0.0f, .class_weights = {}});
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request.fetch = {loss.sum, loss.weight, loss.correct};
    return result;
  }

  TranslationOptions options_;
};

}  // namespace

double ScheduledSampling::ShareAt(int64_t step) const {
  return from +
         (to - from) * std::min(1.0, static_cast<double>(step - 1) / static_cast<double>(steps));
}

std::unique_ptr<Task> MakeTranslation(const TranslationOptions& options) {
  return std::make_unique<Translation>(options);
}

absl::StatusOr<TranslationOptions> TranslationFromJson(const nlohmann::json& json) {
  TranslationOptions options;
  options.label_smoothing = json.value("label_smoothing", 0.0f);
  options.beams = json.at("beams").get<int64_t>();
  options.length_penalty = json.at("length_penalty").get<double>();
  options.longest = json.at("longest").get<int64_t>();
  if (const auto found = json.find("scheduled_sampling"); found != json.end()) {
    options.sampling = {.from = found->at("from").get<double>(),
                        .to = found->at("to").get<double>(),
                        .steps = found->at("steps").get<int64_t>()};
    const ScheduledSampling& sampling = *options.sampling;
    if (!(sampling.from >= 0 && sampling.from <= 1 && sampling.to >= 0 && sampling.to <= 1 &&
          sampling.steps >= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "`task.scheduled_sampling` must go from 0 to 1 at most, in 1 step at least, got ",
          found->dump()));
    }
  }
  if (options.beams < 1 || options.beams > kMostBeams) {
    return absl::InvalidArgumentError(
        absl::StrCat("`task.beams` must be 1 to ", kMostBeams, ", got ", options.beams));
  }
  constexpr int64_t kMostTokens = 1 << 16;
  if (options.longest < 1 || options.longest > kMostTokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("`task.longest` must be 1 to ", kMostTokens, ", got ", options.longest));
  }
  if (!(options.length_penalty >= 0 && options.length_penalty <= 10)) {
    return absl::InvalidArgumentError(
        absl::StrCat("`task.length_penalty` must be 0 to 10, got ", options.length_penalty));
  }
  return options;
}

}  // namespace hone::engine::tasks
