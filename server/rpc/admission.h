#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "hone/v1/training_service.pb.h"
#include "server/rpc/deps.h"

namespace hone::server::rpc {

// A job on its way into the queue, its spec found right.
struct Candidate {
  store::NewJob job;
  std::string model_directory = "";  // of the model it begins with; "": none
  std::string dataset_path = "";     // "": of the catalogue
  bool validate_only = false;
};

// RESOURCE_EXHAUSTED, with a delay: the queue is full, or the disk nearly.
absl::Status CheckRoom(const Deps& deps);
// At most 128 printable characters, no spaces.
absl::Status CheckRequestId(const std::string& request_id);

// The folder of the model that jobs of this spec begin with, or "". NOT_FOUND: it, or another model
// that the spec names, is not there.
absl::StatusOr<std::string> PretrainedDirectory(const v1::JobSpec& spec, const Deps& deps);

// Has a worker plan the net (whether the layers fit each other and the data), unless the same was
// planned before; checks the memory, stores the job and wakes the scheduler. A job whose plan takes
// too long (a data set that is downloaded first) is taken without: its worker checks before it
// trains.
void Admit(Candidate candidate, Deps& deps, Done<v1::Job> done);

// What a request that made a job before is answered with: that job; ALREADY_EXISTS if it was
// another request. `spec` is this one's. Writes nothing, so that no spec gets by its checks where
// somebody deletes the known job meanwhile.
absl::StatusOr<v1::Job> AnswerKnown(const jobs::Job& known, const store::NewJob& job,
                                    const v1::JobSpec& spec);

// Stores a job that was found right, or finds the one of its request_id. `uploaded`: the job's data
// set is one of this server's, else one of the catalogue.
void StoreJob(store::NewJob job, bool uploaded, Deps& deps, Done<v1::Job> done);

}  // namespace hone::server::rpc
