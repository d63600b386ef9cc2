#include "client/cli/local_sweep.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/local_job.h"
#include "client/cli/run_folder.h"
#include "client/jobfile/job_file.h"
#include "client/jobfile/print.h"
#include "engine/base/cpu.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "server/sweeps/advance.h"
#include "server/sweeps/search.h"

namespace hone::client::cli {
namespace {

namespace sweeps = ::hone::server::sweeps;

constexpr char kStateFile[] = "sweep.json";
constexpr int64_t kMaxStateBytes = int64_t{64} << 20;

absl::Status Save(const v1::Sweep& sweep, const std::string& folder) {
  return WriteFileAtomically(absl::StrCat(folder, "/", kStateFile), jobfile::PrintJson(sweep));
}

double Elapsed(const v1::Sweep& sweep) {
  return absl::ToDoubleSeconds(absl::Now() - absl::FromUnixSeconds(sweep.create_time().seconds()));
}

void Stamp(google::protobuf::Timestamp& time) {
  time = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(absl::Now()));
}

// Whether a run of the trial can be gone on with in its folder.
bool HasRun(const std::string& folder) {
  std::error_code error;
  return std::filesystem::exists(absl::StrCat(folder, "/", kJobFile), error);
}

// A disk or a network that fails is not the trial's fault, and would be the next one's lot, too.
absl::Status CheckMachine(const v1::Job& job, const v1::Trial& trial) {
  return job.end_reason() == v1::Job::STORAGE_FULL || job.end_reason() == v1::Job::UNAVAILABLE
             ? absl::AbortedError(
                   absl::StrCat("trial ", trial.number(), " cannot go on: ", job.message()))
             : absl::OkStatus();
}

absl::StatusOr<v1::WorkerRequest> RequestFor(const v1::Sweep& sweep, const v1::Trial& trial,
                                             const jobfile::LocalPaths& paths,
                                             const std::string& folder) {
  jobfile::JobFile job;
  HONE_ASSIGN_OR_RETURN(job.spec, sweeps::JobOf(sweep.spec(), trial));
  job.paths = paths;
  v1::WorkerRequest request =
      LocalRequest(v1::WorkerRequest::TRAIN, static_cast<int>(job.spec.training().threads()), job);
  request.set_run_directory(folder);
  request.set_resume(HasRun(folder));
  request.set_attempt(1);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  HONE_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(folder, "/", kJobFile), jobfile::PrintJobFile(job)));
  return request;
}

}  // namespace

absl::StatusOr<v1::Sweep> BeginLocalSweep(const jobfile::SweepFile& file, int threads,
                                          const std::string& folder) {
  HONE_RETURN_IF_ERROR(sweeps::Check(file.spec));
  v1::Sweep sweep;
  *sweep.mutable_spec() = sweeps::Resolve(file.spec, /*parallelism=*/1);
  // One after another, whatever the file says; and each with the same threads, which are a part of
  // its result.
  sweep.mutable_spec()->set_parallelism(1);
  v1::TrainingSpec& training = *sweep.mutable_spec()->mutable_job()->mutable_training();
  if (threads > 0 || training.threads() == 0) {
    training.set_threads(threads > 0 ? threads : AvailableThreads());
  }
  sweep.set_display_name(sweep.spec().display_name());
  sweep.set_state(v1::Sweep::RUNNING);
  Stamp(*sweep.mutable_create_time());
  HONE_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, sweeps::Expand(sweep.spec()));
  for (const v1::Trial& trial : trials) {
    *sweep.add_trials() = trial;
  }
  sweeps::Summarise(sweep);
  HONE_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(folder, "/", kSweepFile),
                          jobfile::PrintSweepFile({.spec = sweep.spec(), .paths = file.paths})));
  HONE_RETURN_IF_ERROR(Save(sweep, folder));
  return sweep;
}

absl::StatusOr<v1::Sweep> OpenLocalSweep(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kStateFile);
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxStateBytes);
  if (!text.ok()) {
    return absl::NotFoundError(
        absl::StrCat("--resume: ", folder, " holds no sweep: it has no ", kStateFile));
  }
  v1::Sweep sweep;
  if (const auto parsed = google::protobuf::util::JsonStringToMessage(*text, &sweep);
      !parsed.ok()) {
    return absl::DataLossError(absl::StrCat(path, ": ", parsed.ToString()));
  }
  return sweep;
}

absl::StatusOr<v1::Sweep> RunLocalSweep(v1::Sweep sweep, const std::string& folder,
                                        Interrupts& interrupts,
                                        const LocalSweepObserver& observer) {
  HONE_ASSIGN_OR_RETURN(const jobfile::SweepFile file,
                        jobfile::LoadSweepFile(absl::StrCat(folder, "/", kSweepFile)));
  for (;;) {
    const std::vector<int> begin = sweeps::Advance(sweep, Elapsed(sweep));
    if (sweeps::IsEnd(sweep.state())) {
      Stamp(*sweep.mutable_end_time());
    }
    HONE_RETURN_IF_ERROR(Save(sweep, folder));
    if (begin.empty()) {
      return sweep;
    }
    v1::Trial& trial =
        *std::ranges::find(*sweep.mutable_trials(), begin.front(), &v1::Trial::number);
    trial.set_job(absl::StrFormat("%s/trial-%03d", folder, trial.number()));
    HONE_ASSIGN_OR_RETURN(const v1::WorkerRequest request,
                          RequestFor(sweep, trial, file.paths, trial.job()));
    if (observer.on_begin) {
      observer.on_begin(sweep, trial);
    }
    Story story;
    LocalJobObserver of_job;
    of_job.on_message = observer.on_message;
    HONE_RETURN_IF_ERROR(RunLocalJob(request, interrupts, of_job, story));
    if (story.job().state() == v1::Job::CANCELLED) {
      return sweep;  // the trial still waits; its folder has its checkpoint
    }
    HONE_RETURN_IF_ERROR(CheckMachine(story.job(), trial));
    sweeps::TakeResult(sweep.spec(), story.job(), story.layers(), trial);
    if (observer.on_end) {
      observer.on_end(sweep, trial);
    }
  }
}

}  // namespace hone::client::cli
