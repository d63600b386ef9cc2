#include "engine/tasks/language_modeling.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numbers>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/chats.h"
#include "engine/data/packed_documents.h"
#include "engine/data/running_text.h"
#include "engine/ops/new_tokens.h"
#include "engine/ops/segment_pool.h"
#include "engine/ops/token_cross_entropy.h"
#include "engine/tasks/causal_model.h"
#include "engine/tasks/one_graph_task.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tasks/window_filler.h"
#include "engine/tasks/writing.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

// Of a part that is evaluated with carried state: each begins with zeros, so that few are better.
constexpr int64_t kEvaluationStreams = 8;

// By Documents, in model.json.
constexpr absl::string_view kDocuments[] = {"joined", "packed", "chats", "packed_chats"};

// Layers that see other tokens otherwise than by a state that goes from one to the next.
struct LooksBack {
  bool operator()(const layers::AttentionOptions&) const { return true; }
  bool operator()(const layers::PositionsOptions&) const { return true; }
  bool operator()(const layers::Conv1dOptions&) const { return true; }
  template <typename Other>
  bool operator()(const Other&) const {
    return false;
  }
};

bool IsRecurrent(const models::LayerDescription& layer) {
  return std::holds_alternative<models::Lstm>(layer.kind) ||
         std::holds_alternative<models::Gru>(layer.kind) ||
         std::holds_alternative<models::SimpleRnn>(layer.kind);
}

absl::Status CheckCarried(const models::ModelDescription& model) {
  constexpr absl::string_view kField = "language_modeling.carry_state";
  if (!model.preset.name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kField, ": must be false with the preset ", model.preset.name,
                     ", which has no recurrent layers whose state could be carried"));
  }
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const models::LayerDescription& layer = model.layers[i];
    if (std::visit(LooksBack{}, layer.kind)) {
      return absl::InvalidArgumentError(absl::StrCat(
          kField, ": must be false with ", layer.PlaceIn("model", i), " (", layer.name,
          "), which knows nothing of the tokens before its window: only recurrent layers do"));
    }
  }
  if (std::ranges::none_of(model.layers, IsRecurrent)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kField, ": must be false for a model without recurrent layers"));
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
    if (packs() && options_.carry_state) {
      return absl::InvalidArgumentError(
          "language_modeling.carry_state: must be false where documents are packed: none of them "
          "goes on where another one ended");
    }
    if (chats()) {
      return data::LoadChats(options, {.window = options_.window,
                                       .together = options_.documents == Documents::kPackedChats});
    }
    if (packs()) {
      data::LoadOptions documents = options;
      documents.task = data::Task::kLanguageModeling;
      if (!documents.text.has_value()) {
        documents.text.emplace();
      }
      return data::LoadPackedDocuments(documents, options_.window);
    }
    return data::LoadRunningText(
        options, {.window = options_.window,
                  .batch = std::max<int64_t>(config.batch_size, 1),
                  .evaluation_streams = options_.carry_state ? evaluation_batch(config) : 0});
  }

  bool carries_state() const override { return options_.carry_state; }

  absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const override {
    // How many tokens the text has is only known when it has been read.
    HONE_ASSIGN_OR_RETURN(const data::LoadedData loaded, MakeExamples(config.data, config));
    return InfoOf(loaded, *this, config, evaluation_batch(config));
  }

  absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig& config, const DataInfo& info,
                                               int64_t count, int64_t bucket) const override {
    const auto vocabulary = static_cast<uint64_t>(info.preprocessing.text->tokenizer->size());
    RandomStream random(1, "made-up text");
    if (packs()) {
      // So many rows as a batch has come to the bucket's tokens and sequences.
      const int64_t batch = std::min(config.batch_size, info.train);
      const PackedShape whole = PackedShape::Of({.batch = batch, .bucket = bucket}, true);
      const auto documents = std::make_shared<data::PackedDocuments>();
      for (int64_t i = 0; i < count; ++i) {
        const auto share = [](int64_t of, int64_t k, int64_t n) {
          return of / n + (k % n < of % n ? 1 : 0);
        };
        // The bucket is rounded up, beyond what rows may hold.
        const int64_t tokens = std::min(share(whole.rows, i, batch), options_.window);
        const int64_t pieces = std::clamp<int64_t>(share(whole.sequences, i, batch), 1, tokens);
        std::vector<std::vector<int32_t>> row(static_cast<size_t>(pieces));
        std::vector<std::vector<uint8_t>> learned(chats() ? row.size() : 0);
        for (int64_t k = 0; k < pieces; ++k) {
          std::vector<int32_t>& piece = row[static_cast<size_t>(k)];
          piece.resize(static_cast<size_t>(share(tokens, k, pieces) + 1));
          std::ranges::generate(piece,
                                [&] { return static_cast<int32_t>(random.NextBelow(vocabulary)); });
          if (chats()) {
            // The last ones, no more than the bucket has room for.
            std::vector<uint8_t>& of_piece = learned[static_cast<size_t>(k)];
            const int64_t few = (std::ssize(piece) - 1) * whole.eighths / 8;
            of_piece.assign(piece.size(), whole.eighths == 0 ? 1 : 0);
            std::fill_n(of_piece.rbegin(), few, uint8_t{1});
          }
        }
        documents->AddRow(row, learned);
      }
      return data::Dataset(std::shared_ptr<const data::OwnExamples>(documents));
    }
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
    if (!packs()) {
      return PlannedRows(data::RunningTextOf(dataset).CountTokens(rows));
    }
    const data::PackedDocuments& documents = data::PackedDocumentsOf(dataset);
    const auto pieces = static_cast<uint64_t>(documents.CountPieces(rows));
    const int64_t planned = PlannedRows(documents.CountTokens(rows));
    return PackedShape{
        .rows = planned,
        .sequences = static_cast<int64_t>(std::bit_ceil(pieces)),
        .eighths =
            documents.masked() ? PackedShape::EighthsFor(documents.CountLearned(rows), planned) : 0}
        .bucket();
  }

  // Windows of a text are computed in parts where none goes on from the batch before.
  data::RowTokens RowTokens(const data::Dataset& dataset) const override {
    if (packs() || options_.carry_state) {
      return nullptr;
    }
    const data::RunningText& text = data::RunningTextOf(dataset);
    return [&text](int32_t row) { return text.CountTokens(std::span(&row, 1)); };
  }

  TokenCounts CountTokens(const data::Dataset& dataset,
                          std::span<const int32_t> rows) const override {
    if (!packs()) {
      const int64_t tokens = data::RunningTextOf(dataset).CountTokens(rows);
      return {.read = tokens, .learned = tokens};
    }
    const data::PackedDocuments& documents = data::PackedDocumentsOf(dataset);
    return {.read = documents.CountTokens(rows), .learned = documents.CountLearned(rows)};
  }

  absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                            const DataInfo& info,
                                            const BatchShape& shape) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    const std::vector<models::NamedValue> inputs = TextInputs(graph, shape);
    HONE_RETURN_IF_ERROR(AddCausalModel(model, info.preprocessing, options_.window, inputs,
                                        {.logits = true}, result));
    result.model.output =
        SegmentPool(graph, result.model.output, inputs[1].value, SegmentPoolKind::kLast);
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request = {.graph = &graph, .fetch = {result.model.output}, .gradients = {}};
    return result;
  }

  absl::StatusOr<TaskGraph> BuildDecoding(const models::ModelDescription& model,
                                          const DataInfo& info,
                                          const DecodingShape& shape) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    const std::vector<models::NamedValue> inputs =
        TextInputs(graph, {.batch = shape.texts, .bucket = shape.tokens});
    models::BuildOptions options = {.logits = true};
    {
      const Graph::Scope scope(graph, "input");
      options.new_tokens = {.window = options_.window,
                            .offsets = inputs[1].value,
                            .places = graph.Input(kPlacesInput, {{shape.tokens}, DType::kS32})};
      options.carried = {.rows = graph.Input(kStateRowsInput, {{shape.texts}, DType::kS32}),
                         .count = shape.texts,
                         .role = ParameterRole::kTransient,
                         .suffix = absl::StrCat("_of_", shape.texts)};
    }
    HONE_RETURN_IF_ERROR(
        AddCausalModel(model, info.preprocessing, options_.window, inputs, options, result));
    result.built.request = {
        .graph = &graph, .fetch = {result.model.output}, .gradients = {}, .update_buffers = true};
    return result;
  }

  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples, const TaskState*,
                          const Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(WindowFiller filler,
                          WindowFiller::Begin(inputs, PackedShape::Of(inputs.shape(), packs())));
    if (packs()) {
      const data::PackedDocuments& documents = data::PackedDocumentsOf(dataset);
      for (const int32_t row : examples.rows) {
        for (int64_t i = 0; i < documents.CountPieces(row); ++i) {
          HONE_RETURN_IF_ERROR(filler.Add(documents.piece(row, i), documents.learned(row, i), 0));
        }
      }
    } else {
      const data::RunningText& text = data::RunningTextOf(dataset);
      for (const int32_t row : examples.rows) {
        const data::TextStreams::Window place = text.place(row);
        HONE_RETURN_IF_ERROR(filler.Add(text.window(row, examples.epoch), {},
                                        StateRow(place.stream, place.goes_on)));
      }
    }
    filler.Finish();
    return absl::OkStatus();
  }

  void AddTrainingMetrics(size_t, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    values["token_accuracy"] = sums.weight > 0 ? sums.correct / sums.weight : 0;
    values["perplexity"] = std::exp(sums.mean_loss());
  }

  // So many windows that a batch's logits are not large.
  int64_t evaluation_batch(const TrainingConfig&) const override {
    // The vocabularies of chat models are large.
    const int64_t tokens = chats() ? 1024 : 4096;
    const int64_t windows = std::max<int64_t>(tokens / options_.window, 1);
    return options_.carry_state ? std::min(windows, kEvaluationStreams) : windows;
  }

  std::unique_ptr<Scorer> NewScorer(const data::Dataset&, const DataInfo&) const override {
    return std::make_unique<NoScorer>();
  }

  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override {
    HONE_ASSIGN_OR_RETURN(Evaluation result, Task::Evaluate(context));
    const double loss = result.metrics.at("loss");
    result.metrics["perplexity"] = std::exp(loss);
    if (packs()) {
      return result;
    }
    const data::RunningText& text = data::RunningTextOf(context.dataset);
    result.metrics["bits_per_byte"] = loss / std::numbers::ln2 *
                                      static_cast<double>(text.CountTokens(context.rows)) /
                                      text.CountBytes(context.rows);
    return result;
  }

  nlohmann::json ToJson() const override {
    return {{"kind", std::string(name())},
            {"window", options_.window},
            {"z_loss", options_.z_loss},
            {"carry_state", options_.carry_state},
            {"documents", std::string(kDocuments[static_cast<size_t>(options_.documents)])}};
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    if (!preprocessing.text.has_value()) {
      return absl::InvalidArgumentError("a language model must have a tokenizer");
    }
    return NewWritingAnswerer(preprocessing, options_.window,
                              /*begins_texts=*/options_.documents == Documents::kPacked);
  }

 private:
  bool packs() const { return options_.documents != Documents::kJoined; }
  bool chats() const {
    return options_.documents == Documents::kChats || options_.documents == Documents::kPackedChats;
  }

  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                  const BatchShape& shape, bool training) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const PackedShape planned = PackedShape::Of(shape, packs());
    const std::vector<models::NamedValue> inputs =
        TextInputs(graph, {.batch = planned.sequences, .bucket = planned.rows});
    models::BuildOptions options = {.training = training, .logits = true};
    if (options_.carry_state) {
      HONE_RETURN_IF_ERROR(CheckCarried(config.model));
      const Graph::Scope scope(graph, "input");
      const int64_t streams = training ? config.batch_size : evaluation_batch(config);
      options.carried = {
          .rows = graph.Input(kStateRowsInput, {{shape.batch}, DType::kS32}),
          .count = streams,
          .role = training ? ParameterRole::kBuffer : ParameterRole::kTransient,
          .suffix = absl::StrCat(training ? "_of_training_" : "_of_evaluation_", streams)};
    }
    if (planned.eighths > 0) {
      const Graph::Scope scope(graph, "input");
      options.places = graph.Input(kLearnedInput, {{planned.learned()}, DType::kS32});
    }
    HONE_RETURN_IF_ERROR(
        AddCausalModel(config.model, info.preprocessing, options_.window, inputs, options, result));
    const Value targets = graph.Input(
        kTargetsInput, {{planned.eighths > 0 ? planned.learned() : planned.rows}, DType::kS32});
    graph.set_scope("loss");
    // An evaluation gives the logits, so that it has all of them.
    const Loss loss = training ? TokenCrossEntropy(graph, result.model.output, targets,
                                                   {.class_weights = {}, .z_loss = options_.z_loss})
                               : CrossEntropy(graph, result.model.output, targets, {});
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request.fetch = {loss.sum, loss.weight, loss.correct};
    // Of a training, who adds the gradients says so.
    result.built.request.update_buffers = !training && options_.carry_state;
    return result;
  }

  LanguageModelingOptions options_;
};

}  // namespace

std::unique_ptr<Task> MakeLanguageModeling(const LanguageModelingOptions& options) {
  return std::make_unique<LanguageModeling>(options);
}

absl::StatusOr<LanguageModelingOptions> LanguageModelingFromJson(const nlohmann::json& json) {
  const auto name = json.value("documents", std::string(kDocuments[0]));
  const auto* const documents = std::ranges::find(kDocuments, name);
  if (documents == std::end(kDocuments)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "`task.documents` must be one of ", absl::StrJoin(kDocuments, ", "), ", got ", name));
  }
  const LanguageModelingOptions options{
      .window = json.at("window").get<int64_t>(),
      .z_loss = json.value("z_loss", 0.0f),
      .carry_state = json.value("carry_state", false),
      .documents = static_cast<Documents>(documents - std::begin(kDocuments))};
  if (options.window < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("`task.window` must be at least 1, got ", options.window));
  }
  return options;
}

}  // namespace hone::engine::tasks
