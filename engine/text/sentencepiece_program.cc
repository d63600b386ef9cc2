#include "engine/text/sentencepiece_program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/memory_error.h"
#include "engine/base/status.h"
#include "engine/text/sentencepiece/wire.h"

namespace hone::engine::text {
namespace {

using namespace sentencepiece_wire;  // NOLINT

constexpr char kName[] = "hone-sentencepiece";
constexpr char kVariable[] = "HONE_SENTENCEPIECE";
constexpr size_t kSendAtOnce = size_t{1} << 16;

absl::Status TooLittleMemory() {
  return OutOfMemoryError("the training of SentencePiece needs more memory than there is");
}

absl::StatusOr<std::string> FindProgram() {
  if (const char* path = std::getenv(kVariable); path != nullptr && *path != '\0') {
    if (::access(path, X_OK) != 0) {
      return absl::UnavailableError(
          ErrnoStatus(errno, absl::StrCat(kVariable, "=", path)).message());
    }
    return std::string(path);
  }
  std::string self(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
  if (length <= 0) {
    return ErrnoStatus(errno, "/proc/self/exe");
  }
  self.resize(static_cast<size_t>(length));
  std::string path = absl::StrCat(self.substr(0, self.rfind('/') + 1), kName);
  if (::access(path.c_str(), X_OK) != 0) {
    return absl::UnavailableError(
        absl::StrCat("SentencePiece's tokenizers are trained by the program ", path,
                     ", which is not there; build it, or name one in ", kVariable));
  }
  return path;
}

absl::StatusOr<pid_t> Spawn(const std::string& path, int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, socket, STDOUT_FILENO);
  // Who waits for the end of our pipes must not wait for the end of this program.
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::string name = kName;
  char* const arguments[] = {name.data(), nullptr};
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, path.c_str(), &actions, &attributes, arguments, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::UnavailableError(ErrnoStatus(error, path).message());
  }
  return pid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SentencePieceProgram>> SentencePieceProgram::Start() {
  HONE_ASSIGN_OR_RETURN(const std::string path, FindProgram());
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "a stream to hone-sentencepiece");
  }
  const absl::StatusOr<pid_t> pid = Spawn(path, ends[1]);
  ::close(ends[1]);
  if (!pid.ok()) {
    ::close(ends[0]);
    return pid.status();
  }
  return std::unique_ptr<SentencePieceProgram>(new SentencePieceProgram(*pid, ends[0]));
}

SentencePieceProgram::~SentencePieceProgram() {
  ::close(socket_);
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

absl::StatusOr<SentencePieceProgram::Answer> SentencePieceProgram::Train(const Options& options,
                                                                         Sentences sentences) {
  bool sent = SendNumber(static_cast<uint32_t>(options.size()));
  for (const auto& [name, value] : options) {
    sent = sent && SendString(name) && SendString(value);
  }
  if (sent) {
    sentences([&](absl::string_view sentence) { return sent = SendString(sentence); });
  }
  if (!sent || !SendNumber(kEndOfSentences) || !Flush()) {
    return Ended();
  }
  uint8_t outcome = 0;
  uint64_t size = 0;
  if (!Receive(&outcome, sizeof(outcome)) || !Receive(&size, sizeof(size))) {
    return Ended();
  }
  if (outcome > kOutOfMemory || size > kMostAnswerBytes) {
    Ended().IgnoreError();  // what it says next is not to be read as an answer
    return absl::InternalError(absl::StrCat(kName, " answers what is no answer"));
  }
  Answer answer = {.trained = outcome == kTrained, .bytes = std::string(size, '\0')};
  if (!Receive(answer.bytes.data(), answer.bytes.size())) {
    return Ended();
  }
  if (outcome == kOutOfMemory) {
    return TooLittleMemory();
  }
  return answer;
}

bool SentencePieceProgram::Send(const void* bytes, size_t size) {
  unsent_.append(static_cast<const char*>(bytes), size);
  return unsent_.size() < kSendAtOnce || Flush();
}

bool SentencePieceProgram::SendString(absl::string_view text) {
  return SendNumber(static_cast<uint32_t>(text.size())) && Send(text.data(), text.size());
}

bool SentencePieceProgram::Flush() {
  for (absl::string_view left = unsent_; !left.empty();) {
    const ssize_t count = ::send(socket_, left.data(), left.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return false;
    }
    left.remove_prefix(static_cast<size_t>(count));
  }
  unsent_.clear();
  return true;
}

bool SentencePieceProgram::Receive(void* bytes, size_t size) {
  for (auto* to = static_cast<char*>(bytes); size > 0;) {
    const ssize_t count = ::recv(socket_, to, size, 0);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return false;
    }
    to += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

absl::Status SentencePieceProgram::Ended() {
  if (pid_ == 0) {
    return absl::InternalError(absl::StrCat(kName, " has ended and can be asked no more"));
  }
  // Where it closed the stream and runs on; one that has ended keeps its status.
  ::kill(pid_, SIGKILL);
  int status = 0;
  pid_t reaped;
  do {
    reaped = ::waitpid(pid_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  pid_ = 0;
  if (reaped > 0 && WIFEXITED(status) && WEXITSTATUS(status) == kExitOutOfMemory) {
    return TooLittleMemory();
  }
  const bool killed = reaped > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  const std::string how = reaped < 0 ? std::string("is gone")
                          : WIFSIGNALED(status)
                              ? absl::StrCat("was ended by signal ", WTERMSIG(status))
                              : absl::StrCat("exited with ", WEXITSTATUS(status));
  const std::string message =
      absl::StrCat(kName, ", which trains the tokenizer, ", how, " before it was done");
  return killed ? absl::UnavailableError(message) : absl::InternalError(message);
}

}  // namespace hone::engine::text
