#include "engine/tasks/tag_answers.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/word_pieces.h"
#include "engine/tasks/inputs.h"
#include "engine/tasks/task_programs.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"
#include "engine/text/words.h"

namespace hone::engine::tasks {
namespace {

constexpr char kProgram[] = "tag";
constexpr int64_t kLeastRows = 16;
constexpr int64_t kUsualPiece = 512;
constexpr int64_t kLongestPiece = 1024;
constexpr size_t kMostWords = 1 << 16;
// Of an example: the words, a line feed behind each; of each the place of its first token among all
// tokens, −1: it has none; and where the tokens of each piece end.
constexpr char kWords[] = "words";
constexpr char kFirst[] = "first";
constexpr char kEnds[] = "ends";

int64_t LongestPiece(const data::TextPreprocessing& how) {
  return how.max_tokens > 0 ? std::min(how.max_tokens, kLongestPiece) : kUsualPiece;
}

int64_t RowsFor(int64_t tokens) {
  return std::max(kLeastRows, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(tokens))));
}

struct Pieces {
  std::vector<int32_t> tokens;
  std::vector<int32_t> first;
  std::vector<int32_t> ends;
};

// Tokens of some words, in as many pieces as they need.
void AddPieces(const data::TextPreprocessing& how, std::span<const std::string> words,
               Pieces& pieces) {
  data::WordPieces all = data::EncodeWords(how, words);
  const bool too_long = std::ssize(all.tokens) >= LongestPiece(how) &&
                        (std::ssize(all.tokens) > LongestPiece(how) ||
                         std::ranges::find(all.first, -1) != all.first.end());
  if (too_long && words.size() > 1) {
    AddPieces(how, words.first(words.size() / 2), pieces);
    AddPieces(how, words.subspan(words.size() / 2), pieces);
    return;
  }
  // A word that is longer than a piece is seen to its end.
  all.tokens.resize(std::min(all.tokens.size(), static_cast<size_t>(LongestPiece(how))));
  const auto begin = static_cast<int32_t>(pieces.tokens.size());
  for (const int32_t first : all.first) {
    const bool there = first >= 0 && first < std::ssize(all.tokens);
    pieces.first.push_back(there ? begin + first : -1);
  }
  pieces.tokens.insert(pieces.tokens.end(), all.tokens.begin(), all.tokens.end());
  pieces.ends.push_back(static_cast<int32_t>(pieces.tokens.size()));
}

template <typename T>
const std::vector<T>& NumbersOf(const Example& example, absl::string_view name) {
  return std::get<std::vector<T>>(example.at(std::string(name)));
}

class TagAnswerer final : public Answerer {
 public:
  explicit TagAnswerer(const data::Preprocessing& preprocessing) : preprocessing_(preprocessing) {}

  absl::Status CheckOutputs(int64_t) const override { return absl::OkStatus(); }

  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const override {
    const auto* const text = std::get_if<TextQuestion>(&question);
    if (text == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": the model takes texts, this is ", NameOf(question)));
    }
    if (text->second.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": the model takes single texts, this is a pair"));
    }
    if (text->beams != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": beams: must not be given: the model does not translate"));
    }
    HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(text->text), name));
    std::vector<std::string> words;
    std::vector<uint8_t> bytes;
    text::ForEachWord(text->text, text::WordSplit::kPunctuation, [&](absl::string_view word) {
      words.emplace_back(word);
      bytes.insert(bytes.end(), word.begin(), word.end());
      bytes.push_back('\n');
    });
    if (words.empty() || words.size() > kMostWords) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": must have 1 to ", kMostWords, " words, got ", words.size()));
    }
    Pieces pieces;
    AddPieces(*preprocessing_.text, words, pieces);
    return Example{{std::string(kTokensInput), std::move(pieces.tokens)},
                   {kWords, std::move(bytes)},
                   {kFirst, std::move(pieces.first)},
                   {kEnds, std::move(pieces.ends)}};
  }

  absl::StatusOr<std::vector<Prediction>> AnswerBy(std::span<const Example> examples,
                                                   ForwardPrograms& programs) const override {
    std::vector<Prediction> predictions;
    for (const Example& example : examples) {
      HONE_ASSIGN_OR_RETURN(const std::vector<float> logits, LogitsOf(example, programs));
      predictions.push_back(Tagged(example, logits));
    }
    return predictions;
  }

 private:
  size_t tags() const { return preprocessing_.class_names.size(); }

  // Of all tokens, [tokens, tags].
  absl::StatusOr<std::vector<float>> LogitsOf(const Example& example,
                                              ForwardPrograms& programs) const {
    const std::vector<int32_t>& tokens = NumbersOf<int32_t>(example, kTokensInput);
    std::vector<float> logits;
    size_t begin = 0;
    for (const int32_t end : NumbersOf<int32_t>(example, kEnds)) {
      const auto piece = std::span(tokens).subspan(begin, static_cast<size_t>(end) - begin);
      const BatchShape shape = {.batch = 1, .bucket = RowsFor(std::ssize(piece))};
      HONE_ASSIGN_OR_RETURN(const Program* program, programs.forward(kProgram, shape));
      HONE_ASSIGN_OR_RETURN(TextFiller filler,
                            TextFiller::Begin(Inputs(*program, shape), /*separator=*/-1));
      HONE_RETURN_IF_ERROR(filler.Add(piece));
      HONE_RETURN_IF_ERROR(filler.Finish());
      HONE_RETURN_IF_ERROR(programs.Run(*program, {}));
      const auto* const output = static_cast<const float*>(program->fetched(0));
      logits.insert(logits.end(), output, output + piece.size() * tags());
      begin = static_cast<size_t>(end);
    }
    return logits;
  }

  Prediction Tagged(const Example& example, const std::vector<float>& logits) const {
    Prediction prediction;
    const std::vector<uint8_t>& bytes = NumbersOf<uint8_t>(example, kWords);
    auto word = bytes.begin();
    for (const int32_t first : NumbersOf<int32_t>(example, kFirst)) {
      const auto end = std::find(word, bytes.end(), uint8_t{'\n'});
      Prediction::Word& answer = prediction.words.emplace_back();
      answer.text.assign(word, end);
      word = end + 1;
      if (first < 0) {
        answer.tag = "O";
        continue;
      }
      const auto of_word = std::span(logits).subspan(static_cast<size_t>(first) * tags(), tags());
      const auto best = std::ranges::max_element(of_word);
      double sum = 0;
      for (const float logit : of_word) {
        sum += std::exp(double{logit} - double{*best});
      }
      answer.tag = preprocessing_.class_names[static_cast<size_t>(best - of_word.begin())];
      answer.probability = 1 / sum;
    }
    return prediction;
  }

  const data::Preprocessing& preprocessing_;
};

}  // namespace

std::vector<ForwardSpec> TaggingPrograms(const data::TextPreprocessing& how) {
  std::vector<ForwardSpec> specs;
  for (int64_t rows = kLeastRows; specs.empty() || specs.back().shape.bucket < LongestPiece(how);
       rows *= 2) {
    specs.push_back({.name = kProgram, .shape = {.batch = 1, .bucket = rows}});
  }
  return specs;
}

std::unique_ptr<Answerer> NewTagAnswerer(const data::Preprocessing& preprocessing) {
  return std::make_unique<TagAnswerer>(preprocessing);
}

}  // namespace hone::engine::tasks
