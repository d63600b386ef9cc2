#include "client/cli/folder_archive.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBlock = 512;
constexpr int64_t kMostOctal = int64_t{1} << 33;  // 11 octal digits
constexpr size_t kLongestName = 100;

constexpr char kAdapterConfig[] = "adapter_config.json";
constexpr char kAdapterTensors[] = "adapter_model.safetensors";
constexpr char kBasePrefix[] = "base/";  // where a server looks for an adapter's base

// Where POSIX has the fields of a header (pax(1), "ustar Interchange Format").
constexpr size_t kMode = 100, kUid = 108, kGid = 116, kSize = 124, kTime = 136, kChecksum = 148,
                 kType = 156, kMagic = 257;

void PutText(std::string& header, size_t at, absl::string_view text) {
  header.replace(at, text.size(), text.data(), text.size());
}

std::string HeaderOf(absl::string_view name, int64_t bytes) {
  std::string header(static_cast<size_t>(kBlock), '\0');
  PutText(header, 0, name);
  PutText(header, kMode, "0000644");
  PutText(header, kUid, "0000000");
  PutText(header, kGid, "0000000");
  if (bytes < kMostOctal) {
    PutText(header, kSize, absl::StrFormat("%011o", bytes));
  } else {
    // As GNU tar: the first bit, then the number, the highest byte first.
    header[kSize] = static_cast<char>(0x80);
    for (size_t i = 0; i < 8; ++i) {
      header[kSize + 11 - i] = static_cast<char>((bytes >> (8 * i)) & 0xff);
    }
  }
  PutText(header, kTime, "00000000000");
  header[kType] = '0';
  PutText(header, kMagic, absl::string_view("ustar\00000", 8));
  // The sum of all bytes, where those of the sum itself are spaces.
  PutText(header, kChecksum, "        ");
  int64_t sum = 0;
  for (const char c : header) {
    sum += static_cast<unsigned char>(c);
  }
  PutText(header, kChecksum, absl::StrFormat("%06o", sum));
  header[kChecksum + 6] = '\0';
  return header;
}

// What the server keeps of a checkpoint; it looks again.
bool IsOfCheckpoint(const std::string& name, bool top) {
  if (name.empty() || name[0] == '.') {
    return false;
  }
  if (!top) {
    return absl::EndsWith(name, ".json");
  }
  static constexpr std::array<absl::string_view, 5> kEndings = {".safetensors", ".json", ".txt",
                                                                ".model", ".jinja"};
  // With these two it would be a model of ours.
  if (name == "model.json" || name == "manifest.json") {
    return false;
  }
  return name == "README.md" || name == "LICENSE" ||
         std::ranges::any_of(kEndings,
                             [&](absl::string_view end) { return absl::EndsWith(name, end); });
}

// Names below the folder, sorted.
absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (it->is_regular_file(ignored) && IsOfCheckpoint(name, /*top=*/true)) {
      names.push_back(name);
    }
    if (!it->is_directory(ignored) || name[0] == '.') {
      continue;
    }
    std::error_code inner;
    for (fs::directory_iterator below(it->path(), inner); !inner && below != end;
         below.increment(inner)) {
      const std::string file = below->path().filename().string();
      if (below->is_regular_file(ignored) && IsOfCheckpoint(file, /*top=*/false)) {
        names.push_back(absl::StrCat(name, "/", file));
      }
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), folder);
  }
  std::ranges::sort(names);
  return names;
}

bool Has(const std::vector<std::string>& names, absl::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// Not what is its base's, or another checkpoint's; a config.json beside it may name its classes.
bool IsOfAdapter(const std::string& name) {
  return name == kAdapterTensors ||
         (name != "model.safetensors.index.json" && !absl::EndsWith(name, ".safetensors") &&
          !absl::StartsWith(name, kBasePrefix));
}

absl::Status CheckAdapter(const std::string& folder, const std::vector<std::string>& names) {
  if (!Has(names, kAdapterConfig)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--base: ", folder, " is no adapter: it has no ", kAdapterConfig));
  }
  return Has(names, kAdapterTensors)
             ? absl::OkStatus()
             : absl::NotFoundError(absl::StrCat(folder, ": has no ", kAdapterTensors));
}

absl::Status CheckCheckpoint(const std::string& folder, const std::vector<std::string>& names) {
  if (!Has(names, "config.json")) {
    return absl::NotFoundError(
        absl::StrCat(folder, ": has no config.json; it must be a checkpoint's folder"));
  }
  const bool weights = std::ranges::any_of(names, [](const std::string& name) {
    return absl::EndsWith(name, ".safetensors") && !absl::StrContains(name, '/');
  });
  if (weights) {
    return absl::OkStatus();
  }
  std::error_code error;
  return absl::NotFoundError(absl::StrCat(
      folder, ": has no weights as safetensors",
      fs::exists(absl::StrCat(folder, "/pytorch_model.bin"), error)
          ? absl::StrCat("; `hone plan ", folder, "` says how to convert its pytorch_model.bin")
          : ""));
}

}  // namespace

absl::StatusOr<FolderArchive> FolderArchive::Of(const std::string& folder) {
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, FilesOf(folder));
  const bool whole = Has(names, "config.json") && (Has(names, "model.safetensors") ||
                                                   Has(names, "model.safetensors.index.json"));
  if (Has(names, kAdapterConfig) && !whole) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder,
                     ": is an adapter without its base; name the folder of the checkpoint "
                     "that it stands on with --base"));
  }
  HONE_RETURN_IF_ERROR(CheckCheckpoint(folder, names));
  FolderArchive archive;
  for (const std::string& name : names) {
    HONE_RETURN_IF_ERROR(archive.AddFile(name, absl::StrCat(folder, "/", name)));
  }
  archive.AddEnd();
  return archive;
}

absl::StatusOr<FolderArchive> FolderArchive::OnBase(const std::string& adapter,
                                                    const std::string& base) {
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, FilesOf(adapter));
  HONE_RETURN_IF_ERROR(CheckAdapter(adapter, names));
  const absl::StatusOr<std::vector<std::string>> of_base = FilesOf(base);
  HONE_RETURN_IF_ERROR(Annotate(of_base.status(), "--base"));
  if (Has(*of_base, kAdapterConfig)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--base: ", base, " is an adapter, too; merge it into its own base before"));
  }
  HONE_RETURN_IF_ERROR(Annotate(CheckCheckpoint(base, *of_base), "--base"));
  FolderArchive archive;
  for (const std::string& name : names) {
    if (IsOfAdapter(name)) {
      HONE_RETURN_IF_ERROR(archive.AddFile(name, absl::StrCat(adapter, "/", name)));
    }
  }
  for (const std::string& name : *of_base) {
    HONE_RETURN_IF_ERROR(
        archive.AddFile(absl::StrCat(kBasePrefix, name), absl::StrCat(base, "/", name)));
  }
  archive.AddEnd();
  return archive;
}

void FolderArchive::AddEnd() { AddBytes(std::string(static_cast<size_t>(2 * kBlock), '\0')); }

void FolderArchive::AddBytes(std::string bytes) {
  const auto size = static_cast<int64_t>(bytes.size());
  parts_.push_back({.begin = bytes_, .bytes = std::move(bytes), .size = size});
  bytes_ += size;
}

absl::Status FolderArchive::AddFile(const std::string& name, const std::string& path) {
  if (name.size() > kLongestName) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": the name must be at most ", kLongestName, " bytes"));
  }
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(path, error));
  if (error) {
    return ErrnoStatus(error.value(), path);
  }
  AddBytes(HeaderOf(name, size));
  if (size > 0) {
    parts_.push_back({.begin = bytes_, .path = path, .size = size});
    bytes_ += size;
  }
  if (size % kBlock != 0) {
    AddBytes(std::string(static_cast<size_t>(kBlock - size % kBlock), '\0'));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> FolderArchive::Sha256() const {
  Sha256OfPieces digest;
  std::string chunk;
  for (int64_t offset = 0; offset < bytes_; offset += static_cast<int64_t>(chunk.size())) {
    chunk.resize(size_t{1} << 20);
    HONE_RETURN_IF_ERROR(Read(offset, chunk));
    digest.Add(chunk);
  }
  return digest.Finish();
}

absl::Status FolderArchive::Read(int64_t offset, std::string& chunk) const {
  const int64_t end = std::min(offset + static_cast<int64_t>(chunk.size()), bytes_);
  chunk.resize(static_cast<size_t>(std::max<int64_t>(end - offset, 0)));
  auto part = std::ranges::upper_bound(parts_, offset, {}, &Part::begin);
  if (part != parts_.begin()) {
    --part;  // the last one that begins at or before it
  }
  for (; part != parts_.end() && part->begin < end; ++part) {
    const int64_t first = std::max(offset, part->begin), last = std::min(end, part->end());
    if (first >= last) {
      continue;
    }
    char* const out = chunk.data() + (first - offset);
    const auto count = static_cast<size_t>(last - first);
    if (part->path.empty()) {
      std::memcpy(out, part->bytes.data() + (first - part->begin), count);
      continue;
    }
    std::ifstream file(part->path, std::ios::binary);
    file.seekg(first - part->begin);
    file.read(out, static_cast<std::streamsize>(count));
    if (file.gcount() != static_cast<std::streamsize>(count)) {
      return absl::DataLossError(
          absl::StrCat(part->path, ": cannot be read, or has become shorter"));
    }
  }
  return absl::OkStatus();
}

}  // namespace hone::client::cli
