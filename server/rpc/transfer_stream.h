#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/steady_clock.h"
#include "server/rpc/deps.h"
#include "server/rpc/observed_stream.h"

namespace hone::server::rpc {

// The life of an upload or a download: it has a place among the transfers, is counted, timed and
// logged, and deletes itself when gRPC is done with it. By turns it works and waits for its client.
// Only one piece of work is under way at a time, on any thread: it ends by Wait or by End, and
// needs no lock. A stream that waits may be told to make room for others. `Reactor` is gRPC's
// reactor of one direction. Made by std::make_shared.
template <typename Reactor>
class TransferStream : public Reactor,
                       public std::enable_shared_from_this<TransferStream<Reactor>> {
 public:
  // Comes first. `asked`: what is wrong with the request, which then is all the client is told.
  void Begin(const absl::Status& asked) {
    self_ = this->shared_from_this();
    if (!asked.ok()) {
      return End(asked);
    }
    transfer_ = deps_.transfers.Open(SteadyNow(), [weak = std::weak_ptr<TransferStream>(self_)] {
      if (const auto stream = weak.lock()) {
        stream->MakeRoom();
      }
    });
    if (!transfer_.ok()) {
      return End(transfer_.status());
    }
    Next();
  }

  void OnDone() final {
    if (transfer_.ok()) {
      deps_.transfers.Close(*transfer_);
    }
    // Others may hold it for a moment longer.
    const std::shared_ptr<TransferStream> last = std::move(self_);
  }

 protected:
  // `too_slow`: what a client is told that others could not wait for.
  TransferStream(Call call, std::string too_slow, Deps& deps)
      : deps_(deps), observed_(std::move(call), deps), too_slow_(std::move(too_slow)) {}

  // The first piece of work.
  virtual void Next() = 0;
  // Calls off what the client is waited for, where that would hold up the end.
  virtual void CallOff() {}

  // The client's turn, which `start` begins: a read or a write.
  template <typename Start>
  void Wait(Start start) {
    const std::lock_guard lock(mutex_);
    waiting_ = true;
    start();
  }
  // The client has had its turn. False: the stream is ending, and there is no more work.
  bool Resume() {
    {
      const std::lock_guard lock(mutex_);
      waiting_ = false;
      if (ending_) {
        return false;
      }
    }
    deps_.transfers.Moved(*transfer_, SteadyNow());
    return true;
  }
  void End(const absl::Status& status) { this->Finish(observed_.End(status, resource_)); }

  Deps& deps_;
  std::string resource_;  // whose transfer it is, once that is known; for the log

 private:
  // Nothing else may end the stream from here on: gRPC's context would go with it, which CallOff
  // needs.
  void MakeRoom() {
    {
      const std::lock_guard lock(mutex_);
      if (!waiting_ || ending_) {
        return;
      }
      ending_ = true;
    }
    CallOff();
    End(absl::UnavailableError(too_slow_));
  }

  ObservedStream observed_;
  const std::string too_slow_;
  std::shared_ptr<TransferStream> self_;  // until OnDone
  absl::StatusOr<int64_t> transfer_ = absl::UnknownError("not begun");
  std::mutex mutex_;
  bool waiting_ = false;  // for the client; guarded by mutex_
  bool ending_ = false;   // by MakeRoom; guarded by mutex_
};

// One that sends its client a message when the one before was taken. Next() makes a message and
// ends by Send or End.
template <typename Response>
class SendingStream : public TransferStream<grpc::ServerWriteReactor<Response>> {
 public:
  void OnWriteDone(bool ok) final {
    if (!this->Resume()) {
      return;
    }
    ok ? this->Next() : this->End(absl::CancelledError("the client has left"));
  }

 protected:
  SendingStream(grpc::CallbackServerContext* context, Call call, Deps& deps)
      : TransferStream<grpc::ServerWriteReactor<Response>>(
            std::move(call), "nothing was read for too long while others wait", deps),
        context_(context) {}

  // `message` stays as it is until the next call of Next().
  void Send(const Response& message) {
    this->Wait([&] { this->StartWrite(&message); });
  }
  bool ClientHasLeft() const { return context_->IsCancelled(); }

 private:
  // gRPC tells the status after the write.
  void CallOff() final { context_->TryCancel(); }

  grpc::CallbackServerContext* const context_;
};

}  // namespace hone::server::rpc
