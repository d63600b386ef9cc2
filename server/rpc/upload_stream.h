#pragma once

#include <grpcpp/support/server_callback.h>

#include <string>

#include "hone/v1/dataset_service.pb.h"
#include "server/rpc/deps.h"

namespace hone::server::rpc {

// Takes one message at a time and reads the next when it is on the disk, so that no more than one
// is in memory. Deletes itself when done.
grpc::ServerReadReactor<v1::UploadDatasetRequest>* OpenUpload(std::string peer,
                                                              const access::Caller& caller,
                                                              v1::Dataset* reply, Deps& deps);

}  // namespace hone::server::rpc
