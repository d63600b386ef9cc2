#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hone/v1/worker.pb.h"

namespace hone::server::worker_process {

// A frame on the pipe: its length in 4 bytes, little endian, then a WorkerFrame in binary form.
inline constexpr uint32_t kMaxFrameBytes = 4u << 20;

// The bytes of a frame. INVALID_ARGUMENT: it is larger than kMaxFrameBytes.
absl::StatusOr<std::string> EncodeFrame(const v1::WorkerFrame& frame);

// Writes one whole frame and waits until it is written; frames written by several threads need a
// lock around this. INVALID_ARGUMENT: the frame is larger than kMaxFrameBytes. UNAVAILABLE: nobody
// reads any more.
absl::Status WriteFrame(int fd, const v1::WorkerFrame& frame);

// Takes a stream of bytes apart into frames. What arrives is not trusted: no length makes it hold
// more than one frame and one piece.
class FrameDecoder {
 public:
  void Append(absl::string_view bytes);

  // The next whole frame; nullopt when more bytes are needed. INVALID_ARGUMENT: a length above
  // kMaxFrameBytes, or bytes that are not a WorkerFrame; every later call says the same.
  absl::StatusOr<std::optional<v1::WorkerFrame>> Next();

  // Bytes of a frame that is not whole.
  size_t pending_bytes() const { return buffer_.size() - taken_; }

 private:
  std::string buffer_;
  size_t taken_ = 0;  // bytes of buffer_ already given out
  absl::Status broken_;
};

}  // namespace hone::server::worker_process
