#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/job/plan.h"
#include "hone/v1/worker.pb.h"
#include "server/worker/frame_writer.h"

namespace hone::server::worker {

// Each does what its mode says and sends the last frame: finished, or a failure. True if it went
// well. `stop` asks a training for a checkpoint and an early end.
bool Train(const v1::WorkerRequest& request, const std::atomic<bool>& stop, FrameWriter& writer);
bool MakePlan(const v1::WorkerRequest& request, FrameWriter& writer);
// Train and MakePlan of a spec that is an evaluation.
bool EvaluateModels(const v1::WorkerRequest& request, const std::atomic<bool>& stop,
                    FrameWriter& writer);
bool PlanEvaluation(const v1::WorkerRequest& request, FrameWriter& writer);
bool Predict(const v1::WorkerRequest& request, FrameWriter& writer);
// Does not return once the model is loaded: the process ends with its parent.
bool Serve(const v1::WorkerRequest& request, FrameWriter& writer);
// Writes a model in the form of others. What of it there is no place for is a failure that says so.
bool ExportModel(const v1::WorkerRequest& request, FrameWriter& writer);
// Reads the file at dataset_path whole. What is wrong with it is the answer, not a failure.
bool InspectDataset(const v1::WorkerRequest& request, FrameWriter& writer);

// Unpacks the archive at dataset_path into run_directory/model and reads what a checkpoint is.
bool ImportCheckpoint(const v1::WorkerRequest& request, FrameWriter& writer);

// A spec is checked again where it is run: this machine and its catalogue may be others than those
// of the server that took it. INVALID_ARGUMENT, or NOT_FOUND: a name that the catalogue does not
// have.
absl::Status CheckSpec(const v1::WorkerRequest& request);
// Sends the failure as the last frame.
void SendFailure(const v1::Failure& failure, FrameWriter& writer);
// Sends the plan, or why there is none: what failed in that phase. True: there is one.
bool SendPlan(const absl::StatusOr<engine::job::Plan>& plan, engine::job::Phase phase,
              const v1::WorkerRequest& request, FrameWriter& writer);

}  // namespace hone::server::worker
