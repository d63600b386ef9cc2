#include "server/worker_process/frames.h"

#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::server::worker_process {
namespace {

constexpr size_t kLengthBytes = 4;

uint32_t LengthAt(const char* bytes) {
  uint32_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length |= uint32_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return length;
}

}  // namespace

absl::StatusOr<std::string> EncodeFrame(const v1::WorkerFrame& frame) {
  const size_t length = frame.ByteSizeLong();
  if (length > kMaxFrameBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a frame of ", length, " bytes; at most ", kMaxFrameBytes, " fit the pipe"));
  }
  std::string bytes(kLengthBytes, '\0');
  for (size_t i = 0; i < kLengthBytes; ++i) {
    bytes[i] = static_cast<char>(length >> (8 * i));
  }
  frame.AppendToString(&bytes);
  return bytes;
}

absl::Status WriteFrame(int fd, const v1::WorkerFrame& frame) {
  HONE_ASSIGN_OR_RETURN(const std::string bytes, EncodeFrame(frame));
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t written = write(fd, bytes.data() + done, bytes.size() - done);
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, "event pipe");
    }
    done += static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

void FrameDecoder::Append(absl::string_view bytes) {
  buffer_.erase(0, taken_);
  taken_ = 0;
  buffer_.append(bytes.data(), bytes.size());
}

absl::StatusOr<std::optional<v1::WorkerFrame>> FrameDecoder::Next() {
  if (!broken_.ok()) {
    return broken_;
  }
  if (pending_bytes() < kLengthBytes) {
    return std::nullopt;
  }
  const uint32_t length = LengthAt(buffer_.data() + taken_);
  if (length > kMaxFrameBytes) {
    broken_ = absl::InvalidArgumentError(absl::StrCat("the worker announced a frame of ", length,
                                                      " bytes; at most ", kMaxFrameBytes,
                                                      " are allowed"));
    return broken_;
  }
  if (pending_bytes() < kLengthBytes + length) {
    return std::nullopt;
  }
  v1::WorkerFrame frame;
  if (!frame.ParseFromArray(buffer_.data() + taken_ + kLengthBytes, static_cast<int>(length))) {
    broken_ = absl::InvalidArgumentError(
        absl::StrCat("the worker sent ", length, " bytes that are not a WorkerFrame"));
    return broken_;
  }
  taken_ += kLengthBytes + length;
  return frame;
}

}  // namespace hone::server::worker_process
