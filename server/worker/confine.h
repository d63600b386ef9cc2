#pragma once

#include "absl/status/status.h"
#include "hone/v1/worker.pb.h"

namespace hone::server::worker {

// Takes from this process, before it reads what strangers wrote, what it does not need for its
// request, as far as the kernel can (worker_process/confinement.h):
//   writing, making and removing files outside its run's folder, and the cache's where it may
//   download; running programs; signals to processes outside;
//   the network, where it downloads nothing.
// A job that trains a tokenizer with SentencePiece has that program started before (confined in the
// same way but for running programs), which the trainings of this process then use.
// Files that are open stay so, and reading is free. To be called before a thread is started: the
// threads that are there keep what they have. An error: the kernel can, and did not.
absl::Status Confine(const v1::WorkerRequest& request);

}  // namespace hone::server::worker
