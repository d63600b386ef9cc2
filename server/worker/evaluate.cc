#include "absl/strings/str_cat.h"
#include "engine/base/memory_error.h"
#include "engine/base/status.h"
#include "engine/job/evaluator.h"
#include "server/translate/events.h"
#include "server/translate/job.h"
#include "server/worker/clients_words.h"
#include "server/worker/failure.h"
#include "server/worker/modes.h"

namespace hone::server::worker {
namespace {

using engine::job::EvaluationConfig;
using engine::job::Phase;

absl::StatusOr<EvaluationConfig> ConfigOf(const v1::WorkerRequest& request) {
  HONE_RETURN_IF_ERROR(CheckSpec(request));
  return translate::ToEvaluationConfig(request);
}

absl::StatusOr<engine::job::Plan> PlanOf(const v1::WorkerRequest& request, Phase& phase) {
  HONE_ASSIGN_OR_RETURN(const EvaluationConfig config, ConfigOf(request));
  return engine::job::PlanEvaluation(config, phase);
}

absl::StatusOr<engine::job::EvaluationResult> Measure(const v1::WorkerRequest& request,
                                                      const std::atomic<bool>& stop,
                                                      FrameWriter& writer, EventSender& events,
                                                      Phase& phase) {
  HONE_ASSIGN_OR_RETURN(const EvaluationConfig config, ConfigOf(request));
  if (request.memory_bytes() > 0) {  // it was not planned before
    writer.SetProgress("planning", -1);
    HONE_ASSIGN_OR_RETURN(const engine::job::Plan plan, engine::job::PlanEvaluation(config, phase));
    if (plan.peak_memory_bytes > request.memory_bytes()) {
      return OutOfMemoryError(absl::StrCat(
          "out of memory: the evaluation needs about ", (plan.peak_memory_bytes >> 20) + 1,
          " MiB, this server gives each job ", (request.memory_bytes() >> 20) + 1, " MiB"));
    }
  }
  return engine::job::Evaluate(config, stop, events, phase);
}

}  // namespace

bool EvaluateModels(const v1::WorkerRequest& request, const std::atomic<bool>& stop,
                    FrameWriter& writer) {
  Phase phase = Phase::kPlanning;
  EventSender events(writer, ClientsWords(request), request.run_directory());
  const absl::StatusOr<engine::job::EvaluationResult> result =
      Measure(request, stop, writer, events, phase);
  if (absl::IsCancelled(result.status())) {
    writer.SendFinished("CANCELLED");
    return true;
  }
  if (!result.ok()) {
    SendFailure(ToFailure(ClientsWords(request).Of(result.status()), phase, 0), writer);
    return false;
  }
  events.SendEvaluation(translate::ToEvent(*result));
  writer.SendFinished("COMPLETED");
  return true;
}

bool PlanEvaluation(const v1::WorkerRequest& request, FrameWriter& writer) {
  Phase phase = Phase::kPlanning;
  writer.SetProgress("planning", -1);
  const absl::StatusOr<engine::job::Plan> plan = PlanOf(request, phase);
  return SendPlan(plan, phase, request, writer);
}

}  // namespace hone::server::worker
