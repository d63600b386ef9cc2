#include "server/rpc/upload_stream.h"

#include <memory>
#include <mutex>
#include <utility>

#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/unknown_fields.h"
#include "server/rpc/observed_stream.h"

namespace hone::server::rpc {
namespace {

class UploadStream final : public grpc::ServerReadReactor<v1::UploadDatasetRequest>,
                           public std::enable_shared_from_this<UploadStream> {
 public:
  UploadStream(std::string peer, v1::Dataset* reply, Deps& deps)
      : reply_(reply),
        deps_(deps),
        observed_({.method = "UploadDataset", .peer = std::move(peer), .changes = true}, deps) {}

  void Begin() {
    self_ = shared_from_this();
    transfer_ = deps_.transfers.Open(SteadyNow(), [weak = std::weak_ptr<UploadStream>(self_)] {
      if (const auto stream = weak.lock()) {
        stream->EndIdle();
      }
    });
    if (!transfer_.ok()) {
      return End(transfer_.status());
    }
    Read();
  }

  void OnReadDone(bool more) override {
    {
      const std::lock_guard lock(mutex_);
      reading_ = false;
      if (ended_) {
        return;
      }
    }
    deps_.transfers.Moved(*transfer_, SteadyNow());
    if (!more) {
      if (!deps_.datasets.verifications().Submit([this] { End(Complete()); })) {
        End(absl::ResourceExhaustedError("too many uploads are being finished; try again"));
      }
      return;
    }
    const bool taken = deps_.datasets.executor().Submit([this] {
      if (const absl::Status status = Take(); !status.ok()) {
        return End(status);
      }
      Read();
    });
    if (!taken) {
      End(absl::ResourceExhaustedError("too many uploads at a time; try again"));
    }
  }

  void OnDone() override {
    if (transfer_.ok()) {
      deps_.transfers.Close(*transfer_);
    }
    // Others may hold it for a moment longer.
    const std::shared_ptr<UploadStream> last = std::move(self_);
  }

 private:
  void Read() {
    const std::lock_guard lock(mutex_);
    reading_ = true;
    StartRead(&request_);
  }

  // While it waits for its client; what it does itself is waited for.
  void EndIdle() {
    {
      const std::lock_guard lock(mutex_);
      if (!reading_ || ended_) {
        return;
      }
      ended_ = true;
    }
    Finish(observed_.End(absl::UnavailableError(
        "nothing arrived for too long while others wait; what arrived is kept")));
  }

  absl::Status Take() {
    HONE_RETURN_IF_ERROR(jobs::CheckFieldsAreKnown(request_));
    if (session_ == nullptr) {
      if (!request_.has_header()) {
        return absl::InvalidArgumentError("header: must be the first message of the stream");
      }
      HONE_ASSIGN_OR_RETURN(session_, deps_.datasets.Open(request_.header()));
      return session_->StartAt(request_.header().offset());
    }
    if (request_.kind_case() != v1::UploadDatasetRequest::kChunk) {
      return absl::InvalidArgumentError("chunk: every message after the first must have it");
    }
    return session_->Append(request_.chunk());
  }

  absl::Status Complete() {
    if (session_ == nullptr) {
      return absl::InvalidArgumentError("header: must be the first message of the stream");
    }
    HONE_ASSIGN_OR_RETURN(const store::Dataset dataset, session_->Finish());
    *reply_ = datasets::ToProto(dataset);
    return absl::OkStatus();
  }

  void End(const absl::Status& status) { Finish(observed_.End(status, reply_->name())); }

  v1::Dataset* const reply_;
  Deps& deps_;
  ObservedStream observed_;
  std::shared_ptr<UploadStream> self_;  // until OnDone
  absl::StatusOr<int64_t> transfer_ = absl::UnknownError("not begun");
  v1::UploadDatasetRequest request_;
  std::unique_ptr<datasets::Session> session_;
  std::mutex mutex_;
  bool reading_ = false;  // guarded by mutex_
  bool ended_ = false;    // by EndIdle; guarded by mutex_
};

}  // namespace

grpc::ServerReadReactor<v1::UploadDatasetRequest>* OpenUpload(std::string peer, v1::Dataset* reply,
                                                              Deps& deps) {
  const auto stream = std::make_shared<UploadStream>(std::move(peer), reply, deps);
  stream->Begin();
  return stream.get();
}

}  // namespace hone::server::rpc
