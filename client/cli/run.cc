#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/local_job.h"
#include "client/cli/run_folder.h"
#include "client/jobfile/job_file.h"
#include "engine/base/file_lock.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

struct RunOptions {
  std::string file;
  std::vector<std::string> overrides;
  std::string run_directory;
  std::string resume;
  bool profile = false;
  int threads = 0;
};

// Of a grid that is shown; a larger one is only kept.
constexpr int64_t kMostPictureBytes = 4 << 20;

// The worker holds the lock while it runs; nothing of its folder may be written meanwhile.
absl::Status CheckNotInUse(const std::string& path) {
  const absl::Status lock =
      FileLock::Take(absl::StrCat(path, "/lock"), [] { return false; }).status();
  return absl::IsUnavailable(lock)
             ? absl::FailedPreconditionError(
                   absl::StrCat("--resume: ", path,
                                " is in use: another process trains in it; wait for its end"))
             : lock;
}

absl::StatusOr<v1::WorkerRequest> MakeRequest(const RunOptions& options) {
  const bool resume = !options.resume.empty();
  if (resume && (!options.file.empty() || !options.overrides.empty())) {
    return absl::InvalidArgumentError(
        "--resume continues the job in its folder; give no job file and no --set with it");
  }
  if (resume && !std::filesystem::is_directory(options.resume)) {
    return absl::NotFoundError(absl::StrCat("--resume: no folder ", options.resume));
  }
  if (resume && !std::filesystem::exists(absl::StrCat(options.resume, "/", kJobFile))) {
    return absl::NotFoundError(
        absl::StrCat("--resume: ", options.resume, " holds no run: it has no ", kJobFile));
  }
  const std::string file =
      options.file.empty() ? absl::StrCat(options.resume, "/", kJobFile) : options.file;
  HONE_ASSIGN_OR_RETURN(jobfile::JobFile job, jobfile::LoadJobFile(file, options.overrides));
  v1::WorkerRequest request = LocalRequest(v1::WorkerRequest::TRAIN, options.threads, job);
  request.set_profile(options.profile);
  request.set_resume(resume);
  request.set_attempt(1);
  if (resume) {
    HONE_RETURN_IF_ERROR(CheckNotInUse(options.resume));
    request.set_run_directory(options.resume);
    return request;
  }
  // Every attempt has the threads of the first: their number is part of the result.
  job.spec.mutable_training()->set_threads(request.threads());
  *request.mutable_spec() = job.spec;
  if (!options.run_directory.empty()) {
    HONE_RETURN_IF_ERROR(UseRunDirectory(options.run_directory, kJobFile));
    request.set_run_directory(options.run_directory);
  } else {
    HONE_ASSIGN_OR_RETURN(const std::string made, MakeRunDirectory(job.spec.display_name()));
    request.set_run_directory(made);
  }
  HONE_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(request.run_directory(), "/", kJobFile),
                                           jobfile::PrintJobFile(job)));
  return request;
}

// After a job that was refused: nothing ran that anybody could go on with. In a folder that the
// user chose, and which was empty, what this run wrote goes.
void Forget(const RunOptions& options, const std::string& run_directory) {
  std::error_code ignored;
  if (options.run_directory.empty()) {
    std::filesystem::remove_all(run_directory, ignored);
    std::filesystem::remove("hone-runs", ignored);  // if it is empty
    return;
  }
  for (const char* name : {kJobFile, "request", "worker.log", "lock"}) {
    std::filesystem::remove(absl::StrCat(run_directory, "/", name), ignored);
  }
}

// What a person would type next.
void PrintNext(const v1::Job& job, const std::string& run_directory) {
  if (job.state() == v1::Job::SUCCEEDED && !job.model().empty()) {
    PrintModel(job);
  } else if (job.state() == v1::Job::CANCELLED || job.end_reason() == v1::Job::CRASHED ||
             job.end_reason() == v1::Job::STORAGE_FULL ||
             job.end_reason() == v1::Job::UNAVAILABLE ||
             job.end_reason() == v1::Job::OUT_OF_MEMORY) {
    // What the job itself made wrong would only come again.
    std::printf("\n continue it:  hone run --resume %s\n", run_directory.c_str());
  }
}

int Run(const RunOptions& options, const Globals& globals) {
  if (options.file.empty() && options.resume.empty()) {
    return Fail(absl::InvalidArgumentError("give a job file, or --resume DIR"), globals);
  }
  std::error_code error;
  const bool holds_files = !options.run_directory.empty() &&
                           std::filesystem::exists(options.run_directory, error) &&
                           !std::filesystem::is_empty(options.run_directory, error);
  const absl::StatusOr<v1::WorkerRequest> request = MakeRequest(options);
  if (!request.ok()) {
    return Fail(request.status(), globals);
  }
  Story story;
  LiveView view(Screen::Of(stdout));
  LocalJobObserver observer;
  if (globals.json) {
    observer.on_event = [](const v1::Event& event) { PrintJsonLine(event); };
  } else {
    observer.on_event = [&](const v1::Event& event) {
      if (event.artifact().kind() == "samples") {
        const std::string path =
            absl::StrCat(request->run_directory(), "/", event.artifact().path());
        if (absl::StatusOr<std::string> file = ReadFile(path, kMostPictureBytes); file.ok()) {
          story.SetPicture(*std::move(file));
        }
      }
      view.Show(event, story);
    };
    observer.on_change = [&] { view.Refresh(story); };
    observer.on_message = [&](const std::string& text) { view.Say(text); };
  }
  if (const absl::Status status = RunLocalJob(*request, *globals.interrupts, observer, story);
      !status.ok()) {
    return Fail(status, globals);
  }
  if (story.job().end_reason() == v1::Job::INVALID_SPEC && options.resume.empty() && !holds_files) {
    Forget(options, request->run_directory());
  }
  if (globals.json) {
    PrintJsonLine(story.job());
  } else {
    view.Finish(story);
    PrintNext(story.job(), request->run_directory());
  }
  return ExitCodeOf(story.job());
}

}  // namespace

void AddRun(CLI::App& app, Globals& globals) {
  const auto options = std::make_shared<RunOptions>();
  CLI::App* command = AddCommand(app, globals, "run", "Train here and now, without a server.",
                                 [options, &globals] { return Run(*options, globals); });
  command->add_option("FILE", options->file, "job file (YAML or JSON)");
  command->add_option("--set", options->overrides, "change a field: training.epochs=1")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  CLI::Option* run_directory = command->add_option(
      "--run-dir", options->run_directory, "folder of the run; default hone-runs/<name>-<number>");
  CLI::Option* threads =
      command
          ->add_option("--threads", options->threads,
                       "threads; default: the job file's, else all that there are")
          ->check(CLI::Range(1, 1024));
  command
      ->add_option("--resume", options->resume,
                   "continue the run in this folder, with the threads it began with")
      ->excludes(run_directory)
      ->excludes(threads);
  command->add_flag("--profile", options->profile,
                    "at the end, the time of each part of a training step");
}

}  // namespace hone::client::cli
