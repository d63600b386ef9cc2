#include "server/rpc/download_stream.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/job.h"
#include "server/jobs/unknown_fields.h"
#include "server/rpc/observed_stream.h"

namespace hone::server::rpc {
namespace {

constexpr int64_t kChunk = int64_t{1} << 20;
// A read, then its write, then the next read: never two at once, so no lock is held around the
// file.
class Download final : public grpc::ServerWriteReactor<v1::DownloadModelResponse>,
                       public std::enable_shared_from_this<Download> {
 public:
  Download(grpc::CallbackServerContext* context, std::string directory, Deps& deps)
      : context_(context),
        deps_(deps),
        directory_(std::move(directory)),
        observed_({.method = "DownloadModel"}, deps) {}

  void Begin(absl::StatusOr<v1::Model> model) {
    self_ = shared_from_this();
    if (!model.ok()) {
      return End(model.status());
    }
    model_ = *std::move(model);
    transfer_ = deps_.transfers.Open(SteadyNow(), [weak = std::weak_ptr<Download>(self_)] {
      if (const auto download = weak.lock()) {
        download->EndIdle();
      }
    });
    if (!transfer_.ok()) {
      return End(transfer_.status());
    }
    Next();
  }

  void OnWriteDone(bool ok) override {
    {
      const std::lock_guard lock(mutex_);
      writing_ = false;
      if (ending_) {
        return;
      }
    }
    if (!ok) {
      return End(absl::CancelledError("the client has left"));
    }
    deps_.transfers.Moved(*transfer_, SteadyNow());
    Next();
  }

  void OnDone() override {
    if (transfer_.ok()) {
      deps_.transfers.Close(*transfer_);
    }
    // Others may hold it for a moment longer.
    const std::shared_ptr<Download> last = std::move(self_);
  }

 private:
  void End(const absl::Status& status) { Finish(observed_.End(status, model_.name())); }

  // While it waits for its client. A write that is under way holds up the status, so it is called
  // off; until then nothing else may end the stream, whose context would go with it.
  void EndIdle() {
    {
      const std::lock_guard lock(mutex_);
      if (!writing_ || ending_) {
        return;
      }
      ending_ = true;
    }
    context_->TryCancel();
    End(absl::UnavailableError("nothing was read for too long while others wait"));
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
    const std::lock_guard lock(mutex_);
    writing_ = true;
    StartWrite(&chunk_);
  }

  grpc::CallbackServerContext* const context_;
  Deps& deps_;
  const std::string directory_;
  ObservedStream observed_;
  std::shared_ptr<Download> self_;  // until OnDone
  absl::StatusOr<int64_t> transfer_ = absl::UnknownError("not begun");
  v1::Model model_;
  int file_ = 0;
  int64_t offset_ = 0;
  std::ifstream stream_;
  v1::DownloadModelResponse chunk_;
  std::mutex mutex_;
  bool writing_ = false;  // guarded by mutex_
  bool ending_ = false;   // by EndIdle; guarded by mutex_
};

}  // namespace

grpc::ServerWriteReactor<v1::DownloadModelResponse>* OpenDownload(
    grpc::CallbackServerContext* context, const v1::DownloadModelRequest& request, Deps& deps) {
  const absl::StatusOr<std::string> id = jobs::ModelId(request.name());
  const auto download =
      std::make_shared<Download>(context, id.ok() ? deps.directory.ModelDirectory(*id) : "", deps);
  const absl::Status known = jobs::CheckFieldsAreKnown(request);
  download->Begin(!known.ok() ? known : id.ok() ? deps.store.GetModel(*id) : id.status());
  return download.get();
}

}  // namespace hone::server::rpc
