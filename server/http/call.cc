#include "server/http/call.h"

#include <google/protobuf/message.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>
#include <grpcpp/support/slice.h>

#include <limits>

#include "absl/strings/ascii.h"

namespace hone::server::http {

std::string ForMetadata(absl::string_view text) {
  std::string value(absl::StripAsciiWhitespace(text));
  for (char& c : value) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) {
      c = '?';
    }
  }
  return value;
}

grpc::ByteBuffer Serialize(const google::protobuf::Message& message) {
  grpc::Slice slice(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

bool Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  grpc::ByteBuffer read = bytes;  // shares the bytes
  grpc::ProtoBufferReader reader(&read);
  return message.ParseFromZeroCopyStream(&reader);
}

// gRPC ends a reactor when nothing of it is under way and it is not held. It is held while reads
// and writes may still be begun from outside of its own functions: until the call has no more
// messages, or is cancelled.
class Calls::GenericCall final : public Call,
                                 public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                                 public std::enable_shared_from_this<GenericCall> {
 public:
  GenericCall(Calls& calls, Handlers handlers) : calls_(calls), handlers_(std::move(handlers)) {}

  void Begin(const std::string& rpc, const Metadata& metadata) {
    self_ = shared_from_this();
    for (const auto& [name, value] : metadata) {
      context_.AddMetadata(name, value);
    }
    calls_.stub_.PrepareBidiStreamingCall(&context_, rpc, {}, this);
    AddHold();
    StartCall();
  }

  void Read() override {
    const std::lock_guard lock(mutex_);
    if (!released_) {
      message_.Clear();
      StartRead(&message_);
    }
  }

  void Write(const grpc::ByteBuffer& message, bool last) override {
    const std::lock_guard lock(mutex_);
    if (!released_) {
      written_ = message;
      StartWrite(&written_, last ? grpc::WriteOptions().set_last_message() : grpc::WriteOptions());
    }
  }

  void Cancel() override {
    context_.TryCancel();
    Release();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {
      return Release();
    }
    handlers_.read(message_);
  }

  void OnWriteDone(bool ok) override {
    if (ok && handlers_.written != nullptr) {
      handlers_.written();
    }
  }

  void OnDone(const grpc::Status& status) override {
    std::shared_ptr<GenericCall> last = std::move(self_);
    Calls& calls = calls_;
    {
      const Handlers handlers = std::move(handlers_);
      handlers.ended(status);
    }
    last.reset();  // and what it kept, before nobody waits for it any more
    const std::lock_guard lock(calls.mutex_);
    --calls.running_;
    calls.changed_.notify_all();
  }

  void Release() {
    {
      const std::lock_guard lock(mutex_);
      if (released_) {
        return;
      }
      released_ = true;
    }
    RemoveHold();
  }

  Calls& calls_;
  Handlers handlers_;
  grpc::ClientContext context_;
  grpc::ByteBuffer message_, written_;
  std::mutex mutex_;
  bool released_ = false;              // guarded by mutex_
  std::shared_ptr<GenericCall> self_;  // until it has ended
};

std::shared_ptr<Call> Calls::Start(const std::string& rpc, const Metadata& metadata,
                                   Call::Handlers handlers) {
  {
    const std::lock_guard lock(mutex_);
    ++running_;
  }
  const auto call = std::make_shared<GenericCall>(*this, std::move(handlers));
  call->Begin(rpc, metadata);
  return call;
}

bool Calls::WaitForAll(absl::Duration most) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, absl::ToChronoMilliseconds(most),
                           [this] { return running_ == 0; });
}

}  // namespace hone::server::http
