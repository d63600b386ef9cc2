// How a job that succeeded gives its model.
#include <google/protobuf/util/time_util.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/scheduler/scheduler.h"

namespace hone::server::scheduler {

void Scheduler::Publish(Running& running) {
  const std::string& path = running.attempt->report().model_path();
  const std::optional<store::Ending>& ending = running.decision->ending;
  if (!ending.has_value() || ending->state != jobs::JobState::kSucceeded || path.empty()) {
    return;
  }
  running.publishing = true;
  // Never refused: there are no more of them than jobs may run.
  files_.Submit([this, path, job = running.attempt->job().id,
                 model = running.attempt->job().makes_model,
                 folder = running.attempt->run_directory()] {
    Published published = PublishFiles(job, model, folder, path);
    const std::lock_guard lock(mutex_);
    published_.push_back(std::move(published));
    Wake();  // with the lock, as in Prepare
  });
}

Scheduler::Published Scheduler::PublishFiles(const std::string& job_id, const std::string& model_id,
                                             const std::string& run_directory,
                                             const std::string& model_path) const {
  // Before the folder is there, so that a server that is killed before its job's end is stored
  // leaves nothing that nobody knows of.
  const absl::Status drafted =
      writer_.RunStatus([&](store::JobStore& store) { return store.DraftModel(model_id); });
  absl::StatusOr<std::vector<v1::ModelFile>> files =
      drafted.ok() ? directory_.Publish(run_directory, model_path, model_id) : drafted;
  return {.job_id = job_id, .drafted = drafted, .files = std::move(files)};
}

void Scheduler::TakePublished(absl::Time now) {
  std::vector<Published> all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(published_);
  }
  for (const Published& published : all) {
    Running& running = running_.at(published.job_id);
    running.publishing = false;
    if (published.drafted.ok()) {
      AddModel(*running.attempt, published.files, *running.decision, now);
    } else {
      LostWrite("a model cannot be published", published.job_id, published.drafted);
      running.decision.reset();  // and again
      if (stopping_) {
        running.decision = Again(running.attempt->job(), "the server was shut down");
      }
    }
  }
}

// A disk that fails is not the job's fault: its last checkpoint is there, and it ends another time.
void Scheduler::AddModel(Attempt& attempt, const absl::StatusOr<std::vector<v1::ModelFile>>& files,
                         Decision& decision, absl::Time now) {
  const ReportBuffer& report = attempt.report();
  const jobs::Job& job = attempt.job();
  if (!files.ok()) {
    const std::string message =
        absl::StrCat("the model cannot be published: ", files.status().message());
    if (absl::IsInvalidArgument(files.status())) {
      *decision.ending = {
          .state = jobs::JobState::kFailed, .reason = v1::Job::INTERNAL, .message = message};
      return;
    }
    decision = Again(job, message);
    return;
  }
  v1::Model& model = decision.ending->model.emplace();
  model.set_name(jobs::ModelName(job.makes_model));
  model.set_display_name(job.resolved.display_name());
  model.set_job(jobs::JobName(job.id));
  model.set_task(jobs::ModelTaskName(job.spec));
  *model.mutable_create_time() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(now));
  int64_t bytes = 0;
  for (const v1::ModelFile& file : *files) {
    bytes += file.bytes();
    *model.add_files() = file;
  }
  model.set_bytes(bytes);
  *model.mutable_evaluation() = report.evaluation();
  *model.mutable_plan() = report.plan().layers_size() > 0 ? report.plan() : job.plan;
}

}  // namespace hone::server::scheduler
