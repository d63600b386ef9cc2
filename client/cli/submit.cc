#include <cstdio>

#include "client/cli/command.h"
#include "client/cli/data_put.h"
#include "client/cli/follow.h"
#include "client/cli/model_name.h"
#include "client/cli/once.h"
#include "client/jobfile/job_file.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

struct SubmitOptions {
  std::string file;
  std::vector<std::string> overrides;
  std::string request_id;
  bool follow = false;
};

// What the server is asked for. A file that `data.path` names is there as a data set then.
absl::StatusOr<v1::JobSpec> SpecFor(Client& client, const SubmitOptions& options,
                                    const Globals& globals) {
  HONE_ASSIGN_OR_RETURN(jobfile::JobFile file,
                        jobfile::LoadJobFile(options.file, options.overrides));
  HONE_RETURN_IF_ERROR(NameModels(client, file.paths, "", file.spec));
  if (!file.paths.data.empty()) {
    HONE_ASSIGN_OR_RETURN(const std::string name,
                          FindOrPut(client, file.paths.data, !globals.json));
    file.spec.mutable_data()->set_dataset(name);
  }
  return std::move(file.spec);
}

int Submit(const SubmitOptions& options, const Globals& globals) {
  v1::CreateJobRequest request;
  const std::unique_ptr<Client> client = globals.Connect();
  absl::StatusOr<v1::JobSpec> spec = SpecFor(*client, options, globals);
  if (!spec.ok()) {
    return Fail(spec.status(), globals);
  }
  *request.mutable_spec() = *std::move(spec);
  request.set_request_id(options.request_id.empty() ? NewRequestId() : options.request_id);
  const absl::StatusOr<v1::Job> job = TryAgain(*client, [&] { return client->CreateJob(request); });
  if (!job.ok()) {
    return Fail(job.status(), globals);
  }
  if (!globals.json) {
    std::printf("%s\n", job->name().c_str());
    std::fflush(stdout);
  }
  if (options.follow) {
    return Follow(job->name(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*job);
  }
  return kSuccess;
}

}  // namespace

void AddSubmit(CLI::App& app, Globals& globals) {
  const auto options = std::make_shared<SubmitOptions>();
  CLI::App* command = AddCommand(app, globals, "submit", "Give a job to the server.",
                                 [options, &globals] { return Submit(*options, globals); });
  command->add_option("FILE", options->file, "job file (YAML or JSON)")->required();
  command->add_option("--set", options->overrides, "change a field: training.epochs=1")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command->add_option("--request-id", options->request_id,
                      "the same id again returns the same job; default: a new one");
  command->add_flag("--follow", options->follow, "watch it until it ends");
}

}  // namespace hone::client::cli
