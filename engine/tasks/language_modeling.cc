#include "engine/tasks/language_modeling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/running_text.h"
#include "engine/ops/segment_pool.h"
#include "engine/ops/token_cross_entropy.h"
#include "engine/tasks/one_graph_task.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tasks/writing.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

constexpr char kTargets[] = "targets";  // s32 [rows]: the token behind each one, −1 where none is

// An evaluation adds up losses alone.
class NoScorer final : public Scorer {
 public:
  void Add(const float*, std::span<const int32_t>) override {}
  Evaluation Finish() const override { return {}; }
};

// Layers that show a token those behind it, which are what it shall foretell.
struct LooksAhead {
  bool operator()(const layers::AttentionOptions& attention) const { return !attention.causal; }
  bool operator()(const layers::Conv1dOptions& conv) const { return !conv.causal; }
  bool operator()(const models::Lstm& lstm) const { return lstm.bidirectional; }
  bool operator()(const models::Gru& gru) const { return gru.bidirectional; }
  bool operator()(const models::SimpleRnn& rnn) const { return rnn.bidirectional; }
  template <typename Other>
  bool operator()(const Other&) const {
    return false;
  }
};

absl::Status CheckDirection(const models::ModelDescription& model) {
  if (model.preset.name == "transformer_encoder") {
    return absl::InvalidArgumentError(
        "model.preset (transformer_encoder): each of its tokens sees all of its text, so that "
        "there "
        "is nothing to foretell; must be gpt for a language model");
  }
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const models::LayerDescription& layer = model.layers[i];
    if (std::visit(LooksAhead{}, layer.kind)) {
      return absl::InvalidArgumentError(absl::StrCat(
          layer.PlaceIn("model", i), " (", layer.name,
          "): must look at no token behind its own: that is what a language model foretells; "
          "attention and conv1d must be `causal`, recurrent layers not `bidirectional`"));
    }
  }
  return absl::OkStatus();
}

class LanguageModeling final : public OneGraphTask {
 public:
  explicit LanguageModeling(const LanguageModelingOptions& options) : options_(options) {}

  absl::string_view name() const override { return "language_modeling"; }

  absl::Status CheckData(const DataInfo& info) const override {
    return info.preprocessing.text.has_value()
               ? absl::OkStatus()
               : absl::InvalidArgumentError("language_modeling: the data must be a text");
  }

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                const TrainingConfig& config) const override {
    return data::LoadRunningText(
        options, {.window = options_.window, .batch = std::max<int64_t>(config.batch_size, 1)});
  }

  absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const override {
    // How many tokens the text has is only known when it has been read.
    HONE_ASSIGN_OR_RETURN(const data::LoadedData loaded, MakeExamples(config.data, config));
    return InfoOf(loaded, *this, config, evaluation_batch(config));
  }

  absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig&, const DataInfo& info,
                                               int64_t count, int64_t) const override {
    const auto vocabulary = static_cast<uint64_t>(info.preprocessing.text->tokenizer->size());
    RandomStream random(1, "made-up text");
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < 16 * options_.window; ++i) {
      tokens.push_back(static_cast<int32_t>(random.NextBelow(vocabulary)));
    }
    tokens.push_back(0);
    std::array<data::RunningText::PartTokens, 3> parts;
    parts[0] = {.tokens = tokens, .bytes = static_cast<int64_t>(tokens.size())};
    return data::Dataset(std::make_shared<const data::RunningText>(
        std::move(parts),
        data::RunningText::Windows{.length = options_.window, .drawn = count, .seed = 1}));
  }

  std::vector<int64_t> buckets(const TrainingConfig&) const override { return {}; }
  int64_t BucketOf(const data::Dataset& dataset, std::span<const int32_t> rows,
                   const TaskState*) const override {
    return PlannedRows(data::RunningTextOf(dataset).CountTokens(rows));
  }

  absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                            const DataInfo& info,
                                            const BatchShape& shape) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    const std::vector<models::NamedValue> inputs = TextInputs(graph, shape);
    HONE_RETURN_IF_ERROR(AddModel(model, info, inputs, {.logits = true}, result));
    result.model.output =
        SegmentPool(graph, result.model.output, inputs[1].value, SegmentPoolKind::kLast);
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request = {.graph = &graph, .fetch = {result.model.output}, .gradients = {}};
    return result;
  }

  absl::StatusOr<TaskGraph> BuildDecoding(const models::ModelDescription& model,
                                          const DataInfo& info, int64_t rows) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    std::vector<models::NamedValue> inputs;
    {
      const Graph::Scope scope(graph, "input");
      inputs = {{std::string(kTokensInput), graph.Input(kTokensInput, {{rows}, DType::kS32})},
                {std::string(kOffsetsInput), graph.Input(kPlacesInput, {{rows}, DType::kS32})}};
    }
    HONE_RETURN_IF_ERROR(
        AddModel(model, info, inputs, {.logits = true, .decode_window = options_.window}, result));
    result.built.request = {
        .graph = &graph, .fetch = {result.model.output}, .gradients = {}, .update_buffers = true};
    return result;
  }

  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples, const TaskState*,
                          const Inputs& inputs) const override {
    const data::RunningText& text = data::RunningTextOf(dataset);
    // A model may do without each of them.
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> tokens, inputs.Find<int32_t>(kTokensInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> offsets, inputs.Find<int32_t>(kOffsetsInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> targets, inputs.Find<int32_t>(kTargets));
    const int64_t rows = inputs.shape().bucket;
    if (text.CountTokens(examples.rows) > rows ||
        (!offsets.empty() && offsets.size() != examples.rows.size() + 1)) {
      return absl::InternalError(absl::StrCat("a program for ", inputs.shape().batch,
                                              " windows with ", rows, " tokens was given others"));
    }
    size_t row = 0;
    if (!offsets.empty()) {
      offsets[0] = 0;
    }
    for (size_t i = 0; i < examples.rows.size(); ++i) {
      const std::span<const int32_t> window = text.window(examples.rows[i], examples.epoch);
      const size_t count = window.size() - 1;
      if (!tokens.empty()) {
        std::ranges::copy(window.first(count), tokens.subspan(row).begin());
      }
      if (!targets.empty()) {
        std::ranges::copy(window.subspan(1), targets.subspan(row).begin());
      }
      row += count;
      if (!offsets.empty()) {
        offsets[i + 1] = static_cast<int32_t>(row);
      }
    }
    std::ranges::fill(tokens.subspan(std::min(row, tokens.size())), 0);
    std::ranges::fill(targets.subspan(std::min(row, targets.size())), -1);
    return absl::OkStatus();
  }

  void AddTrainingMetrics(size_t, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    values["token_accuracy"] = sums.weight > 0 ? sums.correct / sums.weight : 0;
    values["perplexity"] = std::exp(sums.mean_loss());
  }

  // So many windows that a batch's logits are not large.
  int64_t evaluation_batch(const TrainingConfig&) const override {
    constexpr int64_t kTokens = 4096;
    return std::max<int64_t>(kTokens / options_.window, 1);
  }

  std::unique_ptr<Scorer> NewScorer(const data::Dataset&, const DataInfo&) const override {
    return std::make_unique<NoScorer>();
  }

  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override {
    HONE_ASSIGN_OR_RETURN(Evaluation result, Task::Evaluate(context));
    const data::RunningText& text = data::RunningTextOf(context.dataset);
    const double loss = result.metrics.at("loss");
    result.metrics["perplexity"] = std::exp(loss);
    result.metrics["bits_per_byte"] = loss / std::numbers::ln2 *
                                      static_cast<double>(text.CountTokens(context.rows)) /
                                      text.CountBytes(context.rows);
    return result;
  }

  nlohmann::json ToJson() const override {
    return {
        {"kind", std::string(name())}, {"window", options_.window}, {"z_loss", options_.z_loss}};
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    if (!preprocessing.text.has_value()) {
      return absl::InvalidArgumentError("a language model must have a tokenizer");
    }
    return NewWritingAnswerer(preprocessing, options_.window);
  }

 private:
  // Logits for each row of tokens, as result.model. `inputs`: tokens, then offsets or places.
  absl::Status AddModel(const models::ModelDescription& model, const DataInfo& info,
                        const std::vector<models::NamedValue>& inputs, models::BuildOptions options,
                        TaskGraph& result) const {
    HONE_RETURN_IF_ERROR(CheckDirection(model));
    HONE_ASSIGN_OR_RETURN(const models::ModelDescription sized,
                          WithVocabulary(model, info.preprocessing));
    Graph& graph = *result.built.graph;
    options.longest = options_.window;
    options.vocabulary = info.preprocessing.text->tokenizer->size();
    HONE_ASSIGN_OR_RETURN(result.model, models::BuildModel(graph, sized, inputs, options));
    HONE_RETURN_IF_ERROR(CheckTokenLogits(graph, result.model, graph.shape(inputs[0].value)[0],
                                          options.vocabulary, "window"));
    return graph.status();
  }

  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                  const BatchShape& shape, bool training) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    HONE_RETURN_IF_ERROR(AddModel(config.model, info, TextInputs(graph, shape),
                                  {.training = training, .logits = true}, result));
    const Value targets = graph.Input(kTargets, {{shape.bucket}, DType::kS32});
    graph.set_scope("loss");
    // An evaluation gives the logits, so that it has all of them.
    const Loss loss = training ? TokenCrossEntropy(graph, result.model.output, targets,
                                                   {.class_weights = {}, .z_loss = options_.z_loss})
                               : CrossEntropy(graph, result.model.output, targets, {});
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request.fetch = {loss.sum, loss.weight, loss.correct};
    return result;
  }

  LanguageModelingOptions options_;
};

}  // namespace

std::unique_ptr<Task> MakeLanguageModeling(const LanguageModelingOptions& options) {
  return std::make_unique<LanguageModeling>(options);
}

absl::StatusOr<LanguageModelingOptions> LanguageModelingFromJson(const nlohmann::json& json) {
  const LanguageModelingOptions options{.window = json.at("window").get<int64_t>(),
                                        .z_loss = json.value("z_loss", 0.0f)};
  if (options.window < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("`task.window` must be at least 1, got ", options.window));
  }
  return options;
}

}  // namespace hone::engine::tasks
