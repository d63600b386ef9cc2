#include "engine/tasks/text_embedding.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/text_pairs.h"
#include "engine/ops/concat.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/full.h"
#include "engine/ops/matmul.h"
#include "engine/ops/rms_norm.h"
#include "engine/ops/scale.h"
#include "engine/ops/segment_pool.h"
#include "engine/tasks/embedding_answers.h"
#include "engine/tasks/one_graph_task.h"
#include "engine/tasks/similarity_ranks.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

constexpr char kTargets[] = "targets";  // s32 [examples]: of each first text its own second one
constexpr char kEncoder[] = "transformer_encoder";
constexpr absl::string_view kPoolings[] = {"mean", "first"};  // by TextEmbeddingOptions::Pooling
constexpr const char* kRecall = "recall_at_1";
constexpr const char* kMeanReciprocalRank = "mrr";
constexpr const char* kTripletAccuracy = "triplet_accuracy";

// Texts of an example.
int64_t TextsOfEach(const DataInfo& info) { return info.triples ? 3 : 2; }

// Keeps the vectors of a part, and ranks them at its end; of triples it counts those that are
// right.
class RankScorer final : public Scorer {
 public:
  explicit RankScorer(bool triples) : triples_(triples) {}

  void Expect(const Shape& outputs) override { width_ = outputs[1]; }

  void Add(const float* outputs, std::span<const int32_t> rows) override {
    const auto count = static_cast<int64_t>(rows.size());
    const int64_t taken = std::min(count, kMostPairs - pairs_);
    first_.insert(first_.end(), outputs, outputs + taken * width_);
    const float* const second = outputs + count * width_;
    second_.insert(second_.end(), second, second + taken * width_);
    pairs_ += taken;
    if (triples_) {
      const auto vectors = [&](int64_t which) {
        return std::span(outputs + which * count * width_, static_cast<size_t>(count * width_));
      };
      nearer_ += CountNearer(vectors(0), vectors(1), vectors(2), width_);
      examples_ += count;
    }
  }

  Evaluation Finish() const override {
    double right = 0, reciprocal = 0;
    for (const int64_t rank : SimilarityRanks(first_, second_, width_)) {
      right += rank == 1 ? 1 : 0;
      reciprocal += 1 / static_cast<double>(rank);
    }
    const auto pairs = static_cast<double>(std::max<int64_t>(pairs_, 1));
    Evaluation result;
    result.metrics[kRecall] = right / pairs;
    result.metrics[kMeanReciprocalRank] = reciprocal / pairs;
    if (triples_) {
      result.metrics[kTripletAccuracy] =
          static_cast<double>(nearer_) / static_cast<double>(std::max<int64_t>(examples_, 1));
    }
    return result;
  }

 private:
  static constexpr int64_t kMostPairs = 5000;

  const bool triples_;
  int64_t width_ = 1;
  int64_t pairs_ = 0;                  // that are kept
  std::vector<float> first_, second_;  // [pairs, width]
  int64_t examples_ = 0;               // of triples: all that there are
  int64_t nearer_ = 0;                 // of which the second text is nearer than the negative
};

class TextEmbedding final : public OneGraphTask {
 public:
  explicit TextEmbedding(const TextEmbeddingOptions& options) : options_(options) {}

  absl::string_view name() const override { return "text_embedding"; }

  absl::Status CheckData(const DataInfo& info) const override {
    return info.preprocessing.text.has_value()
               ? absl::OkStatus()
               : absl::InvalidArgumentError("text_embedding: the data must be texts");
  }

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                const TrainingConfig&) const override {
    data::LoadOptions pairs = options;
    pairs.task = data::Task::kTextPairs;
    if (!pairs.text.has_value()) {
      pairs.text.emplace();
    }
    return data::LoadTexts(pairs);
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
    const int64_t texts_of_batch = TextsOfEach(info) * std::min(config.batch_size, info.train);
    const auto texts = std::make_shared<data::Texts>();
    const auto vocabulary = static_cast<uint64_t>(info.preprocessing.text->tokenizer->size());
    RandomStream random(1, "made-up texts");
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < TextsOfEach(info) * count; ++i) {
      const int64_t share =
          bucket / texts_of_batch + (i % texts_of_batch < bucket % texts_of_batch ? 1 : 0);
      tokens.resize(static_cast<size_t>(info.longest > 0 ? std::min(share, info.longest) : share));
      std::ranges::generate(tokens,
                            [&] { return static_cast<int32_t>(random.NextBelow(vocabulary)); });
      texts->Add(tokens);
    }
    using Kind = data::TextPairs::Kind;
    return data::Dataset(std::make_shared<const data::TextPairs>(
        texts, info.triples ? Kind::kTriples : Kind::kPairs));
  }

  std::vector<int64_t> buckets(const TrainingConfig&) const override { return {}; }
  int64_t BucketOf(const data::Dataset& dataset, std::span<const int32_t> rows,
                   const TaskState*) const override {
    return PlannedRows(data::TextPairsOf(dataset).CountTokens(rows));
  }

  absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                            const DataInfo& info,
                                            const BatchShape& shape) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    HONE_RETURN_IF_ERROR(AddVectors(model, info, shape, /*training=*/false, result));
    result.built.request = {.graph = &graph, .fetch = {result.model.output}, .gradients = {}};
    return result;
  }

  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples, const TaskState*,
                          const Inputs& inputs) const override {
    const data::TextPairs& pairs = data::TextPairsOf(dataset);
    HONE_ASSIGN_OR_RETURN(TextFiller filler, TextFiller::Begin(inputs, /*separator=*/-1));
    for (const int32_t row : examples.rows) {
      HONE_RETURN_IF_ERROR(filler.Add(pairs.first(row)));
    }
    for (const int32_t row : examples.rows) {
      HONE_RETURN_IF_ERROR(filler.Add(pairs.second(row)));
    }
    if (pairs.triples()) {
      for (const int32_t row : examples.rows) {
        HONE_RETURN_IF_ERROR(filler.Add(pairs.negative(row)));
      }
    }
    HONE_RETURN_IF_ERROR(filler.Finish());
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> targets, inputs.Find<int32_t>(kTargets));
    for (size_t i = 0; i < targets.size(); ++i) {
      targets[i] = static_cast<int32_t>(i);
    }
    return absl::OkStatus();
  }

  void AddTrainingMetrics(size_t, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    values["in_batch_accuracy"] =
        sums.correct / static_cast<double>(std::max<int64_t>(sums.examples, 1));
  }

  // That of the training: the loss depends on how many pairs there are to choose from.
  int64_t evaluation_batch(const TrainingConfig& config) const override {
    return std::max<int64_t>(config.batch_size, 1);
  }
  bool evaluates_the_start() const override { return true; }

  std::unique_ptr<Scorer> NewScorer(const data::Dataset&, const DataInfo& info) const override {
    return std::make_unique<RankScorer>(info.triples);
  }

  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override {
    HONE_ASSIGN_OR_RETURN(Evaluation result, Task::Evaluate(context));
    if (context.final) {
      for (const char* name : {kRecall, kMeanReciprocalRank, kTripletAccuracy}) {
        result.own_metrics.insert(result.metrics.extract(name));
      }
    } else {
      result.best_by = kRecall;
    }
    return result;
  }

  nlohmann::json ToJson() const override {
    return {{"kind", std::string(name())},
            {"pooling", std::string(kPoolings[static_cast<size_t>(options_.pooling)])},
            {"scale", options_.scale}};
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    return NewEmbeddingAnswerer(preprocessing);
  }

 private:
  // A vector of length 1 for each of the shape's texts, as result.model.
  absl::Status AddVectors(const models::ModelDescription& model, const DataInfo& info,
                          const BatchShape& shape, bool training, TaskGraph& result) const {
    const std::string& preset = model.preset.name;
    if (!preset.empty() && preset != kEncoder) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.preset (", preset, "): must be ", kEncoder, " for text_embedding"));
    }
    HONE_ASSIGN_OR_RETURN(const models::ModelDescription sized,
                          WithVocabulary(model, info.preprocessing));
    Graph& graph = *result.built.graph;
    const std::vector<models::NamedValue> inputs = TextInputs(graph, shape);
    HONE_ASSIGN_OR_RETURN(
        result.model, models::BuildModel(graph, sized, inputs,
                                         {.training = training,
                                          .longest = info.longest,
                                          .shortened_by = kMaxTokensField,
                                          .vocabulary = info.preprocessing.text->tokenizer->size(),
                                          .of_tokens = true}));
    const Shape rows = graph.shape(result.model.output);
    if (rows.rank() != 2 || (rows[0] != shape.batch && rows[0] != shape.bucket)) {
      const models::LayerSummary& last = result.model.layers.back();
      return absl::InvalidArgumentError(absl::StrCat(
          "model.layers (", last.name,
          "): must give a row of numbers for each text, or for each token, got output shape ",
          last.output_shape.ToString()));
    }
    graph.set_scope("vector");
    Value x = result.model.output;
    if (rows[0] != shape.batch) {
      const auto offsets = std::ranges::find(inputs, kOffsetsInput, &models::NamedValue::name);
      x = SegmentPool(graph, x, offsets->value,
                      options_.pooling == TextEmbeddingOptions::Pooling::kFirst
                          ? SegmentPoolKind::kFirst
                          : SegmentPoolKind::kMean);
    }
    // x ÷ |x| is the root mean square's norm ÷ √width; one of zeros stays so.
    constexpr float kEpsilon = 1e-12f;
    x = RmsNorm(graph, x, Full(graph, {rows[1]}, 1), kEpsilon);
    result.model.output =
        ScaleBy(graph, x, graph.Constant(1 / std::sqrt(static_cast<double>(rows[1]))));
    return graph.status();
  }

  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                  const BatchShape& shape, bool training) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const int64_t examples = shape.batch;
    const int64_t texts = TextsOfEach(info) * examples;
    HONE_RETURN_IF_ERROR(
        AddVectors(config.model, info, {.batch = texts, .bucket = shape.bucket}, training, result));
    const Value targets = graph.Input(kTargets, {{examples}, DType::kS32});
    graph.set_scope("loss");
    const Value first = Slice(graph, result.model.output, 0, examples, /*axis=*/0);
    const Value candidates = Slice(graph, result.model.output, examples, texts, /*axis=*/0);
    const Value cosines = MatMul(graph, first, candidates, {.transpose_b = true});
    const Value logits = ScaleBy(graph, cosines, graph.Constant(double{options_.scale}));
    const Loss loss = CrossEntropy(graph, logits, targets, {});
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request.fetch = {loss.sum, loss.weight, loss.correct};
    return result;
  }

  TextEmbeddingOptions options_;
};

}  // namespace

std::unique_ptr<Task> MakeTextEmbedding(const TextEmbeddingOptions& options) {
  return std::make_unique<TextEmbedding>(options);
}

absl::StatusOr<TextEmbeddingOptions> TextEmbeddingFromJson(const nlohmann::json& json) {
  TextEmbeddingOptions options{.scale = json.at("scale").get<float>()};
  const auto pooling = json.at("pooling").get<std::string>();
  const auto found = std::ranges::find(kPoolings, pooling);
  if (found == std::end(kPoolings)) {
    return absl::InvalidArgumentError(
        absl::StrCat("`task.pooling` is not known: \"", pooling, "\""));
  }
  options.pooling =
      static_cast<TextEmbeddingOptions::Pooling>(std::distance(std::begin(kPoolings), found));
  return options;
}

}  // namespace hone::engine::tasks
