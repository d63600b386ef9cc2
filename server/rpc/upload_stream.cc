#include "server/rpc/upload_stream.h"

#include <memory>
#include <utility>

#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/rpc/call_log.h"
#include "server/rpc/status.h"

namespace hone::server::rpc {
namespace {

constexpr char kMethod[] = "UploadDataset";

class UploadStream final : public grpc::ServerReadReactor<v1::UploadDatasetRequest> {
 public:
  UploadStream(std::string peer, v1::Dataset* reply, Deps& deps)
      : peer_(std::move(peer)),
        reply_(reply),
        deps_(deps),
        begin_(SteadyNow()),
        opened_(deps.transfers.Open()) {
    deps_.registry.Add(metrics::Metric::kRpcStarted, {kMethod}, 1);
    if (opened_.ok()) {
      StartRead(&request_);
    } else {
      End(opened_);
    }
  }

  void OnReadDone(bool more) override {
    if (!more) {
      if (!deps_.datasets.verifications().Submit([this] { End(Complete()); })) {
        End(absl::ResourceExhaustedError("too many uploads end at a time; try again"));
      }
      return;
    }
    const bool taken = deps_.datasets.executor().Submit([this] {
      if (const absl::Status status = Take(); !status.ok()) {
        return End(status);
      }
      StartRead(&request_);
    });
    if (!taken) {
      End(absl::ResourceExhaustedError("too many uploads at a time; try again"));
    }
  }

  void OnDone() override {
    if (opened_.ok()) {
      deps_.transfers.Close();
    }
    delete this;
  }

 private:
  absl::Status Take() {
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

  void End(const absl::Status& status) {
    deps_.registry.Observe(metrics::Metric::kRpcDuration,
                           {kMethod, absl::StatusCodeToString(status.code())},
                           absl::ToDoubleSeconds(SteadyNow() - begin_));
    LogCall({.method = kMethod, .peer = peer_, .changes = true, .resource = reply_->name()}, status,
            SteadyNow() - begin_);
    Finish(ToGrpc(status));
  }

  const std::string peer_;
  v1::Dataset* const reply_;
  Deps& deps_;
  const absl::Duration begin_;
  const absl::Status opened_;
  v1::UploadDatasetRequest request_;
  std::unique_ptr<datasets::Session> session_;
};

}  // namespace

grpc::ServerReadReactor<v1::UploadDatasetRequest>* OpenUpload(std::string peer, v1::Dataset* reply,
                                                              Deps& deps) {
  return new UploadStream(std::move(peer), reply, deps);
}

}  // namespace hone::server::rpc
