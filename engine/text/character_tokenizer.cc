#include "engine/text/character_tokenizer.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/text/unicode.h"
#include "engine/text/vocabulary.h"

namespace hone::engine::text {
namespace {

class CharacterTokenizer final : public Tokenizer {
 public:
  explicit CharacterTokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

  int64_t size() const override { return vocabulary_.size(); }
  SpecialTokens special() const override { return vocabulary_.special(); }

  void Encode(absl::string_view utf8, std::vector<int32_t>& ids) const override {
    while (!utf8.empty()) {
      const absl::string_view begin = utf8;
      TakeCharacter(utf8);
      ids.push_back(vocabulary_.Find(begin.substr(0, begin.size() - utf8.size())));
    }
  }

  size_t CutBefore(absl::string_view utf8, size_t most) const override {
    while (most > 0 && ContinuesCharacter(utf8[most])) {
      --most;
    }
    return most;
  }

  std::string Decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) {
      absl::StrAppend(&text, vocabulary_.TextOf(id));
    }
    return text;
  }

  nlohmann::json ToJson() const override {
    return WithMask({{"kind", "characters"}, {"tokens", vocabulary_.tokens()}}, vocabulary_);
  }

 private:
  const Vocabulary vocabulary_;
};

absl::StatusOr<std::unique_ptr<const Tokenizer>> Make(std::vector<std::string> tokens, bool mask) {
  HONE_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Make(std::move(tokens), mask));
  return std::make_unique<CharacterTokenizer>(std::move(vocabulary));
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> TrainCharacters(const CharacterTokens& options,
                                                                 const Corpus& corpus) {
  std::set<char32_t> characters;
  for (int64_t i = 0; i < corpus.size; ++i) {
    for (absl::string_view text = corpus.text(i); !text.empty();) {
      characters.insert(TakeCharacter(text));
    }
  }
  std::vector<std::string> tokens;
  for (const char32_t character : characters) {
    AppendCharacter(character, tokens.emplace_back());
  }
  return Make(std::move(tokens), options.mask);
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> CharactersFromJson(const nlohmann::json& json) {
  return Make(json.at("tokens").get<std::vector<std::string>>(), json.value("mask", false));
}

}  // namespace hone::engine::text
