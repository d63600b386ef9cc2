#include "engine/data/text_rows.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/complaints.h"
#include "engine/base/csv.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/data/byte_source.h"
#include "engine/data/file_tree.h"
#include "engine/data/text_files.h"
#include "engine/data/text_stream.h"
#include "engine/text/unicode.h"

namespace hone::engine::data {
namespace {

constexpr size_t kMostTextBytes = size_t{1} << 20;
// What the columns are called where nobody says it.
constexpr absl::string_view kTextColumns[] = {"text", "sentence"};
constexpr absl::string_view kLabelColumn = "label";
// Those of pairs and triples, by the names that sentence-transformers has for them.
constexpr const char* kAnchorColumn = "anchor";
constexpr const char* kPositiveColumn = "positive";
constexpr const char* kNegativeColumn = "negative";

// A language model learns of texts alone, and so does one of pairs.
bool NeedsLabels(const LoadOptions& options) {
  return options.task != Task::kLanguageModeling && options.task != Task::kTextPairs;
}

// What the columns, or keys, are called that texts stand in.
struct TextNames {
  std::vector<std::string> text;  // none: kTextColumns
  std::vector<std::string> second;
  std::vector<std::string> negative;
  // Nobody has named them: there are negatives where what is read first has kNegativeColumn.
  bool by_default = false;
  bool any_read = false;
};

TextNames NamesOf(const LoadOptions& options) {
  const TextOptions& text = *options.text;
  if (options.task == Task::kTextPairs && text.columns.empty() && text.second_columns.empty() &&
      text.negative_columns.empty()) {
    return {
        .text = {kAnchorColumn}, .second = {kPositiveColumn}, .negative = {}, .by_default = true};
  }
  return {.text = text.columns, .second = text.second_columns, .negative = text.negative_columns};
}

// Of a table, or an object, that has kNegativeColumn, or has not. INVALID_ARGUMENT where those
// before are otherwise.
absl::Status SetNegatives(bool has_negative, TextNames& names) {
  if (!names.by_default) {
    return absl::OkStatus();
  }
  if (!names.any_read && has_negative) {
    names.negative = {kNegativeColumn};
  }
  names.any_read = true;
  if (has_negative == names.negative.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has ", has_negative ? "a" : "no", " \"", kNegativeColumn,
        "\", unlike what stands before; all examples must be pairs, or all must be triples"));
  }
  return absl::OkStatus();
}

// Where the columns of a table are.
struct TextColumns {
  std::vector<size_t> text;
  std::vector<size_t> second;        // of pairs
  std::vector<size_t> negative;      // of triples
  std::optional<size_t> label = {};  // none: there is no such column, and none is needed
};

absl::StatusOr<TextColumns> FindColumns(const std::vector<std::string>& names, TextNames& wanted,
                                        const std::string& wanted_label, bool labelled) {
  const auto find = [&](absl::string_view name, absl::string_view field) -> absl::StatusOr<size_t> {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      return absl::InvalidArgumentError(absl::StrCat("there is no column '", name, "' (", field,
                                                     "); the columns are ",
                                                     absl::StrJoin(names, ", ")));
    }
    return static_cast<size_t>(found - names.begin());
  };
  HONE_RETURN_IF_ERROR(
      SetNegatives(std::ranges::find(names, kNegativeColumn) != names.end(), wanted));
  TextColumns columns;
  for (const std::string& name : wanted.text) {
    HONE_ASSIGN_OR_RETURN(columns.text.emplace_back(), find(name, "data.text.columns"));
  }
  for (const std::string& name : wanted.second) {
    HONE_ASSIGN_OR_RETURN(columns.second.emplace_back(), find(name, "data.text.second_columns"));
  }
  for (const std::string& name : wanted.negative) {
    HONE_ASSIGN_OR_RETURN(columns.negative.emplace_back(),
                          find(name, "data.text.negative_columns"));
  }
  for (const absl::string_view name : kTextColumns) {
    if (columns.text.empty() && std::ranges::find(names, name) != names.end()) {
      HONE_ASSIGN_OR_RETURN(columns.text.emplace_back(), find(name, ""));
    }
  }
  if (columns.text.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("which column is the text? data.text.columns says it; the columns are ",
                     absl::StrJoin(names, ", ")));
  }
  const absl::StatusOr<size_t> label = find(
      wanted_label.empty() ? kLabelColumn : absl::string_view(wanted_label), "data.text.label");
  if (label.ok()) {
    columns.label = *label;
  } else if (labelled || !wanted_label.empty()) {
    return label.status();
  }
  return columns;
}

// A JSON value as somebody would write it in a table; nothing for null, lists and objects.
std::optional<std::string> CellOf(const nlohmann::json& value) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  return value.is_number() || value.is_boolean() ? std::optional(value.dump()) : std::nullopt;
}

// What an object has under keys, joined by a space. INVALID_ARGUMENT where it has no string there.
absl::StatusOr<std::string> TextUnder(const std::vector<std::string>& keys, absl::string_view field,
                                      const nlohmann::json& object) {
  std::vector<absl::string_view> texts;
  for (const std::string& key : keys) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("must have a string under \"", key, "\" (", field, ")"));
    }
    texts.push_back(found->get_ref<const std::string&>());
  }
  return absl::StrJoin(texts, " ");
}

// Makes rows of one file.
class TextReader {
 public:
  TextReader(const TextSource& source, const LoadOptions& options, TextNames& names,
             TextVisit visit, TextRows& rows, Spool& spool)
      : source_(source),
        options_(options),
        names_(names),
        label_(options.target),
        labelled_(NeedsLabels(options)),
        several_(options.task == Task::kMultiLabel),
        visit_(visit),
        rows_(rows),
        spool_(spool) {}

  absl::Status Read(TextStream& stream) {
    const bool is_table =
        source_.layout == TextLayout::kTable || source_.layout == TextLayout::kJsonLines;
    if (!is_table && !names_.second.empty()) {
      return absl::InvalidArgumentError(
          "has one text for each example; pairs (data.text.second_columns) are read from tables "
          "and JSON lines");
    }
    if (options_.chat.has_value() && source_.layout != TextLayout::kJsonLines) {
      return absl::InvalidArgumentError(
          "conversations (data.chat) are read from JSON lines (.jsonl)");
    }
    switch (source_.layout) {
      case TextLayout::kTable:
        HONE_RETURN_IF_ERROR(ReadTable(stream));
        break;
      case TextLayout::kJsonLines:
        HONE_RETURN_IF_ERROR(
            ForEachLine(stream, [&](absl::string_view line, int64_t number) -> absl::Status {
              return ReadObject(line, number);
            }));
        break;
      case TextLayout::kLines:
        HONE_RETURN_IF_ERROR(
            ForEachLine(stream, [&](absl::string_view line, int64_t number) -> absl::Status {
              return Add({.text = std::string(line)}, source_.label, number);
            }));
        break;
      case TextLayout::kWhole: {
        HONE_ASSIGN_OR_RETURN(std::string text, ReadAll(stream, kMostRecordBytes));
        HONE_RETURN_IF_ERROR(Add({.text = std::move(text)}, source_.label, 0));
        break;
      }
    }
    return complaints_.status();
  }

 private:
  // The line is left out, and the others are looked at.
  absl::Status Complain(int64_t line, absl::string_view what) {
    complaints_.Add(
        {.line = line,
         .text = line > 0 ? absl::StrCat("line ", line, ": ", what) : std::string(what)});
    return absl::OkStatus();
  }

  absl::Status Add(ExampleTexts texts, absl::string_view label, int64_t line) {
    const size_t longest = std::max({texts.text.size(), texts.second.size(),
                                     texts.negative.has_value() ? texts.negative->size() : 0});
    if (longest > kMostTextBytes) {
      return Complain(
          line, absl::StrCat("the text has ", longest, " bytes; it may have ", kMostTextBytes));
    }
    if (label.size() > kMostTextBytes) {
      return Complain(line, absl::StrCat("the label has ", label.size(), " bytes; it may have ",
                                         kMostTextBytes));
    }
    if (labelled_ && !several_ && IsMissing(label)) {
      return Complain(line, "there is no label; each text must have one");
    }
    TextRow& row = rows_.rows.emplace_back();
    row.begin = spool_.size();
    row.file = static_cast<int32_t>(rows_.files.size()) - 1;
    row.line = line;
    row.part = source_.part;
    visit_(row, texts);
    row.label_bytes = static_cast<uint32_t>(label.size());
    row.text_bytes = static_cast<uint32_t>(texts.text.size());
    row.second_bytes = static_cast<uint32_t>(texts.second.size());
    for (const absl::string_view bytes :
         {label, absl::string_view(texts.text), absl::string_view("\n"),
          absl::string_view(texts.second)}) {
      HONE_RETURN_IF_ERROR(spool_.Append(bytes));
    }
    if (texts.negative.has_value()) {
      rows_.triples = true;
      row.negative_bytes = static_cast<uint32_t>(texts.negative->size());
      HONE_RETURN_IF_ERROR(spool_.Append("\n"));
      HONE_RETURN_IF_ERROR(spool_.Append(*texts.negative));
    }
    return absl::OkStatus();
  }

  absl::Status ReadTable(TextStream& stream) {
    TextColumns columns;
    return StreamCsv(
        [&](std::string& text) { return stream.Append(text); }, {.quotes_between_tabs = false},
        kMostRecordBytes,
        [&](const CsvHead& head) -> absl::Status {
          HONE_ASSIGN_OR_RETURN(columns, FindColumns(head.names, names_, label_, labelled_));
          return absl::OkStatus();
        },
        [&](const std::vector<std::string>& cells, int64_t line) -> absl::Status {
          const auto joined = [&](const std::vector<size_t>& of) {
            return absl::StrJoin(of, " ", [&](std::string* out, size_t column) {
              absl::StrAppend(out, cells[column]);
            });
          };
          absl::string_view label =
              columns.label.has_value() ? absl::string_view(cells[*columns.label]) : "";
          if (several_ && IsMissing(label)) {
            label = "";  // the text has none of the classes
          }
          ExampleTexts texts = {.text = joined(columns.text), .second = joined(columns.second)};
          if (!columns.negative.empty()) {
            texts.negative = joined(columns.negative);
          }
          return Add(std::move(texts), label, line);
        });
  }

  absl::Status ReadObject(absl::string_view line, int64_t number) {
    if (options_.chat.has_value()) {
      return Add({.text = std::string(line)}, "", number);
    }
    const absl::StatusOr<nlohmann::json> parsed = ParseJson(line);
    if (!parsed.ok()) {
      return Complain(number, parsed.status().message());
    }
    const nlohmann::json& object = *parsed;
    if (!object.is_object()) {
      return Complain(number, "must be a JSON object, with a text and a label");
    }
    std::vector<std::string> keys = names_.text;
    for (const absl::string_view name : kTextColumns) {
      if (keys.empty() && object.contains(std::string(name))) {
        keys.emplace_back(name);
      }
    }
    if (keys.empty()) {
      return Complain(number,
                      absl::StrCat("has none of the keys ", absl::StrJoin(kTextColumns, ", "),
                                   "; data.text.columns names others"));
    }
    absl::StatusOr<ExampleTexts> texts = TextsOf(object, keys);
    if (!texts.ok()) {
      return Complain(number, texts.status().message());
    }
    const auto label = object.find(label_.empty() ? std::string(kLabelColumn) : label_);
    if (several_) {
      if (label == object.end() || !IsListOfNames(*label)) {
        return Complain(
            number, absl::StrCat("must have a list of strings without '", options_.text->separator,
                                 "' under \"", label_.empty() ? kLabelColumn : label_, "\""));
      }
      return Add(*std::move(texts),
                 absl::StrJoin(label->get<std::vector<std::string>>(), options_.text->separator),
                 number);
    }
    const std::optional<std::string> cell = label == object.end() ? std::nullopt : CellOf(*label);
    return Add(*std::move(texts), cell.value_or(""), number);
  }

  // INVALID_ARGUMENT where it has not all of them, or a negative that those before have not.
  absl::StatusOr<ExampleTexts> TextsOf(const nlohmann::json& object,
                                       const std::vector<std::string>& keys) {
    const auto negative = object.find(kNegativeColumn);
    HONE_RETURN_IF_ERROR(SetNegatives(negative != object.end() && !negative->is_null(), names_));
    ExampleTexts texts;
    HONE_ASSIGN_OR_RETURN(texts.text, TextUnder(keys, "data.text.columns", object));
    HONE_ASSIGN_OR_RETURN(texts.second,
                          TextUnder(names_.second, "data.text.second_columns", object));
    if (!names_.negative.empty()) {
      HONE_ASSIGN_OR_RETURN(texts.negative,
                            TextUnder(names_.negative, "data.text.negative_columns", object));
    }
    return texts;
  }

  bool IsListOfNames(const nlohmann::json& label) const {
    return label.is_array() && std::ranges::all_of(label, [&](const nlohmann::json& name) {
             return name.is_string() && !absl::StrContains(name.get_ref<const std::string&>(),
                                                           options_.text->separator);
           });
  }

  const TextSource& source_;
  const LoadOptions& options_;
  TextNames& names_;  // of all files
  const std::string& label_;
  const bool labelled_;
  const bool several_;  // a text may have any number of labels
  TextVisit visit_;
  TextRows& rows_;
  Spool& spool_;
  Complaints complaints_;
};

}  // namespace

std::string TextRows::Where(const TextRow& row) const {
  const std::string& file = files[static_cast<size_t>(row.file)];
  return row.line == 0 ? file : absl::StrCat(file, " line ", row.line);
}

absl::StatusOr<TextRows> ReadTextRows(const std::string& path, const LoadOptions& options,
                                      TextVisit visit, DataReport& report) {
  HONE_ASSIGN_OR_RETURN(const TextFiles files, FindTextFiles(path, NeedsLabels(options)));
  TextRows rows;
  rows.format = files.format;
  TextNames names = NamesOf(options);
  const auto spool = std::make_shared<Spool>(options.stream, "the texts");
  const auto read = [&](const std::string& name, const TextSource& source,
                        ByteReader bytes) -> absl::Status {
    rows.files.push_back(name.empty() ? path : name);
    TextStream stream(bytes, options.text->encoding, options.stream.piece_bytes);
    TextReader reader(source, options, names, visit, rows, *spool);
    return stream.Annotated(reader.Read(stream),
                            name.empty() ? path : absl::StrCat(path, "/", name));
  };
  std::error_code error;
  if (std::filesystem::is_directory(path, error) || files.sources.contains("")) {
    for (const auto& [name, source] : files.sources) {
      HONE_ASSIGN_OR_RETURN(ByteSource file,
                            ByteSource::Open(name.empty() ? path : absl::StrCat(path, "/", name)));
      const auto bytes = [&](char* out, int64_t size) { return file.Read(out, size); };
      HONE_RETURN_IF_ERROR(read(name, source, bytes));
    }
  } else {
    const auto read_entry = [&](const TreeFile& file) -> absl::StatusOr<Visit> {
      if (const auto source = files.sources.find(file.name); source != files.sources.end()) {
        HONE_RETURN_IF_ERROR(read(file.name, source->second, file.read_some));
      }
      return Visit::kGoOn;
    };
    HONE_RETURN_IF_ERROR(ForEachFile(path, read_entry));
  }
  HONE_RETURN_IF_ERROR(spool->Finish());
  rows.spool = spool;
  if (!std::ranges::is_sorted(rows.rows, {}, &TextRow::part)) {
    std::ranges::stable_sort(rows.rows, {}, &TextRow::part);
  }
  report.examples_read = static_cast<int64_t>(rows.rows.size());
  if (files.unlabelled > 0) {
    report.Drop("of no class", "unsup", files.unlabelled);
  }
  return rows;
}

bool HasWords(absl::string_view text) {
  bool any = false;
  while (!text.empty() && !any) {
    any = !text::IsSpace(text::TakeCharacter(text));
  }
  return any;
}

}  // namespace hone::engine::data
