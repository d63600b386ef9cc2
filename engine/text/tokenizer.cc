#include "engine/text/tokenizer.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/text/character_tokenizer.h"
#include "engine/text/sentencepiece_tokenizer.h"
#include "engine/text/word_tokenizer.h"

namespace hone::engine::text {
namespace {

using NewTokenizer = absl::StatusOr<std::unique_ptr<const Tokenizer>>;

// The tokenizer table: what is trained with which options …
struct Trainer {
  NewTokenizer operator()(const WordTokens& options) const { return TrainWords(options, corpus); }
  NewTokenizer operator()(const CharacterTokens& options) const {
    return TrainCharacters(options, corpus);
  }
  NewTokenizer operator()(const SentencePieceTokens& options) const {
    return TrainSentencePieces(options, corpus);
  }
  const Corpus& corpus;
};

// … and read back of which kind.
struct KindOfTokenizer {
  absl::string_view name;
  NewTokenizer (*from_json)(const nlohmann::json& json);
};
constexpr KindOfTokenizer kKinds[] = {
    {"words", WordsFromJson},
    {"characters", CharactersFromJson},
    {"sentencepiece", SentencePiecesFromJson},
};

}  // namespace

NewTokenizer TrainTokenizer(const TokenizerOptions& options, const Corpus& corpus) {
  const auto has_words = [&] {
    bool any = false;
    for (int64_t i = 0; i < corpus.size && !any; ++i) {
      ForEachWord(corpus.text(i), WordSplit::kSpaces, [&](absl::string_view) { any = true; });
    }
    return any;
  };
  if (!has_words()) {
    return absl::InvalidArgumentError(absl::StrCat("there is nothing to make tokens of: the ",
                                                   corpus.size, " training texts are empty"));
  }
  return std::visit(Trainer{corpus}, options);
}

absl::Status EncodeInPieces(const Tokenizer& tokenizer, absl::string_view utf8, size_t piece_bytes,
                            absl::FunctionRef<absl::Status(std::span<const int32_t> ids)> visit) {
  std::vector<int32_t> ids;
  while (!utf8.empty()) {
    size_t cut = 0;
    for (size_t most = piece_bytes; cut == 0; most *= 2) {
      cut = most < utf8.size() ? tokenizer.CutBefore(utf8, most) : utf8.size();
    }
    ids.clear();
    tokenizer.Encode(utf8.substr(0, cut), ids);
    HONE_RETURN_IF_ERROR(visit(ids));
    utf8.remove_prefix(cut);
  }
  return absl::OkStatus();
}

NewTokenizer TokenizerFromJson(const nlohmann::json& json) {
  try {
    const auto kind =
        std::ranges::find(kKinds, json.at("kind").get<std::string>(), &KindOfTokenizer::name);
    if (kind == std::end(kKinds)) {
      return absl::InvalidArgumentError(
          absl::StrCat("`tokenizer.kind` is not known: ", json.at("kind").dump()));
    }
    return kind->from_json(json);
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("`tokenizer`: ", error.what()));
  }
}

}  // namespace hone::engine::text
