#include "server/rpc/download_stream.h"

#include <algorithm>
#include <fstream>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/job.h"
#include "server/rpc/call_log.h"
#include "server/rpc/status.h"

namespace hone::server::rpc {
namespace {

constexpr int64_t kChunk = int64_t{1} << 20;
constexpr char kMethod[] = "DownloadModel";

// A read, then its write, then the next read: never two at once, so no lock is held around the
// file.
class Download final : public grpc::ServerWriteReactor<v1::DownloadModelResponse> {
 public:
  Download(absl::StatusOr<v1::Model> model, std::string directory, Deps& deps)
      : deps_(deps),
        directory_(std::move(directory)),
        begin_(SteadyNow()),
        opened_(deps.transfers.Open()) {
    deps.registry.Add(metrics::Metric::kRpcStarted, {kMethod}, 1);
    if (!opened_.ok() || !model.ok()) {
      End(opened_.ok() ? model.status() : opened_);
      return;
    }
    model_ = *std::move(model);
    Next();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      End(absl::CancelledError("the client has left"));
      return;
    }
    Next();
  }

  void OnDone() override {
    if (opened_.ok()) {
      deps_.transfers.Close();
    }
    delete this;
  }

 private:
  void End(const absl::Status& status) {
    const absl::Duration took = SteadyNow() - begin_;
    deps_.registry.Observe(metrics::Metric::kRpcDuration,
                           {kMethod, absl::StatusCodeToString(status.code())},
                           absl::ToDoubleSeconds(took));
    LogCall({.method = kMethod, .resource = model_.name()}, status, took);
    Finish(ToGrpc(status));
  }

  void Next() {
    if (!deps_.reads.Submit([this] { ReadAndSend(); })) {
      End(absl::ResourceExhaustedError("too many files are read; try again"));
    }
  }

  void ReadAndSend() {
    if (file_ == model_.files_size()) {
      End(absl::OkStatus());
      return;
    }
    const v1::ModelFile& file = model_.files(file_);
    chunk_.Clear();
    chunk_.set_offset(offset_);
    if (offset_ == 0) {
      *chunk_.mutable_file() = file;
      stream_ = std::ifstream(absl::StrCat(directory_, "/", file.path()), std::ios::binary);
    }
    std::string& data = *chunk_.mutable_data();
    data.resize(static_cast<size_t>(std::min(kChunk, file.bytes() - offset_)));
    stream_.read(data.data(), static_cast<std::streamsize>(data.size()));
    if (!stream_) {
      End(absl::DataLossError(
          absl::StrCat(model_.name(), ": ", file.path(), " cannot be read whole")));
      return;
    }
    offset_ += static_cast<int64_t>(data.size());
    if (offset_ >= file.bytes()) {
      ++file_;
      offset_ = 0;
    }
    StartWrite(&chunk_);
  }

  Deps& deps_;
  const std::string directory_;
  const absl::Duration begin_;
  const absl::Status opened_;
  v1::Model model_;
  int file_ = 0;
  int64_t offset_ = 0;
  std::ifstream stream_;
  v1::DownloadModelResponse chunk_;
};

}  // namespace

grpc::ServerWriteReactor<v1::DownloadModelResponse>* OpenDownload(
    const v1::DownloadModelRequest& request, Deps& deps) {
  const absl::StatusOr<std::string> id = jobs::ModelId(request.name());
  if (!id.ok()) {
    return new Download(id.status(), "", deps);
  }
  return new Download(deps.store.GetModel(*id), deps.directory.ModelDirectory(*id), deps);
}

}  // namespace hone::server::rpc
