#include "engine/data/texts.h"

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/data/catalog.h"
#include "engine/data/fingerprint.h"
#include "engine/data/prepare.h"
#include "engine/data/spool.h"
#include "engine/data/text_augment.h"
#include "engine/data/text_loading.h"
#include "engine/data/text_pairs.h"
#include "engine/data/text_preprocessing.h"
#include "engine/data/text_rows.h"
#include "engine/data/text_targets.h"
#include "engine/data/token_report.h"
#include "engine/data/tokens.h"
#include "engine/text/cleaning.h"
#include "engine/text/corpus.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::data {
namespace {

// The data set's own parts, and what is drawn of its training part.
absl::StatusOr<Splits> SplitTexts(TextLoading& loading) {
  const int64_t train = loading.CountOf(Part::kTrain);
  const int64_t validation = loading.CountOf(Part::kValidation);
  std::vector<bool> drawn_from = loading.keep;
  std::vector<int32_t> own_validation;
  for (int64_t i = train; i < train + validation; ++i) {
    if (loading.keep[static_cast<size_t>(i)]) {
      own_validation.push_back(static_cast<int32_t>(i));
    }
    drawn_from[static_cast<size_t>(i)] = false;
  }
  const bool has_test = train + validation < loading.size();
  LoadOptions options = loading.options;
  if (validation > 0) {
    options.validation_fraction = 0;
    options.validation_count = 0;
  }
  HONE_ASSIGN_OR_RETURN(Splits splits,
                        Split({.size = has_test ? loading.size() : train,
                               .train_size = train,
                               .labels = loading.targets.labels,
                               .classes = static_cast<int64_t>(loading.targets.class_names.size()),
                               .keep = &drawn_from},
                              options));
  if (validation > 0) {
    splits.validation = std::move(own_validation);
  }
  return splits;
}

// At least two classes to learn, and a text.
absl::Status CheckTraining(const TextLoading& loading) {
  if (loading.as() != nullptr) {
    return absl::OkStatus();  // it is not trained on: any texts will do
  }
  if (loading.data.splits.train.empty()) {
    return absl::InvalidArgumentError("no training text is left");
  }
  const std::vector<std::string>& classes = loading.targets.class_names;
  if (classes.size() == 1) {
    return absl::InvalidArgumentError(absl::StrCat("all ", loading.data.splits.train.size(),
                                                   " training texts are of class '", classes[0],
                                                   "'; classification needs at least two classes"));
  }
  return absl::OkStatus();
}

// Of a model that is gone on with the length is kept where no other is asked for.
int64_t MaxTokensOf(const TextOptions& options) {
  return options.like != nullptr && options.max_tokens == 0 ? options.like->max_tokens
                                                            : options.max_tokens;
}

absl::StatusOr<TextPreprocessing> MakePreprocessing(const TextLoading& loading) {
  const std::vector<int32_t>& train = loading.data.splits.train;
  const int64_t each = loading.texts_of_each();
  const auto text = [&](int64_t i) {
    return loading.text(train[static_cast<size_t>(i / each)], i % each);
  };
  const TextOptions& options = *loading.options.text;
  TextPreprocessing result = {.cleaning = options.cleaning};
  if (options.like != nullptr) {
    result = *options.like;
  } else {
    HONE_ASSIGN_OR_RETURN(
        result.tokenizer,
        text::TrainTokenizer(options.tokenizer, {static_cast<int64_t>(train.size()) * each, text}));
  }
  result.max_tokens = MaxTokensOf(options);
  result.pairs = loading.pairs() && !loading.apart();
  if (result.pairs && result.tokenizer->special().end < 0) {
    return absl::InvalidArgumentError(
        "data.text.second_columns: the tokenizer has no token that ends a text, which pairs need");
  }
  return result;
}

// All texts as tokens, of pairs and triples that are read apart one behind the other; those that
// are in no part have none.
absl::StatusOr<std::shared_ptr<const Texts>> EncodeAll(TextLoading& loading) {
  const TextPreprocessing& how = *loading.data.preprocessing.text;
  const int32_t unknown = how.tokenizer->special().unknown;
  DataReport& report = loading.data.report;
  std::vector<SplitReport*> split_of(loading.rows.rows.size());
  for (const auto& [rows, split] : {std::pair(&loading.data.splits.train, &report.train),
                                    std::pair(&loading.data.splits.validation, &report.validation),
                                    std::pair(&loading.data.splits.test, &report.test)}) {
    for (const int32_t row : *rows) {
      split_of[static_cast<size_t>(row)] = split;
      split->tokens.emplace();
    }
  }
  const auto spool = std::make_shared<Spool>(loading.options.stream, "the texts' tokens");
  std::vector<int64_t> begin = {0};
  const int64_t each = loading.apart() ? loading.texts_of_each() : 1;
  begin.reserve(loading.rows.rows.size() * static_cast<size_t>(each) + 1);
  for (int64_t t = 0; t < loading.size() * each; ++t) {
    const int64_t i = t / each;
    if (SplitReport* const split = split_of[static_cast<size_t>(i)]; split != nullptr) {
      std::vector<int32_t> tokens = how.pairs
                                        ? how.EncodeCleanedPair(loading.text(i), loading.second(i))
                                        : how.EncodeCleaned(loading.text(i, t % each));
      const auto all = static_cast<int64_t>(tokens.size());
      how.Cut(tokens);
      HONE_RETURN_IF_ERROR(spool->Append(BytesOf(tokens)));
      CountText(tokens, all, unknown, loading.rows.Where(loading.row(i)), *split->tokens);
    }
    begin.push_back(spool->size() / static_cast<int64_t>(sizeof(int32_t)));
  }
  HONE_RETURN_IF_ERROR(spool->Finish());
  report.notes.push_back(absl::StrCat("the vocabulary has ", how.tokenizer->size(), " tokens"));
  for (const auto& [name, split] :
       {std::pair("training", &report.train), std::pair("validation", &report.validation),
        std::pair("test", &report.test)}) {
    if (split->tokens.has_value()) {
      report.notes.push_back(Describe(name, *split->tokens, how.max_tokens));
    }
  }
  return std::make_shared<const Texts>(how.separator(), Tokens(spool), std::move(begin));
}

// Texts that are one token again and again say nothing: a vocabulary of one, or of no word at all.
absl::Status CheckTokens(const Texts& texts, const TextLoading& loading) {
  if (loading.as() != nullptr) {
    return absl::OkStatus();
  }
  const text::Tokenizer& tokenizer = *loading.data.preprocessing.text->tokenizer;
  const text::SpecialTokens special = tokenizer.special();
  std::optional<int32_t> only;
  for (const int32_t row : loading.data.splits.train) {
    for (const int32_t token : texts.tokens(row)) {
      if (token == special.begin || token == special.end) {
        continue;  // stand around every text
      }
      if (only.has_value() && token != *only) {
        return absl::OkStatus();
      }
      only = token;
    }
  }
  if (only.value_or(special.unknown) == special.unknown) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.text.tokenizer: its vocabulary of ", tokenizer.size(),
                     " tokens has none of the training texts' words; there is nothing to learn"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("all tokens of the training texts are the same one, '",
                   tokenizer.Decode(std::span(&*only, 1)), "'; there is nothing to learn"));
}

// Tells what the first epoch of the training will change.
absl::Status ReportAugmentation(const Texts& texts, TextLoading& loading) {
  if (loading.as() != nullptr) {
    return absl::OkStatus();
  }
  const auto tokens = [&](int32_t row) { return texts.tokens(row); };
  return data::ReportAugmentation({.field = "data.text.augmentation",
                                   .augmentation = loading.options.text->augmentation,
                                   .tokenizer = loading.data.preprocessing.text->tokenizer,
                                   .seed = loading.options.seed,
                                   .rows = loading.data.splits.train,
                                   .tokens = tokens},
                                  loading.data.report.notes);
}

absl::Status Finish(TextLoading& loading) {
  LoadedData& data = loading.data;
  data.preprocessing.input = Preprocessing::Input::kText;
  HONE_RETURN_IF_ERROR(LeaveOut(loading));
  HONE_RETURN_IF_ERROR(SetTargets(loading));
  DropTextCopies(loading);
  HONE_ASSIGN_OR_RETURN(data.splits, SplitTexts(loading));
  if (HasNoTargets(loading.options)) {
    loading.targets = {};
  }
  HONE_RETURN_IF_ERROR(CheckTraining(loading));
  CountSplits(data.splits, loading.targets.labels,
              static_cast<int64_t>(loading.targets.class_names.size()), data.report);
  if (loading.as() != nullptr) {
    data.preprocessing = *loading.as();
  } else {
    HONE_ASSIGN_OR_RETURN(data.preprocessing.text, MakePreprocessing(loading));
    data.preprocessing.class_names = loading.targets.class_names;
  }
  if (!loading.targets.targets.empty()) {
    Standardize(loading);
  }
  HONE_ASSIGN_OR_RETURN(const std::shared_ptr<const Texts> texts, EncodeAll(loading));
  if (loading.apart()) {
    data.triples = loading.rows.triples;
    if (data.triples) {
      data.report.notes.emplace_back("the examples are triples: each pair has a hard negative");
    }
    data.dataset = Dataset(std::make_shared<const TextPairs>(
        texts, data.triples ? TextPairs::Kind::kTriples : TextPairs::Kind::kPairs));
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(ReportAugmentation(*texts, loading));
  HONE_RETURN_IF_ERROR(CheckTokens(*texts, loading));
  if (HasNoTargets(loading.options)) {
    data.dataset = Dataset(texts);
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(data.dataset, Dataset::Make(texts, std::move(loading.targets)));
  return absl::OkStatus();
}

// A path to read, and what the catalogue knows of it filled into the options.
absl::Status FindTexts(LoadOptions& options, DataReport& report) {
  HONE_RETURN_IF_ERROR(CheckSource(options));
  report.source = options.path;
  if (options.dataset.empty()) {
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(const CatalogEntry* entry, Find(options.dataset));
  if (!entry->texts) {
    return absl::InvalidArgumentError(
        absl::StrCat("data set ", options.dataset, " holds no texts; data.text is not for it"));
  }
  if (entry->task == Task::kLanguageModeling) {
    return absl::InvalidArgumentError(
        absl::StrCat("data set ", options.dataset,
                     " holds one running text; the task for it is language_modeling, or "
                     "masked_language_modeling with a window"));
  }
  if (entry->task == Task::kTranslation) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data set ", options.dataset, " holds sentence pairs; the task for it is translation"));
  }
  HONE_ASSIGN_OR_RETURN(Materialised found, Materialise(*entry, options.sources));
  options.path = std::move(found.path);
  report.source = std::move(found.source);
  report.notes = std::move(found.notes);
  if (options.target.empty()) {
    options.target = entry->target;
  }
  if (options.class_names.empty()) {
    options.class_names.assign(entry->class_names.begin(), entry->class_names.end());
  }
  if (options.text->columns.empty()) {
    options.text->columns.assign(entry->text_columns.begin(), entry->text_columns.end());
  }
  return absl::OkStatus();
}

absl::StatusOr<LoadedData> LoadTextsOrThrow(LoadOptions options) {
  if (options.as != nullptr && options.as->input != Preprocessing::Input::kText) {
    return absl::InvalidArgumentError("the model reads no texts, as data.text asks for");
  }
  if (!options.classes.empty()) {
    return absl::InvalidArgumentError(
        "data.classes: only pictures can be chosen by class, these are texts");
  }
  if (!options.text.has_value()) {
    options.text.emplace();
  }
  TextLoading loading{.options = options, .rows = {}, .keep = {}, .targets = {}};
  DataReport& report = loading.data.report;
  HONE_RETURN_IF_ERROR(FindTexts(options, report));
  const TextOptions& texts = *options.text;
  if (loading.apart() && texts.second_columns.empty() &&
      !(texts.columns.empty() && texts.negative_columns.empty())) {
    return absl::InvalidArgumentError(
        "data.text.second_columns: must say where the second text of each pair stands");
  }
  if (!loading.apart() && !texts.negative_columns.empty()) {
    return absl::InvalidArgumentError(
        "data.text.negative_columns: hard negatives are read for text_embedding alone");
  }
  const bool joined = loading.pairs() && !loading.apart();
  if (loading.as() != nullptr && loading.as()->text->pairs != joined) {
    return absl::InvalidArgumentError(
        joined ? "data.text.second_columns: the model reads single texts, not pairs"
               : "the model reads pairs of texts; data.text.second_columns says where the "
                 "second ones stand");
  }
  const int64_t most = MaxTokensOf(*options.text);
  if (loading.as() == nullptr && joined && most > 0 && most < TextPreprocessing::kLeastOfAPair) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data.text.max_tokens: must be ", options.text->like == nullptr ? "0, or " : "",
        "at least ", TextPreprocessing::kLeastOfAPair, " for pairs, got ", most));
  }
  const TextPreprocessing* like = options.text->like.get();
  if (like != nullptr && like->in_template && most > 0 &&
      most < TextPreprocessing::kLeastInTemplate) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.text.max_tokens: must be at least ", TextPreprocessing::kLeastInTemplate,
                     ", of which two stand around a text for this checkpoint, got ", most));
  }
  HONE_RETURN_IF_ERROR(ReadAndCleanTexts(loading));
  report.format = loading.rows.format;
  loading.keep.assign(loading.rows.rows.size(), true);
  if (loading.rows.rows.empty() || loading.size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(report.source, ": has ", loading.size(),
                                                   " texts; it must have 1 to 2147483647"));
  }
  HONE_RETURN_IF_ERROR(Annotate(Finish(loading), report.source));
  loading.data.fingerprint = Fingerprint(loading.data);
  return std::move(loading.data);
}

}  // namespace

const text::CleaningOptions& CleaningOf(const LoadOptions& options) {
  return options.as != nullptr           ? options.as->text->cleaning
         : options.text->like != nullptr ? options.text->like->cleaning
                                         : options.text->cleaning;
}

void Texts::Add(std::span<const int32_t> tokens) {
  added_.insert(added_.end(), tokens.begin(), tokens.end());
  begin_.push_back(static_cast<int64_t>(added_.size()));
}

int64_t Texts::bytes() const {
  return tokens_.memory_bytes() +
         static_cast<int64_t>(added_.size() * sizeof(int32_t) + begin_.size() * sizeof(int64_t));
}

uint64_t Texts::content_hash() const {
  const absl::string_view tokens = BytesOf(all());
  const uint64_t parts[] = {
      ContentHash(tokens.data(), static_cast<int64_t>(tokens.size())),
      ContentHash(begin_.data(), static_cast<int64_t>(begin_.size() * sizeof(int64_t)))};
  return ContentHash(parts, sizeof(parts));
}

int64_t Texts::CountTokens(std::span<const int32_t> rows) const {
  int64_t count = 0;
  for (const int32_t row : rows) {
    count += static_cast<int64_t>(tokens(row).size());
  }
  return count;
}

absl::StatusOr<LoadedData> LoadTexts(const LoadOptions& options) {
  return WithinMemory(options, "the texts", [&] { return LoadTextsOrThrow(options); });
}

}  // namespace hone::engine::data
