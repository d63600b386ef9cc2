#include <cstdlib>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/data_put.h"
#include "client/cli/follow.h"
#include "client/cli/live_view.h"
#include "client/cli/local_job.h"
#include "client/cli/model_name.h"
#include "client/cli/once.h"
#include "client/jobfile/overrides.h"
#include "client/jobfile/problems.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

struct EvaluateOptions {
  std::string model;
  std::string against;
  std::string data;
  std::string part;
  std::vector<std::string> overrides;
  std::string request_id;
  int threads = 0;
};

// A model's path on this machine has a slash and is no `models/<id>`.
bool IsPath(absl::string_view model) {
  return absl::StrContains(model, '/') && !absl::StartsWith(model, "models/");
}

// A folder that goes when this does.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hone-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) {
      path_ = pattern;
    }
  }
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) {
      std::filesystem::remove_all(path_, ignored);
    }
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The job, without models and data.
absl::StatusOr<jobfile::JobFile> JobOf(const EvaluateOptions& options) {
  jobfile::JobFile file;
  v1::JobSpec& spec = file.spec;
  spec.set_display_name(absl::StrCat("evaluation of ", options.model).substr(0, 128));
  v1::ModelEvaluation& evaluation = *spec.mutable_evaluation();
  v1::ModelEvaluation::Part part = v1::ModelEvaluation::PART_UNSPECIFIED;
  if (!options.part.empty() && !v1::ModelEvaluation::Part_Parse(options.part, &part)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--part: must be one of TEST, VALIDATION, TRAIN, ALL, got `", options.part, "`"));
  }
  evaluation.set_part(part);
  if (options.threads > 0) {
    evaluation.set_threads(options.threads);
  }
  jobfile::Problems problems;
  for (const std::string& setting : options.overrides) {
    ApplyOverride(setting, spec, file.paths, problems);
  }
  HONE_RETURN_IF_ERROR(problems.ToStatus());
  return file;
}

// A file or folder of this machine; else it is the name of a data set.
bool IsHere(const std::string& data) {
  std::error_code error;
  return std::filesystem::exists(data, error);
}

absl::StatusOr<std::string> FolderOf(const std::string& model) {
  std::string folder = ModelFolder(model);
  if (folder.empty()) {
    return absl::NotFoundError(
        absl::StrCat(model, ": there is no such folder; give the folder of a model or of a run"));
  }
  return folder;
}

int Here(const EvaluateOptions& options, jobfile::JobFile file, const Globals& globals) {
  if (IsHere(options.data)) {
    file.paths.data = options.data;
  } else {
    file.spec.mutable_data()->set_dataset(options.data);
  }
  v1::WorkerRequest request = LocalRequest(v1::WorkerRequest::TRAIN, options.threads, file);
  absl::StatusOr<std::string> folder = FolderOf(options.model);
  if (folder.ok()) {
    request.set_model_directory(*folder);
  }
  if (folder.ok() && !options.against.empty()) {
    folder = FolderOf(options.against);
    if (folder.ok()) {
      request.set_other_model_directory(*folder);
    }
  }
  if (!folder.ok()) {
    return Fail(folder.status(), globals);
  }
  const Scratch scratch;
  request.set_run_directory(scratch.path());
  request.set_attempt(1);
  Story story;
  LiveView view(Screen::Of(stdout));
  LocalJobObserver observer;
  if (globals.json) {
    observer.on_event = [](const v1::Event& event) { PrintJsonLine(event); };
  } else {
    observer.on_event = [&](const v1::Event& event) { view.Show(event, story); };
    observer.on_change = [&] { view.Refresh(story); };
    observer.on_message = [&](const std::string& text) { view.Say(text); };
  }
  if (const absl::Status status = RunLocalJob(request, *globals.interrupts, observer, story);
      !status.ok()) {
    return Fail(status, globals);
  }
  if (globals.json) {
    PrintJsonLine(story.job());
  } else {
    view.Finish(story);
  }
  return ExitCodeOf(story.job());
}

int OnServer(const EvaluateOptions& options, jobfile::JobFile file, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  file.spec.mutable_data()->set_dataset(options.data);
  if (IsHere(options.data)) {
    const absl::StatusOr<std::string> name = FindOrPut(*client, options.data, !globals.json);
    if (!name.ok()) {
      return Fail(name.status(), globals);
    }
    file.spec.mutable_data()->set_dataset(*name);
  }
  v1::CreateJobRequest request;
  *request.mutable_spec() = file.spec;
  v1::ModelEvaluation& evaluation = *request.mutable_spec()->mutable_evaluation();
  for (const auto& [given, name] : {std::pair(&options.model, evaluation.mutable_model()),
                                    std::pair(&options.against, evaluation.mutable_against())}) {
    absl::StatusOr<std::string> found =
        given->empty() ? absl::StatusOr<std::string>("") : FindServerModel(*client, *given);
    if (!found.ok()) {
      return Fail(found.status(), globals);
    }
    *name = *std::move(found);
  }
  request.set_request_id(options.request_id.empty() ? NewRequestId() : options.request_id);
  const absl::StatusOr<v1::Job> job = TryAgain(*client, [&] { return client->CreateJob(request); });
  if (!job.ok()) {
    return Fail(job.status(), globals);
  }
  return Follow(job->name(), globals);
}

int Evaluate(const EvaluateOptions& options, const Globals& globals) {
  const bool here = IsPath(options.model);
  if (!options.against.empty() && IsPath(options.against) != here) {
    return Fail(absl::InvalidArgumentError(
                    "MODEL and --against: both must be folders here, or both models/<id>"),
                globals);
  }
  absl::StatusOr<jobfile::JobFile> file = JobOf(options);
  if (!file.ok()) {
    return Fail(file.status(), globals);
  }
  return here ? Here(options, *std::move(file), globals)
              : OnServer(options, *std::move(file), globals);
}

}  // namespace

void AddEvaluate(CLI::App& app, Globals& globals) {
  const auto options = std::make_shared<EvaluateOptions>();
  CLI::App* command = AddCommand(app, globals, "evaluate",
                                 "Measure a model on data, or two models on the same examples.",
                                 [options, &globals] { return Evaluate(*options, globals); });
  command->add_option("MODEL", options->model, "models/<id>, or the folder of a model or run here")
      ->required();
  command
      ->add_option("--data", options->data,
                   "name of a data set, or a file (a server gets it) or folder here")
      ->required();
  command->add_option("--against", options->against, "a second model to compare with");
  command->add_option("--part", options->part,
                      "TEST, VALIDATION, TRAIN or ALL; default: the data set's own test part, all "
                      "where it has none");
  command->add_option("--set", options->overrides, "change a field: data.table.target=price")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command->add_option("--threads", options->threads, "threads; default: all that there are")
      ->check(CLI::Range(1, 1024));
  command->add_option("--request-id", options->request_id,
                      "the same id again returns the same job; default: a new one");
}

}  // namespace hone::client::cli
