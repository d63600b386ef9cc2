#include "engine/data/pair_files.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/data/byte_source.h"
#include "engine/data/file_tree.h"
#include "engine/data/text_files.h"

namespace hone::engine::data {
namespace {

// A file's name: "data/train.lc.en.gz" is "data/train.lc", "train.lc" and "en".
struct PairName {
  std::string before_end;
  std::string stem;
  std::string end;
};

PairName ParsePairName(absl::string_view path) {
  path = WithoutGz(path);
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
std::optional<PairLayout> LayoutOf(const PairName& name) {
  const std::string end = absl::AsciiStrToLower(name.end);
  if (end == "csv") {
    return PairLayout::kTable;
  }
  if (end == "jsonl" || end == "ndjson") {
    return PairLayout::kJsonLines;
  }
  if (end == "tsv" || end == "txt") {
    return PairLayout::kTabs;
  }
  return std::nullopt;
}

absl::Status CheckParts(const std::vector<PairSource>& sources) {
  std::map<Part, std::string> files;
  for (const PairSource& source : sources) {
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

absl::StatusOr<PairFiles> FindParts(const std::vector<std::string>& names) {
  PairFiles files = {.format = "sentence pairs in parts", .sources = {}};
  for (const std::string& file : names) {
    const PairName name = ParsePairName(file);
    const std::optional<PairLayout> layout = LayoutOf(name);
    const std::optional<Part> part = PartIn(name.stem);
    if (layout && part) {
      files.sources.push_back({.layout = *layout, .part = *part, .file = file, .beside = ""});
    }
  }
  if (!files.sources.empty()) {
    HONE_RETURN_IF_ERROR(CheckParts(files.sources));
  }
  return files;
}

// Files that are no pairs by themselves.
struct Sides {
  std::map<std::string, std::map<std::string, std::string>> by_stem;  // file by end
  std::set<std::string> ends;  // of those that have another one beside them
};

absl::StatusOr<Sides> FindSides(const std::vector<std::string>& names) {
  Sides sides;
  for (const std::string& file : names) {
    const PairName name = ParsePairName(file);
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

absl::StatusOr<PairFiles> FindParallel(const std::vector<std::string>& names,
                                       const PairOptions& options) {
  HONE_ASSIGN_OR_RETURN(const Sides sides, FindSides(names));
  const auto& [by_stem, ends] = sides;
  PairFiles files = {.format = "sentence pairs in parallel files", .sources = {}};
  if (ends.empty()) {
    return files;
  }
  if (options.source.empty() || options.target.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("which files are the sources, and which their translations? Set "
                     "data.pairs.source and data.pairs.target to how their names end: ",
                     absl::StrJoin(ends, ", ")));
  }
  bool in_parts = false;
  for (const auto& [stem, by_end] : by_stem) {
    const auto source = by_end.find(options.source), target = by_end.find(options.target);
    const std::optional<Part> part = PartIn(ParsePairName(stem + ".x").stem);
    if (source == by_end.end() || target == by_end.end()) {
      if (part && (source != by_end.end() || target != by_end.end())) {
        const bool lacks_source = source == by_end.end();
        return absl::InvalidArgumentError(absl::StrCat(
            lacks_source ? target->second : source->second, " stands alone; ", stem, ".",
            lacks_source ? options.source : options.target, " is missing beside it"));
      }
      continue;
    }
    in_parts |= part.has_value();
    files.sources.push_back({.layout = PairLayout::kParallel,
                             .part = part.value_or(Part::kTrain),
                             .file = source->second,
                             .beside = target->second});
  }
  if (files.sources.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("has no two files beside each other that end in .", options.source, " and .",
                     options.target, " (data.pairs.source, data.pairs.target); the ends found are ",
                     absl::StrJoin(ends, ", ")));
  }
  if (in_parts) {
    std::erase_if(files.sources, [](const PairSource& source) {
      return !PartIn(ParsePairName(source.file).stem);
    });
    HONE_RETURN_IF_ERROR(CheckParts(files.sources));
  }
  return files;
}

absl::StatusOr<PairFiles> FindAmong(const std::vector<std::string>& names,
                                    const PairOptions& options) {
  HONE_ASSIGN_OR_RETURN(PairFiles files, FindParts(names));
  if (files.sources.empty()) {
    HONE_ASSIGN_OR_RETURN(files, FindParallel(names, options));
  }
  if (files.sources.empty()) {
    return absl::InvalidArgumentError(
        "holds no sentence pairs; these are read: a file with a pair a line and a tab between its "
        "sides, a table (.csv) or JSON lines (.jsonl), a folder or tar of them called train, "
        "validation and test, or of files beside each other, as train.en and train.fr");
  }
  return files;
}

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

absl::StatusOr<PairFiles> FindInTree(const std::string& path, const PairOptions& options) {
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(path));
  absl::StatusOr<PairFiles> files = FindAmong(names, options);
  HONE_RETURN_IF_ERROR(Annotate(files.status(), path));
  std::set<std::string> read;
  for (const PairSource& source : files->sources) {
    read.insert(source.file);
    if (!source.beside.empty()) {
      read.insert(source.beside);
    }
  }
  files->left_out = static_cast<int64_t>(names.size() - read.size());
  return files;
}

PairFiles FindInFile(const std::string& path) {
  const PairLayout layout = LayoutOf(ParsePairName(path)).value_or(PairLayout::kTabs);
  return {.format = layout == PairLayout::kTable       ? "a table of sentence pairs"
                    : layout == PairLayout::kJsonLines ? "sentence pairs as JSON lines"
                                                       : "sentence pairs between tabs",
          .sources = {{.layout = layout}}};
}

}  // namespace

absl::StatusOr<PairFiles> FindPairFiles(const std::string& path, const PairOptions& options) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file or folder"));
  }
  if (!options.source.empty() && options.source == options.target) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.pairs: source and target are both '", options.source, "'"));
  }
  const bool tree = std::filesystem::is_directory(path, error) || IsArchiveName(path);
  return tree ? FindInTree(path, options) : FindInFile(path);
}

absl::StatusOr<std::vector<std::string>> ParallelEnds(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(path));
  HONE_ASSIGN_OR_RETURN(const Sides sides, FindSides(names));
  return std::vector<std::string>(sides.ends.begin(), sides.ends.end());
}

}  // namespace hone::engine::data
