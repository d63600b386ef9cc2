#include "server/rpc/download_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "server/artifacts/job_artifacts.h"
#include "server/jobs/job.h"
#include "server/jobs/unknown_fields.h"
#include "server/rpc/calls.h"
#include "server/rpc/transfer_stream.h"

namespace hone::server::rpc {
namespace {

constexpr int64_t kChunk = int64_t{1} << 20;

// What is sent: files one after another, as a Response's first chunk of each names them.
template <typename Response>
struct Source {
  std::string resource;  // whose files they are
  std::function<void(int file, Response& first)> describe;
  std::function<absl::StatusOr<int>(int file)> open;  // a descriptor
  struct File {
    std::string path;
    int64_t bytes;
  };
  std::vector<File> files = {};
};

// A read, then its write, then the next read.
template <typename Response>
class Download final : public SendingStream<Response> {
 public:
  Download(grpc::CallbackServerContext* context, const std::string& method,
           const access::Caller& caller, Deps& deps)
      : SendingStream<Response>(
            context, {.method = method, .caller = caller.name, .project = caller.project}, deps) {}
  ~Download() override { Close(); }

  void Open(absl::StatusOr<Source<Response>> source) {
    if (source.ok()) {
      source_ = *std::move(source);
      this->resource_ = source_.resource;
    }
    this->Begin(source.status());
  }

 private:
  void Close() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
    fd_ = -1;
  }

  // All of `data`, from where the file stands.
  absl::Status Fill(std::string& data) const {
    for (size_t filled = 0; filled < data.size();) {
      const ssize_t got = ::read(fd_, data.data() + filled, data.size() - filled);
      if (got == 0 || (got < 0 && errno != EINTR)) {
        return absl::DataLossError(absl::StrCat(source_.resource, ": ",
                                                source_.files[static_cast<size_t>(file_)].path,
                                                " cannot be read whole"));
      }
      filled += static_cast<size_t>(std::max<ssize_t>(got, 0));
    }
    return absl::OkStatus();
  }

  void Next() override {
    if (!this->deps_.reads.Submit([this] { ReadAndSend(); })) {
      this->End(absl::ResourceExhaustedError("too many files are being read; try again"));
    }
  }

  void ReadAndSend() {
    if (file_ == static_cast<int>(source_.files.size())) {
      return this->End(absl::OkStatus());
    }
    chunk_.Clear();
    chunk_.set_offset(offset_);
    if (offset_ == 0) {
      source_.describe(file_, chunk_);
      Close();
      const absl::StatusOr<int> opened = source_.open(file_);
      if (!opened.ok()) {
        return this->End(opened.status());
      }
      fd_ = *opened;
    }
    const int64_t bytes = source_.files[static_cast<size_t>(file_)].bytes;
    std::string& data = *chunk_.mutable_data();
    data.resize(static_cast<size_t>(std::min(kChunk, bytes - offset_)));
    if (const absl::Status status = Fill(data); !status.ok()) {
      return this->End(status);
    }
    offset_ += static_cast<int64_t>(data.size());
    if (offset_ >= bytes) {
      ++file_;
      offset_ = 0;
    }
    this->Send(chunk_);
  }

  Source<Response> source_;
  int file_ = 0;
  int64_t offset_ = 0;
  int fd_ = -1;
  Response chunk_;
};

using ModelSource = Source<v1::DownloadModelResponse>;
using ArtifactSource = Source<v1::DownloadArtifactResponse>;

absl::StatusOr<ModelSource> FilesOf(const std::string& name, const Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(name));
  HONE_ASSIGN_OR_RETURN(const v1::Model model, deps.store.GetModel(id));
  const auto files = std::make_shared<const v1::Model>(model);
  ModelSource source{
      .resource = model.name(),
      .describe =
          [files](int file, v1::DownloadModelResponse& first) {
            *first.mutable_file() = files->files(file);
          },
      .open = [files, folder = deps.directory.ModelDirectory(id)](int file) -> absl::StatusOr<int> {
        const std::string& path = files->files(file).path();
        const int fd = ::open(absl::StrCat(folder, "/", path).c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
          return absl::DataLossError(absl::StrCat(files->name(), ": ", path, " cannot be read"));
        }
        return fd;
      }};
  for (const v1::ModelFile& file : model.files()) {
    source.files.push_back({file.path(), file.bytes()});
  }
  return source;
}

absl::StatusOr<ArtifactSource> ArtifactOf(const v1::DownloadArtifactRequest& request,
                                          const Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string folder, ArtifactsFolder(request.name(), deps));
  v1::JobArtifact artifact;
  HONE_ASSIGN_OR_RETURN(const int opened,
                        artifacts::OpenArtifact(folder, request.path(), artifact));
  // Opened once: by its path it might be another file the next time.
  const std::shared_ptr<const int> fd(new int(opened), [](const int* held) {
    ::close(*held);
    delete held;
  });
  return ArtifactSource{.resource = request.name(),
                        .describe =
                            [artifact](int, v1::DownloadArtifactResponse& first) {
                              *first.mutable_artifact() = artifact;
                            },
                        .open = [fd](int) -> absl::StatusOr<int> {
                          const int own = ::fcntl(*fd, F_DUPFD_CLOEXEC, 0);
                          if (own < 0) {
                            return ErrnoStatus(errno, "artifact");
                          }
                          return own;
                        },
                        .files = {{artifact.path(), artifact.bytes()}}};
}

}  // namespace

grpc::ServerWriteReactor<v1::DownloadModelResponse>* OpenDownload(
    grpc::CallbackServerContext* context, const v1::DownloadModelRequest& request,
    const access::Caller& caller, Deps& deps) {
  const auto download =
      std::make_shared<Download<v1::DownloadModelResponse>>(context, "DownloadModel", caller, deps);
  const absl::Status known = jobs::CheckFieldsAreKnown(request);
  download->Open(known.ok() ? FilesOf(request.name(), deps) : known);
  return download.get();
}

grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* OpenDownload(
    grpc::CallbackServerContext* context, const v1::DownloadArtifactRequest& request,
    const access::Caller& caller, Deps& deps) {
  const auto download = std::make_shared<Download<v1::DownloadArtifactResponse>>(
      context, "DownloadArtifact", caller, deps);
  const absl::Status known = jobs::CheckFieldsAreKnown(request);
  download->Open(known.ok() ? ArtifactOf(request, deps) : known);
  return download.get();
}

}  // namespace hone::server::rpc
