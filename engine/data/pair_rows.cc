#include "engine/data/pair_rows.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/complaints.h"
#include "engine/base/csv.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/byte_source.h"
#include "engine/data/file_tree.h"
#include "engine/data/text_files.h"
#include "engine/data/text_stream.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kMostFileBytes = int64_t{2} << 30;
constexpr size_t kMostTextBytes = size_t{1} << 20;
// What the sides are called where nobody says it.
constexpr absl::string_view kSource = "source";
constexpr absl::string_view kTarget = "target";
constexpr absl::string_view kNoPair = "must be a sentence, a tab and its translation";

enum class Layout { kTable, kJsonLines, kTabs, kParallel };

// A file's name: "data/train.lc.en.gz" is "data/train.lc", "train.lc" and "en".
struct Name {
  std::string before_end;
  std::string stem;
  std::string end;
};

Name Parse(absl::string_view path) {
  if (absl::EndsWithIgnoreCase(path, ".gz")) {
    path.remove_suffix(3);
  }
  const size_t slash = path.rfind('/');
  const size_t begin = slash == absl::string_view::npos ? 0 : slash + 1;
  const size_t dot = path.rfind('.');
  const size_t end = dot == absl::string_view::npos || dot < begin ? path.size() : dot;
  return {.before_end = std::string(path.substr(0, end)),
          .stem = std::string(path.substr(begin, end - begin)),
          .end = std::string(absl::StripPrefix(path.substr(end), "."))};
}

// The part that a stem begins with: "test" of "test_2016_flickr".
std::optional<Part> PartIn(absl::string_view stem) {
  return PartOf(stem.substr(0, stem.find_first_of("._-")));
}

// The layout of a file that has pairs; nullopt where its name says nothing.
std::optional<Layout> LayoutOf(const Name& name) {
  const std::string end = absl::AsciiStrToLower(name.end);
  if (end == "csv") {
    return Layout::kTable;
  }
  if (end == "jsonl" || end == "ndjson") {
    return Layout::kJsonLines;
  }
  if (end == "tsv" || end == "txt") {
    return Layout::kTabs;
  }
  return std::nullopt;
}

struct Source {
  Layout layout = Layout::kTabs;
  Part part = Part::kTrain;
  std::string file;    // of both sides, or of the source
  std::string beside;  // of the target
};

struct Plan {
  std::string format;
  std::vector<Source> sources;
};

absl::Status CheckParts(const std::vector<Source>& sources) {
  std::map<Part, std::string> files;
  for (const Source& source : sources) {
    if (const auto [other, is_new] = files.try_emplace(source.part, source.file); !is_new) {
      return absl::InvalidArgumentError(absl::StrCat(other->second, " and ", source.file,
                                                     " are the same part; remove one of them"));
    }
  }
  if (!files.contains(Part::kTrain)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has ", files.begin()->second, ", but no training part: a file called train is missing"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Plan> PlanParts(const std::vector<std::string>& names) {
  Plan plan = {.format = "sentence pairs in parts", .sources = {}};
  for (const std::string& file : names) {
    const Name name = Parse(file);
    const std::optional<Layout> layout = LayoutOf(name);
    const std::optional<Part> part = PartIn(name.stem);
    if (layout && part) {
      plan.sources.push_back({.layout = *layout, .part = *part, .file = file, .beside = ""});
    }
  }
  if (!plan.sources.empty()) {
    HONE_RETURN_IF_ERROR(CheckParts(plan.sources));
  }
  return plan;
}

// Files that are no pairs by themselves.
struct Sides {
  std::map<std::string, std::map<std::string, std::string>> by_stem;  // file by end
  std::set<std::string> ends;  // of those that have another one beside them
};

absl::StatusOr<Sides> FindSides(const std::vector<std::string>& names) {
  Sides sides;
  for (const std::string& file : names) {
    const Name name = Parse(file);
    if (name.end.empty() || LayoutOf(name)) {
      continue;
    }
    const auto [other, is_new] = sides.by_stem[name.before_end].try_emplace(name.end, file);
    if (!is_new) {
      return absl::InvalidArgumentError(absl::StrCat(other->second, " and ", file,
                                                     " are the same file, one of them compressed; "
                                                     "remove one of them"));
    }
  }
  for (const auto& [stem, files] : sides.by_stem) {
    for (const auto& [end, file] : files) {
      if (files.size() > 1) {
        sides.ends.insert(end);
      }
    }
  }
  return sides;
}

absl::StatusOr<Plan> PlanParallel(const std::vector<std::string>& names,
                                  const PairOptions& options) {
  HONE_ASSIGN_OR_RETURN(const Sides sides, FindSides(names));
  const auto& [by_stem, ends] = sides;
  Plan plan = {.format = "sentence pairs in parallel files", .sources = {}};
  if (ends.empty()) {
    return plan;
  }
  if (options.source.empty() || options.target.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("which files are the sources, and which their translations? Set "
                     "data.pairs.source and data.pairs.target to how their names end: ",
                     absl::StrJoin(ends, ", ")));
  }
  bool in_parts = false;
  for (const auto& [stem, files] : by_stem) {
    const auto source = files.find(options.source), target = files.find(options.target);
    const std::optional<Part> part = PartIn(Parse(stem + ".x").stem);
    if (source == files.end() || target == files.end()) {
      if (part && (source != files.end() || target != files.end())) {
        const bool lacks_source = source == files.end();
        return absl::InvalidArgumentError(absl::StrCat(
            lacks_source ? target->second : source->second, " stands alone; ", stem, ".",
            lacks_source ? options.source : options.target, " is missing beside it"));
      }
      continue;
    }
    in_parts |= part.has_value();
    plan.sources.push_back({.layout = Layout::kParallel,
                            .part = part.value_or(Part::kTrain),
                            .file = source->second,
                            .beside = target->second});
  }
  if (plan.sources.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("has no two files beside each other that end in .", options.source, " and .",
                     options.target, " (data.pairs.source, data.pairs.target); the ends found are ",
                     absl::StrJoin(ends, ", ")));
  }
  if (in_parts) {
    std::erase_if(plan.sources,
                  [](const Source& source) { return !PartIn(Parse(source.file).stem); });
    HONE_RETURN_IF_ERROR(CheckParts(plan.sources));
  }
  return plan;
}

absl::StatusOr<Plan> PlanTree(const std::vector<std::string>& names, const PairOptions& options) {
  HONE_ASSIGN_OR_RETURN(Plan plan, PlanParts(names));
  if (plan.sources.empty()) {
    HONE_ASSIGN_OR_RETURN(plan, PlanParallel(names, options));
  }
  if (plan.sources.empty()) {
    return absl::InvalidArgumentError(
        "holds no sentence pairs; these are read: a file with a pair a line and a tab between its "
        "sides, a table (.csv) or JSON lines (.jsonl), a folder or tar of them called train, "
        "validation and test, or of files beside each other, as train.en and train.fr");
  }
  return plan;
}

template <typename OnLine>
void ForEachLine(absl::string_view contents, const OnLine& on_line) {
  for (int64_t number = 1; !contents.empty(); ++number) {
    const size_t end = std::min(contents.find('\n'), contents.size());
    on_line(absl::StripSuffix(contents.substr(0, end), "\r"), number);
    contents.remove_prefix(std::min(end + 1, contents.size()));
  }
}

std::vector<absl::string_view> LinesOf(absl::string_view contents) {
  std::vector<absl::string_view> lines;
  ForEachLine(contents, [&](absl::string_view line, int64_t) { lines.push_back(line); });
  return lines;
}

// Makes rows of one file, or of two.
class FileReader {
 public:
  FileReader(const Source& source, const PairOptions& options, PairRows& rows)
      : source_(source), options_(options), rows_(rows) {}

  absl::Status Read(const std::string& contents, const std::string& beside) {
    if (contents.empty() && beside.empty()) {
      return absl::InvalidArgumentError(
          source_.beside.empty()
              ? "is empty; it must hold sentences and their translations"
              : absl::StrCat("is empty, as ", source_.beside,
                             " is; each line must be a sentence, with its translation in the same "
                             "line of the other file"));
    }
    switch (source_.layout) {
      case Layout::kTable:
        HONE_RETURN_IF_ERROR(ReadTable(contents));
        break;
      case Layout::kJsonLines:
        ForEachLine(contents,
                    [&](absl::string_view line, int64_t number) { ReadObject(line, number); });
        break;
      case Layout::kTabs:
        HONE_RETURN_IF_ERROR(ReadTabs(contents));
        break;
      case Layout::kParallel:
        HONE_RETURN_IF_ERROR(ReadParallel(contents, beside));
        break;
    }
    return complaints_.status();
  }

 private:
  std::string NameOr(const std::string& name, absl::string_view otherwise) const {
    return name.empty() ? std::string(otherwise) : name;
  }

  void Complain(int64_t line, absl::string_view what) {
    complaints_.Add({.line = line, .text = absl::StrCat("line ", line, ": ", what)});
  }

  void Add(absl::string_view source, absl::string_view target, int64_t line) {
    for (const absl::string_view side : {source, target}) {
      if (side.size() > kMostTextBytes) {
        return Complain(line, absl::StrCat("a sentence has ", side.size(), " bytes; it may have ",
                                           kMostTextBytes));
      }
    }
    rows_.rows.push_back({.source = std::string(source),
                          .target = std::string(target),
                          .part = source_.part,
                          .file = static_cast<int32_t>(rows_.files.size()) - 1,
                          .line = line});
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

  absl::Status ReadTable(const std::string& contents) {
    HONE_ASSIGN_OR_RETURN(const CsvTable table, OpenCsv(contents, {.quotes_between_tabs = false}));
    const bool numbered = !table.has_header;
    HONE_ASSIGN_OR_RETURN(
        const size_t source,
        Find(table.names, NameOr(options_.source, numbered ? "column_1" : kSource), kSource));
    HONE_ASSIGN_OR_RETURN(
        const size_t target,
        Find(table.names, NameOr(options_.target, numbered ? "column_2" : kTarget), kTarget));
    return ForEachRecord(table, [&](const std::vector<std::string>& cells, int64_t line) {
      Add(cells[source], cells[target], line);
    });
  }

  // A line without words, which is no pair, counts as one without words where these leave.
  bool Blank(absl::string_view line, int64_t number) {
    if (HasWords(line)) {
      return false;
    }
    if (options_.drop_empty) {
      Add("", "", number);
    } else {
      Complain(number, "is blank; data.pairs.drop_empty: true leaves such lines out");
    }
    return true;
  }

  absl::Status ReadTabs(absl::string_view contents) {
    int64_t first_number = 0;  // of the first line with words
    std::vector<std::string> names;
    ForEachLine(contents, [&](absl::string_view line, int64_t number) {
      if (first_number == 0 && HasWords(line)) {
        first_number = number;
        names = absl::StrSplit(line, '\t');
      }
    });
    const auto has = [&](absl::string_view name) {
      return std::ranges::find(names, name) != names.end();
    };
    const bool headed =
        has(NameOr(options_.source, kSource)) && has(NameOr(options_.target, kTarget));
    for (size_t i = 0; i < names.size() && !headed; ++i) {
      names[i] = absl::StrCat("column_", i + 1);
    }
    if (!headed && names.size() < 2) {
      if (first_number == 0) {
        Complain(1,
                 "is blank, as all lines are; each must be a sentence, a tab and its translation");
      } else {
        Complain(first_number, kNoPair);
      }
      return absl::OkStatus();
    }
    HONE_ASSIGN_OR_RETURN(
        const size_t source,
        Find(names, NameOr(options_.source, headed ? kSource : "column_1"), kSource));
    HONE_ASSIGN_OR_RETURN(
        const size_t target,
        Find(names, NameOr(options_.target, headed ? kTarget : "column_2"), kTarget));
    ForEachLine(contents, [&](absl::string_view line, int64_t number) {
      if (Blank(line, number) || (headed && number == first_number)) {
        return;
      }
      const std::vector<absl::string_view> cells = absl::StrSplit(line, '\t');
      if (cells.size() <= std::max(source, target)) {
        return Complain(number, kNoPair);
      }
      Add(cells[source], cells[target], number);
    });
    return absl::OkStatus();
  }

  void ReadObject(absl::string_view line, int64_t number) {
    if (Blank(line, number)) {
      return;
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
    const std::string keys[] = {NameOr(options_.source, kSource), NameOr(options_.target, kTarget)};
    std::string sides[2];
    for (size_t side = 0; side < 2; ++side) {
      const auto found = pair.find(keys[side]);
      if (found == pair.end() || !found->is_string()) {
        return Complain(number,
                        absl::StrCat("must have a string under \"", keys[side], "\" (data.pairs.",
                                     side == 0 ? kSource : kTarget, ")"));
      }
      sides[side] = found->get<std::string>();
    }
    Add(sides[0], sides[1], number);
  }

  absl::Status ReadParallel(absl::string_view contents, absl::string_view beside) {
    const std::vector<absl::string_view> sources = LinesOf(contents), targets = LinesOf(beside);
    if (sources.size() != targets.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "has ", sources.size(), " lines, and ", source_.beside, " has ", targets.size(),
          "; each line must have its translation in the same line of the other file"));
    }
    for (size_t i = 0; i < sources.size(); ++i) {
      Add(sources[i], targets[i], static_cast<int64_t>(i) + 1);
    }
    return absl::OkStatus();
  }

  const Source& source_;
  const PairOptions& options_;
  PairRows& rows_;
  Complaints complaints_;
};

// The files of a tree by their names, those of an archive only where they are wanted.
absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& path) {
  const bool archive = IsArchiveName(path);
  std::vector<std::string> names;
  HONE_RETURN_IF_ERROR(ForEachFile(path, [&](const TreeFile& file) -> absl::StatusOr<Visit> {
    if (!archive || !absl::EndsWithIgnoreCase(file.name, ".gz")) {
      names.push_back(file.name);
    }
    return Visit::kGoOn;
  }));
  std::ranges::sort(names);
  return names;
}

absl::Status ReadTree(const std::string& path, const PairOptions& options, PairRows& rows) {
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(path));
  absl::StatusOr<Plan> plan = PlanTree(names, options);
  HONE_RETURN_IF_ERROR(Annotate(plan.status(), path));
  std::map<std::string, std::string> contents;
  for (const Source& source : plan->sources) {
    contents[source.file];
    if (!source.beside.empty()) {
      contents[source.beside];
    }
  }
  const bool archive = IsArchiveName(path);
  const auto visit = [&](const TreeFile& file) -> absl::StatusOr<Visit> {
    const auto wanted = contents.find(file.name);
    if (wanted == contents.end()) {
      return Visit::kGoOn;
    }
    const std::string where = absl::StrCat(path, "/", file.name);
    absl::StatusOr<std::string> bytes =
        archive ? file.read(kMostFileBytes) : ReadText(where, kMostFileBytes);
    HONE_RETURN_IF_ERROR(bytes.status());
    absl::StatusOr<std::string> text = DecodeText(*std::move(bytes), options.encoding);
    // Of an archive the visit's errors name the path and the entry.
    HONE_RETURN_IF_ERROR(archive ? text.status() : Annotate(text.status(), where));
    wanted->second = *std::move(text);
    return Visit::kGoOn;
  };
  HONE_RETURN_IF_ERROR(ForEachFile(path, visit));
  for (const Source& source : plan->sources) {
    rows.files.push_back(source.file);
    FileReader reader(source, options, rows);
    HONE_RETURN_IF_ERROR(Annotate(
        reader.Read(contents[source.file], source.beside.empty() ? "" : contents[source.beside]),
        absl::StrCat(path, "/", source.file)));
  }
  rows.format = plan->format;
  rows.files_left_out = static_cast<int64_t>(names.size() - contents.size());
  return absl::OkStatus();
}

absl::Status ReadFile(const std::string& path, const PairOptions& options, PairRows& rows) {
  HONE_ASSIGN_OR_RETURN(std::string bytes, ReadText(path, kMostFileBytes));
  absl::StatusOr<std::string> text = DecodeText(std::move(bytes), options.encoding);
  HONE_RETURN_IF_ERROR(Annotate(text.status(), path));
  const Source source = {.layout = LayoutOf(Parse(path)).value_or(Layout::kTabs),
                         .part = Part::kTrain,
                         .file = path,
                         .beside = ""};
  rows.format = source.layout == Layout::kTable       ? "a table of sentence pairs"
                : source.layout == Layout::kJsonLines ? "sentence pairs as JSON lines"
                                                      : "sentence pairs between tabs";
  rows.files.push_back(path);
  FileReader reader(source, options, rows);
  return Annotate(reader.Read(*text, ""), path);
}

}  // namespace

std::string PairRows::Where(const PairRow& row) const {
  return absl::StrCat(files[static_cast<size_t>(row.file)], " line ", row.line);
}

absl::StatusOr<std::vector<std::string>> ParallelEnds(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(path));
  HONE_ASSIGN_OR_RETURN(const Sides sides, FindSides(names));
  return std::vector<std::string>(sides.ends.begin(), sides.ends.end());
}

absl::StatusOr<PairRows> ReadPairRows(const std::string& path, const PairOptions& options) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file or folder"));
  }
  if (!options.source.empty() && options.source == options.target) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.pairs: source and target are both '", options.source, "'"));
  }
  PairRows rows;
  const bool tree = std::filesystem::is_directory(path, error) || IsArchiveName(path);
  HONE_RETURN_IF_ERROR(tree ? ReadTree(path, options, rows) : ReadFile(path, options, rows));
  std::ranges::stable_sort(rows.rows, {}, &PairRow::part);
  return rows;
}

}  // namespace hone::engine::data
