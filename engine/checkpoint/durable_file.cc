#include "engine/checkpoint/durable_file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/owned_fd.h"

namespace hone::engine::checkpoint {

struct DurableFile::Open {
  std::string path;
  OwnedFd file;
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest{EVP_MD_CTX_new(),
                                                                 &EVP_MD_CTX_free};
  int64_t bytes = 0;
};

DurableFile::DurableFile(std::unique_ptr<Open> open) : open_(std::move(open)) {}
DurableFile::DurableFile(DurableFile&&) noexcept = default;
DurableFile::~DurableFile() = default;

absl::StatusOr<DurableFile> DurableFile::Create(const std::string& path) {
  auto open = std::make_unique<Open>();
  open->path = path;
  open->file = OwnedFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!open->file.valid()) {
    return ErrnoStatus(errno, absl::StrCat("cannot create ", path));
  }
  EVP_DigestInit_ex(open->digest.get(), EVP_sha256(), nullptr);
  return DurableFile(std::move(open));
}

absl::Status DurableFile::Append(std::span<const std::byte> bytes) {
  // In pieces that are still in the cache when they are written after hashing.
  constexpr size_t kPiece = size_t{1} << 20;
  while (!bytes.empty()) {
    const std::span<const std::byte> piece = bytes.first(std::min(kPiece, bytes.size()));
    const ssize_t written = ::write(open_->file.get(), piece.data(), piece.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot write ", open_->path));
    }
    EVP_DigestUpdate(open_->digest.get(), piece.data(), static_cast<size_t>(written));
    open_->bytes += written;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status DurableFile::Append(absl::string_view text) {
  return Append(std::as_bytes(std::span(text.data(), text.size())));
}

absl::StatusOr<WrittenFile> DurableFile::Finish() {
  if (::fsync(open_->file.get()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot fsync ", open_->path));
  }
  if (::close(open_->file.Release()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot close ", open_->path));
  }
  unsigned char sha[32];
  EVP_DigestFinal_ex(open_->digest.get(), sha, nullptr);
  return WrittenFile{.bytes = open_->bytes,
                     .sha256 = absl::BytesToHexString(
                         absl::string_view(reinterpret_cast<char*>(sha), sizeof(sha)))};
}

}  // namespace hone::engine::checkpoint
