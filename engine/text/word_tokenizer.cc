#include "engine/text/word_tokenizer.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/text/unicode.h"
#include "engine/text/vocabulary.h"

namespace hone::engine::text {
namespace {

constexpr absl::string_view kSplits[] = {"punctuation", "spaces"};  // by WordSplit

// Signs that stand without a space behind the word before them, and before the one behind them.
struct Spacing {
  std::vector<std::string> joins_left = {};
  std::vector<std::string> joins_right = {};
};

class WordTokenizer final : public Tokenizer {
 public:
  WordTokenizer(WordSplit split, Vocabulary vocabulary, std::optional<Spacing> spacing)
      : split_(split), vocabulary_(std::move(vocabulary)), spacing_(std::move(spacing)) {
    if (spacing_.has_value()) {
      joins_left_ = IdsOf(spacing_->joins_left);
      joins_right_ = IdsOf(spacing_->joins_right);
    }
  }

  int64_t size() const override { return vocabulary_.size(); }
  SpecialTokens special() const override { return vocabulary_.special(); }

  void Encode(absl::string_view utf8, std::vector<int32_t>& ids) const override {
    ForEachWord(utf8, split_,
                [&](absl::string_view word) { ids.push_back(vocabulary_.Find(word)); });
  }

  // Before white space: no word has any, and none reaches beyond it for what it is.
  size_t CutBefore(absl::string_view utf8, size_t most) const override {
    const size_t space = utf8.substr(0, most + 1).find_last_of(" \n\t\r");
    return space == absl::string_view::npos ? 0 : space;
  }

  std::string Decode(std::span<const int32_t> ids) const override {
    std::string text;
    bool joined = true;  // no space behind what there is
    for (const int32_t id : ids) {
      if (const absl::string_view word = vocabulary_.TextOf(id); !word.empty()) {
        absl::StrAppend(&text, joined || joins_left_.contains(id) ? "" : " ", word);
        joined = joins_right_.contains(id);
      }
    }
    return text;
  }

  nlohmann::json ToJson() const override {
    nlohmann::json json = {{"kind", "words"},
                           {"split", std::string(kSplits[static_cast<size_t>(split_)])},
                           {"tokens", vocabulary_.tokens()}};
    if (spacing_.has_value()) {
      json["joins_left"] = spacing_->joins_left;
      json["joins_right"] = spacing_->joins_right;
    }
    return WithMask(std::move(json), vocabulary_);
  }

 private:
  absl::flat_hash_set<int32_t> IdsOf(const std::vector<std::string>& words) const {
    absl::flat_hash_set<int32_t> ids;
    for (const std::string& word : words) {
      ids.insert(vocabulary_.Find(word));
    }
    return ids;
  }

  const WordSplit split_;
  const Vocabulary vocabulary_;
  const std::optional<Spacing> spacing_;
  absl::flat_hash_set<int32_t> joins_left_ = {};
  absl::flat_hash_set<int32_t> joins_right_ = {};
};

absl::StatusOr<std::unique_ptr<const Tokenizer>> Make(WordSplit split,
                                                      std::vector<std::string> tokens, bool mask,
                                                      std::optional<Spacing> spacing) {
  HONE_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Make(std::move(tokens), mask));
  return std::make_unique<WordTokenizer>(split, std::move(vocabulary), std::move(spacing));
}

// A sign, which is no word with letters of its own beside others.
bool IsSign(absl::string_view word) {
  const char32_t first = TakeCharacter(word);
  return !IsWordPart(first) || IsWide(first);
}

// How the signs among `tokens` stand in the texts.
Spacing FindSpacing(const Corpus& corpus, const std::vector<std::string>& tokens) {
  struct Side {
    int64_t joined = 0, seen = 0;
    void Count(bool joins) {
      joined += joins ? 1 : 0;
      ++seen;
    }
  };
  struct Sides {
    Side left = {}, right = {};
  };
  absl::flat_hash_map<absl::string_view, Sides> signs;
  for (const std::string& token : tokens) {
    if (IsSign(token)) {
      signs.try_emplace(token);
    }
  }
  for (int64_t i = 0; i < corpus.size; ++i) {
    absl::string_view before;
    ForEachWord(corpus.text(i), WordSplit::kPunctuation, [&](absl::string_view word) {
      const bool joins = before.data() + before.size() == word.data();
      const auto sign = signs.find(word), sign_before = signs.find(before);
      if (!before.empty() && sign != signs.end()) {
        sign->second.left.Count(joins);
      }
      if (!before.empty() && sign_before != signs.end()) {
        sign_before->second.right.Count(joins);
      }
      before = word;
    });
  }
  Spacing spacing;
  for (const std::string& token : tokens) {  // in their order
    if (const auto sign = signs.find(token); sign != signs.end()) {
      const auto& [left, right] = sign->second;
      if (2 * left.joined > left.seen) {
        spacing.joins_left.push_back(token);
      }
      if (2 * right.joined > right.seen) {
        spacing.joins_right.push_back(token);
      }
    }
  }
  return spacing;
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
  int64_t most = 0;
  for (const auto& [word, count] : counts) {
    most = std::max(most, count);
    if (count >= options.min_count) {
      words.emplace_back(-count, word);
    }
  }
  if (words.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no word comes ", options.min_count,
                     " times in the training texts, so that a vocabulary has none; min_count must "
                     "be at most ",
                     most, ", as often as the most frequent word comes"));
  }
  std::ranges::sort(words);
  words.resize(std::min(words.size(), static_cast<size_t>(options.vocabulary - special)));
  std::vector<std::string> tokens;
  for (auto& [count, word] : words) {
    tokens.push_back(std::move(word));
  }
  std::optional<Spacing> spacing;
  if (options.spacing && options.split == WordSplit::kPunctuation) {
    spacing = FindSpacing(corpus, tokens);
  }
  return Make(options.split, std::move(tokens), options.mask, std::move(spacing));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> WordsFromJson(const nlohmann::json& json) {
  const auto split = std::ranges::find(kSplits, json.at("split").get<std::string>());
  if (split == std::end(kSplits)) {
    return absl::InvalidArgumentError("`split` is none of punctuation, spaces");
  }
  std::optional<Spacing> spacing;
  if (json.contains("joins_left")) {
    spacing = {.joins_left = json.at("joins_left").get<std::vector<std::string>>(),
               .joins_right = json.at("joins_right").get<std::vector<std::string>>()};
  }
  return Make(static_cast<WordSplit>(split - std::begin(kSplits)),
              json.at("tokens").get<std::vector<std::string>>(), json.value("mask", false),
              std::move(spacing));
}

}  // namespace hone::engine::text
