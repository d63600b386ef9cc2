// hone-sentencepiece: trains SentencePiece models, one request of its standard input after another
// (wire.h). A program of its own, because the library brings protocol buffers and an Abseil of its
// own into the process, and because a fault in it is then an error and not the end of the job.
#include <malloc.h>
#include <poll.h>
#include <sentencepiece_trainer.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "engine/text/sentencepiece/wire.h"

namespace {

using namespace hone::engine::text::sentencepiece_wire;  // NOLINT

// Who asked is gone, or says what is no request: nobody would read an answer.
[[noreturn]] void End(int code) { _exit(code); }

void Read(void* to, size_t size) {
  for (auto* at = static_cast<char*>(to); size > 0;) {
    const ssize_t count = ::read(STDIN_FILENO, at, size);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      End(count == 0 ? 0 : 1);
    }
    at += count;
    size -= static_cast<size_t>(count);
  }
}

void Write(const void* from, size_t size) {
  for (const auto* at = static_cast<const char*>(from); size > 0;) {
    const ssize_t count = ::write(STDOUT_FILENO, at, size);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      End(1);
    }
    at += count;
    size -= static_cast<size_t>(count);
  }
}

template <typename T>
T ReadNumber() {
  T number;
  Read(&number, sizeof(number));
  return number;
}

void ReadBytes(uint32_t size, std::string& to) {
  if (size > kMostBytes) {
    End(2);
  }
  to.resize(size);
  Read(to.data(), size);
}

std::string ReadString() {
  std::string text;
  ReadBytes(ReadNumber<uint32_t>(), text);
  return text;
}

// The sentences of a request, read while the library asks for them.
class Sentences final : public sentencepiece::SentenceIterator {
 public:
  Sentences() { Next(); }

  bool done() const override { return done_; }
  void Next() override {
    if (done_) {
      return;
    }
    const auto size = ReadNumber<uint32_t>();
    if (size == kEndOfSentences) {
      done_ = true;
    } else {
      ReadBytes(size, sentence_);
    }
  }
  const std::string& value() const override { return sentence_; }
  sentencepiece::util::Status status() const override { return {}; }

  // What the library did not read, because it ended early.
  void Skip() {
    while (!done_) {
      Next();
    }
  }

 private:
  bool done_ = false;
  std::string sentence_;
};

// No room for an object, or for the stack of a thread.
bool IsOutOfMemory(const std::exception& error) {
  const auto* const system = dynamic_cast<const std::system_error*>(&error);
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         (system != nullptr && (system->code() == std::errc::resource_unavailable_try_again ||
                                system->code() == std::errc::not_enough_memory));
}

// What a thread threw and nobody caught.
[[noreturn]] void EndOfUncaught() {
  if (const std::exception_ptr thrown = std::current_exception(); thrown != nullptr) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      if (IsOutOfMemory(error)) {
        End(kExitOutOfMemory);
      }
      std::fprintf(stderr, "hone-sentencepiece: %s\n", error.what());
    } catch (...) {
    }
  }
  std::abort();
}

void Answer(Outcome outcome, const std::string& bytes) {
  const uint8_t kind = outcome;
  const uint64_t size = bytes.size();
  Write(&kind, sizeof(kind));
  Write(&size, sizeof(size));
  Write(bytes.data(), bytes.size());
}

void Serve() {
  const auto count = ReadNumber<uint32_t>();
  if (count > kMostOptions) {
    End(2);
  }
  std::unordered_map<std::string, std::string> options;
  for (uint32_t i = 0; i < count; ++i) {
    std::string name = ReadString();
    options[std::move(name)] = ReadString();
  }
  Outcome outcome = kFailed;
  std::string answer;
  Sentences sentences;
  try {
    const auto status = sentencepiece::SentencePieceTrainer::Train(options, &sentences, &answer);
    outcome = status.ok() ? kTrained : kFailed;
    if (!status.ok()) {
      answer = status.ToString();
    }
  } catch (const std::exception& error) {
    const bool memory = IsOutOfMemory(error);
    outcome = memory ? kOutOfMemory : kFailed;
    answer = memory ? "" : error.what();
  }
  sentences.Skip();
  Answer(outcome, answer);
}

// Ends the process as soon as who asked is gone, also in the middle of a training.
void WatchPeer() {
  std::thread([] {
    pollfd peer{.fd = STDIN_FILENO, .events = POLLRDHUP, .revents = 0};
    while (::poll(&peer, 1, -1) < 0 && errno == EINTR) {
    }
    if ((peer.revents & (POLLHUP | POLLERR)) != 0) {
      End(0);
    }
  }).detach();
}

}  // namespace

int main() {
  // Who asks decides when this ends; a signal to the whole group is meant for it.
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  std::set_terminate(EndOfUncaught);
  WatchPeer();
  while (true) {
    Serve();
    malloc_trim(0);  // it may wait for long
  }
}
