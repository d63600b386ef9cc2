#include "engine/data/text_files.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/data/file_tree.h"

namespace hone::engine::data {
namespace {

constexpr absl::string_view kUnlabelled = "unsup";

struct NamedPart {
  absl::string_view name;
  Part part;
};
constexpr NamedPart kParts[] = {
    {"train", Part::kTrain},      {"training", Part::kTrain}, {"validation", Part::kValidation},
    {"valid", Part::kValidation}, {"val", Part::kValidation}, {"dev", Part::kValidation},
    {"test", Part::kTest},
};

// A file's name: "data/train.tsv.gz" is {{"data"}, "train", ".tsv"}.
struct Name {
  std::vector<std::string> folders;
  std::string stem;
  std::string extension;
};

Name Parse(absl::string_view path) {
  Name name;
  name.folders = absl::StrSplit(path, '/');
  const std::string file = std::move(name.folders.back());
  name.folders.pop_back();
  const absl::string_view plain = absl::EndsWithIgnoreCase(file, ".gz")
                                      ? absl::string_view(file).substr(0, file.size() - 3)
                                      : absl::string_view(file);
  const size_t dot = std::min(plain.rfind('.'), plain.size());
  name.stem = std::string(plain.substr(0, dot));
  name.extension = absl::AsciiStrToLower(plain.substr(dot));
  return name;
}

// Of files that have examples with labels of their own, or, where they need none, without.
std::optional<TextLayout> LayoutOf(const Name& name, bool labelled) {
  if (name.extension == ".csv" || name.extension == ".tsv" || name.extension == ".data") {
    return TextLayout::kTable;
  }
  if (name.extension == ".jsonl" || name.extension == ".ndjson") {
    return TextLayout::kJsonLines;
  }
  if (name.extension == ".txt" && !labelled) {
    return TextLayout::kLines;
  }
  return std::nullopt;
}

absl::StatusOr<TextFiles> FindParts(const std::vector<std::string>& names, bool labelled) {
  TextFiles files = {.format = "texts in parts", .sources = {}};
  for (const std::string& path : names) {
    const Name name = Parse(path);
    const std::optional<TextLayout> layout = LayoutOf(name, labelled);
    const std::optional<Part> part = PartOf(name.stem);
    if (!layout || !part) {
      continue;
    }
    for (const auto& [other, source] : files.sources) {
      if (source.part == *part) {
        return absl::InvalidArgumentError(
            absl::StrCat(other, " and ", path, " are the same part; remove one of them"));
      }
    }
    files.sources[path] = {.layout = *layout, .part = *part};
  }
  return files;
}

TextFiles FindClassFolders(const std::vector<std::string>& names) {
  TextFiles files = {.format = "texts in class folders", .sources = {}};
  const auto part_above = [](const Name& name) {
    return name.folders.size() >= 2 ? PartOf(name.folders.end()[-2]) : std::nullopt;
  };
  const bool in_parts = std::ranges::any_of(names, [&](const std::string& path) {
    const Name name = Parse(path);
    return name.extension == ".txt" && part_above(name).has_value();
  });
  for (const std::string& path : names) {
    const Name name = Parse(path);
    const std::optional<Part> part = part_above(name);
    if (name.extension != ".txt" || name.folders.empty() || part.has_value() != in_parts) {
      continue;
    }
    if (name.folders.back() == kUnlabelled) {
      ++files.unlabelled;
      continue;
    }
    files.sources[path] = {.layout = TextLayout::kWhole,
                           .part = part.value_or(Part::kTrain),
                           .label = name.folders.back()};
  }
  return files;
}

TextFiles FindClassFiles(const std::vector<std::string>& names) {
  TextFiles files = {.format = "texts in class files", .sources = {}};
  for (const std::string& path : names) {
    if (const Name name = Parse(path); name.extension == ".txt" && name.folders.empty()) {
      files.sources[path] = {
          .layout = TextLayout::kLines, .part = Part::kTrain, .label = name.stem};
    }
  }
  return files;
}

absl::Status Unknown(bool labelled) {
  return absl::InvalidArgumentError(absl::StrCat(
      "holds no texts", labelled ? " with labels" : "",
      "; these are read: a table (.csv, .tsv) or JSON lines (.jsonl)",
      labelled ? "" : " or a .txt file with a text a line",
      ", a folder or tar of them called train, validation and test, of a folder of .txt files for "
      "each class, or of a .txt file for each class with a text a line"));
}

absl::StatusOr<TextFiles> FindInTree(const std::string& path, bool labelled) {
  const bool archive = IsArchiveName(path);
  std::vector<std::string> names;
  HONE_RETURN_IF_ERROR(ForEachFile(path, [&](const TreeFile& file) -> absl::StatusOr<Visit> {
    if (!archive || !absl::EndsWithIgnoreCase(file.name, ".gz")) {
      names.push_back(file.name);
    }
    return Visit::kGoOn;
  }));
  HONE_ASSIGN_OR_RETURN(TextFiles files, FindParts(names, labelled));
  for (const auto find : {FindClassFolders, FindClassFiles}) {
    if (files.sources.empty()) {
      files = find(names);
    }
  }
  return files;
}

absl::StatusOr<TextFiles> FindInFile(const std::string& path, bool labelled) {
  const std::optional<TextLayout> layout = LayoutOf(Parse(path), labelled);
  if (!layout) {
    return Unknown(labelled);
  }
  return TextFiles{.format = layout == TextLayout::kTable       ? "a table of texts"
                             : layout == TextLayout::kJsonLines ? "texts as JSON lines"
                                                                : "lines of text",
                   .sources = {{"", {.layout = *layout}}}};
}

}  // namespace

std::optional<Part> PartOf(absl::string_view name) {
  const auto found = std::ranges::find(kParts, absl::AsciiStrToLower(name), &NamedPart::name);
  return found != std::end(kParts) ? std::optional(found->part) : std::nullopt;
}

absl::StatusOr<TextFiles> FindTextFiles(const std::string& path, bool labelled) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file or folder"));
  }
  const bool tree = std::filesystem::is_directory(path, error) || IsArchiveName(path);
  absl::StatusOr<TextFiles> files = tree ? FindInTree(path, labelled) : FindInFile(path, labelled);
  if (files.ok() && files->sources.empty()) {
    files = Unknown(labelled);
  }
  HONE_RETURN_IF_ERROR(Annotate(files.status(), path));
  return files;
}

}  // namespace hone::engine::data
