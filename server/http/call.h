#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace google::protobuf {
class Message;
}

namespace hone::server::http {

// What goes with a call: names in lower case, values that gRPC takes (ForMetadata).
using Metadata = std::vector<std::pair<std::string, std::string>>;

// `text` as the value of metadata: what is neither visible ASCII nor a space becomes `?`, so that
// a token with such a character is one that nobody knows.
std::string ForMetadata(absl::string_view text);

grpc::ByteBuffer Serialize(const google::protobuf::Message& message);
// False: the bytes are none of this type.
bool Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);

// A call of an RPC of this server within this process, whatever kind of RPC it is. Its functions
// may be called on any thread, its handlers come on threads of gRPC, one after another, and must
// not block. It lives until it has ended, whoever has let go of it.
class Call {
 public:
  struct Handlers {
    std::function<void(grpc::ByteBuffer message)> read;     // what Read asked for
    std::function<void()> written = nullptr;                // what Write was given was taken
    std::function<void(const grpc::Status& status)> ended;  // once, and last
  };

  virtual ~Call() = default;
  // The next message; one at a time. After the last one `ended` comes instead of `read`. To be
  // asked for before the request is written: within a process gRPC 1.51 drops the only message of
  // an answer that comes while nobody reads.
  virtual void Read() = 0;
  // One at a time; with `last`, nothing more is written. Where the call has ended already, nothing
  // comes but `ended`.
  virtual void Write(const grpc::ByteBuffer& message, bool last) = 0;
  // `ended` comes soon, with CANCELLED unless it has ended by itself.
  virtual void Cancel() = 0;
};

// The calls of one channel. It outlives none of them: WaitForAll first.
class Calls {
 public:
  explicit Calls(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {}

  // `rpc` is its path: /hone.v1.TrainingService/GetJob. The deadline is the server's.
  std::shared_ptr<Call> Start(const std::string& rpc, const Metadata& metadata,
                              Call::Handlers handlers);

  // True: every call has ended. False: `most` is over.
  bool WaitForAll(absl::Duration most);

 private:
  class GenericCall;

  grpc::GenericStub stub_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int running_ = 0;  // guarded by mutex_
};

}  // namespace hone::server::http
