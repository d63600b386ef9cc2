#include "engine/data/idx.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/data/byte_source.h"

namespace hone::engine::data {
namespace {

constexpr int kUnsignedByte = 8;  // the type code of the third byte

// The path of a part's images or labels, if it is there.
std::optional<std::string> FindFile(const std::string& folder, absl::string_view part,
                                    absl::string_view kind, int rank) {
  for (const char* separator : {"-", "."}) {
    for (const char* suffix : {"", ".gz"}) {
      const std::string path =
          absl::StrCat(folder, "/", part, "-", kind, separator, "idx", rank, "-ubyte", suffix);
      std::error_code error;
      if (std::filesystem::is_regular_file(path, error)) {
        return path;
      }
    }
  }
  return std::nullopt;
}

struct IdxFile {
  ByteSource source;
  std::vector<int64_t> dims;
  int64_t bytes = 0;  // that the header promises after itself

  std::string DimsText() const { return absl::StrJoin(dims, "x"); }
};

absl::StatusOr<IdxFile> OpenIdx(const std::string& path, int rank, int64_t max_bytes) {
  HONE_ASSIGN_OR_RETURN(ByteSource source, ByteSource::Open(path));
  std::array<uint8_t, 4 + 4 * 3> header{};
  const int64_t header_bytes = 4 + 4 * rank;
  HONE_ASSIGN_OR_RETURN(const int64_t got, source.Read(header.data(), header_bytes));
  if (got < header_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": truncated IDX: the header needs ",
                                                   header_bytes, " bytes, the file has ", got));
  }
  if (header[0] != 0 || header[1] != 0 || header[2] != kUnsignedByte || header[3] != rank) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is not an IDX file of unsigned bytes with ", rank, " dimensions: it starts with ",
        absl::Hex(header[0], absl::kZeroPad2), " ", absl::Hex(header[1], absl::kZeroPad2), " ",
        absl::Hex(header[2], absl::kZeroPad2), " ", absl::Hex(header[3], absl::kZeroPad2),
        " instead of 00 00 08 0", rank));
  }
  std::vector<int64_t> dims;
  for (int d = 0; d < rank; ++d) {
    const uint8_t* word = header.data() + 4 + 4 * d;
    dims.push_back(int64_t{word[0]} << 24 | word[1] << 16 | word[2] << 8 | word[3]);
  }
  HONE_ASSIGN_OR_RETURN(const int64_t bytes, CheckedBytes(dims, max_bytes, path));
  IdxFile file{std::move(source), std::move(dims), bytes};
  const int64_t most = file.source.most_bytes() - (file.source.compressed() ? 0 : header_bytes);
  if (bytes > most || (!file.source.compressed() && bytes < most)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", bytes > most ? "truncated IDX: " : "", "IDX header says ",
                     file.DimsText(), " = ", bytes, " bytes but the file ",
                     file.source.compressed() ? "cannot hold more than " : "has ", most));
  }
  return file;
}

// The promised bytes into `out`, and nothing after them.
absl::Status ReadBody(IdxFile& file, uint8_t* out) {
  HONE_ASSIGN_OR_RETURN(const int64_t got, file.source.Read(out, file.bytes));
  if (got < file.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.source.path(), ": truncated IDX: IDX header says ", file.DimsText(),
                     " = ", file.bytes, " bytes but the file has ", got));
  }
  uint8_t extra = 0;
  HONE_ASSIGN_OR_RETURN(const int64_t more, file.source.Read(&extra, 1));
  if (more > 0) {
    return absl::InvalidArgumentError(absl::StrCat(file.source.path(), ": IDX header says ",
                                                   file.DimsText(), " = ", file.bytes,
                                                   " bytes but the file goes on after them"));
  }
  return absl::OkStatus();
}

struct IdxPart {
  std::vector<IdxFile> images;  // one
  std::string labels_path;
  int64_t size = 0;
};

absl::StatusOr<IdxPart> OpenPart(const std::string& folder, absl::string_view name,
                                 int64_t max_bytes) {
  const std::optional<std::string> images = FindFile(folder, name, "images", 3);
  const std::optional<std::string> labels = FindFile(folder, name, "labels", 1);
  if (!images || !labels) {
    return absl::NotFoundError(
        absl::StrCat(folder, ": ", name, "-", images ? "labels-idx1" : "images-idx3",
                     "-ubyte is missing beside its ", images ? "images" : "labels"));
  }
  IdxPart part;
  HONE_ASSIGN_OR_RETURN(IdxFile file, OpenIdx(*images, 3, max_bytes));
  part.size = file.dims[0];
  if (part.size == 0 || file.bytes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(*images, ": the data set is empty: IDX header says ", file.DimsText()));
  }
  part.images.push_back(std::move(file));
  part.labels_path = *labels;
  return part;
}

absl::Status ReadLabels(const IdxPart& part, int64_t max_bytes, std::vector<int32_t>& labels) {
  HONE_ASSIGN_OR_RETURN(IdxFile file, OpenIdx(part.labels_path, 1, max_bytes));
  if (file.bytes != part.size) {
    return absl::InvalidArgumentError(absl::StrCat(part.labels_path, ": holds ", file.bytes,
                                                   " labels for ", part.size, " pictures in ",
                                                   part.images[0].source.path()));
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(file.bytes));
  HONE_RETURN_IF_ERROR(ReadBody(file, bytes.data()));
  labels.insert(labels.end(), bytes.begin(), bytes.end());
  return absl::OkStatus();
}

// How many classes the labels have. Without names it is the largest label plus one; where that is
// more than ten and some number below is used by no example, the labels from there on are taken for
// damage.
int64_t CountClasses(const std::vector<int32_t>& labels, const LoadOptions& options) {
  if (!options.class_names.empty()) {
    return static_cast<int64_t>(options.class_names.size());
  }
  std::array<bool, 256> used{};
  for (const int32_t label : labels) {
    used[static_cast<size_t>(label)] = true;
  }
  int64_t classes = 256;
  while (classes > 0 && !used[static_cast<size_t>(classes - 1)]) {
    --classes;
  }
  for (int64_t c = 10; c < classes; ++c) {
    if (!used[static_cast<size_t>(c)]) {
      return c;
    }
  }
  return classes;
}

absl::Status CheckLabels(const std::vector<int32_t>& labels, int64_t classes,
                         const std::vector<IdxPart>& parts) {
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= classes) {
      const auto first = static_cast<size_t>(parts[0].size);
      const bool test = i >= first;
      return absl::InvalidArgumentError(absl::StrCat(parts[test ? 1 : 0].labels_path, ": label ",
                                                     labels[i], " at record ", test ? i - first : i,
                                                     " is out of range 0..", classes - 1));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsIdxFolder(const std::string& path) {
  return FindFile(path, "train", "images", 3) || FindFile(path, "train", "labels", 1);
}

absl::StatusOr<Examples> ReadIdxFolder(const std::string& path, const LoadOptions& options,
                                       Depth depth, DataReport& report) {
  std::vector<IdxPart> parts;
  HONE_ASSIGN_OR_RETURN(IdxPart train, OpenPart(path, "train", options.max_bytes));
  parts.push_back(std::move(train));
  if (FindFile(path, "t10k", "images", 3) || FindFile(path, "t10k", "labels", 1)) {
    HONE_ASSIGN_OR_RETURN(IdxPart test, OpenPart(path, "t10k", options.max_bytes));
    parts.push_back(std::move(test));
  }
  const std::vector<int64_t>& dims = parts[0].images[0].dims;
  Examples examples;
  examples.train_size = parts[0].size;
  for (const IdxPart& part : parts) {
    const IdxFile& file = part.images[0];
    if (file.dims[1] != dims[1] || file.dims[2] != dims[2]) {
      return absl::InvalidArgumentError(
          absl::StrCat(file.source.path(), ": pictures are ", file.dims[1], "x", file.dims[2],
                       ", those of the training part ", dims[1], "x", dims[2]));
    }
    examples.parts.size += part.size;
  }
  std::vector<int32_t>& labels = examples.parts.labels;
  for (const IdxPart& part : parts) {
    HONE_RETURN_IF_ERROR(ReadLabels(part, options.max_bytes, labels));
  }
  const int64_t classes = CountClasses(labels, options);
  HONE_RETURN_IF_ERROR(CheckLabels(labels, classes, parts));
  for (int64_t c = 0; c < classes; ++c) {
    examples.parts.class_names.push_back(options.class_names.empty()
                                             ? absl::StrCat(c)
                                             : options.class_names[static_cast<size_t>(c)]);
  }
  examples.parts.features = {Shape{1, dims[1], dims[2]}, DType::kU8};
  report.examples_read = examples.parts.size;
  if (depth == Depth::kHeaders) {
    return examples;
  }
  const int64_t sizes[] = {examples.parts.size, dims[1], dims[2]};
  HONE_ASSIGN_OR_RETURN(const int64_t bytes, CheckedBytes(sizes, options.max_bytes, path));
  examples.parts.feature_values = Buffer(bytes);
  uint8_t* out = examples.parts.feature_values.as<uint8_t>();
  for (IdxPart& part : parts) {
    HONE_RETURN_IF_ERROR(ReadBody(part.images[0], out));
    out += part.images[0].bytes;
  }
  return examples;
}

}  // namespace hone::engine::data
