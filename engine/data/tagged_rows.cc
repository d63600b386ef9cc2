#include "engine/data/tagged_rows.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/complaints.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/data/byte_source.h"
#include "engine/data/file_tree.h"
#include "engine/data/text_files.h"
#include "engine/data/text_stream.h"

namespace hone::engine::data {
namespace {

constexpr size_t kMostWords = size_t{1} << 16;  // of a sentence
constexpr absl::string_view kDocument = "-DOCSTART-";

bool IsJsonLines(absl::string_view name) {
  name = WithoutGz(name);
  return absl::EndsWithIgnoreCase(name, ".jsonl") || absl::EndsWithIgnoreCase(name, ".ndjson");
}

// The part that a file of this name is; nullopt: none.
std::optional<Part> PartOfFile(absl::string_view name) {
  name = name.substr(name.rfind('/') + 1);
  return PartOf(name.substr(0, name.find('.')));
}

// The strings of a list; nothing where it is none, or holds anything but strings and numbers.
std::optional<std::vector<std::string>> StringsOf(const nlohmann::json& object,
                                                  const std::string& key) {
  const auto list = object.find(key);
  if (list == object.end() || !list->is_array()) {
    return std::nullopt;
  }
  std::vector<std::string> strings;
  for (const nlohmann::json& item : *list) {
    if (item.is_string()) {
      strings.push_back(item.get<std::string>());
    } else if (item.is_number()) {
      strings.push_back(item.dump());
    } else {
      return std::nullopt;
    }
  }
  return strings;
}

// Makes rows of one file.
class TagReader {
 public:
  TagReader(const LoadOptions& options, Part part, TaggedRows& rows)
      : words_key_(options.text->columns.empty() ? "tokens" : options.text->columns[0]),
        tags_key_(options.target.empty() ? "tags" : options.target),
        part_(part),
        rows_(rows) {}

  absl::Status Read(TextStream& stream, bool json_lines) {
    HONE_RETURN_IF_ERROR(
        ForEachLine(stream, [&](absl::string_view line, int64_t number) -> absl::Status {
          if (json_lines) {
            ReadObject(line, number);
          } else {
            ReadWord(line, number);
          }
          return absl::OkStatus();
        }));
    End();
    return complaints_.status();
  }

 private:
  void Complain(int64_t line, absl::string_view what) {
    complaints_.Add({.line = line, .text = absl::StrCat("line ", line, ": ", what)});
  }

  // Ends the sentence that has been begun.
  void End() {
    if (!sentence_.words.empty()) {
      sentence_.part = part_;
      sentence_.file = static_cast<int32_t>(rows_.files.size()) - 1;
      rows_.rows.push_back(std::move(sentence_));
    }
    sentence_ = {};
  }

  void ReadWord(absl::string_view line, int64_t number) {
    if (absl::StripAsciiWhitespace(line).empty()) {
      return End();
    }
    if (absl::StartsWith(line, kDocument)) {
      return End();
    }
    const std::vector<absl::string_view> columns =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (columns.size() < 2) {
      return Complain(number, "must be a word and its tag, with a space or a tabulator between");
    }
    if (sentence_.words.size() >= kMostWords) {
      return Complain(number, absl::StrCat("the sentence has more than ", kMostWords,
                                           " words; an empty line ends one"));
    }
    sentence_.line = sentence_.words.empty() ? number : sentence_.line;
    sentence_.words.emplace_back(columns.front());
    sentence_.tags.emplace_back(columns.back());
  }

  void ReadObject(absl::string_view line, int64_t number) {
    const absl::StatusOr<nlohmann::json> object = ParseJsonObject(line);
    if (!object.ok()) {
      return Complain(number, object.status().message());
    }
    std::optional<std::vector<std::string>> words = StringsOf(*object, words_key_);
    std::optional<std::vector<std::string>> tags = StringsOf(*object, tags_key_);
    if (!words.has_value() || !tags.has_value()) {
      return Complain(number, absl::StrCat("must have a list of strings under \"",
                                           words.has_value() ? tags_key_ : words_key_,
                                           words.has_value() ? "\" (data.text.label)"
                                                             : "\" (data.text.columns)"));
    }
    if (words->size() != tags->size() || words->empty() || words->size() > kMostWords) {
      return Complain(number, absl::StrCat("has ", words->size(), " words and ", tags->size(),
                                           " tags; there must be as many, 1 to ", kMostWords));
    }
    sentence_ = {.words = *std::move(words), .tags = *std::move(tags), .line = number};
    End();
  }

  const std::string words_key_;
  const std::string tags_key_;
  const Part part_;
  TaggedRows& rows_;
  TaggedRow sentence_ = {};
  Complaints complaints_;
};

absl::Status ReadFile(const LoadOptions& options, const std::string& path, const std::string& name,
                      Part part, ByteReader bytes, TaggedRows& rows) {
  rows.files.push_back(name.empty() ? path : name);
  TextStream stream(bytes, options.text->encoding, options.stream.piece_bytes);
  TagReader reader(options, part, rows);
  const bool json_lines = IsJsonLines(name.empty() ? path : name);
  rows.format = json_lines ? "tagged sentences as JSON lines" : "tagged sentences (CoNLL)";
  return stream.Annotated(reader.Read(stream, json_lines),
                          name.empty() ? path : absl::StrCat(path, "/", name));
}

absl::Status ReadPart(const std::string& path, const LoadOptions& options, Part part,
                      const TreeFile& file, TaggedRows& rows) {
  if (!absl::EndsWithIgnoreCase(file.name, ".gz") || IsArchiveName(path)) {
    return ReadFile(options, path, file.name, part, file.read_some, rows);
  }
  HONE_ASSIGN_OR_RETURN(ByteSource source, ByteSource::Open(absl::StrCat(path, "/", file.name)));
  const auto bytes = [&](char* out, int64_t size) { return source.Read(out, size); };
  return ReadFile(options, path, file.name, part, bytes, rows);
}

absl::Status ReadParts(const std::string& path, const LoadOptions& options, TaggedRows& rows) {
  std::map<Part, std::string> files;
  const auto visit = [&](const TreeFile& file) -> absl::StatusOr<Visit> {
    const std::optional<Part> part = PartOfFile(file.name);
    if (!part.has_value()) {
      return Visit::kGoOn;
    }
    if (const auto [other, is_new] = files.try_emplace(*part, file.name); !is_new) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", other->second, " and ", file.name,
                                                     " are the same part; remove one of them"));
    }
    HONE_RETURN_IF_ERROR(ReadPart(path, options, *part, file, rows));
    return Visit::kGoOn;
  };
  HONE_RETURN_IF_ERROR(ForEachFile(path, visit));
  if (!files.contains(Part::kTrain)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        ": has no training part; tagged sentences are read from a file with a word and its tag a "
        "line, JSON lines, or a folder or tar of such files called train, validation and test"));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsTaggedFileName(const std::string& name) {
  constexpr absl::string_view kEnds[] = {".conll", ".bio", ".iob", ".iob2"};
  return std::ranges::any_of(
      kEnds, [&](absl::string_view end) { return absl::EndsWithIgnoreCase(WithoutGz(name), end); });
}

std::string TaggedRows::Where(const TaggedRow& row) const {
  return absl::StrCat(files[static_cast<size_t>(row.file)], " line ", row.line);
}

absl::StatusOr<TaggedRows> ReadTaggedRows(const std::string& path, const LoadOptions& options) {
  TaggedRows rows;
  std::error_code error;
  if (std::filesystem::is_directory(path, error) || IsArchiveName(path)) {
    HONE_RETURN_IF_ERROR(ReadParts(path, options, rows));
  } else {
    HONE_ASSIGN_OR_RETURN(ByteSource source, ByteSource::Open(path));
    const auto bytes = [&](char* out, int64_t size) { return source.Read(out, size); };
    HONE_RETURN_IF_ERROR(ReadFile(options, path, "", Part::kTrain, bytes, rows));
  }
  std::ranges::stable_sort(rows.rows, {}, &TaggedRow::part);
  return rows;
}

}  // namespace hone::engine::data
