#include "engine/data/download.h"

#include <curl/curl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/memory_error.h"
#include "engine/base/status.h"

namespace hone::engine::data {
namespace {

constexpr long kConnectSeconds = 30;
constexpr long kStalledSeconds = 60;  // below 1 kB/s for so long ends the try

struct Transfer {
  std::FILE* file = nullptr;
  int64_t start = 0;  // bytes that were there before
  int64_t written = 0;
  const DownloadOptions* options = nullptr;
  CURL* curl = nullptr;
};

size_t Write(char* data, size_t, size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  long code = 0;
  curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &code);
  if (transfer->start > 0 && code == 200) {  // the server sends everything again
    if (std::fflush(transfer->file) != 0 || ::ftruncate(::fileno(transfer->file), 0) != 0) {
      return 0;
    }
    std::rewind(transfer->file);
    transfer->start = 0;
  }
  transfer->written += static_cast<int64_t>(count);
  if (transfer->start + transfer->written > transfer->options->max_bytes) {
    return 0;
  }
  return std::fwrite(data, 1, count, transfer->file);
}

int Progress(void* user, curl_off_t total, curl_off_t done, curl_off_t, curl_off_t) {
  const auto* transfer = static_cast<const Transfer*>(user);
  if (transfer->options->progress && total > 0) {
    transfer->options->progress(transfer->start + done, transfer->start + total);
  }
  return 0;
}

int64_t SizeOfFile(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

absl::Status Fetch(const std::string& url, const std::string& part,
                   const DownloadOptions& options) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 curl_easy_cleanup);
  const int64_t start = SizeOfFile(part);
  // "r+" keeps what is there and lets the position be set back; "w" makes the file.
  const std::unique_ptr<std::FILE, CloseFile> file(
      std::fopen(part.c_str(), start > 0 ? "r+b" : "wb"));
  if (file == nullptr) {
    return ErrnoStatus(errno, part);
  }
  if (curl == nullptr) {
    return OutOfMemoryError("libcurl cannot start a transfer");
  }
  std::fseek(file.get(), 0, SEEK_END);
  Transfer transfer{file.get(), start, 0, &options, curl.get()};
  char reason[CURL_ERROR_SIZE] = "";
  CURL* handle = curl.get();
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, options.protocols.c_str());
  curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, options.protocols.c_str());
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(handle, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(handle, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1000L);
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  curl_easy_setopt(handle, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(start));
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, Write);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, Progress);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &transfer);
  const CURLcode code = curl_easy_perform(handle);
  if (transfer.start + transfer.written > options.max_bytes) {
    return absl::DataLossError(
        absl::StrCat(url, ": sends more than the expected ", options.max_bytes, " bytes"));
  }
  if (std::fflush(file.get()) != 0 || ::fsync(::fileno(file.get())) != 0) {
    return ErrnoStatus(errno, part);
  }
  if (code == CURLE_WRITE_ERROR) {
    return ErrnoStatus(errno == 0 ? EIO : errno, part);
  }
  if (code != CURLE_OK) {
    return absl::UnavailableError(
        absl::StrCat(url, ": ", reason[0] != 0 ? reason : curl_easy_strerror(code)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Download(const std::string& url, const std::string& path,
                      const DownloadOptions& options) {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  if (!ready) {
    return absl::InternalError("libcurl cannot be initialised");
  }
  const std::string part = path + ".part";
  const auto remove_part = [&] {
    std::error_code error;
    std::filesystem::remove(part, error);
  };
  if (SizeOfFile(part) < options.max_bytes) {
    if (const absl::Status fetched = Fetch(url, part, options); !fetched.ok()) {
      if (absl::IsDataLoss(fetched)) {
        remove_part();
      }
      return fetched;
    }
  }
  HONE_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(part));
  if (sha256 != options.sha256) {
    const int64_t bytes = SizeOfFile(part);
    remove_part();
    return absl::DataLossError(absl::StrCat(url, ": its SHA-256 is ", sha256, " (", bytes,
                                            " bytes), expected ", options.sha256));
  }
  std::error_code error;
  std::filesystem::rename(part, path, error);
  if (error) {
    return ErrnoStatus(error.value(), path);
  }
  return SyncDirectory(std::filesystem::path(path).parent_path().string());
}

}  // namespace hone::engine::data
