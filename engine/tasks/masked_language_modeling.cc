#include "engine/tasks/masked_language_modeling.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/masked_texts.h"
#include "engine/data/running_text.h"
#include "engine/data/texts.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/embedding.h"
#include "engine/tasks/filling.h"
#include "engine/tasks/one_graph_task.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

constexpr char kTargets[] = "targets";  // s32: what stands at the places; −1 behind the last one
constexpr char kEncoder[] = "transformer_encoder";

// Counts the tokens that were found.
class MaskedScorer final : public Scorer {
 public:
  MaskedScorer(const data::Dataset& dataset, int64_t vocabulary)
      : texts_(data::MaskedTextsOf(dataset)), vocabulary_(vocabulary) {}

  void Add(const float* outputs, std::span<const int32_t> rows) override {
    for (const int32_t row : rows) {
      shown_.resize(static_cast<size_t>(texts_.length(row)));
      texts_.Show(row, /*epoch=*/0, shown_, [&](int64_t, int32_t token) {
        right_ += std::max_element(outputs, outputs + vocabulary_) - outputs == token ? 1 : 0;
        ++all_;
        outputs += vocabulary_;
      });
    }
  }

  Evaluation Finish() const override {
    Evaluation result;
    result.metrics["masked_accuracy"] =
        static_cast<double>(right_) / static_cast<double>(std::max<int64_t>(all_, 1));
    return result;
  }

 private:
  const data::MaskedTexts& texts_;
  const int64_t vocabulary_;
  std::vector<int32_t> shown_;
  int64_t right_ = 0;
  int64_t all_ = 0;
};

absl::Status CheckMask(const data::Preprocessing& preprocessing) {
  return preprocessing.text->tokenizer->special().mask >= 0
             ? absl::OkStatus()
             : absl::InvalidArgumentError(
                   "model.pretrained: the model's vocabulary has no mask token; "
                   "masked_language_modeling can go on only from models that it trained itself");
}

class MaskedLanguageModeling final : public OneGraphTask {
 public:
  explicit MaskedLanguageModeling(const MaskedLanguageModelingOptions& options)
      : options_(options) {}

  absl::string_view name() const override { return "masked_language_modeling"; }

  absl::Status CheckData(const DataInfo& info) const override {
    if (!info.preprocessing.text.has_value()) {
      return absl::InvalidArgumentError("masked_language_modeling: the data must be texts");
    }
    return CheckMask(info.preprocessing);
  }

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                const TrainingConfig& config) const override {
    data::LoadOptions with_mask = options;
    with_mask.task = data::Task::kLanguageModeling;
    if (!with_mask.text.has_value()) {
      with_mask.text.emplace();
    }
    std::visit([](auto& tokenizer) { tokenizer.mask = true; }, with_mask.text->tokenizer);
    HONE_ASSIGN_OR_RETURN(
        data::LoadedData loaded,
        options_.window > 0
            ? data::LoadRunningText(with_mask, {.window = options_.window,
                                                .batch = std::max<int64_t>(config.batch_size, 1),
                                                .task = name()})
            : data::LoadTexts(with_mask));
    if (options_.window > 0 && options.as == nullptr) {
      loaded.preprocessing.text->max_tokens = options_.window;
    }
    HONE_RETURN_IF_ERROR(CheckMask(loaded.preprocessing));
    loaded.dataset = data::Dataset(std::make_shared<const data::MaskedTexts>(
        std::move(loaded.dataset), *loaded.preprocessing.text->tokenizer, options.seed));
    return loaded;
  }

  absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const override {
    // How many tokens the texts have is only known when they have been read.
    HONE_ASSIGN_OR_RETURN(const data::LoadedData loaded, MakeExamples(config.data, config));
    return InfoOf(loaded, *this, config, evaluation_batch(config));
  }

  absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig& config, const DataInfo& info,
                                               int64_t count, int64_t bucket) const override {
    // So many texts as a batch has come to the bucket's tokens, which are rounded: none is longer
    // than the data's.
    const int64_t longest = LongestOf(info);
    const int64_t batch = std::min(config.batch_size, info.train);
    const auto texts = std::make_shared<data::Texts>();
    const text::Tokenizer& tokenizer = *info.preprocessing.text->tokenizer;
    RandomStream random(1, "made-up texts");
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t length = MadeUpTokens(bucket, batch, i);
      tokens.resize(static_cast<size_t>(longest > 0 ? std::min(length, longest) : length));
      std::ranges::generate(tokens, [&] {
        return static_cast<int32_t>(random.NextBelow(static_cast<uint64_t>(tokenizer.size())));
      });
      texts->Add(tokens);
    }
    return data::Dataset(std::make_shared<const data::MaskedTexts>(
        data::Dataset(std::shared_ptr<const data::OwnExamples>(texts)), tokenizer, 1));
  }

  std::vector<int64_t> buckets(const TrainingConfig&) const override { return {}; }
  int64_t BucketOf(const data::Dataset& dataset, std::span<const int32_t> rows,
                   const TaskState*) const override {
    return PlannedRows(data::MaskedTextsOf(dataset).CountTokens(rows));
  }
  data::RowTokens RowTokens(const data::Dataset& dataset) const override {
    const data::MaskedTexts& texts = data::MaskedTextsOf(dataset);
    return [&texts](int32_t row) { return texts.length(row); };
  }

  absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                            const DataInfo& info,
                                            const BatchShape& shape) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    HONE_RETURN_IF_ERROR(AddModel(model, info, shape, shape.batch, {.logits = true}, result));
    result.built.request = {.graph = &graph, .fetch = {result.model.output}, .gradients = {}};
    return result;
  }

  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples, const TaskState*,
                          const Inputs& inputs) const override {
    const data::MaskedTexts& texts = data::MaskedTextsOf(dataset);
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> tokens, inputs.Find<int32_t>(kTokensInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> places, inputs.Find<int32_t>(kMaskedInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> targets, inputs.Find<int32_t>(kTargets));
    // A model may do without them.
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> offsets, inputs.Find<int32_t>(kOffsetsInput));
    const auto count = static_cast<int64_t>(examples.rows.size());
    const int64_t all = texts.CountTokens(examples.rows);
    if (all > static_cast<int64_t>(tokens.size()) ||
        data::MaskedTexts::MostDrawn(all, count) > static_cast<int64_t>(places.size()) ||
        places.size() != targets.size() ||
        (!offsets.empty() && offsets.size() != examples.rows.size() + 1)) {
      return absl::InternalError(absl::StrCat("a program for ", inputs.shape().batch,
                                              " texts with ", inputs.shape().bucket,
                                              " tokens was given others, or reads none"));
    }
    size_t row = 0, drawn = 0;
    if (!offsets.empty()) {
      offsets[0] = 0;
    }
    for (size_t i = 0; i < examples.rows.size(); ++i) {
      const auto length = static_cast<size_t>(texts.length(examples.rows[i]));
      texts.Show(examples.rows[i], examples.epoch, tokens.subspan(row, length),
                 [&](int64_t place, int32_t token) {
                   places[drawn] = static_cast<int32_t>(row) + static_cast<int32_t>(place);
                   targets[drawn++] = token;
                 });
      row += length;
      if (!offsets.empty()) {
        offsets[i + 1] = static_cast<int32_t>(row);
      }
    }
    std::ranges::fill(tokens.subspan(row), 0);
    std::ranges::fill(places.subspan(drawn), 0);
    std::ranges::fill(targets.subspan(drawn), -1);
    return absl::OkStatus();
  }

  void AddTrainingMetrics(size_t, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    values["masked_accuracy"] = sums.weight > 0 ? sums.correct / sums.weight : 0;
    values["perplexity"] = std::exp(sums.mean_loss());
  }

  // So many texts that a batch's logits are not large.
  int64_t evaluation_batch(const TrainingConfig&) const override {
    constexpr int64_t kTokens = 4096, kTexts = 64;
    return options_.window > 0 ? std::max<int64_t>(kTokens / options_.window, 1) : kTexts;
  }

  std::unique_ptr<Scorer> NewScorer(const data::Dataset& dataset,
                                    const DataInfo& info) const override {
    return std::make_unique<MaskedScorer>(dataset, info.preprocessing.text->tokenizer->size());
  }

  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override {
    HONE_ASSIGN_OR_RETURN(Evaluation result, Task::Evaluate(context));
    result.metrics["perplexity"] = std::exp(result.metrics.at("loss"));
    return result;
  }

  nlohmann::json ToJson() const override {
    return {{"kind", std::string(name())}, {"window", options_.window}};
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    return NewFillingAnswerer(preprocessing);
  }

 private:
  // Tokens of the longest text; 0: not known.
  int64_t LongestOf(const DataInfo& info) const {
    return options_.window > 0 ? options_.window : info.longest;
  }
  // Logits for each of `count` places, an input of the graph, as result.model.
  absl::Status AddModel(const models::ModelDescription& model, const DataInfo& info,
                        const BatchShape& shape, int64_t count, models::BuildOptions options,
                        TaskGraph& result) const {
    const std::string& preset = model.preset.name;
    if (!preset.empty() && preset != kEncoder) {
      return absl::InvalidArgumentError(absl::StrCat("model.preset (", preset, "): must be ",
                                                     kEncoder, " for masked_language_modeling"));
    }
    HONE_ASSIGN_OR_RETURN(const models::ModelDescription sized,
                          WithVocabulary(model, info.preprocessing));
    Graph& graph = *result.built.graph;
    const std::vector<models::NamedValue> inputs = TextInputs(graph, shape);
    {
      const Graph::Scope scope(graph, "input");
      options.places = graph.Input(kMaskedInput, {{count}, DType::kS32});
    }
    options.vocabulary = info.preprocessing.text->tokenizer->size();
    options.longest = LongestOf(info);
    options.shortened_by =
        options_.window > 0 ? "masked_language_modeling.window" : kMaxTokensField;
    HONE_ASSIGN_OR_RETURN(result.model, models::BuildModel(graph, sized, inputs, options));
    HONE_RETURN_IF_ERROR(CheckTokenLogits(
        graph, result.model, preset.empty() ? shape.bucket : count, options.vocabulary, "text"));
    if (preset.empty()) {
      const Graph::Scope scope(graph, "masked");
      result.model.output = engine::Embedding(graph, result.model.output, options.places);
    }
    return graph.status();
  }

  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                  const BatchShape& shape, bool training) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const int64_t count = data::MaskedTexts::MostDrawn(shape.bucket, shape.batch);
    HONE_RETURN_IF_ERROR(
        AddModel(config.model, info, shape, count, {.training = training, .logits = true}, result));
    const Value targets = graph.Input(kTargets, {{count}, DType::kS32});
    graph.set_scope("loss");
    const Loss loss = CrossEntropy(graph, result.model.output, targets, {});
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request.fetch = {loss.sum, loss.weight, loss.correct};
    return result;
  }

  MaskedLanguageModelingOptions options_;
};

}  // namespace

std::unique_ptr<Task> MakeMaskedLanguageModeling(const MaskedLanguageModelingOptions& options) {
  return std::make_unique<MaskedLanguageModeling>(options);
}

absl::StatusOr<MaskedLanguageModelingOptions> MaskedLanguageModelingFromJson(
    const nlohmann::json& json) {
  const MaskedLanguageModelingOptions options{.window = json.at("window").get<int64_t>()};
  if (options.window < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("`task.window` must be 0 or more, got ", options.window));
  }
  return options;
}

}  // namespace hone::engine::tasks
