#include "engine/tasks/prediction.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

// By Question.
constexpr absl::string_view kQuestions[] = {
    "a picture", "a row of a table", "a user",   "a wish for a drawing",
    "a maze",    "a text",           "a series", "a wish for a text"};

constexpr size_t kMostTokens = 1 << 16;  // of a text that is asked about

// The model takes questions of another kind.
absl::Status Unanswerable(const Question& question, const data::Preprocessing& preprocessing,
                          absl::string_view name) {
  absl::string_view taken = "questions of its task's own";
  if (preprocessing.input == data::Preprocessing::Input::kImage) {
    taken = "pictures";
  } else if (preprocessing.input == data::Preprocessing::Input::kTable) {
    taken = "rows of a table";
  } else if (preprocessing.input == data::Preprocessing::Input::kText) {
    taken = "texts";
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": the model takes ", taken, ", this is ", NameOf(question)));
}

struct FillWith {
  template <class T>
  absl::Status operator()(const std::vector<T>&) const {
    HONE_ASSIGN_OR_RETURN(const std::span<T> to, inputs.Find<T>(name));
    const size_t each = to.size() / examples.size();
    for (size_t i = 0; i < examples.size(); ++i) {
      const auto found = examples[i].find(name);
      const auto* numbers =
          found == examples[i].end() ? nullptr : std::get_if<std::vector<T>>(&found->second);
      if (numbers == nullptr || numbers->size() != each) {
        return absl::InvalidArgumentError(
            absl::StrCat("the input ", name, " takes ", each, " numbers of an example, got ",
                         numbers == nullptr ? "none of its type" : absl::StrCat(numbers->size())));
      }
      std::ranges::copy(*numbers, to.begin() + static_cast<std::ptrdiff_t>(i * each));
    }
    return absl::OkStatus();
  }

  const std::string& name;
  std::span<const Example> examples;
  const Inputs& inputs;
};

// Of a text's example.
const std::vector<int32_t>& TokensOf(const Example& example) {
  return std::get<std::vector<int32_t>>(example.at(std::string(kTokensInput)));
}

absl::StatusOr<Example> ReadText(const TextQuestion& question, const data::TextPreprocessing& how,
                                 absl::string_view name) {
  if (question.second.has_value() != how.pairs) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, how.pairs ? ": the model takes pairs of texts; the second one is missing"
                                     : ": the model takes single texts, this is a pair"));
  }
  HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(question.text), name));
  HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(question.second.value_or("")), name));
  std::vector<int32_t> tokens =
      how.pairs ? how.EncodePair(question.text, *question.second) : how.Encode(question.text);
  if (tokens.size() > kMostTokens) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": the text has ", tokens.size(),
                                                   " tokens; at most ", kMostTokens, " are read"));
  }
  return Example{{std::string(kTokensInput), std::move(tokens)}};
}

}  // namespace

absl::string_view NameOf(const Question& question) { return kQuestions[question.index()]; }

absl::Status Answerer::Fill(std::span<const Example> examples, const Inputs& inputs) const {
  for (const std::string& name : inputs.names()) {
    const auto first = examples[0].find(name);
    if (first == examples[0].end()) {
      return absl::InternalError(absl::StrCat("an example has no numbers for the input ", name));
    }
    HONE_RETURN_IF_ERROR(std::visit(FillWith{name, examples, inputs}, first->second));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Prediction>> Answerer::Answer(std::span<const Example> examples,
                                                         RunExamples run) const {
  HONE_ASSIGN_OR_RETURN(const std::vector<std::vector<float>> outputs, run(examples));
  std::vector<Prediction> predictions;
  predictions.reserve(outputs.size());
  for (const std::vector<float>& output : outputs) {
    predictions.push_back(ReadOutput(output));
  }
  return predictions;
}

absl::StatusOr<std::vector<Prediction>> Answerer::AnswerBy(std::span<const Example>,
                                                           ForwardPrograms&) const {
  return absl::InternalError("the task has no programs of its own to answer with");
}

Prediction Answerer::ReadOutput(std::span<const float> output) const {
  Prediction prediction;
  prediction.values.assign(output.begin(), output.end());
  return prediction;
}

absl::Status FeaturesAnswerer::CheckOutputs(int64_t) const { return absl::OkStatus(); }

absl::StatusOr<Example> FeaturesAnswerer::Read(const Question& question,
                                               absl::string_view name) const {
  using Input = data::Preprocessing::Input;
  if (const auto* picture = std::get_if<PictureQuestion>(&question);
      picture != nullptr && preprocessing_.input == Input::kImage) {
    HONE_ASSIGN_OR_RETURN(std::vector<uint8_t> pixels,
                          preprocessing_.FromPicture(picture->bytes, name));
    return Example{{kFeaturesInput, std::move(pixels)}};
  }
  if (const auto* record = std::get_if<RecordQuestion>(&question);
      record != nullptr && preprocessing_.input == Input::kTable) {
    absl::StatusOr<std::vector<float>> features = preprocessing_.FromRecord(record->cells);
    HONE_RETURN_IF_ERROR(Annotate(features.status(), name));
    return Example{{kFeaturesInput, *std::move(features)}};
  }
  if (const auto* text = std::get_if<TextQuestion>(&question);
      text != nullptr && preprocessing_.input == Input::kText) {
    if (text->beams != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": beams: must not be given: the model does not translate"));
    }
    return ReadText(*text, *preprocessing_.text, name);
  }
  return Unanswerable(question, preprocessing_, name);
}

int64_t FeaturesAnswerer::BucketOf(std::span<const Example> examples) const {
  if (!preprocessing_.text.has_value()) {
    return 0;
  }
  size_t tokens = 0;
  for (const Example& example : examples) {
    tokens += TokensOf(example).size();
  }
  return PlannedRows(static_cast<int64_t>(std::bit_ceil(std::max<size_t>(tokens, 1))));
}

absl::Status FeaturesAnswerer::Fill(std::span<const Example> examples, const Inputs& inputs) const {
  if (!preprocessing_.text.has_value()) {
    return Answerer::Fill(examples, inputs);
  }
  HONE_ASSIGN_OR_RETURN(TextFiller filler,
                        TextFiller::Begin(inputs, preprocessing_.text->separator()));
  for (const Example& example : examples) {
    HONE_RETURN_IF_ERROR(filler.Add(TokensOf(example)));
  }
  return filler.Finish();
}

}  // namespace hone::engine::tasks
