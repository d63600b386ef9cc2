#include "engine/data/running_text_files.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/data/byte_source.h"
#include "engine/data/file_tree.h"
#include "engine/data/text_files.h"
#include "engine/data/text_stream.h"

namespace hone::engine::data {
namespace {

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

// Where a text lies among all that was read.
struct Extent {
  int64_t begin = 0;
  int64_t size = 0;
};

// Reads files one behind the other.
class Reader {
 public:
  // Without a spool texts are only checked.
  Reader(TextOptions::Encoding encoding, int64_t piece_bytes, Spool* spool)
      : encoding_(encoding), piece_bytes_(piece_bytes), spool_(spool) {}

  int64_t size() const { return size_; }
  char last() const { return last_; }  // what it ends with; size() > 0

  absl::Status Add(absl::string_view text) {
    size_ += static_cast<int64_t>(text.size());
    last_ = text.empty() ? last_ : text.back();
    return spool_ == nullptr ? absl::OkStatus() : spool_->Append(text);
  }
  // What errors of UTF-8 name `file`; what `bytes` says names it already.
  absl::StatusOr<Extent> AddFile(const std::string& file, ByteReader bytes) {
    Extent extent = {.begin = size_};
    TextStream stream(bytes, encoding_, piece_bytes_);
    std::string piece;
    for (bool more = true; more;) {
      piece.clear();
      const absl::StatusOr<bool> read = stream.Append(piece);
      HONE_RETURN_IF_ERROR(stream.Annotated(read.status(), file));
      more = *read;
      HONE_RETURN_IF_ERROR(Add(piece));
    }
    extent.size = size_ - extent.begin;
    return extent;
  }
  absl::StatusOr<Extent> AddFile(const std::string& path) {
    HONE_ASSIGN_OR_RETURN(ByteSource file, ByteSource::Open(path));
    const auto bytes = [&](char* out, int64_t size) { return file.Read(out, size); };
    return AddFile(path, bytes);
  }

 private:
  TextOptions::Encoding encoding_;
  int64_t piece_bytes_;
  Spool* spool_;
  int64_t size_ = 0;
  char last_ = '\0';
};

// A text, or its parts, and where they lie.
struct FoundText {
  RunningTextParts parts = {};
  std::array<Extent, 3> extents = {};
};

using Names = std::set<std::string>;

// The .txt files of a folder or archive, each told to `visit`, if there is one.
absl::StatusOr<Names> NamesIn(const std::string& path, int64_t& left_out,
                              absl::FunctionRef<absl::Status(const TreeFile& file)> visit) {
  const bool archive = IsArchiveName(path);
  Names names;
  HONE_RETURN_IF_ERROR(ForEachFile(path, [&](const TreeFile& file) -> absl::StatusOr<Visit> {
    if (!IsTextFileName(file.name) || (archive && absl::EndsWithIgnoreCase(file.name, ".gz"))) {
      ++left_out;
      return Visit::kGoOn;
    }
    names.insert(file.name);
    const absl::Status visited = visit(file);
    return visited.ok() ? absl::StatusOr<Visit>(Visit::kGoOn) : visited;
  }));
  return names;
}

// Those that are called as parts are.
absl::StatusOr<std::map<Part, std::string>> PartNames(const Names& all) {
  std::map<Part, std::string> names;
  for (const std::string& name : all) {
    const std::optional<Part> part = PartOf(StemOf(name));
    if (part.has_value() && !names.try_emplace(*part, name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(names[*part], " and ", name, " are the same part; remove one of them"));
    }
  }
  if (all.empty()) {
    return absl::InvalidArgumentError("holds no .txt file");
  }
  if (!names.empty() && !names.contains(Part::kTrain)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has ", names.begin()->second, ", but no train.txt; the training part must be there"));
  }
  return names;
}

// Which of the files make the text: its parts, else, where none is called so, all of them.
absl::StatusOr<std::map<Part, std::string>> ChooseFiles(const std::string& path, const Names& names,
                                                        RunningTextParts& parts) {
  absl::StatusOr<std::map<Part, std::string>> chosen = PartNames(names);
  HONE_RETURN_IF_ERROR(Annotate(chosen.status(), path));
  parts.format = chosen->empty() ? "a running text in files" : "a running text in parts";
  parts.files = static_cast<int64_t>(chosen->empty() ? names.size() : chosen->size());
  parts.files_left_out += static_cast<int64_t>(names.size()) - parts.files;
  return chosen;
}

// Where all files become one text.
constexpr auto kAll = static_cast<size_t>(Part::kTrain);

// A line feed, where the text before does not end with one.
absl::Status EndLine(Reader& reader) {
  return reader.size() > 0 && reader.last() != '\n' ? reader.Add("\n") : absl::OkStatus();
}

absl::StatusOr<FoundText> ReadFolder(const std::string& path, Reader& reader) {
  FoundText found;
  HONE_ASSIGN_OR_RETURN(
      const Names names,
      NamesIn(path, found.parts.files_left_out, [](const TreeFile&) { return absl::OkStatus(); }));
  HONE_ASSIGN_OR_RETURN(const auto parts, ChooseFiles(path, names, found.parts));
  for (const auto& [part, name] : parts) {
    HONE_ASSIGN_OR_RETURN(found.extents[static_cast<size_t>(part)],
                          reader.AddFile(absl::StrCat(path, "/", name)));
  }
  if (parts.empty()) {
    for (const std::string& name : names) {
      HONE_RETURN_IF_ERROR(EndLine(reader));
      HONE_RETURN_IF_ERROR(reader.AddFile(absl::StrCat(path, "/", name)).status());
    }
    found.extents[kAll].size = reader.size();
  }
  return found;
}

// In the order of the archive, which need not be that of the names: `to_join` are the files that
// are still to become one text.
absl::StatusOr<FoundText> ReadArchive(const std::string& path, Reader& reader,
                                      std::map<std::string, Extent>& to_join) {
  FoundText found;
  std::map<std::string, Extent> extents;
  const auto read = [&](const TreeFile& file) -> absl::Status {
    HONE_ASSIGN_OR_RETURN(extents[file.name],
                          reader.AddFile(absl::StrCat(path, "/", file.name), file.read_some));
    return absl::OkStatus();
  };
  HONE_ASSIGN_OR_RETURN(const Names names, NamesIn(path, found.parts.files_left_out, read));
  HONE_ASSIGN_OR_RETURN(const auto parts, ChooseFiles(path, names, found.parts));
  for (const auto& [part, name] : parts) {
    found.extents[static_cast<size_t>(part)] = extents[name];
  }
  if (parts.empty() && extents.size() == 1) {
    found.extents[kAll] = extents.begin()->second;
  } else if (parts.empty()) {
    found.extents[kAll].size = reader.size();
    to_join = std::move(extents);
  }
  return found;
}

// Texts that lie in `read` one behind the other, in the order of their names.
absl::StatusOr<std::shared_ptr<Spool>> Join(const Spool& read, const StreamOptions& options,
                                            const std::map<std::string, Extent>& extents) {
  auto joined = std::make_shared<Spool>(options, "the text");
  Reader reader(TextOptions::Encoding::kUtf8, options.piece_bytes, joined.get());
  for (const auto& [name, extent] : extents) {
    HONE_RETURN_IF_ERROR(EndLine(reader));
    absl::string_view text =
        read.bytes().substr(static_cast<size_t>(extent.begin), static_cast<size_t>(extent.size));
    while (!text.empty()) {
      const absl::string_view piece = text.substr(0, static_cast<size_t>(options.piece_bytes));
      HONE_RETURN_IF_ERROR(reader.Add(piece));
      text.remove_prefix(piece.size());
    }
  }
  HONE_RETURN_IF_ERROR(joined->Finish());
  return joined;
}

// Into `spool`, if there is one.
absl::StatusOr<RunningTextParts> Read(const std::string& path, TextOptions::Encoding encoding,
                                      const StreamOptions& options, std::shared_ptr<Spool> spool) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file or folder"));
  }
  Reader reader(encoding, options.piece_bytes, spool.get());
  FoundText found;
  found.parts.format = "a running text";
  found.parts.files = 1;
  std::map<std::string, Extent> to_join;
  if (std::filesystem::is_directory(path, error)) {
    HONE_ASSIGN_OR_RETURN(found, ReadFolder(path, reader));
  } else if (IsArchiveName(path)) {
    HONE_ASSIGN_OR_RETURN(found, ReadArchive(path, reader, to_join));
  } else {
    HONE_ASSIGN_OR_RETURN(found.extents[kAll], reader.AddFile(path));
  }
  if (found.extents[kAll].size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is empty; it must hold a text"));
  }
  if (spool == nullptr) {
    return std::move(found.parts);
  }
  HONE_RETURN_IF_ERROR(spool->Finish());
  if (!to_join.empty()) {
    HONE_ASSIGN_OR_RETURN(spool, Join(*spool, options, to_join));
    found.extents[kAll].size = spool->size();
  }
  for (size_t part = 0; part < found.extents.size(); ++part) {
    found.parts.texts[part] = spool->bytes().substr(static_cast<size_t>(found.extents[part].begin),
                                                    static_cast<size_t>(found.extents[part].size));
  }
  found.parts.spool = std::move(spool);
  return std::move(found.parts);
}

}  // namespace

bool IsTextFileName(const std::string& path) {
  return absl::EndsWithIgnoreCase(path, ".txt") || absl::EndsWithIgnoreCase(path, ".txt.gz");
}

absl::StatusOr<RunningTextParts> ReadRunningText(const std::string& path,
                                                 TextOptions::Encoding encoding,
                                                 const StreamOptions& options) {
  return Read(path, encoding, options, std::make_shared<Spool>(options, "the text"));
}

absl::StatusOr<RunningTextParts> InspectRunningText(const std::string& path,
                                                    TextOptions::Encoding encoding) {
  return Read(path, encoding, {}, nullptr);
}

}  // namespace hone::engine::data
