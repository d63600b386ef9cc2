#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/interrupts.h"
#include "client/cli/story.h"
#include "client/jobfile/job_file.h"
#include "hone/v1/model_service.pb.h"
#include "hone/v1/worker.pb.h"

namespace hone::client::cli {

// A request with what every local worker is told: the job and the places that its file names,
// threads (`threads`, else the job's own, else what the machine allows), the cache of data sets,
// the mirror of HONE_DATA_DIR.
v1::WorkerRequest LocalRequest(v1::WorkerRequest::Mode mode, int threads,
                               const jobfile::JobFile& file);

// The folder of a model on this machine: `path` itself, or `model` in it where it is a run's. "":
// there is no such folder.
std::string ModelFolder(const std::string& path);

// Runs a worker that answers with one frame (PLAN, PREDICT, EXPORT) and gives that frame. A failure
// it reports comes back under its code; a worker that ends without a word is INTERNAL, with the end
// of what it wrote. CANCELLED after an interrupt.
absl::StatusOr<v1::WorkerFrame> AskWorker(v1::WorkerRequest request, Interrupts& interrupts,
                                          const std::function<void(const std::string&)>& on_phase);

// A worker that has loaded a model and answers one question after another. For one thread; the
// interrupts outlive it.
class LocalModel {
 public:
  // Of a folder. Errors of the worker where the model cannot be used; CANCELLED as Ask.
  static absl::StatusOr<std::unique_ptr<LocalModel>> Load(const std::string& folder,
                                                          Interrupts& interrupts);
  virtual ~LocalModel() = default;
  // The answer, one prediction for each input; errors as AskWorker's. CANCELLED after an interrupt
  // since it was loaded.
  virtual absl::StatusOr<v1::PredictResponse> Ask(const std::vector<v1::PredictInput>& inputs) = 0;
  // Since it was loaded.
  virtual bool interrupted() const = 0;
};

// Called while a local job runs; every function is optional.
struct LocalJobObserver {
  std::function<void(const v1::Event&)> on_event;  // after the story has it
  std::function<void()> on_change;                 // the phase, or only time
  std::function<void(const std::string&)> on_message;
};

// Trains in a worker of its own and keeps the story of it: numbers, dates and closes what the
// server would. The first interrupt asks the worker to write a checkpoint and end (CANCELLED), the
// second kills it. Errors only where no worker could be started; everything later is the job's own
// end.
absl::Status RunLocalJob(v1::WorkerRequest request, Interrupts& interrupts,
                         const LocalJobObserver& observer, Story& story);

}  // namespace hone::client::cli
