#include "engine/text/word_tokenizer.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/text/vocabulary.h"

namespace hone::engine::text {
namespace {

constexpr absl::string_view kSplits[] = {"punctuation", "spaces"};  // by WordSplit

class WordTokenizer final : public Tokenizer {
 public:
  WordTokenizer(WordSplit split, Vocabulary vocabulary)
      : split_(split), vocabulary_(std::move(vocabulary)) {}

  int64_t size() const override { return vocabulary_.size(); }
  SpecialTokens special() const override { return vocabulary_.special(); }

  void Encode(absl::string_view utf8, std::vector<int32_t>& ids) const override {
    ForEachWord(utf8, split_,
                [&](absl::string_view word) { ids.push_back(vocabulary_.Find(word)); });
  }

  // With a space between any two words.
  std::string Decode(std::span<const int32_t> ids) const override {
    std::vector<absl::string_view> words;
    for (const int32_t id : ids) {
      if (const absl::string_view word = vocabulary_.TextOf(id); !word.empty()) {
        words.push_back(word);
      }
    }
    return absl::StrJoin(words, " ");
  }

  nlohmann::json ToJson() const override {
    return WithMask({{"kind", "words"},
                     {"split", std::string(kSplits[static_cast<size_t>(split_)])},
                     {"tokens", vocabulary_.tokens()}},
                    vocabulary_);
  }

 private:
  const WordSplit split_;
  const Vocabulary vocabulary_;
};

absl::StatusOr<std::unique_ptr<const Tokenizer>> Make(WordSplit split,
                                                      std::vector<std::string> tokens, bool mask) {
  HONE_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Make(std::move(tokens), mask));
  return std::make_unique<WordTokenizer>(split, std::move(vocabulary));
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> TrainWords(const WordTokens& options,
                                                            const Corpus& corpus) {
  const int64_t special = Vocabulary::CountSpecial(options.mask);
  if (options.vocabulary <= special) {
    return absl::InvalidArgumentError(absl::StrCat("a vocabulary of ", options.vocabulary,
                                                   " has no place for words: ", special,
                                                   " tokens are special ones"));
  }
  absl::flat_hash_map<std::string, int64_t> counts;
  for (int64_t i = 0; i < corpus.size; ++i) {
    ForEachWord(corpus.text(i), options.split, [&](absl::string_view word) { ++counts[word]; });
  }
  std::vector<std::pair<int64_t, std::string>> words;  // negated counts: frequent words first
  for (const auto& [word, count] : counts) {
    if (count >= options.min_count) {
      words.emplace_back(-count, word);
    }
  }
  std::ranges::sort(words);
  words.resize(std::min(words.size(), static_cast<size_t>(options.vocabulary - special)));
  std::vector<std::string> tokens;
  for (auto& [count, word] : words) {
    tokens.push_back(std::move(word));
  }
  return Make(options.split, std::move(tokens), options.mask);
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> WordsFromJson(const nlohmann::json& json) {
  const auto split = std::ranges::find(kSplits, json.at("split").get<std::string>());
  if (split == std::end(kSplits)) {
    return absl::InvalidArgumentError("`split` is none of punctuation, spaces");
  }
  return Make(static_cast<WordSplit>(split - std::begin(kSplits)),
              json.at("tokens").get<std::vector<std::string>>(), json.value("mask", false));
}

}  // namespace hone::engine::text
