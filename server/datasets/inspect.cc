#include "server/datasets/inspect.h"

#include <utility>

#include "server/jobs/names.h"

namespace hone::server::datasets {
void Inspect(const std::string& id, const std::string& path, int rows, absl::Duration timeout,
             scheduler::WorkerCalls& calls,
             std::function<void(absl::StatusOr<v1::DatasetReport>)> done) {
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::DATASET);
  request.mutable_spec()->mutable_data()->set_dataset(id);
  request.set_dataset_path(path);
  request.set_preview_rows(rows);
  request.set_threads(1);
  calls.Submit(std::move(request), timeout,
               [done = std::move(done)](absl::StatusOr<v1::WorkerFrame> frame) {
                 if (!frame.ok()) {
                   return done(frame.status());
                 }
                 jobs::CutNames(*frame->mutable_dataset());
                 done(std::move(*frame->mutable_dataset()));
               });
}

}  // namespace hone::server::datasets
