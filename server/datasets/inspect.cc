#include "server/datasets/inspect.h"

#include <utility>

#include "absl/time/time.h"

namespace hone::server::datasets {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(50);

}  // namespace

void Inspect(const std::string& id, const std::string& path, int rows,
             scheduler::WorkerCalls& calls,
             std::function<void(absl::StatusOr<v1::DatasetReport>)> done) {
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::DATASET);
  request.mutable_spec()->mutable_data()->set_dataset(id);
  request.set_dataset_path(path);
  request.set_preview_rows(rows);
  request.set_threads(1);
  calls.Submit(std::move(request), kTimeout,
               [done = std::move(done)](absl::StatusOr<v1::WorkerFrame> frame) {
                 if (!frame.ok()) {
                   return done(frame.status());
                 }
                 done(std::move(*frame->mutable_dataset()));
               });
}

}  // namespace hone::server::datasets
