#include "client/cli/chat.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

namespace hone::client::cli {
namespace {

// Lines of the standard input.
class LineReader {
 public:
  // nullopt: there is no more, or the writer was interrupted meanwhile.
  std::optional<std::string> Next(const TextWriter& writer) {
    std::optional<std::string> line = Take(writer);
    if (line.has_value()) {
      ++number_;
      begin_ = end_;
      end_ += static_cast<int64_t>(line->size()) + 1;
    }
    return line;
  }
  // Of the last line.
  int64_t number() const { return number_; }  // from 1
  int64_t offset() const { return begin_; }   // in bytes

 private:
  std::optional<std::string> Take(const TextWriter& writer) {
    while (!writer.interrupted()) {
      if (const size_t end = read_.find('\n'); end != std::string::npos) {
        std::string line = read_.substr(0, end);
        read_.erase(0, end + 1);
        return line;
      }
      if (ended_) {
        return read_.empty() ? std::nullopt : std::optional(std::exchange(read_, ""));
      }
      Wait();
    }
    return std::nullopt;
  }

  // For some bytes, or for a moment.
  void Wait() {
    constexpr int kMilliseconds = 100;
    pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    const int ready = poll(&input, 1, kMilliseconds);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
      return;
    }
    std::array<char, 4096> bytes;
    const ssize_t count = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count > 0) {
      read_.append(bytes.data(), static_cast<size_t>(count));
    } else if (count == 0 || errno != EINTR) {
      ended_ = true;
    }
  }

  std::string read_;
  bool ended_ = false;
  int64_t number_ = 0;
  int64_t begin_ = 0, end_ = 0;
};

void Say(v1::Writing& conversation, const char* role, const std::string& content) {
  v1::Writing::Message& message = *conversation.add_messages();
  message.set_role(role);
  message.set_content(content);
}

// The answer to what was said last, which becomes a part of the conversation.
absl::Status Answer(TextWriter& writer, v1::Writing& conversation, const Globals& globals) {
  TextView view("", globals);
  const absl::Status status = writer.Write(
      conversation, [&](const v1::GenerateResponse& piece) { return view.Show(piece); });
  view.End();
  // A turn without words can be no part of a conversation.
  if (absl::StripAsciiWhitespace(view.text()).empty()) {
    conversation.mutable_messages()->RemoveLast();
  } else {
    Say(conversation, "assistant", view.text());
  }
  return status;
}

}  // namespace

int RunChat(TextWriter& writer, const ChatWish& wish, const Globals& globals) {
  for (const auto& [option, text] :
       {std::pair("--system", &wish.system), std::pair("--chat", &wish.question)}) {
    if (const absl::Status utf8 = CheckUtf8(*text); !utf8.ok()) {
      return Fail(Annotate(utf8, option), globals);
    }
  }
  v1::Writing conversation = wish.options;
  if (!wish.system.empty()) {
    Say(conversation, "system", wish.system);
  }
  if (!wish.question.empty()) {
    Say(conversation, "user", wish.question);
    const absl::Status status = Answer(writer, conversation, globals);
    return status.ok() ? kSuccess : Fail(status, globals);
  }
  const bool person = isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0;
  LineReader lines;
  while (true) {
    if (person) {
      std::fprintf(stderr, "> ");
    }
    const std::optional<std::string> line = lines.Next(writer);
    if (!line.has_value()) {
      break;
    }
    if (absl::StripAsciiWhitespace(*line).empty()) {
      continue;
    }
    const absl::Status utf8 = CheckUtf8(*line, lines.number(), lines.offset());
    if (!utf8.ok()) {
      return Fail(utf8, globals);
    }
    Say(conversation, "user", *line);
    if (const absl::Status status = Answer(writer, conversation, globals); !status.ok()) {
      return Fail(status, globals);
    }
  }
  if (person) {
    std::fprintf(stderr, "\n");
  }
  return writer.interrupted() ? kCancelled : kSuccess;
}

}  // namespace hone::client::cli
