#include "engine/checkpoint/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/checkpoint/safetensors_header.h"
#include "engine/tensor/half.h"

namespace hone::engine::checkpoint {

static_assert(std::endian::native == std::endian::little, "files are little endian");

namespace {

constexpr int64_t kLengthBytes = 8;

// Fills all of `out` from the file's byte `offset` on.
absl::Status ReadAt(const OwnedFd& file, int64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = ::pread(file.get(), out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return ErrnoStatus(errno, "cannot read");
    }
    if (got == 0) {
      return absl::DataLossError(absl::StrCat("the file ends at byte ", offset));
    }
    offset += got;
    out = out.subspan(static_cast<size_t>(got));
  }
  return absl::OkStatus();
}

template <typename T, typename Function>
void Convert(const std::byte* from, std::span<float> out, Function&& function) {
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    out[i] = function(value);
  }
}

template <typename T>
void Cast(const std::byte* from, std::span<float> out) {
  Convert<T>(from, out, [](T value) { return static_cast<float>(value); });
}

void ToFloats(FileDType dtype, const std::byte* from, std::span<float> out) {
  switch (dtype) {
    case FileDType::kF64:
      return Cast<double>(from, out);
    case FileDType::kF32:
      return Cast<float>(from, out);
    case FileDType::kF16:
      return Convert<uint16_t>(from, out, FromF16);
    case FileDType::kBf16:
      return Convert<uint16_t>(from, out, FromBf16);
    case FileDType::kI64:
      return Cast<int64_t>(from, out);
    case FileDType::kI32:
      return Cast<int32_t>(from, out);
    case FileDType::kI16:
      return Cast<int16_t>(from, out);
    case FileDType::kI8:
      return Cast<int8_t>(from, out);
    case FileDType::kU8:
      return Cast<uint8_t>(from, out);
    case FileDType::kBool:
      return Convert<uint8_t>(from, out, [](uint8_t value) { return value != 0 ? 1.0f : 0.0f; });
  }
}

}  // namespace

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": must be a regular file"));
  }
  auto file = std::make_shared<const OwnedFd>(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file->valid() || ::fstat(file->get(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  }
  const int64_t size = info.st_size;
  if (size < kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a safetensors file: ", size,
                                                   " bytes, but the header's length takes 8"));
  }
  uint64_t header_bytes = 0;
  HONE_RETURN_IF_ERROR(
      Annotate(ReadAt(*file, 0, std::as_writable_bytes(std::span(&header_bytes, 1))), path));
  if (header_bytes > static_cast<uint64_t>(kMaxHeaderBytes) ||
      header_bytes > static_cast<uint64_t>(size - kLengthBytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": the header says it is ", header_bytes, " bytes long; at most ",
                     std::min(kMaxHeaderBytes, size - kLengthBytes), " are possible in this file"));
  }
  std::string json(header_bytes, '\0');
  HONE_RETURN_IF_ERROR(
      Annotate(ReadAt(*file, kLengthBytes, std::as_writable_bytes(std::span(json))), path));
  const int64_t data = kLengthBytes + static_cast<int64_t>(header_bytes);
  absl::StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(json, size - data);
  HONE_RETURN_IF_ERROR(Annotate(header.status(), path));

  SafetensorsFile result;
  result.path_ = path;
  result.file_ = std::move(file);
  result.tensors_ = std::move(header->tensors);
  result.metadata_ = std::move(header->metadata);
  for (size_t i = 0; i < result.tensors_.size(); ++i) {
    result.tensors_[i].begin += data;
    result.by_name_[result.tensors_[i].name] = i;
  }
  return result;
}

absl::StatusOr<const FileTensor*> SafetensorsFile::Find(absl::string_view name) const {
  const auto found = by_name_.find(name);
  if (found != by_name_.end()) {
    return &tensors_[found->second];
  }
  constexpr size_t kListed = 8;
  std::string message = absl::StrCat(path_, ": no tensor ", Shown(name), "; it has ",
                                     tensors_.size(), tensors_.empty() ? "" : ": ");
  for (size_t i = 0; i < std::min(kListed, tensors_.size()); ++i) {
    absl::StrAppend(&message, i > 0 ? ", " : "", Shown(tensors_[i].name));
  }
  return absl::NotFoundError(tensors_.size() > kListed ? absl::StrCat(message, ", …") : message);
}

absl::Status SafetensorsFile::Read(const FileTensor& tensor, std::span<float> out) const {
  if (static_cast<int64_t>(out.size()) != tensor.bytes / SizeOf(tensor.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": tensor ", Shown(tensor.name),
                                                   " has shape ", tensor.shape.ToString(),
                                                   ", which does not fit ", out.size(), " values"));
  }
  if (tensor.dtype == FileDType::kF32) {
    return ReadBytes(tensor, std::as_writable_bytes(out));
  }
  const size_t size = static_cast<size_t>(SizeOf(tensor.dtype));
  std::vector<std::byte> piece(size_t{1} << 16);
  for (size_t done = 0; done < out.size();) {
    const size_t count = std::min(piece.size() / size, out.size() - done);
    const std::span<std::byte> bytes(piece.data(), count * size);
    HONE_RETURN_IF_ERROR(
        Annotate(ReadAt(*file_, tensor.begin + static_cast<int64_t>(done * size), bytes),
                 absl::StrCat(path_, ": tensor ", Shown(tensor.name))));
    ToFloats(tensor.dtype, bytes.data(), out.subspan(done, count));
    done += count;
  }
  return absl::OkStatus();
}

absl::Status SafetensorsFile::Read(absl::string_view name, const Shape& shape,
                                   std::span<float> out) const {
  HONE_ASSIGN_OR_RETURN(const FileTensor* tensor, Find(name));
  if (tensor->shape != shape) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": tensor ", Shown(name),
                                                   " must have shape ", shape.ToString(), ", has ",
                                                   tensor->shape.ToString()));
  }
  return Read(*tensor, out);
}

absl::StatusOr<std::shared_ptr<const std::byte>> SafetensorsFile::Map() const {
  struct stat info {};
  if (::fstat(file_->get(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot map ", path_));
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (!tensors_.empty() && info.st_size < tensors_.back().begin + tensors_.back().bytes) {
    return absl::DataLossError(absl::StrCat(path_, ": the file ends at byte ", info.st_size));
  }
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file_->get(), 0);
  if (data == MAP_FAILED) {
    return ErrnoStatus(errno, absl::StrCat("cannot map ", path_));
  }
  return std::shared_ptr<const std::byte>(static_cast<const std::byte*>(data),
                                          [data, size](const std::byte*) { ::munmap(data, size); });
}

absl::Status SafetensorsFile::ReadBytes(const FileTensor& tensor, std::span<std::byte> out) const {
  if (static_cast<int64_t>(out.size()) != tensor.bytes) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": tensor ", Shown(tensor.name), " has ",
                                                   tensor.bytes, " bytes, not ", out.size()));
  }
  return Annotate(ReadAt(*file_, tensor.begin, out),
                  absl::StrCat(path_, ": tensor ", Shown(tensor.name)));
}

}  // namespace hone::engine::checkpoint
