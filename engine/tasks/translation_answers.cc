#include "engine/tasks/translation_answers.h"

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/text_rows.h"
#include "engine/models/translation.h"

namespace hone::engine::tasks {
namespace {

constexpr char kBeams[] = "beams";  // of an example, beside its tokens

const std::vector<int32_t>& NumbersOf(const Example& example, absl::string_view name) {
  return std::get<std::vector<int32_t>>(example.at(std::string(name)));
}

class TranslationAnswerer final : public Answerer {
 public:
  TranslationAnswerer(const data::Preprocessing& preprocessing, const TranslationOptions& options)
      : preprocessing_(preprocessing), options_(options), shape_(AnswerShape(options)) {}

  absl::Status CheckOutputs(int64_t) const override { return absl::OkStatus(); }

  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const override {
    const auto* text = std::get_if<TextQuestion>(&question);
    if (text == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": the model translates texts, this is ", NameOf(question)));
    }
    if (text->second.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": the model translates single texts, this is a pair"));
    }
    HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(text->text), name));
    if (!data::HasWords(text->text)) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": the text has no words to translate"));
    }
    if (text->beams < 0 || text->beams > kMostBeams) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": beams: must be 1 to ", kMostBeams, ", got ", text->beams));
    }
    std::vector<int32_t> tokens = preprocessing_.text->Encode(text->text);
    if (static_cast<int64_t>(tokens.size()) > shape_.longest_sentence()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": the text has ", tokens.size(), " tokens; at most ",
                       shape_.longest_sentence(), " are translated at once: give its sentences"));
    }
    const auto beams = static_cast<int32_t>(text->beams == 0 ? options_.beams : text->beams);
    return Example{{std::string(models::kSourceTokensInput), std::move(tokens)},
                   {kBeams, std::vector<int32_t>{beams}}};
  }

  absl::StatusOr<std::vector<Prediction>> AnswerBy(std::span<const Example> examples,
                                                   ForwardPrograms& programs) const override {
    HONE_ASSIGN_OR_RETURN(Translator translator,
                          Translator::Make(programs, preprocessing_, shape_));
    // Those that want as many beams together.
    std::map<int32_t, std::vector<size_t>> wanted;
    for (size_t i = 0; i < examples.size(); ++i) {
      wanted[NumbersOf(examples[i], kBeams)[0]].push_back(i);
    }
    std::vector<Prediction> predictions(examples.size());
    for (const auto& [beams, numbers] : wanted) {
      std::vector<std::span<const int32_t>> sentences;
      for (const size_t i : numbers) {
        sentences.emplace_back(NumbersOf(examples[i], models::kSourceTokensInput));
      }
      HONE_ASSIGN_OR_RETURN(
          const std::vector<Translated> translated,
          translator.Translate(sentences, {.search = {.beams = beams,
                                                      .length_penalty = options_.length_penalty,
                                                      .longest = options_.longest}}));
      for (size_t k = 0; k < numbers.size(); ++k) {
        for (const text::BeamText& text : translated[k].texts) {
          predictions[numbers[k]].translations.push_back(
              {.text = preprocessing_.target_text->tokenizer->Decode(text.tokens),
               .score = text.score,
               .ended = text.ended});
        }
      }
    }
    return predictions;
  }

 private:
  const data::Preprocessing& preprocessing_;
  const TranslationOptions options_;
  const TranslatorShape shape_;
};

}  // namespace

TranslatorShape AnswerShape(const TranslationOptions& options) {
  return {.rows = kMostBeams, .source_rows = 512, .window = options.longest};
}

std::unique_ptr<Answerer> NewTranslationAnswerer(const data::Preprocessing& preprocessing,
                                                 const TranslationOptions& options) {
  return std::make_unique<TranslationAnswerer>(preprocessing, options);
}

}  // namespace hone::engine::tasks
