#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hone/v1/dataset.pb.h"
#include "server/scheduler/worker_calls.h"

namespace hone::server::datasets {

// Has a worker process read the file at `path`, which clients know as `id`, and tell what is in it
// and the first `rows` rows of a table. A user's bytes are never parsed in this process. `done` is
// called once, on any thread; errors are those of WorkerCalls.
void Inspect(const std::string& id, const std::string& path, int rows, absl::Duration timeout,
             scheduler::WorkerCalls& calls,
             std::function<void(absl::StatusOr<v1::DatasetReport>)> done);

}  // namespace hone::server::datasets
