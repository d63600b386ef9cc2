#include "engine/data/tagged_texts.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/fingerprint.h"
#include "engine/data/prepare.h"
#include "engine/data/tagged_rows.h"
#include "engine/data/texts.h"
#include "engine/data/token_report.h"
#include "engine/data/word_pieces.h"
#include "engine/text/cleaning.h"
#include "engine/text/corpus.h"

namespace hone::engine::data {
namespace {

constexpr absl::string_view kOutside = "O";
constexpr size_t kMostTags = 1000;
constexpr size_t kMostShownBytes = 400;  // of all tags

// The tags of all sentences: O first, then by their letters.
std::vector<std::string> TagsOf(const TaggedRows& rows) {
  std::set<std::string> others;
  bool outside = false;
  for (const TaggedRow& row : rows.rows) {
    for (const std::string& tag : row.tags) {
      if (tag == kOutside) {
        outside = true;
      } else {
        others.insert(tag);
      }
    }
  }
  std::vector<std::string> tags;
  if (outside) {
    tags.emplace_back(kOutside);
  }
  tags.insert(tags.end(), others.begin(), others.end());
  return tags;
}

// The data set's own parts, and what is drawn of its training part.
absl::StatusOr<Splits> SplitSentences(const TaggedRows& rows, const LoadOptions& given) {
  const auto count = [&](Part part) {
    return std::ranges::count(rows.rows, part, &TaggedRow::part);
  };
  const int64_t train = count(Part::kTrain), validation = count(Part::kValidation);
  const auto all = static_cast<int64_t>(rows.rows.size());
  std::vector<bool> drawn_from(rows.rows.size(), true);
  std::vector<int32_t> own_validation;
  for (int64_t i = train; i < train + validation; ++i) {
    own_validation.push_back(static_cast<int32_t>(i));
    drawn_from[static_cast<size_t>(i)] = false;
  }
  LoadOptions options = given;
  if (validation > 0) {
    options.validation_fraction = 0;
    options.validation_count = 0;
  }
  const bool has_test = train + validation < all;
  HONE_ASSIGN_OR_RETURN(
      Splits splits,
      Split(
          {.size = has_test ? all : train, .train_size = train, .labels = {}, .keep = &drawn_from},
          options));
  if (validation > 0) {
    splits.validation = std::move(own_validation);
  }
  return splits;
}

absl::StatusOr<TextPreprocessing> MakePreprocessing(const TaggedRows& rows,
                                                    const std::vector<int32_t>& train,
                                                    const TextOptions& options) {
  TextPreprocessing result = {.cleaning = options.cleaning};
  if (options.like != nullptr) {
    result = *options.like;
  } else {
    std::vector<std::string> texts;
    for (const int32_t row : train) {
      const std::vector<std::string>& words = rows.rows[static_cast<size_t>(row)].words;
      texts.push_back(absl::StrJoin(words, " ", [&](std::string* out, const std::string& word) {
        absl::StrAppend(out, text::Clean(word, options.cleaning, nullptr));
      }));
    }
    const auto text = [&](int64_t i) { return absl::string_view(texts[static_cast<size_t>(i)]); };
    HONE_ASSIGN_OR_RETURN(
        result.tokenizer,
        text::TrainTokenizer(options.tokenizer, {static_cast<int64_t>(texts.size()), text}));
  }
  result.max_tokens = options.max_tokens > 0    ? options.max_tokens
                      : options.like != nullptr ? options.like->max_tokens
                                                : 0;
  result.pairs = false;
  if (result.in_template && result.max_tokens > 0 &&
      result.max_tokens < TextPreprocessing::kLeastInTemplate) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data.text.max_tokens: must be at least ", TextPreprocessing::kLeastInTemplate,
        ", of which two stand around a sentence for this checkpoint, got ", result.max_tokens));
  }
  return result;
}

std::string Shown(const std::vector<std::string>& tags) {
  return CutUtf8(absl::StrJoin(tags, ", "), kMostShownBytes);
}

using NumberOfTag = absl::flat_hash_map<absl::string_view, int32_t>;

// Of each word of a sentence the tag's number.
absl::StatusOr<std::vector<TaggedTexts::Word>> NumberTags(const TaggedRows& rows,
                                                          const TaggedRow& row,
                                                          const std::vector<int32_t>& first,
                                                          const NumberOfTag& numbers,
                                                          const std::vector<std::string>& tags) {
  std::vector<TaggedTexts::Word> words;
  for (size_t i = 0; i < row.tags.size(); ++i) {
    const auto found = numbers.find(row.tags[i]);
    if (found == numbers.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(rows.Where(row), ": the model does not know the tag '",
                       CutUtf8(row.tags[i], 80), "'; it knows ", Shown(tags)));
    }
    words.push_back({.first = first[i], .tag = found->second});
  }
  return words;
}

absl::Status EncodeAll(const TaggedRows& rows, LoadedData& data) {
  const TextPreprocessing& how = *data.preprocessing.text;
  const int32_t unknown = how.tokenizer->special().unknown;
  std::vector<SplitReport*> split_of(rows.rows.size());
  DataReport& report = data.report;
  for (const auto& [of_split, split] : {std::pair(&data.splits.train, &report.train),
                                        std::pair(&data.splits.validation, &report.validation),
                                        std::pair(&data.splits.test, &report.test)}) {
    for (const int32_t row : *of_split) {
      split_of[static_cast<size_t>(row)] = split;
      split->tokens.emplace();
    }
  }
  TextPreprocessing whole = how;
  whole.max_tokens = 0;
  const auto texts = std::make_shared<TaggedTexts>();
  const std::vector<std::string>& tags = data.preprocessing.class_names;
  NumberOfTag numbers;
  for (const std::string& tag : tags) {
    numbers.emplace(tag, static_cast<int32_t>(numbers.size()));
  }
  int64_t words = 0, without = 0;
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    const TaggedRow& row = rows.rows[i];
    const WordPieces pieces = EncodeWords(how, row.words);
    HONE_ASSIGN_OR_RETURN(const std::vector<TaggedTexts::Word> tagged,
                          NumberTags(rows, row, pieces.first, numbers, tags));
    texts->Add(pieces.tokens, tagged);
    if (split_of[i] != nullptr) {
      // A sentence that has as many as it may have is the only one that can have had more.
      const bool full = how.max_tokens > 0 && std::ssize(pieces.tokens) == how.max_tokens;
      const int64_t all =
          full ? std::ssize(EncodeWords(whole, row.words).tokens) : std::ssize(pieces.tokens);
      CountText(pieces.tokens, all, unknown, rows.Where(row), *split_of[i]->tokens);
      words += std::ssize(row.words);
      without += std::ranges::count(pieces.first, -1);
    }
  }
  report.notes.push_back(absl::StrCat("the vocabulary has ", how.tokenizer->size(), " tokens"));
  report.notes.push_back(absl::StrCat(words, " words with ", tags.size(), " tags: ", Shown(tags)));
  if (without > 0) {
    report.notes.push_back(absl::StrCat(
        without,
        " words have no token, or are cut off: nothing is learned of them, and they count "
        "as if the model had found nothing there"));
  }
  for (const auto& [name, split] :
       {std::pair("training", &report.train), std::pair("validation", &report.validation),
        std::pair("test", &report.test)}) {
    if (split->tokens.has_value()) {
      report.notes.push_back(Describe(name, *split->tokens, how.max_tokens));
    }
  }
  data.dataset = Dataset(std::shared_ptr<const OwnExamples>(texts));
  return absl::OkStatus();
}

absl::Status Finish(const TaggedRows& rows, const LoadOptions& options, LoadedData& data) {
  HONE_ASSIGN_OR_RETURN(data.splits, SplitSentences(rows, options));
  CountSplits(data.splits, {}, 0, data.report);
  if (options.as != nullptr) {
    data.preprocessing = *options.as;
    return EncodeAll(rows, data);
  }
  data.preprocessing.input = Preprocessing::Input::kText;
  data.preprocessing.class_names = TagsOf(rows);
  if (data.preprocessing.class_names.size() > kMostTags) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the words have ", data.preprocessing.class_names.size(), " different tags (",
        Shown(data.preprocessing.class_names), "); token_tagging takes at most ", kMostTags,
        ": the last column of a line, or what data.text.label names, must be the tag"));
  }
  const std::vector<std::string>& head = options.head_classes;
  if (!head.empty() && std::ranges::all_of(data.preprocessing.class_names, [&](const auto& tag) {
        return std::ranges::find(head, tag) != head.end();
      })) {
    data.preprocessing.class_names = head;
  }
  if (data.preprocessing.class_names.size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat("all words have the tag '",
                                                   Shown(data.preprocessing.class_names),
                                                   "'; token_tagging needs at least two tags"));
  }
  HONE_ASSIGN_OR_RETURN(data.preprocessing.text,
                        MakePreprocessing(rows, data.splits.train, *options.text));
  return EncodeAll(rows, data);
}

absl::StatusOr<LoadedData> LoadTaggedTextsOrThrow(LoadOptions options) {
  HONE_RETURN_IF_ERROR(CheckSource(options));
  if (!options.dataset.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("data set ", options.dataset,
                     ": no data set of the catalogue has tagged sentences; give your own"));
  }
  if (options.as != nullptr && options.as->input != Preprocessing::Input::kText) {
    return absl::InvalidArgumentError("the model reads no texts, as data.text asks for");
  }
  if (!options.text.has_value()) {
    options.text.emplace();
  }
  LoadedData data;
  HONE_ASSIGN_OR_RETURN(const TaggedRows rows, ReadTaggedRows(options.path, options));
  data.report.source = options.path;
  data.report.format = rows.format;
  data.report.examples_read = static_cast<int64_t>(rows.rows.size());
  if (rows.rows.empty() || rows.rows.size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(options.path, ": has ", rows.rows.size(),
                                                   " sentences; it must have 1 to 2147483647"));
  }
  HONE_RETURN_IF_ERROR(Annotate(Finish(rows, options, data), options.path));
  data.fingerprint = Fingerprint(data);
  return data;
}

}  // namespace

void TaggedTexts::Add(std::span<const int32_t> tokens, std::span<const Word> words) {
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  token_begin_.push_back(static_cast<int64_t>(tokens_.size()));
  words_.insert(words_.end(), words.begin(), words.end());
  word_begin_.push_back(static_cast<int64_t>(words_.size()));
}

int64_t TaggedTexts::bytes() const {
  return static_cast<int64_t>(tokens_.size() * sizeof(int32_t) + words_.size() * sizeof(Word) +
                              (token_begin_.size() + word_begin_.size()) * sizeof(int64_t));
}

uint64_t TaggedTexts::content_hash() const {
  const uint64_t parts[] = {HashOf(tokens_), HashOf(token_begin_), HashOf(words_),
                            HashOf(word_begin_)};
  return ContentHash(parts, sizeof(parts));
}

int64_t TaggedTexts::CountTokens(std::span<const int32_t> rows) const {
  int64_t count = 0;
  for (const int32_t row : rows) {
    count += std::ssize(tokens(row));
  }
  return count;
}

absl::StatusOr<LoadedData> LoadTaggedTexts(const LoadOptions& options) {
  return WithinMemory(options, "the sentences", [&] { return LoadTaggedTextsOrThrow(options); });
}

}  // namespace hone::engine::data
