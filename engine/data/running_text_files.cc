#include "engine/data/running_text_files.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/data/byte_source.h"
#include "engine/data/file_tree.h"
#include "engine/data/text_files.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kMostFileBytes = int64_t{2} << 30;

// "train" of "data/train.txt.gz".
std::string StemOf(const std::string& name) {
  std::string stem = name.substr(name.rfind('/') + 1);
  for (const absl::string_view end : {".gz", ".txt"}) {
    if (absl::EndsWithIgnoreCase(stem, end)) {
      stem.resize(stem.size() - end.size());
    }
  }
  return stem;
}

using FilesByName = std::map<std::string, std::string>;

// The .txt files of a folder or archive, as UTF-8.
absl::Status ReadTree(const std::string& path, TextOptions::Encoding encoding, FilesByName& files,
                      int64_t& left_out) {
  const bool archive = IsArchiveName(path);
  return ForEachFile(path, [&](const TreeFile& file) -> absl::StatusOr<Visit> {
    if (!IsTextFileName(file.name) || (archive && absl::EndsWithIgnoreCase(file.name, ".gz"))) {
      ++left_out;
      return Visit::kGoOn;
    }
    const std::string where = absl::StrCat(path, "/", file.name);
    // Of an archive the visit's errors name the path and the entry.
    absl::StatusOr<std::string> bytes =
        archive ? file.read(kMostFileBytes) : ReadText(where, kMostFileBytes);
    HONE_RETURN_IF_ERROR(bytes.status());
    absl::StatusOr<std::string> text = DecodeText(*std::move(bytes), encoding);
    HONE_RETURN_IF_ERROR(archive ? text.status() : Annotate(text.status(), where));
    files[file.name] = *std::move(text);
    return Visit::kGoOn;
  });
}

// Those that are called as parts are.
absl::StatusOr<std::map<Part, std::string>> PartNames(const FilesByName& files) {
  std::map<Part, std::string> names;
  for (const auto& [name, text] : files) {
    const std::optional<Part> part = PartOf(StemOf(name));
    if (part.has_value() && !names.try_emplace(*part, name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(names[*part], " and ", name, " are the same part; remove one of them"));
    }
  }
  return names;
}

absl::StatusOr<RunningTextParts> JoinTree(FilesByName files, int64_t left_out) {
  RunningTextParts parts = {
      .format = "a running text in files", .texts = {}, .files = 0, .files_left_out = left_out};
  if (files.empty()) {
    return absl::InvalidArgumentError("holds no .txt file");
  }
  HONE_ASSIGN_OR_RETURN(const auto names, PartNames(files));
  if (!names.empty()) {
    if (!names.contains(Part::kTrain)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "has ", names.begin()->second, ", but no train.txt, which would be the training part"));
    }
    parts.format = "a running text in parts";
    for (const auto& [part, name] : names) {
      parts.texts[static_cast<size_t>(part)] = std::move(files[name]);
    }
    parts.files = static_cast<int64_t>(names.size());
    parts.files_left_out += static_cast<int64_t>(files.size()) - parts.files;
    return parts;
  }
  std::string& all = parts.texts[static_cast<size_t>(Part::kTrain)];
  for (auto& [name, text] : files) {
    if (!all.empty() && all.back() != '\n') {
      all.push_back('\n');
    }
    all += std::exchange(text, {});
  }
  parts.files = static_cast<int64_t>(files.size());
  return parts;
}

}  // namespace

bool IsTextFileName(const std::string& path) {
  return absl::EndsWithIgnoreCase(path, ".txt") || absl::EndsWithIgnoreCase(path, ".txt.gz");
}

absl::StatusOr<RunningTextParts> ReadRunningText(const std::string& path,
                                                 TextOptions::Encoding encoding) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file or folder"));
  }
  RunningTextParts parts;
  if (std::filesystem::is_directory(path, error) || IsArchiveName(path)) {
    FilesByName files;
    int64_t left_out = 0;
    HONE_RETURN_IF_ERROR(ReadTree(path, encoding, files, left_out));
    absl::StatusOr<RunningTextParts> joined = JoinTree(std::move(files), left_out);
    HONE_RETURN_IF_ERROR(Annotate(joined.status(), path));
    parts = *std::move(joined);
  } else {
    HONE_ASSIGN_OR_RETURN(std::string bytes, ReadText(path, kMostFileBytes));
    absl::StatusOr<std::string> text = DecodeText(std::move(bytes), encoding);
    HONE_RETURN_IF_ERROR(Annotate(text.status(), path));
    parts.format = "a running text";
    parts.texts[static_cast<size_t>(Part::kTrain)] = *std::move(text);
    parts.files = 1;
  }
  if (parts.texts[static_cast<size_t>(Part::kTrain)].empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is empty; it must hold a text"));
  }
  return parts;
}

}  // namespace hone::engine::data
