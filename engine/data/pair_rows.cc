#include "engine/data/pair_rows.h"

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/base/complaints.h"
#include "engine/base/csv.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/byte_source.h"
#include "engine/data/file_tree.h"
#include "engine/data/pair_files.h"
#include "engine/data/text_stream.h"

namespace hone::engine::data {
namespace {

constexpr size_t kMostSideBytes = size_t{1} << 20;
// What the sides are called where nobody says it.
constexpr absl::string_view kSourceColumn = "source";
constexpr absl::string_view kTargetColumn = "target";
constexpr absl::string_view kNoPair = "must be a sentence, a tab and its translation";

// Gives the next bytes of a file, as a ByteReader does.
using FileBytes = std::function<absl::StatusOr<int64_t>(char* out, int64_t size)>;

// The files that are read of a path, each from its begin as often as somebody asks.
class OpenPath {
 public:
  static absl::StatusOr<OpenPath> Open(const std::string& path, const PairFiles& files,
                                       const StreamOptions& stream) {
    OpenPath open(path);
    if (IsArchiveName(path)) {
      HONE_RETURN_IF_ERROR(open.SpoolEntries(files, stream));
    }
    return open;
  }

  std::string Where(const std::string& name) const {
    return name.empty() ? path_ : absl::StrCat(path_, "/", name);
  }

  absl::StatusOr<FileBytes> Read(const std::string& name) const {
    if (spool_ != nullptr) {
      const Entry& entry = entries_.at(name);
      absl::string_view rest = spool_->bytes().substr(static_cast<size_t>(entry.begin),
                                                      static_cast<size_t>(entry.bytes));
      return FileBytes([rest](char* out, int64_t size) mutable -> absl::StatusOr<int64_t> {
        const absl::string_view piece = rest.substr(0, static_cast<size_t>(size));
        std::ranges::copy(piece, out);
        rest.remove_prefix(piece.size());
        return static_cast<int64_t>(piece.size());
      });
    }
    HONE_ASSIGN_OR_RETURN(ByteSource source, ByteSource::Open(Where(name)));
    const auto file = std::make_shared<ByteSource>(std::move(source));
    return FileBytes([file](char* out, int64_t size) { return file->Read(out, size); });
  }

 private:
  struct Entry {  // of an archive, in spool_
    int64_t begin = 0;
    int64_t bytes = 0;
  };

  explicit OpenPath(std::string path) : path_(std::move(path)) {}

  absl::Status SpoolEntries(const PairFiles& files, const StreamOptions& stream) {
    for (const PairSource& source : files.sources) {
      entries_[source.file];
      if (!source.beside.empty()) {
        entries_[source.beside];
      }
    }
    const auto spool = std::make_shared<Spool>(stream, "the archive's files");
    std::string piece(static_cast<size_t>(stream.piece_bytes), '\0');
    const auto keep = [&](const TreeFile& file) -> absl::StatusOr<Visit> {
      const auto wanted = entries_.find(file.name);
      if (wanted == entries_.end()) {
        return Visit::kGoOn;
      }
      wanted->second.begin = spool->size();
      for (int64_t got = stream.piece_bytes; got == stream.piece_bytes;) {
        HONE_ASSIGN_OR_RETURN(got, file.read_some(piece.data(), stream.piece_bytes));
        HONE_RETURN_IF_ERROR(
            spool->Append(absl::string_view(piece).substr(0, static_cast<size_t>(got))));
      }
      wanted->second.bytes = spool->size() - wanted->second.begin;
      return Visit::kGoOn;
    };
    HONE_RETURN_IF_ERROR(ForEachFile(path_, keep));
    HONE_RETURN_IF_ERROR(spool->Finish());
    spool_ = spool;
    return absl::OkStatus();
  }

  std::string path_;
  std::map<std::string, Entry> entries_;
  std::shared_ptr<const Spool> spool_;
};

// A file as text, and what it is called in errors.
class TextFile {
 public:
  TextFile(std::string where, FileBytes bytes, const PairOptions& options,
           const StreamOptions& stream)
      : where_(std::move(where)),
        bytes_(std::move(bytes)),
        stream_(bytes_, options.encoding, stream.piece_bytes) {}
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  TextStream& stream() { return stream_; }
  absl::Status Annotated(const absl::Status& status) const {
    return stream_.Annotated(status, where_);
  }

 private:
  std::string where_;
  FileBytes bytes_;
  TextStream stream_;
};

// Makes rows of one file, or of two.
class PairReader {
 public:
  PairReader(const PairSource& source, const PairOptions& options, PairVisit visit, PairRows& rows,
             Spool& spool)
      : source_(source), options_(options), visit_(visit), rows_(rows), spool_(spool) {}

  // Errors name the file.
  absl::Status Read(TextFile& file) { return file.Annotated(ReadAlone(file.stream())); }

  absl::Status ReadParallel(TextFile& file, TextFile& beside) {
    LineReader sources(file.stream()), targets(beside.stream());
    for (bool source = true, target = true; source || target;) {
      if (source) {
        const absl::StatusOr<bool> any = sources.Next();
        HONE_RETURN_IF_ERROR(file.Annotated(any.status()));
        source = *any;
      }
      if (target) {
        const absl::StatusOr<bool> any = targets.Next();
        HONE_RETURN_IF_ERROR(beside.Annotated(any.status()));
        target = *any;
      }
      if (source && target) {
        HONE_RETURN_IF_ERROR(Add(sources.line(), targets.line(), sources.number()));
      }
    }
    return file.Annotated(CheckLines(sources.number(), targets.number()));
  }

 private:
  std::string NameOr(const std::string& name, absl::string_view otherwise) const {
    return name.empty() ? std::string(otherwise) : name;
  }

  // The line is left out, and the others are looked at.
  absl::Status Complain(int64_t line, absl::string_view what) {
    complaints_.Add({.line = line, .text = absl::StrCat("line ", line, ": ", what)});
    return absl::OkStatus();
  }

  static absl::Status IsEmpty() {
    return absl::InvalidArgumentError("is empty; it must hold sentences and their translations");
  }

  absl::Status Add(absl::string_view source, absl::string_view target, int64_t line) {
    for (const absl::string_view side : {source, target}) {
      if (side.size() > kMostSideBytes) {
        return Complain(line, absl::StrCat("a sentence has ", side.size(), " bytes; it may have ",
                                           kMostSideBytes));
      }
    }
    std::string sides[] = {std::string(source), std::string(target)};
    PairRow& row = rows_.rows.emplace_back();
    row.begin = spool_.size();
    row.file = static_cast<int32_t>(rows_.files.size()) - 1;
    row.line = line;
    row.part = source_.part;
    visit_(row, sides[0], sides[1]);
    row.source_bytes = static_cast<uint32_t>(sides[0].size());
    row.target_bytes = static_cast<uint32_t>(sides[1].size());
    for (const absl::string_view bytes :
         {absl::string_view(sides[0]), absl::string_view("\n"), absl::string_view(sides[1])}) {
      HONE_RETURN_IF_ERROR(spool_.Append(bytes));
    }
    return absl::OkStatus();
  }

  absl::Status ReadAlone(TextStream& stream) {
    if (source_.layout == PairLayout::kTable) {
      HONE_RETURN_IF_ERROR(ReadTable(stream));
    } else if (source_.layout == PairLayout::kJsonLines) {
      HONE_RETURN_IF_ERROR(ReadLines(stream, [&](absl::string_view line, int64_t number) {
        return ReadObject(line, number);
      }));
    } else {
      HONE_RETURN_IF_ERROR(ReadTabs(stream));
    }
    return complaints_.status();
  }

  template <typename Names>
  absl::StatusOr<size_t> Find(const Names& names, absl::string_view wanted,
                              absl::string_view field) const {
    const auto found = std::ranges::find(names, wanted);
    if (found == names.end()) {
      return absl::InvalidArgumentError(absl::StrCat("there is no column '", wanted,
                                                     "' (data.pairs.", field, "); the columns are ",
                                                     CutUtf8(absl::StrJoin(names, ", "), 400)));
    }
    return static_cast<size_t>(found - names.begin());
  }

  absl::Status ReadTable(TextStream& stream) {
    bool any = false, ended = false;
    const auto next = [&](std::string& text) -> absl::StatusOr<bool> {
      const size_t before = text.size();
      const absl::StatusOr<bool> more = stream.Append(text);
      any = any || text.size() > before;
      ended = more.ok() && !*more;
      return more;
    };
    size_t source = 0, target = 0;
    const auto find = [&](const CsvHead& head) -> absl::Status {
      const bool numbered = !head.has_header;
      HONE_ASSIGN_OR_RETURN(
          source, Find(head.names, NameOr(options_.source, numbered ? "column_1" : kSourceColumn),
                       kSourceColumn));
      HONE_ASSIGN_OR_RETURN(
          target, Find(head.names, NameOr(options_.target, numbered ? "column_2" : kTargetColumn),
                       kTargetColumn));
      return absl::OkStatus();
    };
    const auto add = [&](const std::vector<std::string>& cells, int64_t line) {
      return Add(cells[source], cells[target], line);
    };
    const absl::Status read =
        StreamCsv(next, {.quotes_between_tabs = false}, kMostRecordBytes, find, add);
    return ended && !any ? IsEmpty() : read;
  }

  absl::Status ReadLines(
      TextStream& stream,
      absl::FunctionRef<absl::Status(absl::string_view line, int64_t number)> visit) {
    bool any = false;
    HONE_RETURN_IF_ERROR(ForEachLine(stream, [&](absl::string_view line, int64_t number) {
      any = true;
      return visit(line, number);
    }));
    return any ? absl::OkStatus() : IsEmpty();
  }

  // A line without words, which is no pair, counts as one without words where these leave.
  absl::Status Blank(int64_t number) {
    return options_.drop_empty
               ? Add("", "", number)
               : Complain(number, "is blank; data.pairs.drop_empty: true leaves such lines out");
  }

  // Where the sides stand in a line.
  struct Tabs {
    bool headed = false;  // the first line with words has the columns' names
    size_t source = 0;
    size_t target = 0;
  };

  absl::StatusOr<Tabs> FindTabs(absl::string_view first_line, int64_t number) {
    std::vector<std::string> names = absl::StrSplit(first_line, '\t');
    const auto has = [&](absl::string_view name) {
      return std::ranges::find(names, name) != names.end();
    };
    Tabs tabs;
    tabs.headed =
        has(NameOr(options_.source, kSourceColumn)) && has(NameOr(options_.target, kTargetColumn));
    if (!tabs.headed && names.size() < 2) {
      HONE_RETURN_IF_ERROR(Complain(number, kNoPair));
      return complaints_.status();
    }
    for (size_t i = 0; i < names.size() && !tabs.headed; ++i) {
      names[i] = absl::StrCat("column_", i + 1);
    }
    HONE_ASSIGN_OR_RETURN(
        tabs.source, Find(names, NameOr(options_.source, tabs.headed ? kSourceColumn : "column_1"),
                          kSourceColumn));
    HONE_ASSIGN_OR_RETURN(
        tabs.target, Find(names, NameOr(options_.target, tabs.headed ? kTargetColumn : "column_2"),
                          kTargetColumn));
    return tabs;
  }

  absl::Status ReadTabs(TextStream& stream) {
    std::optional<Tabs> tabs;  // by the first line with words
    int64_t blank = 0;         // lines before it
    const auto read = [&](absl::string_view line, int64_t number) -> absl::Status {
      const bool has_words = HasWords(line);
      if (!tabs.has_value()) {
        if (!has_words) {
          ++blank;
          return absl::OkStatus();
        }
        HONE_ASSIGN_OR_RETURN(tabs, FindTabs(line, number));
        for (int64_t before = 1; before <= blank; ++before) {
          HONE_RETURN_IF_ERROR(Blank(before));
        }
        if (tabs->headed) {
          return absl::OkStatus();
        }
      }
      if (!has_words) {
        return Blank(number);
      }
      const std::vector<absl::string_view> cells = absl::StrSplit(line, '\t');
      if (cells.size() <= std::max(tabs->source, tabs->target)) {
        return Complain(number, kNoPair);
      }
      return Add(cells[tabs->source], cells[tabs->target], number);
    };
    HONE_RETURN_IF_ERROR(ReadLines(stream, read));
    return tabs.has_value() ? absl::OkStatus()
                            : Complain(1,
                                       "is blank, as all lines are; each must be a sentence, a tab "
                                       "and its translation");
  }

  absl::Status ReadObject(absl::string_view line, int64_t number) {
    if (!HasWords(line)) {
      return Blank(number);
    }
    const absl::StatusOr<nlohmann::json> parsed = ParseJson(line);
    if (!parsed.ok()) {
      return Complain(number, parsed.status().message());
    }
    const nlohmann::json& object = *parsed;
    if (!object.is_object()) {
      return Complain(number, "must be a JSON object, with a sentence and its translation");
    }
    const auto inner = object.find("translation");
    const nlohmann::json& pair = inner != object.end() && inner->is_object() ? *inner : object;
    const std::string keys[] = {NameOr(options_.source, kSourceColumn),
                                NameOr(options_.target, kTargetColumn)};
    std::string sides[2];
    for (size_t side = 0; side < 2; ++side) {
      const auto found = pair.find(keys[side]);
      if (found == pair.end() || !found->is_string()) {
        return Complain(number,
                        absl::StrCat("must have a string under \"", keys[side], "\" (data.pairs.",
                                     side == 0 ? kSourceColumn : kTargetColumn, ")"));
      }
      sides[side] = found->get<std::string>();
    }
    return Add(sides[0], sides[1], number);
  }

  // What is to be said of two parallel files once they have been read.
  absl::Status CheckLines(int64_t sources, int64_t targets) const {
    if (sources == 0 && targets == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("is empty, as ", source_.beside,
                       " is; each line must be a sentence, with its translation in the same line "
                       "of the other file"));
    }
    if (sources != targets) {
      return absl::InvalidArgumentError(
          absl::StrCat("has ", sources, " lines, and ", source_.beside, " has ", targets,
                       "; each line must have its translation in the same line of the other file"));
    }
    return complaints_.status();
  }

  const PairSource& source_;
  const PairOptions& options_;
  PairVisit visit_;
  PairRows& rows_;
  Spool& spool_;
  Complaints complaints_;
};

}  // namespace

std::string PairRows::Where(const PairRow& row) const {
  return absl::StrCat(files[static_cast<size_t>(row.file)], " line ", row.line);
}

absl::StatusOr<PairRows> ReadPairRows(const std::string& path, const PairOptions& options,
                                      const StreamOptions& stream, PairVisit visit) {
  HONE_ASSIGN_OR_RETURN(const PairFiles files, FindPairFiles(path, options));
  HONE_ASSIGN_OR_RETURN(const OpenPath open, OpenPath::Open(path, files, stream));
  PairRows rows;
  rows.format = files.format;
  rows.files_left_out = files.left_out;
  const auto spool = std::make_shared<Spool>(stream, "the pairs");
  for (const PairSource& source : files.sources) {
    rows.files.push_back(source.file.empty() ? path : source.file);
    PairReader reader(source, options, visit, rows, *spool);
    HONE_ASSIGN_OR_RETURN(FileBytes bytes, open.Read(source.file));
    TextFile file(open.Where(source.file), std::move(bytes), options, stream);
    if (source.layout != PairLayout::kParallel) {
      HONE_RETURN_IF_ERROR(reader.Read(file));
      continue;
    }
    HONE_ASSIGN_OR_RETURN(FileBytes bytes_beside, open.Read(source.beside));
    TextFile beside(open.Where(source.beside), std::move(bytes_beside), options, stream);
    HONE_RETURN_IF_ERROR(reader.ReadParallel(file, beside));
  }
  HONE_RETURN_IF_ERROR(spool->Finish());
  rows.spool = spool;
  if (!std::ranges::is_sorted(rows.rows, {}, &PairRow::part)) {
    std::ranges::stable_sort(rows.rows, {}, &PairRow::part);
  }
  return rows;
}

}  // namespace hone::engine::data
