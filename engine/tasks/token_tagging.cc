#include "engine/tasks/token_tagging.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/tagged_texts.h"
#include "engine/ops/cross_entropy.h"
#include "engine/tasks/entities.h"
#include "engine/tasks/one_graph_task.h"
#include "engine/tasks/tag_answers.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

constexpr char kTargets[] = "targets";  // s32 [rows]: tags of first tokens, −1 of all others
constexpr char kEncoder[] = "transformer_encoder";
constexpr absl::string_view kOutside = "O";

// Places of the preset's learned table; 0: it has none.
int64_t PlacesOf(const models::PresetDescription& preset) {
  const nlohmann::json options =
      nlohmann::json::parse(preset.options, nullptr, /*allow_exceptions=*/false);
  if (preset.name != kEncoder || !options.is_object()) {
    return 0;
  }
  const auto positions = options.find("positions"), length = options.find("length");
  const bool learned = positions == options.end() || *positions == "learned";
  return learned && length != options.end() && length->is_number_integer() ? length->get<int64_t>()
                                                                           : 0;
}

class EntityScorer final : public Scorer {
 public:
  EntityScorer(const data::Dataset& dataset, const std::vector<std::string>& tags)
      : texts_(data::TaggedTextsOf(dataset)), tags_(tags) {}

  void Add(const float* outputs, std::span<const int32_t> rows) override {
    const auto width = static_cast<int64_t>(tags_.size());
    for (const int32_t row : rows) {
      truth_.clear();
      found_.clear();
      for (const data::TaggedTexts::Word& word : texts_.words(row)) {
        absl::string_view found = kOutside;
        if (word.first >= 0) {
          const float* const logits = outputs + word.first * width;
          found = tags_[static_cast<size_t>(std::max_element(logits, logits + width) - logits)];
        }
        truth_.push_back(tags_[static_cast<size_t>(word.tag)]);
        found_.push_back(found);
        right_words_ += truth_.back() == found ? 1 : 0;
        ++words_;
      }
      Count();
      outputs += std::ssize(texts_.tokens(row)) * width;
    }
  }

  Evaluation Finish() const override {
    Evaluation result;
    EntityCounts all;
    for (const auto& [type, counts] : by_type_) {
      result.classes.push_back({.name = type,
                                .precision = counts.precision(),
                                .recall = counts.recall(),
                                .f1 = counts.f1(),
                                .examples = counts.there});
      all.right += counts.right;
      all.found += counts.found;
      all.there += counts.there;
    }
    result.metrics["entity_f1"] = all.f1();
    result.metrics["entity_precision"] = all.precision();
    result.metrics["entity_recall"] = all.recall();
    result.metrics["tag_accuracy"] =
        static_cast<double>(right_words_) / static_cast<double>(std::max<int64_t>(words_, 1));
    return result;
  }

 private:
  // The entities of a sentence.
  void Count() {
    const std::vector<Entity> truth = EntitiesOf(truth_), found = EntitiesOf(found_);
    for (const Entity& entity : truth) {
      ++by_type_[entity.type].there;
    }
    for (const Entity& entity : found) {
      EntityCounts& counts = by_type_[entity.type];
      ++counts.found;
      const auto there = std::ranges::lower_bound(truth, entity.begin, {}, &Entity::begin);
      counts.right += there != truth.end() && *there == entity ? 1 : 0;
    }
  }

  const data::TaggedTexts& texts_;
  const std::vector<std::string>& tags_;
  std::map<std::string, EntityCounts> by_type_;
  int64_t right_words_ = 0;
  int64_t words_ = 0;
  std::vector<absl::string_view> truth_, found_;  // of a sentence
};

class TokenTagging final : public OneGraphTask {
 public:
  absl::string_view name() const override { return "token_tagging"; }

  absl::Status CheckData(const DataInfo& info) const override {
    return info.preprocessing.text.has_value() && info.classes() > 1
               ? absl::OkStatus()
               : absl::InvalidArgumentError(
                     "token_tagging: the data must be sentences with a tag for each word");
  }

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                const TrainingConfig& config) const override {
    data::LoadOptions tagged = options;
    tagged.task = data::Task::kTokenTagging;
    HONE_ASSIGN_OR_RETURN(data::LoadedData loaded, data::LoadTaggedTexts(tagged));
    // Answers are read in pieces of as many tokens as the model has places for. Sentences that are
    // longer are none that it could learn: the model's building says so.
    const int64_t places = PlacesOf(config.model.preset);
    int64_t& most = loaded.preprocessing.text->max_tokens;
    if (options.as == nullptr && most == 0 && places >= InfoOf(loaded).longest) {
      most = places;
    }
    return loaded;
  }

  absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const override {
    // How many tokens the sentences have is only known when they have been read.
    HONE_ASSIGN_OR_RETURN(const data::LoadedData loaded, MakeExamples(config.data, config));
    return InfoOf(loaded, *this, config, evaluation_batch(config));
  }

  absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig& config, const DataInfo& info,
                                               int64_t count, int64_t bucket) const override {
    // So many sentences as a batch has come to the bucket's tokens, which are rounded: none is
    // longer than the data's.
    const int64_t batch = std::min(config.batch_size, info.train);
    const auto texts = std::make_shared<data::TaggedTexts>();
    const auto vocabulary = static_cast<uint64_t>(info.preprocessing.text->tokenizer->size());
    RandomStream random(1, "made-up texts");
    for (int64_t i = 0; i < count; ++i) {
      const int64_t share = MadeUpTokens(bucket, batch, i);
      const int64_t length = info.longest > 0 ? std::min(share, info.longest) : share;
      std::vector<int32_t> tokens;
      std::vector<data::TaggedTexts::Word> words;
      for (int64_t t = 0; t < length; ++t) {
        tokens.push_back(static_cast<int32_t>(random.NextBelow(vocabulary)));
        words.push_back(
            {.first = static_cast<int32_t>(t), .tag = static_cast<int32_t>(t % info.classes())});
      }
      texts->Add(tokens, words);
    }
    return data::Dataset(std::shared_ptr<const data::OwnExamples>(texts));
  }

  std::vector<int64_t> buckets(const TrainingConfig&) const override { return {}; }
  int64_t BucketOf(const data::Dataset& dataset, std::span<const int32_t> rows,
                   const TaskState*) const override {
    return PlannedRows(data::TaggedTextsOf(dataset).CountTokens(rows));
  }
  data::RowTokens RowTokens(const data::Dataset& dataset) const override {
    const data::TaggedTexts& texts = data::TaggedTextsOf(dataset);
    return [&texts](int32_t row) { return std::ssize(texts.tokens(row)); };
  }

  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples, const TaskState*,
                          const Inputs& inputs) const override {
    const data::TaggedTexts& texts = data::TaggedTextsOf(dataset);
    HONE_ASSIGN_OR_RETURN(TextFiller filler, TextFiller::Begin(inputs, /*separator=*/-1));
    for (const int32_t row : examples.rows) {
      HONE_RETURN_IF_ERROR(filler.Add(texts.tokens(row)));
    }
    HONE_RETURN_IF_ERROR(filler.Finish());
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> targets, inputs.Find<int32_t>(kTargets));
    std::ranges::fill(targets, -1);
    size_t begin = 0;
    for (const int32_t row : examples.rows) {
      for (const data::TaggedTexts::Word& word : texts.words(row)) {
        if (word.first >= 0 && !targets.empty()) {
          targets[begin + static_cast<size_t>(word.first)] = word.tag;
        }
      }
      begin += texts.tokens(row).size();
    }
    return absl::OkStatus();
  }

  void AddTrainingMetrics(size_t, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    values["tag_accuracy"] = sums.weight > 0 ? sums.correct / sums.weight : 0;
  }

  std::unique_ptr<Scorer> NewScorer(const data::Dataset& dataset,
                                    const DataInfo& info) const override {
    return std::make_unique<EntityScorer>(dataset, info.preprocessing.class_names);
  }

  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override {
    HONE_ASSIGN_OR_RETURN(Evaluation result, Task::Evaluate(context));
    if (context.final) {
      for (const char* name : {"entity_f1", "entity_precision", "entity_recall", "tag_accuracy"}) {
        result.own_metrics.insert(result.metrics.extract(name));
      }
    } else {
      result.best_by = "entity_f1";
    }
    return result;
  }

  std::vector<ForwardSpec> answering(const DataInfo& info) const override {
    return TaggingPrograms(*info.preprocessing.text);
  }
  absl::StatusOr<TaskGraph> BuildAnswering(const models::ModelDescription& model,
                                           const DataInfo& info,
                                           const ForwardSpec& spec) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    HONE_RETURN_IF_ERROR(AddModel(model, info, spec.shape, /*training=*/false, result));
    result.built.request = {
        .graph = result.built.graph.get(), .fetch = {result.model.output}, .gradients = {}};
    return result;
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    return NewTagAnswerer(preprocessing);
  }

 private:
  // Logits [bucket, tags], as result.model.
  static absl::Status AddModel(const models::ModelDescription& model, const DataInfo& info,
                               const BatchShape& shape, bool training, TaskGraph& result) {
    const std::string& preset = model.preset.name;
    if (!preset.empty() && preset != kEncoder) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.preset (", preset, "): must be ", kEncoder, " for token_tagging"));
    }
    HONE_ASSIGN_OR_RETURN(const models::ModelDescription sized,
                          WithVocabulary(model, info.preprocessing));
    Graph& graph = *result.built.graph;
    HONE_ASSIGN_OR_RETURN(
        result.model, models::BuildModel(graph, sized, TextInputs(graph, shape),
                                         {.training = training,
                                          .logits = true,
                                          .longest = info.longest,
                                          .shortened_by = kMaxTokensField,
                                          .vocabulary = info.preprocessing.text->tokenizer->size(),
                                          .outputs = info.classes(),
                                          .of_tokens = true}));
    const Shape& output = graph.shape(result.model.output);
    if (output != Shape{shape.bucket, info.classes()}) {
      const models::LayerSummary& last = result.model.layers.back();
      return absl::InvalidArgumentError(
          absl::StrCat("model.layers (", last.name, "): the last layer must give ", info.classes(),
                       " numbers for each token, one for each tag, got output shape ",
                       last.output_shape.ToString(),
                       output.rank() > 0 && output[0] != shape.bucket ? " for each sentence" : ""));
    }
    return graph.status();
  }

  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                  const BatchShape& shape, bool training) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    HONE_RETURN_IF_ERROR(AddModel(config.model, info, shape, training, result));
    const Value targets = graph.Input(kTargets, {{shape.bucket}, DType::kS32});
    graph.set_scope("loss");
    const Loss loss = CrossEntropy(graph, result.model.output, targets, {});
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request.fetch = {loss.sum, loss.weight, loss.correct};
    return result;
  }
};

}  // namespace

std::unique_ptr<Task> MakeTokenTagging(const TokenTaggingOptions&) {
  return std::make_unique<TokenTagging>();
}

absl::StatusOr<TokenTaggingOptions> TokenTaggingFromJson(const nlohmann::json&) {
  return TokenTaggingOptions{};
}

}  // namespace hone::engine::tasks
