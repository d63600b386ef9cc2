#include "engine/data/sentence_pairs.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/complaints.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/catalog.h"
#include "engine/data/drop_near_copies.h"
#include "engine/data/fingerprint.h"
#include "engine/data/pair_rows.h"
#include "engine/data/prepare.h"
#include "engine/data/spool.h"
#include "engine/data/text_rows.h"
#include "engine/data/token_report.h"
#include "engine/data/tokens.h"
#include "engine/text/cleaning.h"
#include "engine/text/corpus.h"
#include "engine/text/unicode.h"
#include "engine/text/words.h"

namespace hone::engine::data {
namespace {

enum Side : size_t { kSource, kTarget };
constexpr const char* kSides[] = {"source", "target"};

// On its way from a path to a data set. `keep` says which of the rows are still there.
struct Loading {
  const LoadOptions& options;
  PairRows rows;
  std::vector<bool> keep;
  // The source sentences that are left, those of the training part first, then those of the
  // validation part, of the test part; how many pairs each has, and which one is a row's (−1: it
  // is not left).
  std::vector<int64_t> pairs_of = {};
  std::vector<int32_t> sentence_of = {};
  std::array<int64_t, 3> sentences_in = {};          // by Part
  std::array<text::CleaningCounts, 2> cleaned = {};  // by Side
  LoadedData data = {};

  int64_t size() const { return static_cast<int64_t>(rows.rows.size()); }
  const PairRow& row(int64_t i) const { return rows.rows[static_cast<size_t>(i)]; }
  absl::string_view text(int64_t i, Side side) const {
    return side == kSource ? rows.source(row(i)) : rows.target(row(i));
  }
  const Preprocessing* as() const { return options.as.get(); }
  const PairOptions& pairs() const { return options.pairs; }
  int64_t most_tokens(Side side) const {
    return side == kSource ? pairs().max_source_tokens : pairs().max_target_tokens;
  }
  // How the model that reads the pairs does it.
  const TextPreprocessing& model(Side side) const {
    return side == kSource ? *as()->text : *as()->target_text;
  }
  int64_t CountOf(Part part) const { return std::ranges::count(rows.rows, part, &PairRow::part); }
};

// What a cleaned pair lacks, as PairRow::mark: a bit for each side without words.
constexpr uint8_t LacksWords(Side side) { return static_cast<uint8_t>(1U << side); }

// Reads all pairs, cleaned, and says of each side whether it has words.
absl::Status ReadAndClean(Loading& loading) {
  const auto clean = [&](PairRow& row, std::string& source, std::string& target) {
    for (const Side side : {kSource, kTarget}) {
      const text::CleaningOptions& cleaning =
          loading.as() != nullptr ? loading.model(side).cleaning : loading.pairs().cleaning;
      std::string& text = side == kSource ? source : target;
      text = text::Clean(text, cleaning, &loading.cleaned[side]);
      row.mark |= HasWords(text) ? 0 : LacksWords(side);
    }
  };
  HONE_ASSIGN_OR_RETURN(loading.rows, ReadPairRows(loading.options.path, loading.pairs(),
                                                   loading.options.stream, clean));
  return absl::OkStatus();
}

// Leaves out pairs of which one side has no words, or complains of them.
absl::Status LeaveOutEmpty(Loading& loading) {
  Complaints complaints;
  for (int64_t i = 0; i < loading.size(); ++i) {
    const PairRow& row = loading.row(i);
    for (const Side side : {kSource, kTarget}) {
      if ((row.mark & LacksWords(side)) == 0 || !loading.keep[static_cast<size_t>(i)]) {
        continue;
      }
      if (loading.pairs().drop_empty) {
        loading.data.report.Drop("without words on one side", loading.rows.Where(row));
        loading.keep[static_cast<size_t>(i)] = false;
      } else {
        complaints.Add({.line = row.line,
                        .text = absl::StrCat(loading.rows.Where(row), ": the ", kSides[side],
                                             " is empty; data.pairs.drop_empty: true leaves such "
                                             "pairs out")});
      }
    }
  }
  return complaints.status();
}

void DescribeCleaning(Loading& loading) {
  for (const Side side : {kSource, kTarget}) {
    for (const text::CleaningCounts::Step& step : loading.cleaned[side].steps) {
      if (step.changed > 0) {
        loading.data.report.notes.push_back(absl::StrCat("cleaning: ", step.name, " changed ",
                                                         step.changed, " ", kSides[side], "s"));
      }
    }
  }
}

// Tokens of a cleaned text, before there is a tokenizer; nullopt where nobody can say that.
std::optional<int64_t> CountTokens(const Loading& loading, absl::string_view text, Side side) {
  if (loading.as() != nullptr) {
    return static_cast<int64_t>(loading.model(side).EncodeCleaned(text).size());
  }
  const text::TokenizerOptions& options =
      side == kSource ? loading.pairs().source_tokenizer : loading.pairs().target_tokenizer;
  if (const auto* words = std::get_if<text::WordTokens>(&options)) {
    int64_t count = 0;
    text::ForEachWord(text, words->split, [&](absl::string_view) { ++count; });
    return count;
  }
  return std::holds_alternative<text::CharacterTokens>(options)
             ? std::optional(text::CountCharacters(text))
             : std::nullopt;
}

void DropTooLong(const PairRow& row, Side side, int64_t most, Loading& loading) {
  loading.data.report.Drop(absl::StrCat("more than ", most, " tokens in the ", kSides[side]),
                           loading.rows.Where(row));
}

// Before anything is drawn, so that shares and limits are those of what is left.
void DropLong(Loading& loading) {
  for (int64_t i = 0; i < loading.size(); ++i) {
    for (const Side side : {kSource, kTarget}) {
      const auto kept = loading.keep[static_cast<size_t>(i)];
      const int64_t most = loading.most_tokens(side);
      if (kept && most > 0 && CountTokens(loading, loading.text(i, side), side) > most) {
        DropTooLong(loading.row(i), side, most, loading);
        loading.keep[static_cast<size_t>(i)] = false;
      }
    }
  }
}

// What stands behind is left before pairs are compared with each other.
void TakeFirst(Loading& loading) {
  const int64_t most = loading.pairs().first;
  int64_t seen = 0;
  for (int64_t i = 0; i < loading.size() && most > 0; ++i) {
    const auto at = static_cast<size_t>(i);
    if (loading.keep[at] && loading.row(i).part == Part::kTrain) {
      ++seen;
      loading.keep[at] = seen <= most;
    }
  }
  if (seen > most) {
    loading.data.report.notes.push_back(
        absl::StrCat("the first ", most, " of ", seen, " pairs are taken (data.pairs.first)"));
  }
}

void DropExactCopies(Loading& loading) {
  const auto hash = [&](int64_t i) {
    uint64_t sides[2];
    for (const Side side : {kSource, kTarget}) {
      const absl::string_view text = loading.text(i, side);
      sides[side] = ContentHash(text.data(), static_cast<int64_t>(text.size()));
    }
    return ContentHash(sides, sizeof(sides));
  };
  const auto same = [&](int64_t a, int64_t b) {
    return loading.text(a, kSource) == loading.text(b, kSource) &&
           loading.text(a, kTarget) == loading.text(b, kTarget);
  };
  // Another translation of the same sentence contradicts nothing.
  const auto same_target = [](int64_t, int64_t) { return true; };
  loading.keep = FindCopies(
      {loading.size(), loading.CountOf(Part::kTrain), hash, same, same_target, &loading.keep},
      loading.options.deduplicate, loading.data.report);
}

void DropNearCopies(Loading& loading) {
  const auto text = [&](int64_t i) { return loading.rows.both(loading.row(i)); };
  const auto part = [&](int64_t i) { return loading.row(i).part; };
  const auto where = [&](int64_t i) { return loading.rows.Where(loading.row(i)); };
  data::DropNearCopies({"pair", text, part, where}, loading.pairs().near_copies,
                       loading.pairs().keep, loading.keep, loading.data.report);
}

// Gives the source sentences of each part their numbers.
void NumberSentences(Loading& loading) {
  using Known = absl::flat_hash_map<absl::string_view, int32_t>;
  std::array<Known, 3> known;  // by Part
  const Known& training = known[static_cast<size_t>(Part::kTrain)];
  int64_t seen = 0;
  loading.sentence_of.assign(loading.rows.rows.size(), -1);
  for (int64_t i = 0; i < loading.size(); ++i) {
    if (!loading.keep[static_cast<size_t>(i)]) {
      continue;
    }
    const PairRow& row = loading.row(i);
    const auto part = static_cast<size_t>(row.part);
    const auto [place, is_new] = known[part].try_emplace(
        loading.rows.source(row), static_cast<int32_t>(loading.pairs_of.size()));
    if (is_new) {
      loading.pairs_of.push_back(0);
      ++loading.sentences_in[part];
      seen += row.part != Part::kTrain && training.contains(loading.rows.source(row)) ? 1 : 0;
    }
    ++loading.pairs_of[static_cast<size_t>(place->second)];
    loading.sentence_of[static_cast<size_t>(i)] = place->second;
  }
  loading.data.report.notes.push_back(
      absl::StrCat(loading.pairs_of.size(), " different source sentences have ",
                   std::ranges::count(loading.keep, true), " translations"));
  if (seen > 0) {
    loading.data.report.notes.push_back(absl::StrCat(
        "source sentences of the other parts that the training part has, too: ", seen));
  }
}

// Of these sentences as many, drawn, as have `limit` pairs together at most.
std::vector<bool> Limit(const std::vector<int32_t>& sentences, const Loading& loading) {
  std::vector<int32_t> order = sentences;
  RandomStream stream(loading.options.seed, "split limit");
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<size_t>(stream.NextBelow(i))]);
  }
  std::vector<bool> chosen(loading.pairs_of.size());
  const int64_t limit = loading.options.limit;
  int64_t left = limit > 0 ? limit : std::numeric_limits<int64_t>::max();
  for (const int32_t sentence : order) {
    const int64_t pairs = loading.pairs_of[static_cast<size_t>(sentence)];
    if (pairs <= left) {
      chosen[static_cast<size_t>(sentence)] = true;
      left -= pairs;
    }
  }
  return chosen;
}

// Sentences of each part: the data set's own parts, and what is drawn of its training part.
absl::StatusOr<Splits> SplitSentences(const Loading& loading) {
  const auto train = loading.sentences_in[static_cast<size_t>(Part::kTrain)];
  const auto validation = loading.sentences_in[static_cast<size_t>(Part::kValidation)];
  const auto all = static_cast<int64_t>(loading.pairs_of.size());
  std::vector<bool> drawn_from(loading.pairs_of.size(), true);
  std::vector<int32_t> own_validation;
  for (int64_t i = train; i < train + validation; ++i) {
    own_validation.push_back(static_cast<int32_t>(i));
    drawn_from[static_cast<size_t>(i)] = false;
  }
  // First the test part, as if there were no limit, which counts pairs.
  LoadOptions options = loading.options;
  options.limit = 0;
  options.validation_fraction = 0;
  options.validation_count = 0;
  const bool has_test = train + validation < all;
  HONE_ASSIGN_OR_RETURN(
      Splits splits,
      Split(
          {.size = has_test ? all : train, .train_size = train, .labels = {}, .keep = &drawn_from},
          options));
  const std::vector<bool> chosen = Limit(splits.train, loading);
  options.validation_fraction = validation > 0 ? 0 : loading.options.validation_fraction;
  options.validation_count = validation > 0 ? 0 : loading.options.validation_count;
  options.test_fraction = 0;
  options.fold_count = 0;
  HONE_ASSIGN_OR_RETURN(
      Splits rest,
      Split({.size = train, .train_size = train, .labels = {}, .keep = &chosen}, options));
  splits.train = std::move(rest.train);
  splits.validation = validation > 0 ? std::move(own_validation) : std::move(rest.validation);
  return splits;
}

// The part of each row; nullopt: it is in none.
using RowParts = std::vector<std::optional<Part>>;

RowParts PartsOf(const Splits& sentences, const Loading& loading) {
  RowParts by_sentence(loading.pairs_of.size()), by_row(loading.rows.rows.size());
  for (const auto& [list, part] : {std::pair(&sentences.train, Part::kTrain),
                                   std::pair(&sentences.validation, Part::kValidation),
                                   std::pair(&sentences.test, Part::kTest)}) {
    for (const int32_t sentence : *list) {
      by_sentence[static_cast<size_t>(sentence)] = part;
    }
  }
  for (size_t i = 0; i < by_row.size(); ++i) {
    const int32_t sentence = loading.sentence_of[i];
    by_row[i] = sentence < 0 ? std::nullopt : by_sentence[static_cast<size_t>(sentence)];
  }
  return by_row;
}

absl::StatusOr<TextPreprocessing> MakePreprocessing(const Loading& loading, const RowParts& parts,
                                                    Side side) {
  std::vector<int64_t> train;
  for (int64_t i = 0; i < loading.size(); ++i) {
    if (parts[static_cast<size_t>(i)] == Part::kTrain) {
      train.push_back(i);
    }
  }
  const auto text = [&](int64_t i) { return loading.text(train[static_cast<size_t>(i)], side); };
  TextPreprocessing result = {.cleaning = loading.pairs().cleaning};
  text::TokenizerOptions options =
      side == kSource ? loading.pairs().source_tokenizer : loading.pairs().target_tokenizer;
  if (auto* words = std::get_if<text::WordTokens>(&options)) {
    words->spacing = true;  // a translation is written as the references are
  }
  absl::StatusOr<std::unique_ptr<const text::Tokenizer>> tokenizer =
      text::TrainTokenizer(options, {static_cast<int64_t>(train.size()), text});
  HONE_RETURN_IF_ERROR(Annotate(tokenizer.status(), absl::StrCat("the ", kSides[side], " side")));
  result.tokenizer = *std::move(tokenizer);
  return result;
}

// A writer says where a text begins, and where it ends.
absl::Status CheckTarget(const text::Tokenizer& tokenizer) {
  const text::SpecialTokens special = tokenizer.special();
  if (special.begin < 0 || special.end < 0) {
    return absl::InvalidArgumentError(
        "the tokenizer of the target side has no tokens for the beginning and the end of a text");
  }
  return absl::OkStatus();
}

// Makes examples of the rows that are in a part.
class Encoder {
 public:
  explicit Encoder(Loading& loading)
      : loading_(loading),
        how_{&*loading.data.preprocessing.text, &*loading.data.preprocessing.target_text},
        tokens_{SpoolOf("the sources' tokens"), SpoolOf("the targets' tokens")},
        references_(SpoolOf("the references")) {}

  absl::StatusOr<std::shared_ptr<const SentencePairs>> Encode(const RowParts& parts) {
    CollectReferences(parts);
    numbers_.assign(loading_.pairs_of.size(), -1);
    for (int64_t i = 0; i < loading_.size(); ++i) {
      if (const std::optional<Part> part = parts[static_cast<size_t>(i)]) {
        HONE_RETURN_IF_ERROR(Add(i, *part));
      }
    }
    for (const auto& spool : {tokens_[kSource], tokens_[kTarget], references_}) {
      HONE_RETURN_IF_ERROR(spool->Finish());
    }
    for (const Side side : {kSource, kTarget}) {
      sequences_[side].tokens = Tokens(tokens_[side]);
    }
    texts_.texts = references_;
    return std::make_shared<const SentencePairs>(std::move(sequences_[kSource]),
                                                 std::move(sequences_[kTarget]),
                                                 std::move(sentences_), std::move(texts_));
  }

 private:
  std::shared_ptr<Spool> SpoolOf(const char* what) const {
    return std::make_shared<Spool>(loading_.options.stream, what);
  }

  // Translations of each sentence that somebody may compare with, each once, by their rows.
  void CollectReferences(const RowParts& parts) {
    rows_.resize(loading_.pairs_of.size());
    absl::flat_hash_set<std::pair<int32_t, absl::string_view>> seen;
    for (int64_t i = 0; i < loading_.size(); ++i) {
      const std::optional<Part> part = parts[static_cast<size_t>(i)];
      if (!part || (*part == Part::kTrain && loading_.as() == nullptr)) {
        continue;
      }
      const int32_t sentence = loading_.sentence_of[static_cast<size_t>(i)];
      if (seen.emplace(sentence, loading_.text(i, kTarget)).second) {
        rows_[static_cast<size_t>(sentence)].push_back(static_cast<int32_t>(i));
      }
    }
  }

  absl::Status Add(int64_t i, Part part) {
    const PairRow& row = loading_.row(i);
    std::array<std::vector<int32_t>, 2> tokens;
    for (const Side side : {kSource, kTarget}) {
      tokens[side] = how_[side]->EncodeCleaned(loading_.text(i, side));
      const int64_t most = loading_.most_tokens(side);
      if (most > 0 && static_cast<int64_t>(tokens[side].size()) > most) {
        DropTooLong(row, side, most, loading_);
        return absl::OkStatus();
      }
    }
    DataReport& report = loading_.data.report;
    SplitReport& split = part == Part::kTrain        ? report.train
                         : part == Part::kValidation ? report.validation
                                                     : report.test;
    if (!split.tokens.has_value()) {
      split.tokens.emplace();
      split.target_tokens.emplace();
    }
    for (const Side side : {kSource, kTarget}) {
      CountText(tokens[side], static_cast<int64_t>(tokens[side].size()),
                how_[side]->tokenizer->special().unknown, loading_.rows.Where(row),
                side == kSource ? *split.tokens : *split.target_tokens);
    }
    const text::SpecialTokens special = how_[kTarget]->tokenizer->special();
    tokens[kTarget].insert(tokens[kTarget].begin(), special.begin);
    tokens[kTarget].push_back(special.end);
    Splits& splits = loading_.data.splits;
    std::vector<int32_t>& list = part == Part::kTrain        ? splits.train
                                 : part == Part::kValidation ? splits.validation
                                                             : splits.test;
    list.push_back(static_cast<int32_t>(sentences_.size()));
    for (const Side side : {kSource, kTarget}) {
      HONE_RETURN_IF_ERROR(tokens_[side]->Append(BytesOf(tokens[side])));
      sequences_[side].begin.push_back(tokens_[side]->size() /
                                       static_cast<int64_t>(sizeof(int32_t)));
    }
    return AddSentence(loading_.sentence_of[static_cast<size_t>(i)]);
  }

  // Of the row that is added: its number among the sentences that have one.
  absl::Status AddSentence(int32_t sentence) {
    int32_t& number = numbers_[static_cast<size_t>(sentence)];
    if (number < 0) {
      number = static_cast<int32_t>(texts_.first.size()) - 1;
      for (const int32_t row : rows_[static_cast<size_t>(sentence)]) {
        HONE_RETURN_IF_ERROR(references_->Append(loading_.text(row, kTarget)));
        texts_.begin.push_back(references_->size());
      }
      texts_.first.push_back(static_cast<int64_t>(texts_.begin.size()) - 1);
    }
    sentences_.push_back(number);
    return absl::OkStatus();
  }

  Loading& loading_;
  const std::array<const TextPreprocessing*, 2> how_;
  const std::array<std::shared_ptr<Spool>, 2> tokens_;  // by Side
  const std::shared_ptr<Spool> references_;
  std::array<SentencePairs::Sequences, 2> sequences_ = {};
  SentencePairs::References texts_ = {};
  std::vector<int32_t> sentences_;          // by the rows that were added
  std::vector<std::vector<int32_t>> rows_;  // with a sentence's references, by those of loading_
  std::vector<int32_t> numbers_;            // by the same
};

void Describe(Loading& loading) {
  DataReport& report = loading.data.report;
  const Preprocessing& how = loading.data.preprocessing;
  report.notes.push_back(absl::StrCat("the vocabulary of the sources has ",
                                      how.text->tokenizer->size(), " tokens, that of the targets ",
                                      how.target_text->tokenizer->size()));
  for (const auto& [name, split] :
       {std::pair("training", &report.train), std::pair("validation", &report.validation),
        std::pair("test", &report.test)}) {
    if (split->tokens.has_value()) {
      report.notes.push_back(absl::StrCat("sources, ", Describe(name, *split->tokens, 0)));
      report.notes.push_back(absl::StrCat("targets, ", Describe(name, *split->target_tokens, 0)));
    }
  }
}

// Tells what the first epoch of the training will change.
absl::Status ReportAugmentation(Loading& loading) {
  if (loading.as() != nullptr) {
    return absl::OkStatus();
  }
  const SentencePairs& pairs = SentencePairsOf(loading.data.dataset);
  const auto source = [&](int32_t row) { return pairs.source(row); };
  return data::ReportAugmentation({.field = "data.pairs.augmentation",
                                   .augmentation = loading.pairs().augmentation,
                                   .tokenizer = loading.data.preprocessing.text->tokenizer,
                                   .seed = loading.options.seed,
                                   .rows = loading.data.splits.train,
                                   .tokens = source},
                                  loading.data.report.notes);
}

absl::Status Finish(Loading& loading) {
  LoadedData& data = loading.data;
  DescribeCleaning(loading);
  HONE_RETURN_IF_ERROR(LeaveOutEmpty(loading));
  DropLong(loading);
  TakeFirst(loading);
  DropExactCopies(loading);
  DropNearCopies(loading);
  NumberSentences(loading);
  HONE_ASSIGN_OR_RETURN(const Splits sentences, SplitSentences(loading));
  const RowParts parts = PartsOf(sentences, loading);
  if (loading.as() != nullptr) {
    data.preprocessing = *loading.as();
  } else {
    data.preprocessing.input = Preprocessing::Input::kText;
    HONE_ASSIGN_OR_RETURN(data.preprocessing.text, MakePreprocessing(loading, parts, kSource));
    HONE_ASSIGN_OR_RETURN(data.preprocessing.target_text,
                          MakePreprocessing(loading, parts, kTarget));
  }
  HONE_RETURN_IF_ERROR(CheckTarget(*data.preprocessing.target_text->tokenizer));
  HONE_ASSIGN_OR_RETURN(const std::shared_ptr<const SentencePairs> pairs,
                        Encoder(loading).Encode(parts));
  data.dataset = Dataset(pairs);
  if (data.splits.train.empty() && loading.as() == nullptr) {
    return absl::InvalidArgumentError("no training pair is left");
  }
  CountSplits(data.splits, {}, 0, data.report);
  Describe(loading);
  return ReportAugmentation(loading);
}

// A path to read, and what the catalogue knows of it filled into the options.
absl::Status FindPairs(LoadOptions& options, DataReport& report) {
  HONE_RETURN_IF_ERROR(CheckSource(options));
  report.source = options.path;
  if (options.dataset.empty()) {
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(const CatalogEntry* entry, Find(options.dataset));
  if (entry->task != Task::kTranslation) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data set ", options.dataset, " holds no sentence pairs, which translation learns from"));
  }
  HONE_ASSIGN_OR_RETURN(Materialised found, Materialise(*entry, options.sources));
  options.path = std::move(found.path);
  report.source = std::move(found.source);
  report.notes = std::move(found.notes);
  if (options.pairs.source.empty() && options.pairs.target.empty() &&
      entry->text_columns.size() == 2) {
    options.pairs.source = entry->text_columns[kSource];
    options.pairs.target = entry->text_columns[kTarget];
  }
  return absl::OkStatus();
}

absl::StatusOr<LoadedData> LoadSentencePairsOrThrow(LoadOptions options) {
  if (options.as != nullptr &&
      (options.as->input != Preprocessing::Input::kText || !options.as->target_text.has_value())) {
    return absl::InvalidArgumentError("the model does not translate");
  }
  Loading loading{.options = options, .rows = {}, .keep = {}};
  DataReport& report = loading.data.report;
  HONE_RETURN_IF_ERROR(FindPairs(options, report));
  HONE_RETURN_IF_ERROR(ReadAndClean(loading));
  report.format = loading.rows.format;
  report.examples_read = loading.size();
  if (loading.rows.files_left_out > 0) {
    report.notes.push_back(
        absl::StrCat(loading.rows.files_left_out, " other files hold no pairs that are read"));
  }
  loading.keep.assign(loading.rows.rows.size(), true);
  if (loading.rows.rows.empty() || loading.size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(report.source, ": has ", loading.size(),
                                                   " pairs; it must have 1 to 2147483647"));
  }
  HONE_RETURN_IF_ERROR(Annotate(Finish(loading), report.source));
  loading.data.fingerprint = Fingerprint(loading.data);
  return std::move(loading.data);
}

uint64_t HashOf(absl::string_view bytes) {
  return ContentHash(bytes.data(), static_cast<int64_t>(bytes.size()));
}

}  // namespace

int32_t SentencePairs::AddSentence() {
  references_.first.push_back(references_.first.back());
  return static_cast<int32_t>(references_.first.size()) - 2;
}

void SentencePairs::Add(int32_t sentence, std::span<const int32_t> source,
                        std::span<const int32_t> target) {
  sentence_.push_back(sentence);
  for (const auto& [side, sequence] : {std::pair(&source_, source), std::pair(&target_, target)}) {
    side->added.insert(side->added.end(), sequence.begin(), sequence.end());
    side->begin.push_back(static_cast<int64_t>(side->added.size()));
  }
}

absl::string_view SentencePairs::References::text(int64_t index) const {
  const auto i = static_cast<size_t>(index);
  return texts->bytes().substr(static_cast<size_t>(begin[i]),
                               static_cast<size_t>(begin[i + 1] - begin[i]));
}

std::vector<std::string> SentencePairs::references(int32_t row) const {
  const auto s = static_cast<size_t>(sentence(row));
  std::vector<std::string> texts;
  for (int64_t i = references_.first[s]; i < references_.first[s + 1]; ++i) {
    texts.emplace_back(references_.text(i));
  }
  return texts;
}

int64_t SentencePairs::bytes() const {
  size_t bytes = sentence_.size() * sizeof(int32_t);
  for (const Sequences* side : {&source_, &target_}) {
    bytes += static_cast<size_t>(side->tokens.memory_bytes()) +
             side->added.size() * sizeof(int32_t) + side->begin.size() * sizeof(int64_t);
  }
  bytes += (references_.begin.size() + references_.first.size()) * sizeof(int64_t);
  return static_cast<int64_t>(bytes) +
         (references_.texts == nullptr ? 0 : references_.texts->memory_bytes());
}

uint64_t SentencePairs::content_hash() const {
  std::vector<uint64_t> parts = {HashOf(BytesOf(source_.all())), HashOf(source_.begin),
                                 HashOf(BytesOf(target_.all())), HashOf(target_.begin),
                                 HashOf(sentence_)};
  for (size_t s = 0; s + 1 < references_.first.size(); ++s) {
    const int64_t begin = references_.first[s], end = references_.first[s + 1];
    parts.push_back(static_cast<uint64_t>(end - begin));
    for (int64_t i = begin; i < end; ++i) {
      parts.push_back(HashOf(references_.text(i)));
    }
  }
  return HashOf(parts);
}

std::vector<int32_t> SentencePairs::FirstOfEach(std::span<const int32_t> rows,
                                                int64_t limit) const {
  absl::flat_hash_set<int32_t> seen;
  std::vector<int32_t> first;
  for (const int32_t row : rows) {
    if (seen.insert(sentence(row)).second) {
      first.push_back(row);
    }
  }
  const auto count = static_cast<int64_t>(first.size());
  if (limit > 0 && count > limit) {
    for (int64_t i = 0; i < limit; ++i) {
      first[static_cast<size_t>(i)] = first[static_cast<size_t>(i * count / limit)];
    }
    first.resize(static_cast<size_t>(limit));
  }
  return first;
}

int64_t SentencePairs::CountSourceTokens(std::span<const int32_t> rows) const {
  int64_t count = 0;
  for (const int32_t row : rows) {
    count += static_cast<int64_t>(source(row).size());
  }
  return count;
}

int64_t SentencePairs::CountTargetTokens(std::span<const int32_t> rows) const {
  int64_t count = 0;
  for (const int32_t row : rows) {
    count += static_cast<int64_t>(target(row).size()) - 1;
  }
  return count;
}

absl::StatusOr<LoadedData> LoadSentencePairs(const LoadOptions& options) {
  return WithinMemory(options, "the pairs", [&] { return LoadSentencePairsOrThrow(options); });
}

}  // namespace hone::engine::data
