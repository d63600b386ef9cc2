#include "engine/text/sentencepiece_trainer.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/text/sentencepiece_program.h"
#include "engine/text/vocabulary.h"

namespace hone::engine::text {
namespace {

// Of a sentence; the library leaves out those that are longer than the limit that it is given.
constexpr size_t kLongestSentence = 4096;
constexpr int64_t kMostBytes = int64_t{64} << 20;
constexpr int64_t kBytePieces = 256;
// Sums of several threads depend on how many they are: a fixed number.
constexpr int kThreads = 4;

// The begin of a text that the library reads as one sentence, without the space or line break
// behind it, and what is left.
absl::string_view TakeSentence(absl::string_view& text) {
  if (text.size() <= kLongestSentence) {
    return std::exchange(text, {});
  }
  for (const char end : {'\n', ' '}) {
    const size_t at = text.rfind(end, kLongestSentence);
    if (at != absl::string_view::npos && at > 0) {
      const absl::string_view sentence = text.substr(0, at);
      text.remove_prefix(at + 1);
      return sentence;
    }
  }
  const absl::string_view sentence = text.substr(0, Utf8Prefix(text.substr(0, kLongestSentence)));
  text.remove_prefix(sentence.size());
  return sentence;
}

// Visits the sentences that are read; false from `visit` ends it.
void ForEachSentence(const Corpus& corpus,
                     absl::FunctionRef<bool(absl::string_view sentence)> visit) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < corpus.size; ++i) {
    bytes += static_cast<int64_t>(corpus.text(i).size());
  }
  const int64_t every = std::max<int64_t>((bytes + kMostBytes - 1) / kMostBytes, 1);
  int64_t number = 0;
  for (int64_t i = 0; i < corpus.size; ++i) {
    for (absl::string_view left = corpus.text(i); !left.empty();) {
      const absl::string_view sentence = TakeSentence(left);
      if (number++ % every == 0 && !sentence.empty() && !visit(sentence)) {
        return;
      }
    }
  }
}

// Those of them that the texts have.
std::vector<absl::string_view> TokensByThemselves(const Corpus& corpus) {
  std::vector<absl::string_view> found;
  for (const absl::string_view sign : {"\n", "\t"}) {
    bool any = false;
    for (int64_t i = 0; i < corpus.size && !any; ++i) {
      any = absl::StrContains(corpus.text(i), sign);
    }
    if (any) {
      found.push_back(sign);
    }
  }
  return found;
}

SentencePieceProgram::Options LibraryOptions(const SentencePieceTokens& options,
                                             const Corpus& corpus) {
  SentencePieceProgram::Options of_library = {
      {"model_type", options.algorithm == SentencePieceTokens::Algorithm::kBpe ? "bpe" : "unigram"},
      {"vocab_size", absl::StrCat(options.vocabulary)},
      {"character_coverage", absl::StrCat(options.character_coverage)},
      {"byte_fallback", options.byte_fallback ? "true" : "false"},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"max_sentence_length", absl::StrCat(2 * kLongestSentence)},
      {"num_threads", absl::StrCat(kThreads)},
      {"minloglevel", "2"},
  };
  if (options.mask) {
    of_library.emplace_back("control_symbols", kMaskToken);
  }
  const std::vector<absl::string_view> alone = TokensByThemselves(corpus);
  if (!alone.empty()) {
    of_library.emplace_back("user_defined_symbols", absl::StrJoin(alone, ","));
  }
  return of_library;
}

// The number behind `before` in what the library says.
std::optional<int64_t> NumberBehind(absl::string_view message, absl::string_view before) {
  const size_t at = message.find(before);
  if (at == absl::string_view::npos) {
    return std::nullopt;
  }
  const absl::string_view from = message.substr(at + before.size());
  int64_t number = 0;
  return absl::SimpleAtoi(from.substr(0, from.find_first_not_of("0123456789")), &number)
             ? std::optional(number)
             : std::nullopt;
}

// What the library says of a vocabulary, in the words of the job file.
absl::Status InOurWords(absl::string_view message, const SentencePieceTokens& options) {
  const auto error = [&](absl::string_view bound, int64_t number, absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("sentencepiece.vocabulary: must be ", bound, " ",
                                                   number, " for these texts, got ",
                                                   options.vocabulary, ": ", why));
  };
  if (const auto most = NumberBehind(message, "Please set it to a value <= ")) {
    return error("at most", *most, "they give no more parts of words");
  }
  if (absl::StrContains(message, "smaller than required_chars")) {
    if (const auto least =
            NumberBehind(message, absl::StrCat("required_chars. ", options.vocabulary, " vs "))) {
      return error("at least", *least,
                   "they have so many characters and special tokens; or lower "
                   "sentencepiece.character_coverage");
    }
  }
  return absl::InternalError(absl::StrCat("SentencePiece: ", message));
}

// What StartSentencePieceProgram started, and whose turn it is.
struct Shared {
  std::mutex mutex;
  std::unique_ptr<SentencePieceProgram> program;
};
Shared& SharedProgram() {
  static Shared* const shared = new Shared;  // not destroyed: the program ends with the process
  return *shared;
}

absl::StatusOr<SentencePieceProgram::Answer> Ask(const SentencePieceProgram::Options& options,
                                                 SentencePieceProgram::Sentences sentences) {
  Shared& shared = SharedProgram();
  {
    const std::lock_guard lock(shared.mutex);
    if (shared.program != nullptr) {
      absl::StatusOr<SentencePieceProgram::Answer> answer =
          shared.program->Train(options, sentences);
      if (shared.program->ended()) {
        shared.program.reset();  // the next training starts its own, where it may
      }
      return answer;
    }
  }
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<SentencePieceProgram> program,
                        SentencePieceProgram::Start());
  return program->Train(options, sentences);
}

}  // namespace

absl::StatusOr<std::string> TrainSentencePieceModel(const SentencePieceTokens& options,
                                                    const Corpus& corpus) {
  const int64_t special =
      Vocabulary::CountSpecial(options.mask) + (options.byte_fallback ? kBytePieces : 0);
  if (options.vocabulary <= special) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sentencepiece.vocabulary: must be more than ", special, ", which are special tokens",
        options.byte_fallback ? " and bytes" : "", ", got ", options.vocabulary));
  }
  HONE_ASSIGN_OR_RETURN(
      SentencePieceProgram::Answer answer,
      Ask(LibraryOptions(options, corpus), [&](absl::FunctionRef<bool(absl::string_view)> visit) {
        ForEachSentence(corpus, visit);
      }));
  if (!answer.trained) {
    return InOurWords(answer.bytes, options);
  }
  return std::move(answer.bytes);
}

absl::Status StartSentencePieceProgram() {
  Shared& shared = SharedProgram();
  const std::lock_guard lock(shared.mutex);
  if (shared.program == nullptr) {
    HONE_ASSIGN_OR_RETURN(shared.program, SentencePieceProgram::Start());
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::text
