#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::engine::text {

// A process of hone-sentencepiece (sentencepiece/main.cc). It ends with this object: the destructor
// kills and reaps it. For one thread at a time.
class SentencePieceProgram {
 public:
  // The library's own options by their names.
  using Options = std::vector<std::pair<std::string, std::string>>;
  // Calls `visit` with each sentence of less than 1 MiB, until it returns false.
  using Sentences =
      absl::FunctionRef<void(absl::FunctionRef<bool(absl::string_view sentence)> visit)>;
  struct Answer {
    bool trained = false;
    std::string bytes;  // the model, or why there is none
  };

  // UNAVAILABLE: there is none where it was looked for, or it cannot be started.
  static absl::StatusOr<std::unique_ptr<SentencePieceProgram>> Start();
  ~SentencePieceProgram();
  SentencePieceProgram(const SentencePieceProgram&) = delete;
  SentencePieceProgram& operator=(const SentencePieceProgram&) = delete;

  // UNAVAILABLE: somebody killed the program. INTERNAL: it ended by itself, or answered nonsense.
  // RESOURCE_EXHAUSTED (memory_error.h): its memory was not enough. After an error `ended()` says
  // whether it can be asked again.
  absl::StatusOr<Answer> Train(const Options& options, Sentences sentences);

  bool ended() const { return pid_ == 0; }
  pid_t pid() const { return pid_; }  // 0: it has ended

 private:
  SentencePieceProgram(pid_t pid, int socket) : pid_(pid), socket_(socket) {}

  // False where the other side is gone.
  bool Send(const void* bytes, size_t size);
  bool SendNumber(uint32_t number) { return Send(&number, sizeof(number)); }
  bool SendString(absl::string_view text);
  bool Flush();
  bool Receive(void* bytes, size_t size);
  // Why nothing came.
  absl::Status Ended();

  pid_t pid_;  // 0: reaped
  int socket_;
  std::string unsent_;
};

}  // namespace hone::engine::text
