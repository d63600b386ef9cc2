#include "server/http/answers.h"

#include <google/protobuf/message.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "hone/v1/training_service.pb.h"
#include "server/http/call.h"
#include "server/http/transcode.h"

namespace hone::server::http {
namespace {

namespace protobuf = google::protobuf;

class MessageAnswer : public Answer {
 public:
  explicit MessageAnswer(const protobuf::Descriptor& type) : message_(NewMessage(type)) {}

  absl::StatusOr<std::string> Add(const grpc::ByteBuffer& message) override {
    if (!Parse(message, *message_)) {
      return absl::InternalError("the server's answer cannot be read");
    }
    return Written(*message_);
  }

 private:
  virtual absl::StatusOr<std::string> Written(const protobuf::Message& message) = 0;

  const std::unique_ptr<protobuf::Message> message_;
};

class OneJson final : public MessageAnswer {
 public:
  using MessageAnswer::MessageAnswer;
  bool streamed() const override { return false; }
  Head head() const override { return {}; }

 private:
  absl::StatusOr<std::string> Written(const protobuf::Message& message) override {
    return ToJson(message);
  }
};

class Lines final : public MessageAnswer {
 public:
  using MessageAnswer::MessageAnswer;
  bool streamed() const override { return true; }
  Head head() const override { return {.content_type = "application/x-ndjson"}; }
  std::optional<std::string> Fail(const Failure& failure) override {
    return absl::StrCat(ErrorJson(failure), "\n");
  }

 private:
  absl::StatusOr<std::string> Written(const protobuf::Message& message) override {
    HONE_ASSIGN_OR_RETURN(std::string json, ToJson(message));
    return absl::StrCat(json, "\n");
  }
};

class Events final : public MessageAnswer {
 public:
  explicit Events(const protobuf::Descriptor& type)
      : MessageAnswer(type),
        token_(type.FindFieldByName("resume_token")),
        heartbeat_(type.FindFieldByName("heartbeat")) {}
  bool streamed() const override { return true; }
  Head head() const override {
    // A proxy must not wait for more.
    return {.content_type = "text/event-stream", .fields = {{"X-Accel-Buffering", "no"}}};
  }
  absl::StatusOr<std::string> End() override { return "event: end\ndata: {}\n\n"; }
  std::optional<std::string> Fail(const Failure& failure) override {
    return absl::StrCat("event: error\ndata: ", ErrorJson(failure), "\n\n");
  }

 private:
  absl::StatusOr<std::string> Written(const protobuf::Message& message) override {
    const protobuf::Reflection& reflection = *message.GetReflection();
    if (heartbeat_ != nullptr && reflection.HasField(message, heartbeat_)) {
      return ": heartbeat\n\n";
    }
    HONE_ASSIGN_OR_RETURN(const std::string json, ToJson(message));  // one line
    const std::string token = token_ == nullptr ? "" : reflection.GetString(message, token_);
    return absl::StrCat(token.empty() ? "" : absl::StrCat("id: ", token, "\n"), "data: ", json,
                        "\n\n");
  }

  const protobuf::FieldDescriptor* const token_;
  const protobuf::FieldDescriptor* const heartbeat_;
};

// What a browser may take a job's file for: nothing that has scripts in it.
absl::string_view TypeOfFile(absl::string_view path) {
  constexpr std::pair<absl::string_view, absl::string_view> kTypes[] = {
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".json", "application/json"},
      {".jsonl", "application/x-ndjson"},
      {".csv", "text/csv; charset=utf-8"},
      {".txt", "text/plain; charset=utf-8"},
      {".log", "text/plain; charset=utf-8"},
      {".yaml", "text/plain; charset=utf-8"},
  };
  for (const auto& [ending, type] : kTypes) {
    if (absl::EndsWithIgnoreCase(path, ending)) {
      return type;
    }
  }
  return "application/octet-stream";
}

// The last part of a path, as it may stand between quotes.
std::string NameOfFile(absl::string_view path) {
  std::string name(path.substr(path.rfind('/') + 1));
  for (char& c : name) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c)) || c == '"' || c == '\\') {
      c = '_';
    }
  }
  return name;
}

class File final : public Answer {
 public:
  bool streamed() const override { return true; }
  Head head() const override {
    return {.content_type = std::string(TypeOfFile(artifact_.path())),
            .fields = {{"Content-Disposition",
                        absl::StrCat("inline; filename=\"", NameOfFile(artifact_.path()), "\"")}},
            .length = static_cast<uint64_t>(artifact_.bytes())};
  }
  absl::StatusOr<std::string> Add(const grpc::ByteBuffer& message) override {
    if (!Parse(message, chunk_)) {
      return absl::InternalError("the server's answer cannot be read");
    }
    if (chunk_.has_artifact()) {
      artifact_ = chunk_.artifact();
    }
    return std::move(*chunk_.mutable_data());
  }

 private:
  v1::JobArtifact artifact_;
  v1::DownloadArtifactResponse chunk_;
};

}  // namespace

std::unique_ptr<Answer> JsonAnswer(const protobuf::Descriptor& type) {
  return std::make_unique<OneJson>(type);
}

std::unique_ptr<Answer> LinesAnswer(const protobuf::Descriptor& type) {
  return std::make_unique<Lines>(type);
}

std::unique_ptr<Answer> EventsAnswer(const protobuf::Descriptor& type) {
  return std::make_unique<Events>(type);
}

std::unique_ptr<Answer> FileAnswer() { return std::make_unique<File>(); }

}  // namespace hone::server::http
