#pragma once

#include <google/protobuf/descriptor.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/http/errors.h"

namespace hone::server::http {

// How an answer begins.
struct Head {
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> fields = {};  // beside those of every answer
  std::optional<uint64_t> length = std::nullopt;                 // of the body, where it is known
};

// The messages of a call as the body of an HTTP answer. Of one call; one thread at a time.
class Answer {
 public:
  virtual ~Answer() = default;

  // The bytes of a message are sent before the next one is asked for; otherwise all of them when
  // the call has ended well.
  virtual bool streamed() const = 0;
  // Asked once, after the first message, or at the end where there was none.
  virtual Head head() const = 0;
  // What the next message becomes, which may be nothing. An error ends the call.
  virtual absl::StatusOr<std::string> Add(const grpc::ByteBuffer& message) = 0;
  // What stands behind the last message.
  virtual absl::StatusOr<std::string> End() { return ""; }
  // What says, behind messages that were sent, that the call failed. Nothing: the connection is cut
  // before the body's end, so that nobody takes it for whole.
  virtual std::optional<std::string> Fail(const Failure& /*failure*/) { return std::nullopt; }
  // The body of an error, where nothing was sent yet.
  virtual std::string ErrorBody(const Failure& failure) const { return ErrorJson(failure); }
};

// One message as JSON.
std::unique_ptr<Answer> JsonAnswer(const google::protobuf::Descriptor& type);

// Each message as a line of JSON, {"error": …} last where the call failed.
std::unique_ptr<Answer> LinesAnswer(const google::protobuf::Descriptor& type);

// Server-sent events: `data` is a message as JSON, `id` its resume_token where it has one. A
// heartbeat is a comment. The last event is `end`, or `error` with {"error": …}.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
std::unique_ptr<Answer> EventsAnswer(const google::protobuf::Descriptor& type);

// The bytes of a file, of DownloadArtifactResponse.
std::unique_ptr<Answer> FileAnswer();

// A call that an answer needs, or one on the way to it.
struct Ask {
  std::string rpc;  // its path: /hone.v1.TrainingService/GetJob
  grpc::ByteBuffer request;
  std::unique_ptr<Answer> answer;
  // Of a call on the way, instead of `answer`: the next one, by this one's only message.
  std::function<absl::StatusOr<Ask>(const grpc::ByteBuffer& message)> next = nullptr;
};

}  // namespace hone::server::http
