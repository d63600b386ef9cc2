#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/data_put.h"
#include "client/cli/live_view.h"
#include "client/cli/local_sweep.h"
#include "client/cli/model_name.h"
#include "client/cli/once.h"
#include "client/cli/run_folder.h"
#include "client/cli/sweep_view.h"
#include "client/cli/sweep_watch.h"
#include "client/errors.h"
#include "client/jobfile/sweep_file.h"
#include "engine/base/status.h"
#include "server/sweeps/advance.h"

namespace hone::client::cli {
namespace {

struct SweepOptions {
  std::string file;
  std::vector<std::string> overrides;
  std::string request_id;
  std::string run_directory;
  std::string resume;
  int threads = 0;
  bool here = false;
  bool follow = false;
};

constexpr size_t kTrialsShown = 1000;

void PrintSweep(const v1::Sweep& sweep, const Globals& globals) {
  if (globals.json) {
    PrintJsonLine(sweep);
  } else {
    PrintLines(RenderSweep(sweep, kTrialsShown, Screen::Of(stdout).width()));
  }
}

absl::StatusOr<v1::Sweep> LocalSweep(const SweepOptions& options, std::string& folder) {
  if (!options.resume.empty()) {
    folder = options.resume;
    return OpenLocalSweep(folder);
  }
  HONE_ASSIGN_OR_RETURN(const jobfile::SweepFile file,
                        jobfile::LoadSweepFile(options.file, options.overrides));
  if (!options.run_directory.empty()) {
    HONE_RETURN_IF_ERROR(UseRunDirectory(options.run_directory, kSweepFile));
    folder = options.run_directory;
  } else {
    HONE_ASSIGN_OR_RETURN(folder, MakeRunDirectory(file.spec.display_name()));
  }
  absl::StatusOr<v1::Sweep> sweep = BeginLocalSweep(file, options.threads, folder);
  if (!sweep.ok() && options.run_directory.empty()) {
    std::error_code ignored;
    std::filesystem::remove(folder, ignored);
    std::filesystem::remove("hone-runs", ignored);  // if it is empty
  }
  return sweep;
}

int RunHere(const SweepOptions& options, const Globals& globals) {
  std::string folder;
  absl::StatusOr<v1::Sweep> sweep = LocalSweep(options, folder);
  if (!sweep.ok()) {
    return Fail(sweep.status(), globals);
  }
  LocalSweepObserver observer;
  if (globals.json) {
    observer.on_end = [](const v1::Sweep&, const v1::Trial& trial) { PrintJsonLine(trial); };
  } else {
    std::printf("%s: %d trials\n", folder.c_str(), sweep->trials_total());
    observer.on_end = [](const v1::Sweep& now, const v1::Trial& trial) {
      std::printf("%s\n", TrialLine(now, trial).c_str());
      std::fflush(stdout);
    };
    observer.on_message = [](const std::string& text) { std::printf("%s\n", text.c_str()); };
  }
  sweep = RunLocalSweep(*std::move(sweep), folder, *globals.interrupts, observer);
  if (!sweep.ok()) {
    const int code = Fail(sweep.status(), globals);
    const bool goes_on =
        absl::IsAborted(sweep.status()) || absl::IsResourceExhausted(sweep.status());
    if (goes_on && !globals.json) {
      std::fprintf(stderr, "hone: when that is mended, go on with:  hone sweep --resume %s\n",
                   folder.c_str());
    }
    return code;
  }
  if (!globals.json) {
    std::printf("\n");
  }
  PrintSweep(*sweep, globals);
  if (!server::sweeps::IsEnd(sweep->state())) {
    if (!globals.json) {
      std::printf("\n go on with it:  hone sweep --resume %s\n", folder.c_str());
    }
    return kCancelled;
  }
  return ExitCodeOf(*sweep);
}

absl::StatusOr<v1::SweepSpec> SpecFor(Client& client, const SweepOptions& options,
                                      const Globals& globals) {
  HONE_ASSIGN_OR_RETURN(jobfile::SweepFile file,
                        jobfile::LoadSweepFile(options.file, options.overrides));
  if (file.spec.has_job()) {
    HONE_RETURN_IF_ERROR(NameModels(client, file.paths, "job.", *file.spec.mutable_job()));
  }
  if (!file.paths.data.empty()) {
    HONE_ASSIGN_OR_RETURN(const std::string name,
                          FindOrPut(client, file.paths.data, !globals.json));
    file.spec.mutable_job()->mutable_data()->set_dataset(name);
  }
  return std::move(file.spec);
}

int Submit(const SweepOptions& options, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  absl::StatusOr<v1::SweepSpec> spec = SpecFor(*client, options, globals);
  if (!spec.ok()) {
    return Fail(spec.status(), globals);
  }
  v1::CreateSweepRequest request;
  *request.mutable_spec() = *std::move(spec);
  request.set_request_id(options.request_id.empty() ? NewRequestId() : options.request_id);
  absl::StatusOr<v1::Sweep> sweep = client->CreateSweep(request);
  for (int i = 0; i < 3 && IsBrokenLine(sweep.status()); ++i) {
    client->Wait(absl::Milliseconds(200 << i));
    sweep = client->CreateSweep(request);
  }
  if (!sweep.ok()) {
    const int code = Fail(sweep.status(), globals);
    if (code == kUnreachable && !globals.json) {
      std::fprintf(stderr, "hone: --here runs it without a server\n");
    }
    return code;
  }
  if (options.follow) {
    if (!globals.json) {
      std::printf("%s\n", sweep->name().c_str());
      std::fflush(stdout);
    }
    return WatchSweep(*client, sweep->name(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*sweep);
  } else {
    std::printf("%s\n", sweep->name().c_str());
  }
  return kSuccess;
}

int Sweep(const SweepOptions& options, const Globals& globals) {
  const bool resume = !options.resume.empty();
  if (options.file.empty() == !resume) {
    return Fail(
        absl::InvalidArgumentError(resume ? "--resume goes on with the sweep of its folder: "
                                            "give no sweep file"
                                          : "give a sweep file, or --resume DIR"),
        globals);
  }
  return options.here || resume ? RunHere(options, globals) : Submit(options, globals);
}

}  // namespace

void AddSweep(CLI::App& app, Globals& globals) {
  const auto options = std::make_shared<SweepOptions>();
  CLI::App* command = AddCommand(
      app, globals, "sweep", "Try settings: give a sweep to the server, or run its trials here.",
      [options, &globals] { return Sweep(*options, globals); });
  command->add_option("FILE", options->file, "sweep file (YAML or JSON)");
  command->add_option("--set", options->overrides, "change a field: job.training.epochs=1")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command->add_option("--request-id", options->request_id,
                      "the same id again returns the same sweep; default: a new one");
  command->add_flag("--follow", options->follow, "watch it until it ends");
  CLI::Option* here =
      command->add_flag("--here", options->here, "without a server, one trial after another");
  command
      ->add_option("--run-dir", options->run_directory,
                   "folder of the sweep; default hone-runs/<name>-<number>")
      ->needs(here);
  command
      ->add_option("--threads", options->threads, "threads of a trial; default: all that there are")
      ->needs(here)
      ->check(CLI::Range(1, 1024));
  command->add_option("--resume", options->resume, "go on with the sweep in this folder");
}

}  // namespace hone::client::cli
