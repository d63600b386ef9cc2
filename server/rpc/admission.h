#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "hone/v1/training_service.pb.h"
#include "server/rpc/deps.h"

namespace hone::server::rpc {

// A job on its way into the queue, its spec found right.
struct Candidate {
  store::NewJob job;
  std::string model_directory = "";        // of the model it begins with; "": none
  std::string other_model_directory = "";  // of the second one that it looks at; "": none
  std::string dataset_path = "";           // "": of the catalogue
  bool validate_only = false;
  bool measure = true;  // with validate_only: says how long it takes, where nothing else runs
  // In the transaction that stores the job: before it, where an error stores nothing, and after it.
  std::function<absl::Status(store::JobStore&)> before = nullptr;
  std::function<absl::Status(store::JobStore&, const jobs::Job&)> after = nullptr;
};

// RESOURCE_EXHAUSTED, with a delay: the queue is full, or the disk nearly, or a job more is beyond
// the project's shares.
absl::Status CheckRoom(const std::string& project, const Deps& deps);
// Of a job that asks for no number: no more than its project may use.
int DefaultThreads(const std::string& project, const Deps& deps);
// At most 128 printable characters, no spaces.
absl::Status CheckRequestId(const std::string& request_id);

// Finds the folders of the models that the candidate's job begins with or looks at. NOT_FOUND.
absl::Status FindModels(const Deps& deps, Candidate& candidate);

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

// Stores a job that was found right, or finds the one of its request_id.
void StoreJob(Candidate candidate, Deps& deps, Done<v1::Job> done);

}  // namespace hone::server::rpc
