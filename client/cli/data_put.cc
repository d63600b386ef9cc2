#include "client/cli/data_put.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/cli/text.h"
#include "client/errors.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"

namespace hone::client::cli {
namespace {

// A cut loses at most the chunk that was on its way, so they are not as large as they may be.
constexpr size_t kChunk = 128 << 10;
constexpr absl::Duration kPause = absl::Milliseconds(200);

// The connection was lost, or the server is starting or busy; or it still takes an older stream for
// alive.
bool IsCut(const absl::Status& status) {
  return IsBrokenLine(status) || RetryDelay(status).has_value() || absl::IsAborted(status);
}

class FileReader {
 public:
  FileReader(const std::string& path, int64_t offset)
      : path_(path), stream_(path, std::ios::binary) {
    stream_.seekg(offset);
  }

  // As many as the chunk has room for; shortened at the end.
  absl::Status Read(std::string& chunk) {
    stream_.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    chunk.resize(static_cast<size_t>(stream_.gcount()));
    return stream_.bad() || (stream_.fail() && !stream_.eof())
               ? absl::DataLossError(absl::StrCat(path_, ": cannot be read"))
               : absl::OkStatus();
  }

 private:
  const std::string path_;
  std::ifstream stream_;
};

// `people-1f2e3d4c5b6a`: the file's own name, and what tells it from another version of it.
std::string NameOf(const std::string& path, const std::string& sha256) {
  std::string name = std::filesystem::path(path).filename().string();
  name = name.substr(0, std::min<size_t>(name.find('.', 1), 48));
  for (char& c : name) {
    c = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' ? c : '-';
  }
  const bool fine = !name.empty() && name.front() != '-';
  return absl::StrCat(fine ? name : absl::StrCat("data", name), "-", sha256.substr(0, 12));
}

}  // namespace

absl::StatusOr<v1::Dataset::Format> FormatOf(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is a folder; a data set is one file: pack it with `tar -cf data.tar -C ", path,
        " .`"));
  }
  const std::string name = absl::AsciiStrToLower(path);
  for (const auto& [ending, format] : {std::pair{".tar.gz", v1::Dataset::TAR_GZ},
                                       {".tgz", v1::Dataset::TAR_GZ},
                                       {".tar", v1::Dataset::TAR},
                                       {".csv.gz", v1::Dataset::CSV_GZ},
                                       {".tsv.gz", v1::Dataset::CSV_GZ},
                                       {".data.gz", v1::Dataset::CSV_GZ},
                                       {".jsonl.gz", v1::Dataset::JSONL_GZ},
                                       {".ndjson.gz", v1::Dataset::JSONL_GZ},
                                       {".txt.gz", v1::Dataset::TEXT_GZ},
                                       {".jsonl", v1::Dataset::JSONL},
                                       {".ndjson", v1::Dataset::JSONL},
                                       {".txt", v1::Dataset::TEXT},
                                       {".csv", v1::Dataset::CSV},
                                       {".tsv", v1::Dataset::CSV},
                                       {".data", v1::Dataset::CSV}}) {
    if (absl::EndsWith(name, ending)) {
      return format;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path,
      ": the format follows from the name, which must end in .csv, .tsv, .data, .jsonl, "
      ".txt (or one of them and .gz), .tar, .tar.gz or .tgz"));
}

absl::StatusOr<v1::Dataset> PutFile(
    Client& client, const PutOptions& options,
    const std::function<void(int64_t sent, int64_t bytes, int cuts)>& progress) {
  v1::UploadHeader header;
  header.set_dataset_id(options.dataset_id);
  header.set_format(options.format);
  header.set_sha256(options.sha256);
  if (options.sha256.empty()) {
    HONE_ASSIGN_OR_RETURN(*header.mutable_sha256(), Sha256OfFile(options.path));
  }
  std::error_code error;
  header.set_bytes(options.read != nullptr
                       ? options.bytes
                       : static_cast<int64_t>(std::filesystem::file_size(options.path, error)));
  if (error) {
    return ErrnoStatus(error.value(), options.path);
  }
  int cuts = 0;
  bool reached = false;
  int64_t furthest = 0;
  absl::Duration moved = SteadyNow();
  for (;; ++cuts) {
    header.set_offset(0);
    const absl::StatusOr<v1::BeginUploadResponse> begun = client.BeginUpload(header);
    absl::Status status = begun.status();
    if (begun.ok()) {
      reached = true;
      if (begun->has_dataset()) {
        return begun->dataset();
      }
      if (begun->offset() > furthest) {
        furthest = begun->offset();
        moved = SteadyNow();
      }
      // All of it is there: the server checks it, and the stream waits for that.
      const bool sends = begun->offset() < header.bytes();
      header.set_offset(begun->offset());
      FileReader file(options.path, begun->offset());
      int64_t sent = begun->offset();
      const absl::Duration opened = SteadyNow();
      const absl::StatusOr<v1::Dataset> dataset =
          client.UploadDataset(header, [&](std::string& chunk) {
            progress(sent, header.bytes(), cuts);
            chunk.resize(kChunk);
            const absl::Status read =
                options.read != nullptr ? options.read(sent, chunk) : file.Read(chunk);
            sent += static_cast<int64_t>(chunk.size());
            return read;
          });
      if (dataset.ok()) {
        return dataset;
      }
      moved += sends ? SteadyNow() - opened : absl::ZeroDuration();
      status = dataset.status();
    }
    if (!reached || !IsCut(status) || SteadyNow() - moved > options.patience) {
      return status;
    }
    client.Wait(std::max(kPause, RetryDelay(status).value_or(absl::ZeroDuration())));
  }
}

absl::StatusOr<v1::Dataset> PutFileShown(Client& client, const PutOptions& options, bool shown,
                                         int& cuts) {
  shown = shown && isatty(STDERR_FILENO) != 0;
  const absl::StatusOr<v1::Dataset> dataset =
      PutFile(client, options, [&](int64_t sent, int64_t bytes, int now) {
        cuts = now;
        if (shown) {
          std::fprintf(stderr, "\r%s of %s  %3d %%\033[K", Bytes(sent).c_str(),
                       Bytes(bytes).c_str(), static_cast<int>(100 * sent / bytes));
        }
      });
  if (shown) {
    std::fprintf(stderr, "\r\033[K");
  }
  return dataset;
}

absl::StatusOr<std::string> FindOrPut(Client& client, const std::string& path, bool shown) {
  HONE_ASSIGN_OR_RETURN(const v1::Dataset::Format format, FormatOf(path));
  HONE_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(path));
  v1::ListDatasetsRequest same;
  same.set_sha256(sha256);
  same.add_formats(format);
  same.set_page_size(1);
  HONE_ASSIGN_OR_RETURN(const v1::ListDatasetsResponse known, client.ListDatasets(same));
  if (known.datasets_size() > 0) {
    return std::string(absl::StripPrefix(known.datasets(0).name(), "datasets/"));
  }
  int cuts = 0;
  HONE_ASSIGN_OR_RETURN(
      const v1::Dataset dataset,
      PutFileShown(
          client,
          {.dataset_id = NameOf(path, sha256), .path = path, .format = format, .sha256 = sha256},
          shown, cuts));
  return std::string(absl::StripPrefix(dataset.name(), "datasets/"));
}

}  // namespace hone::client::cli
