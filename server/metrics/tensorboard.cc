#include "server/metrics/tensorboard.h"

#include <utility>

#include "server/jobs/job.h"
#include "server/log/log.h"

namespace hone::server::metrics {

void TensorBoard::OnEvent(const store::LoggedEvent& logged) {
  const v1::Event& event = *logged.event;
  const auto warn = [&](const absl::Status& status) {
    log::Warning(
        "no TensorBoard file can be written",
        {{"job", logged.job_id}, {"attempt", event.attempt()}, {"error", status.message()}});
    files_.erase(logged.job_id);
  };
  if (event.has_state()) {
    const auto state = jobs::FromProto(event.state().state());
    if (state.ok() && !jobs::HasWorker(*state)) {
      files_.erase(logged.job_id);
    }
    return;
  }
  if (event.has_started()) {
    auto begun = event_files::EventFile::Begin(directory_(logged.job_id), event,
                                               run_(logged.job_id, event.attempt()));
    if (!begun.ok()) {
      return warn(begun.status());
    }
    files_.insert_or_assign(logged.job_id, *std::move(begun));
    return;
  }
  if (const auto file = files_.find(logged.job_id); file != files_.end()) {
    if (const absl::Status status = file->second.Add(event); !status.ok()) {
      warn(status);
    }
  }
}

}  // namespace hone::server::metrics
