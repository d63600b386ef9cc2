#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "hone/v1/model_service.pb.h"
#include "hone/v1/training_service.pb.h"
#include "server/rpc/deps.h"

namespace hone::server::rpc {

// Sends every file of a model in chunks of at most 1 MiB; files are read on `deps.reads`, one chunk
// ahead of nobody. NOT_FOUND; DATA_LOSS: a file is not as long as when it was published. Deletes
// itself when done.
grpc::ServerWriteReactor<v1::DownloadModelResponse>* OpenDownload(
    grpc::CallbackServerContext* context, const v1::DownloadModelRequest& request,
    const access::Caller& caller, Deps& deps);

// The same of one artifact of a job.
grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* OpenDownload(
    grpc::CallbackServerContext* context, const v1::DownloadArtifactRequest& request,
    const access::Caller& caller, Deps& deps);

}  // namespace hone::server::rpc
