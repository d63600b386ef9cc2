#include "server/rpc/upload_stream.h"

#include <memory>
#include <utility>

#include "engine/base/status.h"
#include "server/jobs/unknown_fields.h"
#include "server/rpc/transfer_stream.h"

namespace hone::server::rpc {
namespace {

class UploadStream final
    : public TransferStream<grpc::ServerReadReactor<v1::UploadDatasetRequest>> {
 public:
  UploadStream(std::string peer, const access::Caller& caller, v1::Dataset* reply, Deps& deps)
      : TransferStream({.method = "UploadDataset",
                        .peer = std::move(peer),
                        .caller = caller.name,
                        .project = caller.project,
                        .changes = true},
                       "nothing arrived for too long while others wait; what arrived is kept",
                       deps),
        project_(caller.project),
        reply_(reply) {}

  void OnReadDone(bool more) override {
    if (!Resume()) {
      return;
    }
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
      Next();
    });
    if (!taken) {
      End(absl::ResourceExhaustedError("too many uploads at a time; try again"));
    }
  }

 private:
  void Next() override {
    Wait([this] { StartRead(&request_); });
  }

  absl::Status Take() {
    HONE_RETURN_IF_ERROR(jobs::CheckFieldsAreKnown(request_));
    if (session_ == nullptr) {
      if (!request_.has_header()) {
        return absl::InvalidArgumentError("header: must be the first message of the stream");
      }
      HONE_ASSIGN_OR_RETURN(session_, deps_.datasets.Open(request_.header(), project_));
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
    resource_ = reply_->name();
    return absl::OkStatus();
  }

  const std::string project_;
  v1::Dataset* const reply_;
  v1::UploadDatasetRequest request_;
  std::unique_ptr<datasets::Session> session_;
};

}  // namespace

grpc::ServerReadReactor<v1::UploadDatasetRequest>* OpenUpload(std::string peer,
                                                              const access::Caller& caller,
                                                              v1::Dataset* reply, Deps& deps) {
  const auto stream = std::make_shared<UploadStream>(std::move(peer), caller, reply, deps);
  stream->Begin(absl::OkStatus());
  return stream.get();
}

}  // namespace hone::server::rpc
