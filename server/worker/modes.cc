#include "server/worker/modes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/base/memory_error.h"
#include "engine/base/status.h"
#include "engine/data/catalog.h"
#include "engine/job/checkpoint_plan.h"
#include "engine/job/trainer.h"
#include "server/jobs/validate.h"
#include "server/translate/events.h"
#include "server/translate/job.h"
#include "server/worker/clients_words.h"
#include "server/worker/failure.h"

namespace hone::server::worker {
namespace {

using engine::job::Phase;
using engine::tasks::TrainingConfig;
using engine::train::EndReason;

absl::StatusOr<TrainingConfig> ConfigOf(const v1::WorkerRequest& request) {
  HONE_RETURN_IF_ERROR(CheckSpec(request));
  return translate::ToTrainingConfig(request);
}

absl::StatusOr<engine::job::Plan> PlanOf(const v1::WorkerRequest& request, Phase& phase) {
  HONE_ASSIGN_OR_RETURN(const TrainingConfig config, ConfigOf(request));
  return engine::job::PlanJob(config, request.measure(), &phase);
}

// What the server checks of a job that it has planned.
absl::Status CheckMemory(const TrainingConfig& config, int64_t bytes, FrameWriter& writer,
                         Phase& phase) {
  writer.SetProgress("planning", -1);
  HONE_ASSIGN_OR_RETURN(const engine::job::Plan plan,
                        engine::job::PlanJob(config, /*measure=*/false, &phase));
  const int64_t needed = translate::ToProto(plan).peak_memory_bytes();
  return needed <= bytes
             ? absl::OkStatus()
             : OutOfMemoryError(absl::StrCat(
                   "out of memory: the job needs about ", (needed >> 20) + 1,
                   " MiB, this server gives each job ", (bytes >> 20) + 1,
                   " MiB; a smaller training.batch_size, smaller layers or data.limit may help"));
}

const char* NameOf(EndReason reason) {
  switch (reason) {
    case EndReason::kCompleted:
      return "COMPLETED";
    case EndReason::kEarlyStop:
      return "EARLY_STOP";
    case EndReason::kCancelled:
      return "CANCELLED";
  }
  return "COMPLETED";
}

}  // namespace

absl::Status CheckSpec(const v1::WorkerRequest& request) {
  HONE_RETURN_IF_ERROR(jobs::Validate(
      request.spec(), {.max_threads = std::max(AvailableThreads(), request.threads()),
                       .bf16 = HasBf16(),
                       .has_data = !request.dataset_path().empty(),
                       .has_model = !request.model_directory().empty()}));
  const std::string& name = request.spec().data().dataset();
  return name.empty() || !request.dataset_path().empty() ? absl::OkStatus()
                                                         : engine::data::Find(name).status();
}

void SendFailure(const v1::Failure& failure, FrameWriter& writer) {
  v1::WorkerFrame frame;
  *frame.mutable_failure() = failure;
  writer.Send(frame);
}

bool Train(const v1::WorkerRequest& request, const std::atomic<bool>& stop, FrameWriter& writer) {
  if (request.spec().has_evaluation()) {
    return EvaluateModels(request, stop, writer);
  }
  const absl::StatusOr<TrainingConfig> config = ConfigOf(request);
  if (!config.ok()) {
    SendFailure(ToFailure(ClientsWords(request).Of(config.status()), Phase::kPlanning, 0), writer);
    return false;
  }
  if (request.memory_bytes() > 0) {
    Phase phase = Phase::kPlanning;
    if (const absl::Status status = CheckMemory(*config, request.memory_bytes(), writer, phase);
        !status.ok()) {
      SendFailure(ToFailure(ClientsWords(request).Of(status), phase, 0), writer);
      return false;
    }
  }
  EventSender events(writer, ClientsWords(request), request.run_directory());
  engine::job::Trainer trainer(*config, stop, events);
  const absl::StatusOr<EndReason> end = trainer.Run();
  if (!end.ok()) {
    SendFailure(ToFailure(ClientsWords(request).Of(end.status()), trainer.phase(), trainer.step()),
                writer);
    return false;
  }
  writer.SendFinished(NameOf(*end));
  return true;
}

bool SendPlan(const absl::StatusOr<engine::job::Plan>& plan, Phase phase,
              const v1::WorkerRequest& request, FrameWriter& writer) {
  if (!plan.ok()) {
    SendFailure(ToFailure(ClientsWords(request).Of(plan.status()), phase, 0), writer);
    return false;
  }
  v1::WorkerFrame frame;
  *frame.mutable_plan() = translate::ToProto(*plan);
  writer.Send(frame);
  writer.SendFinished("COMPLETED");
  return true;
}

bool MakePlan(const v1::WorkerRequest& request, FrameWriter& writer) {
  if (request.spec().has_evaluation()) {
    return PlanEvaluation(request, writer);
  }
  Phase phase = Phase::kPlanning;
  writer.SetProgress("planning", -1);
  if (!request.model_directory().empty() && request.spec().ByteSizeLong() == 0) {
    const auto checkpoint = engine::job::PlanCheckpoint(
        request.model_directory(), std::max(request.threads(), 1), /*memory=*/true);
    return SendPlan(
        checkpoint.ok() ? absl::StatusOr<engine::job::Plan>(checkpoint->plan) : checkpoint.status(),
        phase, request, writer);
  }
  const absl::StatusOr<engine::job::Plan> plan = PlanOf(request, phase);
  return SendPlan(plan, phase, request, writer);
}

}  // namespace hone::server::worker
