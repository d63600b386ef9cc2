#include "engine/data/texts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/base/complaints.h"
#include "engine/base/csv.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/catalog.h"
#include "engine/data/drop_near_copies.h"
#include "engine/data/fingerprint.h"
#include "engine/data/prepare.h"
#include "engine/data/ratings.h"
#include "engine/data/spool.h"
#include "engine/data/text_pairs.h"
#include "engine/data/text_rows.h"
#include "engine/data/token_report.h"
#include "engine/data/tokens.h"
#include "engine/text/cleaning.h"
#include "engine/text/corpus.h"
#include "engine/text/unicode.h"
#include "engine/text/words.h"

namespace hone::engine::data {
namespace {

// On its way from a path to a data set. Rows are those of `rows`, of which `keep` says which are
// still there.
struct Loading {
  const LoadOptions& options;
  TextRows rows;
  std::vector<bool> keep;
  DatasetParts targets;
  LoadedData data = {};

  int64_t size() const { return static_cast<int64_t>(rows.rows.size()); }
  const TextRow& row(int64_t i) const { return rows.rows[static_cast<size_t>(i)]; }
  const Preprocessing* as() const { return options.as.get(); }
  bool pairs() const { return apart() || !options.text->second_columns.empty(); }
  // The texts of a pair, or of a triple, are rows of tokens of their own.
  bool apart() const { return options.task == Task::kTextPairs; }
  int64_t texts_of_each() const { return !pairs() ? 1 : rows.triples ? 3 : 2; }
  absl::string_view text(int64_t i) const { return rows.text(row(i)); }
  absl::string_view second(int64_t i) const { return rows.second(row(i)); }
  absl::string_view negative(int64_t i) const { return rows.negative(row(i)); }
  // Text `which` of an example, of texts_of_each.
  absl::string_view text(int64_t i, int64_t which) const {
    return which == 0 ? text(i) : which == 1 ? second(i) : negative(i);
  }
  absl::string_view label(int64_t i) const { return rows.label(row(i)); }
  int64_t CountOf(Part part) const { return std::ranges::count(rows.rows, part, &TextRow::part); }
};

// What becomes of a cleaned text, as TextRow::mark.
enum class Fate : uint8_t { kStays, kTooShort, kTooLong, kEmpty, kEmptyNegative };

Fate FateOf(absl::string_view text, const TextOptions& options) {
  const bool has_words = HasWords(text);
  const int64_t characters = has_words ? text::CountCharacters(text) : 0;
  if (characters < options.min_characters) {
    return Fate::kTooShort;
  }
  if (options.max_characters > 0 && characters > options.max_characters) {
    return Fate::kTooLong;
  }
  return has_words ? Fate::kStays : Fate::kEmpty;
}

// Of a pair, or of a triple with one text more: it leaves where one of its texts does, for the
// reason of the first that does.
Fate FateOfBoth(Fate first, Fate second) {
  for (const Fate fate : {first, second}) {
    if (fate == Fate::kTooShort || fate == Fate::kTooLong) {
      return fate;
    }
  }
  return first != Fate::kStays ? first : second;
}

// Reads all texts, cleaned, and says of each what becomes of it.
absl::Status ReadAndClean(Loading& loading) {
  const TextOptions& options = *loading.options.text;
  const text::CleaningOptions& cleaning = CleaningOf(loading.options);
  DataReport& report = loading.data.report;
  text::CleaningCounts counts;
  const auto clean = [&](TextRow& row, ExampleTexts& texts) {
    texts.text = text::Clean(texts.text, cleaning, &counts);
    Fate fate = FateOf(texts.text, options);
    if (loading.pairs()) {
      texts.second = text::Clean(texts.second, cleaning, &counts);
      fate = FateOfBoth(fate, FateOf(texts.second, options));
    }
    if (texts.negative.has_value()) {
      texts.negative = text::Clean(*texts.negative, cleaning, &counts);
      const Fate of_negative = FateOf(*texts.negative, options);
      fate = FateOfBoth(fate, of_negative == Fate::kEmpty ? Fate::kEmptyNegative : of_negative);
    }
    row.mark = static_cast<uint8_t>(fate);
  };
  HONE_ASSIGN_OR_RETURN(loading.rows,
                        ReadTextRows(loading.options.path, loading.options, clean, report));
  for (const text::CleaningCounts::Step& step : counts.steps) {
    if (step.changed > 0) {
      report.notes.push_back(
          absl::StrCat("cleaning: ", step.name, " changed ", step.changed, " texts"));
    }
  }
  return absl::OkStatus();
}

// Leaves out texts that are too short or too long, and pairs and triples with one that is.
absl::Status LeaveOut(Loading& loading) {
  const TextOptions& options = *loading.options.text;
  DataReport& report = loading.data.report;
  const std::string too_short =
      absl::StrCat("shorter than ", options.min_characters, " characters");
  const std::string too_long = absl::StrCat("longer than ", options.max_characters, " characters");
  Complaints complaints;
  for (int64_t i = 0; i < loading.size(); ++i) {
    const TextRow& row = loading.row(i);
    switch (static_cast<Fate>(row.mark)) {
      case Fate::kStays:
        break;
      case Fate::kTooShort:
      case Fate::kTooLong:
        report.Drop(static_cast<Fate>(row.mark) == Fate::kTooShort ? too_short : too_long,
                    loading.rows.Where(row));
        loading.keep[static_cast<size_t>(i)] = false;
        break;
      case Fate::kEmpty:
        complaints.Add({.line = row.line,
                        .text = absl::StrCat(loading.rows.Where(row),
                                             ": the text is empty; data.text.min_characters: 1 "
                                             "leaves such texts out")});
        break;
      case Fate::kEmptyNegative:
        complaints.Add(
            {.line = row.line,
             .text = absl::StrCat(loading.rows.Where(row),
                                  ": the negative is empty; all examples must be triples, or all "
                                  "must be pairs, and data.text.min_characters: 1 leaves such "
                                  "examples out")});
        break;
    }
  }
  return complaints.status();
}

// Texts of which nothing is learned but themselves.
bool HasNoTargets(const LoadOptions& options) {
  return options.task == Task::kLanguageModeling || options.task == Task::kTextPairs;
}

// The labels' names: whole numbers by their size, then words by their letters, or as the options
// call them in this order.
absl::StatusOr<std::vector<std::string>> NameClasses(const std::vector<std::string>& labels,
                                                     const LoadOptions& options) {
  if (options.class_names.empty()) {
    return labels;
  }
  if (options.class_names.size() != labels.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there are ", labels.size(), " labels (", absl::StrJoin(labels, ", "),
                     ") for the classes ", absl::StrJoin(options.class_names, ", ")));
  }
  return options.class_names;
}

constexpr auto kIdIsBefore = [](const std::string& a, const std::string& b) {
  return IdIsBefore(a, b);
};

// Those of the texts that are kept, in the order of their classes.
std::vector<std::string> LabelsOf(const Loading& loading) {
  std::set<std::string, decltype(kIdIsBefore)> all(kIdIsBefore);
  for (int64_t i = 0; i < loading.size(); ++i) {
    if (loading.keep[static_cast<size_t>(i)]) {
      all.emplace(loading.label(i));
    }
  }
  return {all.begin(), all.end()};
}

// Puts a class behind each text: of a label the code that stands at its place. Those that are not
// kept have 0.
void SetCodes(const std::vector<std::string>& labels, const std::vector<int32_t>& codes,
              Loading& loading) {
  for (int64_t i = 0; i < loading.size(); ++i) {
    const auto found = std::ranges::lower_bound(labels, std::string(loading.label(i)), kIdIsBefore);
    const bool kept = loading.keep[static_cast<size_t>(i)];
    loading.targets.labels.push_back(kept ? codes[static_cast<size_t>(found - labels.begin())] : 0);
  }
}

// Classes to divide texts by that nothing else is made of: their labels, where all have one. Where
// there are almost as many as texts, they are no classes.
void SetStrata(Loading& loading) {
  constexpr size_t kTextsOfAClass = 10;
  const std::vector<std::string> labels = LabelsOf(loading);
  const auto missing = [](const std::string& label) { return IsMissing(label); };
  if (labels.empty() || std::ranges::any_of(labels, missing) ||
      labels.size() * kTextsOfAClass > loading.rows.rows.size()) {
    return;
  }
  std::vector<int32_t> codes(labels.size());
  std::iota(codes.begin(), codes.end(), 0);
  SetCodes(labels, codes, loading);
  loading.targets.class_names = labels;
}

// The place of a name among those of a checkpoint's head; their end where it is not there.
std::vector<std::string>::const_iterator FindInHead(const std::vector<std::string>& head,
                                                    const std::string& name) {
  const auto found = std::ranges::find(head, name);
  return found != head.end() ? found : std::ranges::find_if(head, [&](const std::string& other) {
    return absl::EqualsIgnoreCase(other, name);
  });
}

absl::Status SetClasses(Loading& loading) {
  const std::vector<std::string> labels = LabelsOf(loading);
  HONE_ASSIGN_OR_RETURN(std::vector<std::string> names, NameClasses(labels, loading.options));
  const std::vector<std::string>& head = loading.options.head_classes;
  const auto in_head = [&](const std::string& name) {
    return FindInHead(head, name) != head.end();
  };
  std::vector<int32_t> codes;  // by label
  if (loading.as() == nullptr && !head.empty() && std::ranges::all_of(names, in_head)) {
    for (const std::string& name : names) {
      codes.push_back(static_cast<int32_t>(FindInHead(head, name) - head.begin()));
    }
    SetCodes(labels, codes, loading);
    loading.targets.class_names = head;
    return absl::OkStatus();
  }
  for (size_t c = 0; c < names.size(); ++c) {
    codes.push_back(static_cast<int32_t>(c));
    if (loading.as() != nullptr) {
      const std::vector<std::string>& known = loading.as()->class_names;
      const auto found = std::ranges::find(known, names[c]);
      if (found == known.end()) {
        return absl::InvalidArgumentError(absl::StrCat("the model does not know the class '",
                                                       names[c], "'; it knows ",
                                                       absl::StrJoin(known, ", ")));
      }
      codes.back() = static_cast<int32_t>(found - known.begin());
    }
  }
  SetCodes(labels, codes, loading);
  loading.targets.class_names = loading.as() != nullptr ? loading.as()->class_names : names;
  return absl::OkStatus();
}

absl::Status SetValues(Loading& loading) {
  if (loading.as() != nullptr && loading.as()->target_names.size() != 1) {
    return absl::InvalidArgumentError("the model predicts classes; this is regression");
  }
  Complaints complaints;
  for (int64_t i = 0; i < loading.size(); ++i) {
    const TextRow& row = loading.row(i);
    const std::optional<double> value = ToNumber(loading.label(i));
    if (!value) {
      complaints.Add(
          {.line = row.line,
           .text = absl::StrCat(loading.rows.Where(row), ": '", CutUtf8(loading.label(i), 40),
                                "' is not a number, which regression needs")});
    }
    loading.targets.targets.push_back(static_cast<float>(value.value_or(0)));
  }
  loading.targets.target_names = {loading.options.target.empty() ? "label"
                                                                 : loading.options.target};
  return complaints.status();
}

// Visits the names in the labels of the texts that are kept; a name may come again.
absl::Status ForEachName(
    const Loading& loading,
    absl::FunctionRef<absl::Status(int64_t text, absl::string_view name)> visit) {
  for (int64_t i = 0; i < loading.size(); ++i) {
    if (!loading.keep[static_cast<size_t>(i)]) {
      continue;
    }
    for (absl::string_view name :
         absl::StrSplit(loading.label(i), loading.options.text->separator)) {
      name = absl::StripAsciiWhitespace(name);
      if (!name.empty()) {
        HONE_RETURN_IF_ERROR(visit(i, name));
      }
    }
  }
  return absl::OkStatus();
}

// INVALID_ARGUMENT where it takes more bytes than are allowed to say of each text which of so many
// classes it has.
absl::Status CheckSeveralClasses(const Loading& loading, int64_t classes) {
  const int64_t factors[] = {loading.size(), classes, sizeof(float)};
  return CheckedBytes(factors, loading.options.max_bytes,
                      absl::StrCat("multi_label_classification: ", loading.size(), " texts with ",
                                   classes, " classes"))
      .status();
}

using NumberOfName = absl::flat_hash_map<std::string, size_t>;

// The names in the labels. Errors of CheckSeveralClasses, before they are all in memory.
absl::StatusOr<NumberOfName> FindNames(const Loading& loading) {
  NumberOfName names;
  HONE_RETURN_IF_ERROR(ForEachName(loading, [&](int64_t, absl::string_view name) -> absl::Status {
    if (names.contains(name)) {
      return absl::OkStatus();
    }
    names.emplace(std::string(name), 0);
    return CheckSeveralClasses(loading, std::ssize(names));
  }));
  return names;
}

// Of each class whether a text has it, 1 or 0, as values whose names are the classes'.
absl::Status SetSeveralClasses(Loading& loading) {
  std::vector<std::string>& classes = loading.targets.target_names;
  NumberOfName numbers;
  if (loading.as() != nullptr) {
    classes = loading.as()->target_names;
  } else {
    HONE_ASSIGN_OR_RETURN(numbers, FindNames(loading));
    for (const auto& [name, number] : numbers) {
      classes.push_back(name);
    }
    std::ranges::sort(classes, kIdIsBefore);
  }
  if (classes.empty()) {
    return absl::InvalidArgumentError(
        "no text has a label; multi_label_classification needs at least one class");
  }
  const std::vector<std::string>& head = loading.options.head_classes;
  const auto in_head = [&](const std::string& name) {
    return FindInHead(head, name) != head.end();
  };
  if (loading.as() == nullptr && !head.empty() && std::ranges::all_of(classes, in_head)) {
    for (auto& [name, number] : numbers) {
      number = static_cast<size_t>(FindInHead(head, name) - head.begin());
    }
    classes = head;
  } else {
    for (size_t c = 0; c < classes.size(); ++c) {
      numbers[classes[c]] = c;
    }
  }
  HONE_RETURN_IF_ERROR(CheckSeveralClasses(loading, std::ssize(classes)));
  loading.targets.targets.assign(static_cast<size_t>(loading.size()) * classes.size(), 0);
  return ForEachName(loading, [&](int64_t text, absl::string_view name) -> absl::Status {
    const auto found = numbers.find(name);
    if (found == numbers.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          loading.rows.Where(loading.row(text)), ": the model does not know the class '",
          CutUtf8(name, 80), "'; it knows ", CutUtf8(absl::StrJoin(classes, ", "), 400)));
    }
    loading.targets.targets[static_cast<size_t>(text) * classes.size() + found->second] = 1;
    return absl::OkStatus();
  });
}

absl::Status SetTargets(Loading& loading) {
  switch (loading.options.task) {
    case Task::kClassification:
      return SetClasses(loading);
    case Task::kRegression:
      return SetValues(loading);
    case Task::kRecommendation:
    case Task::kForecasting:
    case Task::kTranslation:
    case Task::kTokenTagging:
      break;
    case Task::kMultiLabel:
      return SetSeveralClasses(loading);
    case Task::kTextPairs:
      return absl::OkStatus();
    case Task::kLanguageModeling:
      SetStrata(loading);
      return absl::OkStatus();
  }
  return absl::InvalidArgumentError("holds texts, which classification and regression learn from");
}

void DropExactCopies(Loading& loading) {
  const auto hash = [&](int64_t i) {
    const auto hash_of = [](absl::string_view text) {
      return ContentHash(text.data(), static_cast<int64_t>(text.size()));
    };
    const uint64_t parts[] = {hash_of(loading.text(i)), hash_of(loading.second(i)),
                              hash_of(loading.negative(i))};
    return ContentHash(parts, sizeof(parts));
  };
  const auto same_text = [&](int64_t a, int64_t b) {
    return loading.text(a) == loading.text(b) && loading.second(a) == loading.second(b) &&
           loading.negative(a) == loading.negative(b);
  };
  // A label of pairs that are learned by themselves is read by nobody.
  const auto same_label = [&](int64_t a, int64_t b) {
    return loading.apart() || loading.label(a) == loading.label(b);
  };
  loading.keep = FindCopies(
      {loading.size(), loading.CountOf(Part::kTrain), hash, same_text, same_label, &loading.keep},
      loading.options.deduplicate, loading.data.report);
}

void DropNearCopies(Loading& loading) {
  const TextOptions& options = *loading.options.text;
  const auto text = [&](int64_t i) {
    const TextRow& row = loading.row(i);
    return loading.pairs() ? loading.rows.together(row) : loading.rows.text(row);
  };
  const auto part = [&](int64_t i) { return loading.row(i).part; };
  const auto where = [&](int64_t i) { return loading.rows.Where(loading.row(i)); };
  data::DropNearCopies({"text", text, part, where}, options.near_copies, options.keep, loading.keep,
                       loading.data.report);
}

// The data set's own parts, and what is drawn of its training part.
absl::StatusOr<Splits> SplitTexts(Loading& loading) {
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

// Brings the target values to mean 0 and deviation 1 of the training part, where that is wanted;
// whether a text has a class stays 1 or 0.
void Standardize(Loading& loading) {
  Preprocessing& p = loading.data.preprocessing;
  if (loading.options.task == Task::kMultiLabel) {
    p.target_names = loading.targets.target_names;
    p.target_mean.assign(p.target_names.size(), 0);
    p.target_std.assign(p.target_names.size(), 1);
    return;
  }
  std::vector<float>& values = loading.targets.targets;
  if (loading.as() == nullptr) {
    double sum = 0, squares = 0;
    const auto count = static_cast<double>(loading.data.splits.train.size());
    for (const int32_t row : loading.data.splits.train) {
      sum += values[static_cast<size_t>(row)];
    }
    for (const int32_t row : loading.data.splits.train) {
      squares += std::pow(values[static_cast<size_t>(row)] - sum / count, 2);
    }
    const double std = std::sqrt(squares / count);
    const bool wanted = loading.options.standardize_target;
    p.target_names = loading.targets.target_names;
    p.target_mean = {wanted ? sum / count : 0};
    p.target_std = {wanted && std > 0 ? std : 1};
  }
  for (float& value : values) {
    value = static_cast<float>((value - p.target_mean[0]) / p.target_std[0]);
  }
}

// At least two classes to learn, and a text.
absl::Status CheckTraining(const Loading& loading) {
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

absl::StatusOr<TextPreprocessing> MakePreprocessing(const Loading& loading) {
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
absl::StatusOr<std::shared_ptr<const Texts>> EncodeAll(Loading& loading) {
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
absl::Status CheckTokens(const Texts& texts, const Loading& loading) {
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
absl::Status ReportAugmentation(const Texts& texts, Loading& loading) {
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

absl::Status Finish(Loading& loading) {
  LoadedData& data = loading.data;
  data.preprocessing.input = Preprocessing::Input::kText;
  HONE_RETURN_IF_ERROR(LeaveOut(loading));
  HONE_RETURN_IF_ERROR(SetTargets(loading));
  DropExactCopies(loading);
  DropNearCopies(loading);
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
  Loading loading{.options = options, .rows = {}, .keep = {}, .targets = {}};
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
  HONE_RETURN_IF_ERROR(ReadAndClean(loading));
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
