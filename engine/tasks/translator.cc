#include "engine/tasks/translator.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/models/translation.h"
#include "engine/tasks/inputs.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

constexpr char kEncodeProgram[] = "encode";
constexpr char kWriteProgram[] = "write";
constexpr char kAttendProgram[] = "attend";

using Sentence = std::span<const int32_t>;

// The numbers of an input that the program may do without; else there must be so many.
absl::StatusOr<std::span<int32_t>> InputOf(const Inputs& inputs, absl::string_view name,
                                           int64_t count) {
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> numbers, inputs.Find<int32_t>(name));
  if (!numbers.empty() && numbers.size() != static_cast<size_t>(count)) {
    return absl::InternalError(
        absl::StrCat("the input ", name, " has ", numbers.size(), " numbers, not ", count));
  }
  return numbers;
}

// Where each of the sentences begins, and where the last ends. Those that there is no sentence for
// have a token each, so that none is empty.
void FillSourceOffsets(std::span<const Sentence> sentences, std::span<int32_t> offsets) {
  for (size_t i = 0; i < offsets.size(); ++i) {
    const size_t tokens = i == 0 ? 0 : i - 1 < sentences.size() ? sentences[i - 1].size() : 1;
    offsets[i] = (i == 0 ? 0 : offsets[i - 1]) + static_cast<int32_t>(tokens);
  }
}

}  // namespace

std::vector<ForwardSpec> TranslatorPrograms(const TranslatorShape& shape) {
  const BatchShape batch = {shape.rows, shape.source_rows};
  std::vector<ForwardSpec> specs = {{kEncodeProgram, batch}, {kWriteProgram, batch}};
  if (shape.longest_source > 0) {
    specs.push_back({kAttendProgram, batch});
  }
  return specs;
}

absl::StatusOr<TaskGraph> BuildTranslatorProgram(TaskGraph start,
                                                 const models::ModelDescription& model,
                                                 const DataInfo& info, const TranslatorShape& shape,
                                                 const ForwardSpec& spec) {
  using models::TranslationBuild;
  TaskGraph result = std::move(start);
  Graph& graph = *result.built.graph;
  const bool encodes = spec.name == kEncodeProgram, attends = spec.name == kAttendProgram;
  const auto numbers = [](Shape of) { return TensorType{std::move(of), DType::kS32}; };
  std::vector<models::NamedValue> inputs;
  {
    const Graph::Scope scope(graph, "input");
    const auto add = [&](absl::string_view name, Shape of) {
      inputs.push_back({std::string(name), graph.Input(name, numbers(std::move(of)))});
    };
    if (encodes) {
      add(models::kSourceTokensInput, {shape.source_rows});
    } else {
      add(kTokensInput, {shape.rows});
      add(models::kStepPlacesInput, {shape.rows});
      add(models::kAncestorsInput, {shape.rows, shape.window});
      add(kOffsetsInput, {shape.rows + 1});
    }
    add(models::kSourceOffsetsInput, {shape.rows + 1});
  }
  models::BuildOptions options = {.training = false, .logits = true};
  options.vocabulary = info.preprocessing.target_text->tokenizer->size();
  options.decode_window = shape.window;
  options.translation = {
      .part = encodes ? TranslationBuild::Part::kEncoder : TranslationBuild::Part::kStep,
      .source_vocabulary = info.preprocessing.text->tokenizer->size(),
      .source_rows = shape.source_rows,
      .longest_source = attends ? shape.longest_source : 0};
  models::ModelDescription described = model;
  described.inputs.clear();
  for (const models::NamedValue& input : inputs) {
    described.inputs.push_back(input.name);
  }
  HONE_ASSIGN_OR_RETURN(result.model, models::BuildModel(graph, described, inputs, options));
  HONE_RETURN_IF_ERROR(graph.status());
  if (!encodes && graph.shape(result.model.output) != Shape{shape.rows, options.vocabulary}) {
    return absl::InternalError(absl::StrCat("a step must give [", shape.rows, ", ",
                                            options.vocabulary, "] numbers, got ",
                                            graph.shape(result.model.output).ToString()));
  }
  // What is read and looked at is no part of the model that is trained; what has weights is.
  std::erase_if(result.model.layers, [](const models::LayerSummary& layer) {
    return layer.weights + layer.biases == 0;
  });
  std::vector<Value> fetch = {result.model.output};
  if (attends) {
    const std::optional<Value> weights = models::AttentionWeightsOf(graph);
    if (!weights.has_value() || graph.shape(*weights) != Shape{shape.rows, shape.longest_source}) {
      return absl::InternalError("a step must tell what each row looks at");
    }
    fetch.push_back(*weights);
  }
  result.built.request = {
      .graph = &graph, .fetch = std::move(fetch), .gradients = {}, .update_buffers = true};
  return result;
}

absl::StatusOr<Translator> Translator::Make(ForwardPrograms& programs,
                                            const data::Preprocessing& preprocessing,
                                            const TranslatorShape& shape) {
  Translator translator(programs, shape);
  const BatchShape batch = {shape.rows, shape.source_rows};
  HONE_ASSIGN_OR_RETURN(translator.encode_, programs.forward(kEncodeProgram, batch));
  HONE_ASSIGN_OR_RETURN(translator.write_, programs.forward(kWriteProgram, batch));
  if (shape.longest_source > 0) {
    HONE_ASSIGN_OR_RETURN(translator.attend_, programs.forward(kAttendProgram, batch));
  }
  const text::Tokenizer& tokenizer = *preprocessing.target_text->tokenizer;
  translator.special_ = tokenizer.special();
  translator.vocabulary_ = tokenizer.size();
  return translator;
}

absl::StatusOr<std::vector<Translated>> Translator::Translate(std::span<const Sentence> sentences,
                                                              const Options& options) {
  const text::BeamOptions& search = options.search;
  if (search.beams < 1 || search.beams > shape_.rows || search.longest > shape_.window ||
      (options.attention && (search.beams != 1 || attend_ == nullptr))) {
    return absl::InternalError(absl::StrCat(
        "a translator for ", shape_.rows, " rows and translations of ", shape_.window,
        " tokens was asked for ", search.beams, " beams and ", search.longest, " tokens"));
  }
  const int64_t longest = options.attention
                              ? std::min(shape_.longest_source, shape_.longest_sentence())
                              : shape_.longest_sentence();
  for (const Sentence sentence : sentences) {
    if (sentence.empty() || static_cast<int64_t>(sentence.size()) > longest) {
      return absl::InternalError(absl::StrCat("a sentence of ", sentence.size(), " tokens; 1 to ",
                                              longest, " are translated"));
    }
  }
  // Sentences of like lengths are done at about the same time.
  std::vector<size_t> order(sentences.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return sentences[i].size(); });
  std::vector<Translated> results(sentences.size());
  const auto most = static_cast<size_t>(shape_.rows / search.beams);
  for (size_t begin = 0; begin < order.size();) {
    std::vector<Sentence> together;
    std::vector<Translated*> into;
    // With a token for each that is missing.
    int64_t tokens = shape_.rows;
    while (begin < order.size() && together.size() < most) {
      const Sentence next = sentences[order[begin]];
      tokens += static_cast<int64_t>(next.size()) - 1;
      if (tokens > shape_.source_rows) {
        break;
      }
      together.push_back(next);
      into.push_back(&results[order[begin++]]);
    }
    HONE_RETURN_IF_ERROR(TranslateTogether(together, options, into));
  }
  return results;
}

absl::Status Translator::FillSources(const Program& program,
                                     std::span<const Sentence> sentences) const {
  const Inputs inputs(program, {shape_.rows, shape_.source_rows});
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> tokens,
                        InputOf(inputs, models::kSourceTokensInput, shape_.source_rows));
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> offsets,
                        InputOf(inputs, models::kSourceOffsetsInput, shape_.rows + 1));
  if (!tokens.empty()) {
    auto to = tokens.begin();
    for (const Sentence sentence : sentences) {
      to = std::ranges::copy(sentence, to).out;
    }
    std::fill(to, tokens.end(), 0);
  }
  FillSourceOffsets(sentences, offsets);
  return absl::OkStatus();
}

absl::Status Translator::FillStep(const Program& program, std::span<const Writing> writings,
                                  int64_t beams) const {
  const Inputs inputs(program, {shape_.rows, shape_.source_rows});
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> tokens,
                        InputOf(inputs, kTokensInput, shape_.rows));
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> places,
                        InputOf(inputs, models::kStepPlacesInput, shape_.rows));
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> ancestors,
                        InputOf(inputs, models::kAncestorsInput, shape_.rows * shape_.window));
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> offsets,
                        InputOf(inputs, kOffsetsInput, shape_.rows + 1));
  for (const std::span<int32_t> numbers : {tokens, places, ancestors}) {
    std::ranges::fill(numbers, 0);
  }
  for (size_t i = 0; i < offsets.size(); ++i) {
    offsets[i] = static_cast<int32_t>(static_cast<int64_t>(std::min(i, writings.size())) * beams);
  }
  for (size_t i = 0; i < writings.size(); ++i) {
    const Writing& writing = writings[i];
    if (writing.search.done()) {
      continue;
    }
    for (size_t b = 0; b < static_cast<size_t>(beams); ++b) {
      // A row without a text does what the first one does: it must write over none that is read.
      const size_t text = b < writing.search.open().size() ? b : 0;
      const size_t row = i * static_cast<size_t>(beams) + b;
      if (!tokens.empty()) {
        tokens[row] = writing.search.open()[text].back();
      }
      if (!places.empty()) {
        places[row] = static_cast<int32_t>(writing.place);
      }
      if (!ancestors.empty()) {
        std::ranges::copy(writing.ancestors[text],
                          ancestors.subspan(row * static_cast<size_t>(shape_.window)).begin());
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Translator::TranslateTogether(std::span<const Sentence> sentences,
                                           const Options& options, std::span<Translated*> results) {
  HONE_RETURN_IF_ERROR(FillSources(*encode_, sentences));
  HONE_RETURN_IF_ERROR(programs_.Run(*encode_, {}));
  std::vector<Writing> writings;
  for (const Sentence sentence : sentences) {
    text::BeamOptions search = options.search;
    search.longest = std::min(search.longest, 2 * static_cast<int64_t>(sentence.size()) + 10);
    writings.push_back(
        {text::BeamSearch(search, special_.begin, special_.end, {special_.unknown, special_.begin}),
         {{}}});
  }
  const Program& step = options.attention ? *attend_ : *write_;
  const auto beams = static_cast<size_t>(options.search.beams);
  const auto wide = static_cast<size_t>(shape_.longest_source);
  const auto vocabulary = static_cast<size_t>(vocabulary_);
  std::vector<std::span<const float>> logits;
  while (std::ranges::any_of(writings,
                             [](const Writing& writing) { return !writing.search.done(); })) {
    HONE_RETURN_IF_ERROR(FillSources(step, sentences));
    HONE_RETURN_IF_ERROR(FillStep(step, writings, options.search.beams));
    HONE_RETURN_IF_ERROR(programs_.Run(step, {}));
    const auto* output = static_cast<const float*>(step.fetched(0));
    for (size_t i = 0; i < writings.size(); ++i) {
      Writing& writing = writings[i];
      if (writing.search.done()) {
        continue;
      }
      if (options.attention) {
        const float* looked = static_cast<const float*>(step.fetched(1)) + i * wide;
        results[i]->attention.emplace_back(looked, looked + sentences[i].size());
      }
      logits.clear();
      for (size_t b = 0; b < writing.search.open().size(); ++b) {
        logits.emplace_back(output + (i * beams + b) * vocabulary, vocabulary);
      }
      writing.search.Add(logits);
      std::vector<std::vector<int32_t>> ancestors;
      for (size_t b = 0; b < writing.search.open().size(); ++b) {
        const auto parent = static_cast<size_t>(writing.search.parents()[b]);
        ancestors.push_back(writing.ancestors[parent]);
        ancestors.back().push_back(static_cast<int32_t>(i * beams + parent));
      }
      writing.ancestors = std::move(ancestors);
      ++writing.place;
    }
  }
  for (size_t i = 0; i < writings.size(); ++i) {
    results[i]->texts = writings[i].search.Take();
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::tasks
