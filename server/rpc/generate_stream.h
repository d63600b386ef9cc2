#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "hone/v1/model_service.pb.h"
#include "server/rpc/deps.h"

namespace hone::server::rpc {

// Has the model's process draw some pictures at a time, or write some tokens, and sends them one
// after another; the next ones are made when the client has taken these. Errors of
// ModelService.Generate. Deletes itself when done.
grpc::ServerWriteReactor<v1::GenerateResponse>* OpenGeneration(grpc::CallbackServerContext* context,
                                                               const v1::GenerateRequest& request,
                                                               const access::Caller& caller,
                                                               Deps& deps);

}  // namespace hone::server::rpc
