#include "engine/data/text_loading.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/complaints.h"
#include "engine/base/status.h"
#include "engine/data/drop_near_copies.h"
#include "engine/data/prepare.h"
#include "engine/data/texts.h"
#include "engine/text/cleaning.h"
#include "engine/text/unicode.h"

namespace hone::engine::data {
namespace {

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

void DropExactTextCopies(TextLoading& loading) {
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

void DropNearTextCopies(TextLoading& loading) {
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

}  // namespace

absl::Status ReadAndCleanTexts(TextLoading& loading) {
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

absl::Status LeaveOut(TextLoading& loading) {
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

void DropTextCopies(TextLoading& loading) {
  DropExactTextCopies(loading);
  DropNearTextCopies(loading);
}

}  // namespace hone::engine::data
