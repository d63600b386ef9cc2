#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/local_job.h"
#include "client/cli/plan_table.h"
#include "client/jobfile/job_file.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

struct PlanOptions {
  std::vector<std::string> files;
  std::vector<std::string> overrides;
  int threads = 0;
  bool no_measure = false;
};

// A checkpoint's folder: it is planned as it is, with nothing to train.
bool IsCheckpoint(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(absl::StrCat(path, "/config.json"), error) &&
         !std::filesystem::exists(absl::StrCat(path, "/model.json"), error);
}

absl::StatusOr<v1::Plan> PlanOfCheckpoint(const std::string& folder, const PlanOptions& options,
                                          const Globals& globals) {
  if (!options.overrides.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--set: changes a field of a job file, and ", folder, " is a checkpoint"));
  }
  v1::WorkerRequest request = LocalRequest(v1::WorkerRequest::PLAN, options.threads, {});
  request.set_model_directory(folder);
  HONE_ASSIGN_OR_RETURN(v1::WorkerFrame frame,
                        AskWorker(std::move(request), *globals.interrupts, nullptr));
  return std::move(*frame.mutable_plan());
}

absl::StatusOr<v1::Plan> PlanOf(const std::string& file, const PlanOptions& options,
                                const Globals& globals) {
  if (IsCheckpoint(file)) {
    return PlanOfCheckpoint(file, options, globals);
  }
  HONE_ASSIGN_OR_RETURN(const jobfile::JobFile job, jobfile::LoadJobFile(file, options.overrides));
  v1::WorkerRequest request = LocalRequest(v1::WorkerRequest::PLAN, options.threads, job);
  request.set_measure(!options.no_measure);
  absl::StatusOr<v1::WorkerFrame> frame =
      AskWorker(std::move(request), *globals.interrupts, nullptr);
  if (!frame.ok()) {
    return Annotate(frame.status(), file);
  }
  v1::Plan plan = std::move(*frame->mutable_plan());
  if (plan.display_name().empty()) {
    plan.set_display_name(job.spec.display_name());
  }
  return plan;
}

// A file that is wrong does not hide the plans of the others.
int RunPlan(const PlanOptions& options, const Globals& globals) {
  std::vector<v1::Plan> plans;
  int failed = kSuccess;
  for (const std::string& file : options.files) {
    absl::StatusOr<v1::Plan> plan = PlanOf(file, options, globals);
    if (absl::IsCancelled(plan.status())) {
      return Fail(plan.status(), globals);
    }
    if (!plan.ok()) {
      failed = Fail(plan.status(), globals);
      continue;
    }
    if (globals.json) {
      PrintJsonLine(*plan);
    }
    plans.push_back(*std::move(plan));
  }
  if (globals.json) {
    return failed;
  }
  std::vector<Line> lines;
  for (const v1::Plan& plan : plans) {
    for (Line& line : PlanTable(plan)) {
      lines.push_back(std::move(line));
    }
  }
  if (plans.size() > 1) {
    for (Line& line : CompareTable(plans)) {
      lines.push_back(std::move(line));
    }
  }
  PrintLines(lines);
  return failed;
}

}  // namespace

void AddPlan(CLI::App& app, Globals& globals) {
  const auto options = std::make_shared<PlanOptions>();
  CLI::App* command = AddCommand(app, globals, "plan",
                                 "Show the layers and the cost of a job before it is trained.",
                                 [options, &globals] { return RunPlan(*options, globals); });
  command
      ->add_option("FILE", options->files,
                   "job files, or checkpoints' folders; several are shown side by side")
      ->required();
  command->add_option("--set", options->overrides, "change a field: training.epochs=1")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command->add_option("--threads", options->threads, "threads; default: all that there are")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--no-measure", options->no_measure, "do not measure the time of a step");
}

}  // namespace hone::client::cli
