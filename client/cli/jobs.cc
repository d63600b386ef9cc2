#include <cstdio>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/once.h"
#include "client/cli/render.h"
#include "client/jobfile/print.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

struct ListOptions {
  std::vector<std::string> states;
  std::string task;
  std::vector<std::string> labels;
  bool oldest_first = false;
  int limit = 50;
};

std::string Lower(const std::string& enum_name) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(enum_name), {{"_", " "}});
}

std::string When(const google::protobuf::Timestamp& time) {
  return time.seconds() == 0
             ? ""
             : absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(time.seconds()),
                                absl::LocalTimeZone());
}

// Each `KEY=VALUE`.
absl::Status AddLabels(const std::vector<std::string>& given,
                       google::protobuf::Map<std::string, std::string>& labels) {
  for (const std::string& label : given) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(label, absl::MaxSplits('=', 1));
    if (!absl::StrContains(label, '=')) {
      return absl::InvalidArgumentError(
          absl::StrCat("--label: must be KEY=VALUE, got `", label, "`"));
    }
    labels[pair.first] = pair.second;
  }
  return absl::OkStatus();
}

std::string Progress(const v1::Job& job) {
  if (job.state() == v1::Job::QUEUED) {
    if (job.queue_position() == 0) {
      return job.message();
    }
    return absl::StrCat("number ", job.queue_position(), " in the queue",
                        job.has_queue_eta_seconds() && job.queue_eta_seconds() >= 1
                            ? absl::StrCat(", begins in about ", Duration(job.queue_eta_seconds()))
                            : "");
  }
  if (job.end_reason() != v1::Job::END_REASON_UNSPECIFIED && job.state() != v1::Job::SUCCEEDED) {
    return Lower(v1::Job::EndReason_Name(job.end_reason()));
  }
  if (job.state() == v1::Job::SUCCEEDED) {
    return FinalResult(job.evaluation());
  }
  if (job.progress().total_steps() == 0) {
    return job.progress().phase();
  }
  const double done = static_cast<double>(job.progress().step()) /
                      static_cast<double>(job.progress().total_steps());
  return job.state() == v1::Job::RUNNING
             ? absl::StrCat(Percent(done), ", ", Duration(job.progress().eta_seconds()), " left")
             : Percent(done);
}

int List(const ListOptions& options, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  v1::ListJobsRequest request;
  for (const std::string& name : options.states) {
    v1::Job::State state = v1::Job::STATE_UNSPECIFIED;
    if (!v1::Job::State_Parse(absl::AsciiStrToUpper(name), &state)) {
      return Fail(
          absl::InvalidArgumentError(absl::StrCat("--state: unknown state `", name,
                                                  "`; known: queued, running, succeeded, failed, "
                                                  "cancelled, cancelling, pausing, paused")),
          globals);
    }
    request.add_states(state);
  }
  request.set_task(options.task);
  request.set_oldest_first(options.oldest_first);
  if (const absl::Status status = AddLabels(options.labels, *request.mutable_labels());
      !status.ok()) {
    return Fail(status, globals);
  }
  std::vector<v1::Job> jobs;
  do {
    request.set_page_size(std::min(options.limit - static_cast<int>(jobs.size()), 1000));
    const absl::StatusOr<v1::ListJobsResponse> page = client->ListJobs(request);
    if (!page.ok()) {
      return Fail(page.status(), globals);
    }
    jobs.insert(jobs.end(), page->jobs().begin(), page->jobs().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && static_cast<int>(jobs.size()) < options.limit);
  if (globals.json) {
    v1::ListJobsResponse all;
    for (const v1::Job& job : jobs) {
      *all.add_jobs() = job;
    }
    all.set_next_page_token(request.page_token());
    PrintJsonLine(all);
    return kSuccess;
  }
  std::vector<std::vector<std::string>> rows = {{"job", "name", "state", "created", ""}};
  for (const v1::Job& job : jobs) {
    rows.push_back({job.name(), job.display_name(), Lower(v1::Job::State_Name(job.state())),
                    When(job.create_time()), Progress(job)});
  }
  if (jobs.empty()) {
    std::printf("no jobs\n");
  } else {
    PrintLines(Table(rows));
  }
  return kSuccess;
}

int Show(const std::string& name, bool resolved, const Globals& globals) {
  const absl::StatusOr<v1::Job> job = globals.Connect()->GetJob(ResourceName("jobs", name));
  if (!job.ok()) {
    return Fail(job.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*job);
    return kSuccess;
  }
  Story story;
  story.Apply(*job);
  std::vector<Line> lines;
  const auto add = [&lines](const char* label, const std::string& value) {
    if (!value.empty()) {
      lines.push_back(Line().Add(absl::StrCat(" ", label), Style::kDim).PadTo(12).Add(value));
    }
  };
  add("job", job->name());
  add("state", absl::StrCat(Lower(v1::Job::State_Name(job->state())), "  ", Progress(*job)));
  const bool held = job->state() == v1::Job::QUEUED && job->queue_position() == 0;  // said above
  add("why", story.ended() || held ? "" : job->message());
  add("created", When(job->create_time()));
  add("started", When(job->start_time()));
  add("ended", When(job->end_time()));
  add("attempt", job->attempt() > 1 ? absl::StrCat(job->attempt()) : "");
  add("threads", job->threads() > 0 ? absl::StrCat(job->threads()) : "");
  add("priority", job->priority() != 0 ? absl::StrCat(job->priority()) : "");
  add("labels", absl::StrJoin(job->labels(), ", ", absl::PairFormatter("=")));
  add("model", job->model());
  PrintLines(lines);
  if (story.ended()) {
    PrintLines(RenderEnd(story));
  }
  std::printf("\n%s", jobfile::PrintYaml(resolved ? job->resolved_spec() : job->spec()).c_str());
  return kSuccess;
}

// What a call made of a job.
int PrintState(const absl::StatusOr<v1::Job>& job, const Globals& globals) {
  if (!job.ok()) {
    return Fail(job.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*job);
  } else {
    std::printf("%s is %s\n", job->name().c_str(),
                Lower(v1::Job::State_Name(job->state())).c_str());
  }
  return kSuccess;
}

int Retry(const std::string& name, bool from_start, const Globals& globals) {
  v1::RetryJobRequest request;
  request.set_name(ResourceName("jobs", name));
  request.set_from_start(from_start);
  request.set_request_id(NewRequestId());
  const std::unique_ptr<Client> client = globals.Connect();
  return PrintState(TryAgain(*client, [&] { return client->RetryJob(request); }), globals);
}

struct UpdateOptions {
  std::string name;
  std::optional<std::string> display_name;
  std::vector<std::string> labels;
  std::vector<std::string> without;
  std::optional<int> priority;
};

// Labels that are not named stay.
absl::Status ChangeLabels(const UpdateOptions& options, Client& client,
                          v1::UpdateJobRequest& request) {
  HONE_ASSIGN_OR_RETURN(const v1::Job job, client.GetJob(request.job().name()));
  auto& labels = *request.mutable_job()->mutable_labels();
  labels = job.labels();
  for (const std::string& key : options.without) {
    labels.erase(key);
  }
  return AddLabels(options.labels, labels);
}

int Update(const UpdateOptions& options, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  v1::UpdateJobRequest request;
  request.mutable_job()->set_name(ResourceName("jobs", options.name));
  if (options.display_name.has_value()) {
    request.mutable_job()->set_display_name(*options.display_name);
    request.mutable_update_mask()->add_paths("display_name");
  }
  if (options.priority.has_value()) {
    request.mutable_job()->set_priority(*options.priority);
    request.mutable_update_mask()->add_paths("priority");
  }
  if (!options.labels.empty() || !options.without.empty()) {
    request.mutable_update_mask()->add_paths("labels");
    if (const absl::Status status = ChangeLabels(options, *client, request); !status.ok()) {
      return Fail(status, globals);
    }
  }
  if (request.update_mask().paths().empty()) {
    return Fail(
        absl::InvalidArgumentError(
            "give --priority, --name, --label or --remove-label; without one nothing would change"),
        globals);
  }
  return PrintState(client->UpdateJob(request), globals);
}

int Delete(const std::string& name, const Globals& globals) {
  const std::string full = ResourceName("jobs", name);
  if (const absl::Status status = globals.Connect()->DeleteJob(full); !status.ok()) {
    return Fail(status, globals);
  }
  if (globals.json) {
    PrintJsonLine(v1::DeleteJobResponse());
  } else {
    std::printf("%s is deleted\n", full.c_str());
  }
  return kSuccess;
}

}  // namespace

void AddJobs(CLI::App& app, Globals& globals) {
  CLI::App* jobs = app.add_subcommand("jobs", "The server's jobs.");
  jobs->require_subcommand(1);
  jobs->fallthrough();
  const auto options = std::make_shared<ListOptions>();
  CLI::App* list = AddCommand(*jobs, globals, "list", "The newest jobs first.",
                              [options, &globals] { return List(*options, globals); });
  list->add_option("--state", options->states, "only jobs in this state; may be repeated")
      ->allow_extra_args(false);
  list->add_option("--limit", options->limit, "at most so many")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  list->add_option("--task", options->task, "only jobs of this task, such as classification");
  list->add_option("--label", options->labels, "only jobs with this label; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  list->add_flag("--oldest-first", options->oldest_first, "instead of the newest");
  const auto name = std::make_shared<std::string>();
  const auto resolved = std::make_shared<bool>(false);
  CLI::App* show =
      AddCommand(*jobs, globals, "show", "One job: state, numbers, its job file.",
                 [name, resolved, &globals] { return Show(*name, *resolved, globals); });
  show->add_option("JOB", *name, "jobs/<id>, or the id alone")->required();
  show->add_flag("--resolved", *resolved, "the job file with every default written out");
  using Call = absl::StatusOr<v1::Job> (Client::*)(const std::string&);
  const auto add_call = [&](const char* verb, const char* help, Call call) {
    AddCommand(*jobs, globals, verb, help,
               [name, call, &globals] {
                 return PrintState((globals.Connect().get()->*call)(ResourceName("jobs", *name)),
                                   globals);
               })
        ->add_option("JOB", *name, "jobs/<id>, or the id alone")
        ->required();
  };
  add_call("cancel", "End a job; one that runs writes a checkpoint first.", &Client::CancelJob);
  add_call("pause", "Stop a job for now; one that runs writes a checkpoint first.",
           &Client::PauseJob);
  add_call("resume", "Put a paused job back into the queue.", &Client::ResumeJob);
  const auto from_start = std::make_shared<bool>(false);
  CLI::App* retry =
      AddCommand(*jobs, globals, "retry",
                 "A new job like one that failed or was cancelled, from its last checkpoint.",
                 [name, from_start, &globals] { return Retry(*name, *from_start, globals); });
  retry->add_option("JOB", *name, "jobs/<id>, or the id alone")->required();
  retry->add_flag("--from-start", *from_start,
                  "from the first step instead of the last checkpoint");
  AddArtifacts(*jobs, globals);
  AddCompare(*jobs, globals);
  const auto update = std::make_shared<UpdateOptions>();
  CLI::App* change =
      AddCommand(*jobs, globals, "update", "Change a job's priority, name or labels.",
                 [update, &globals] { return Update(*update, globals); });
  change->add_option("JOB", update->name, "jobs/<id>, or the id alone")->required();
  change->add_option("--priority", update->priority, "jobs with a higher priority start first")
      ->check(CLI::Range(-100, 100));
  change->add_option("--name", update->display_name, "the new display name");
  change->add_option("--label", update->labels, "set this label; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  change->add_option("--remove-label", update->without, "remove this label; may be repeated")
      ->type_name("KEY")
      ->allow_extra_args(false);
  AddCommand(*jobs, globals, "delete", "Delete a job that has ended; its model stays.",
             [name, &globals] { return Delete(*name, globals); })
      ->add_option("JOB", *name, "jobs/<id>, or the id alone")
      ->required();
}

}  // namespace hone::client::cli
