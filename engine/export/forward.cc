#include "engine/export/forward.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <span>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/params/parameter_store.h"
#include "engine/plan/program.h"
#include "engine/tasks/filling.h"
#include "engine/tasks/inputs.h"
#include "engine/tasks/table.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::exports {
namespace {

constexpr absl::string_view kSentences[] = {
    "The capital of France is Paris, and the weather there is mild in spring.",
    "one of the best films of the year!",
    "Qu'est-ce que c'est ? 42 naïve cafés.",
    "It did not work at all: the door stayed shut, although everybody pushed as hard as they could "
    "for more than an hour.",
};
constexpr size_t kMostTokens = 64;  // of a question
constexpr int64_t kRows = 4;

tasks::DataInfo InfoOf(const tasks::ModelFile& file) {
  tasks::DataInfo info;
  info.preprocessing = file.preprocessing;
  info.features = file.preprocessing.features();
  return info;
}

size_t MostTokens(const tasks::ModelFile& file) {
  const auto* const writes = std::get_if<tasks::LanguageModelingOptions>(&file.task);
  return writes == nullptr ? kMostTokens
                           : std::min(kMostTokens, static_cast<size_t>(writes->window));
}

std::vector<Questions::Text> Texts(const tasks::ModelFile& file) {
  const data::TextPreprocessing& how = *file.preprocessing.text;
  const bool writes = std::holds_alternative<tasks::LanguageModelingOptions>(file.task);
  std::vector<Questions::Text> texts;
  for (size_t i = 0; i < std::size(kSentences); ++i) {
    Questions::Text text;
    text.tokens = how.pairs
                      ? how.EncodePair(kSentences[i], kSentences[(i + 1) % std::size(kSentences)])
                      : how.Encode(kSentences[i]);
    text.tokens.resize(std::min(text.tokens.size(), MostTokens(file)));
    const auto count = static_cast<int32_t>(text.tokens.size());
    text.asked = writes ? count - 1 : count / 2;
    // The second halves of some, so that both segments are asked for, pairs or not.
    text.segments.resize(text.tokens.size());
    if (i % 2 == 0) {
      std::fill(text.segments.begin() + count / 2, text.segments.end(), 1);
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

// Fills all inputs of a program, in the order of the texts, or of the rows.
absl::Status Fill(const Questions& questions, const tasks::Inputs& inputs) {
  for (const std::string& name : inputs.names()) {
    if (name != kTokensInput && name != kOffsetsInput && name != kSegmentsInput &&
        name != tasks::kMaskedInput && name != tasks::kFeaturesInput) {
      return absl::UnimplementedError(absl::StrCat("the model reads `", name,
                                                   "`: only models of texts, of pictures and of "
                                                   "tables are exported"));
    }
  }
  HONE_ASSIGN_OR_RETURN(const auto tokens, inputs.Find<int32_t>(kTokensInput));
  HONE_ASSIGN_OR_RETURN(const auto offsets, inputs.Find<int32_t>(kOffsetsInput));
  HONE_ASSIGN_OR_RETURN(const auto segments, inputs.Find<int32_t>(kSegmentsInput));
  HONE_ASSIGN_OR_RETURN(const auto masked, inputs.Find<int32_t>(tasks::kMaskedInput));
  // Rows behind the texts are 0.
  for (const std::span<int32_t> input : {tokens, offsets, segments, masked}) {
    std::ranges::fill(input, 0);
  }
  int32_t row = 0;
  for (size_t i = 0; i < questions.texts.size(); ++i) {
    const Questions::Text& text = questions.texts[i];
    if (!tokens.empty()) {
      std::ranges::copy(text.tokens, tokens.begin() + row);
    }
    if (!segments.empty()) {
      std::ranges::copy(text.segments, segments.begin() + row);
    }
    if (!masked.empty()) {
      masked[i] = row + text.asked;
    }
    row += static_cast<int32_t>(text.tokens.size());
    if (!offsets.empty()) {
      offsets[i + 1] = row;
    }
  }
  return absl::OkStatus();
}

absl::Status FillFeatures(const Questions& questions, const Program& program) {
  const TensorType* type = program.input_type(tasks::kFeaturesInput);
  if (type == nullptr) {
    return absl::OkStatus();
  }
  void* to = program.input(tasks::kFeaturesInput);
  for (size_t i = 0; i < questions.features.size(); ++i) {
    if (type->dtype == DType::kU8) {
      static_cast<uint8_t*>(to)[i] = static_cast<uint8_t>(questions.features[i]);
    } else {
      static_cast<float*>(to)[i] = questions.features[i];
    }
  }
  return absl::OkStatus();
}

absl::Status Declare(const Graph& graph, const huggingface::ModelValues& values,
                     ParameterStore& store) {
  const std::vector<std::string>& names = values.names();
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind != Graph::Node::Kind::kParameter) {
      continue;
    }
    ParameterSpec spec = node.parameter;
    spec.role = spec.role == ParameterRole::kTrainable ? ParameterRole::kFrozen : spec.role;
    if (std::ranges::find(names, spec.name) == names.end()) {
      return absl::InvalidArgumentError(absl::StrCat("there are no values of ", spec.name));
    }
    if (values.shape(spec.name) != spec.shape) {
      return absl::InvalidArgumentError(absl::StrCat(spec.name, " must be ", spec.shape.ToString(),
                                                     ", got ", values.shape(spec.name).ToString()));
    }
    HONE_RETURN_IF_ERROR(store.Declare(spec).status());
  }
  return absl::OkStatus();
}

absl::Status ReadAll(const huggingface::ModelValues& values, ParameterStore& store) {
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ParameterView to = store.mutable_values(id);
    std::vector<float> wide(static_cast<size_t>(to.shape.elements()));
    HONE_RETURN_IF_ERROR(values.Read(store.spec(id).name, wide));
    to.CopyFrom(wide);
  }
  store.MarkChanged();
  store.RefreshAll();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Questions> MakeQuestions(const tasks::ModelFile& file) {
  using Input = data::Preprocessing::Input;
  Questions questions;
  if (file.preprocessing.input == Input::kText) {
    questions.texts = Texts(file);
    questions.rows = static_cast<int64_t>(questions.texts.size());
    return questions;
  }
  if (file.preprocessing.input == Input::kOwn) {
    return absl::UnimplementedError(
        "only models of texts, of pictures and of tables are exported; this one has an input that "
        "its task alone knows");
  }
  const TensorType type = file.preprocessing.features();
  RandomStream random(1, "questions");
  questions.rows = kRows;
  questions.features.resize(static_cast<size_t>(kRows * type.shape.elements()));
  std::ranges::generate(questions.features, [&] {
    return type.dtype == DType::kU8 ? static_cast<float>(random.NextBelow(256))
                                    : random.NextNormal();
  });
  return questions;
}

absl::StatusOr<tasks::TaskGraph> BuildForward(const tasks::ModelFile& file,
                                              const tasks::BatchShape& shape) {
  const std::unique_ptr<tasks::Task> task = tasks::MakeTask(file.task);
  const tasks::DataInfo info = InfoOf(file);
  if (!task->answering(info).empty()) {
    return absl::UnimplementedError(absl::StrCat(
        "a model of ", task->name(), " answers by several programs, which are not exported"));
  }
  return task->BuildPrediction(file.model, info, shape);
}

absl::StatusOr<std::vector<float>> Answers(const tasks::ModelFile& file,
                                           const huggingface::ModelValues& values,
                                           const Questions& questions) {
  int64_t tokens = 0;
  for (const Questions::Text& text : questions.texts) {
    tokens += static_cast<int64_t>(text.tokens.size());
  }
  const tasks::BatchShape shape = {.batch = questions.rows,
                                   .bucket = tokens > 0 ? PlannedRows(tokens) : 0};
  HONE_ASSIGN_OR_RETURN(const tasks::TaskGraph forward, BuildForward(file, shape));
  ParameterStore store;
  HONE_RETURN_IF_ERROR(Declare(*forward.built.graph, values, store));
  store.Allocate(0);
  HONE_RETURN_IF_ERROR(ReadAll(values, store));
  const ScopedThreads scoped(1);
  HONE_ASSIGN_OR_RETURN(Program program,
                        Program::Compile(forward.built.request, store, {.threads = 1}));
  const Buffer arena(std::max<int64_t>(program.arena_bytes(), 64));
  HONE_RETURN_IF_ERROR(program.Bind(arena.as<std::byte>()));
  store.RefreshAll();  // packed copies that the program reads
  HONE_RETURN_IF_ERROR(Fill(questions, tasks::Inputs(program, shape)));
  HONE_RETURN_IF_ERROR(FillFeatures(questions, program));
  HONE_RETURN_IF_ERROR(program.Run({}));
  const auto* const output = static_cast<const float*>(program.fetched(0));
  const int64_t count = forward.built.graph->shape(forward.model.output).elements();
  return std::vector<float>(output, output + count);
}

double Difference(const std::vector<float>& got, const std::vector<float>& wanted) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (got.size() != wanted.size()) {
    return kInfinite;
  }
  double largest = 0, difference = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i]) || !std::isfinite(wanted[i])) {
      return kInfinite;
    }
    largest = std::max(largest, std::abs(double{wanted[i]}));
    difference = std::max(difference, std::abs(double{got[i]} - double{wanted[i]}));
  }
  return largest > 0 ? difference / largest : difference;
}

}  // namespace hone::engine::exports
