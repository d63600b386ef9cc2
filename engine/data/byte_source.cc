#include "engine/data/byte_source.h"

#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kDeflateRatio = 1032;  // zlib's technical note: the most that deflate can reach

gzFile AsGz(void* file) { return static_cast<gzFile>(file); }

}  // namespace

absl::StatusOr<ByteSource> ByteSource::Open(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, path);
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is not a file"));
  }
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) {
    return ErrnoStatus(errno == 0 ? ENOMEM : errno, path);
  }
  gzbuffer(file, 1 << 17);
  ByteSource source;
  source.path_ = path;
  source.file_ = file;
  source.file_bytes_ = info.st_size;
  source.compressed_ = gzdirect(file) == 0;
  return source;
}

ByteSource::ByteSource(ByteSource&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::exchange(other.file_, nullptr)),
      compressed_(other.compressed_),
      file_bytes_(other.file_bytes_),
      offset_(other.offset_) {}

ByteSource::~ByteSource() {
  if (file_ != nullptr) {
    gzclose(AsGz(file_));
  }
}

int64_t ByteSource::most_bytes() const {
  return compressed_ ? file_bytes_ * kDeflateRatio : file_bytes_;
}

absl::StatusOr<int64_t> ByteSource::Read(void* out, int64_t size) {
  int64_t done = 0;
  while (done < size) {
    const auto part = static_cast<unsigned>(std::min<int64_t>(size - done, 1 << 30));
    const int got = gzread(AsGz(file_), static_cast<char*>(out) + done, part);
    int error = Z_OK;
    const char* reason = gzerror(AsGz(file_), &error);
    if (got < 0 || (error != Z_OK && error != Z_STREAM_END)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": damaged or truncated gzip data after ", offset_ + std::max(got, 0),
                       " bytes: ", reason));
    }
    done += got;
    offset_ += got;
    if (got == 0) {
      break;
    }
  }
  return done;
}

absl::StatusOr<std::string> ReadText(const std::string& path, int64_t max_bytes) {
  HONE_ASSIGN_OR_RETURN(ByteSource source, ByteSource::Open(path));
  std::string text;
  constexpr int64_t kStep = 1 << 20;
  while (true) {
    const size_t before = text.size();
    text.resize(before + kStep);
    HONE_ASSIGN_OR_RETURN(const int64_t got, source.Read(text.data() + before, kStep));
    text.resize(before + static_cast<size_t>(got));
    if (static_cast<int64_t>(text.size()) > max_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": holds more than ", max_bytes, " bytes of text"));
    }
    if (got < kStep) {
      return text;
    }
  }
}

absl::string_view WithoutGz(absl::string_view name) {
  return absl::EndsWithIgnoreCase(name, ".gz") ? name.substr(0, name.size() - 3) : name;
}

}  // namespace hone::engine::data
