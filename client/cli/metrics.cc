#include <cstdio>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/text.h"

namespace hone::client::cli {
namespace {

struct MetricsOptions {
  std::string job;
  bool csv = false;
};

// What a job has measured, by step; a resumed job's later values take the place of earlier ones.
struct History {
  std::map<int64_t, v1::Metrics> points;
  std::set<std::string> names;
  std::map<int64_t, v1::Event> events;  // by step, as they came
};

// Reads the events up to now: the job's last one at the call.
absl::StatusOr<History> Read(Client& client, const std::string& name) {
  absl::StatusOr<v1::Job> job = client.GetJob(name);
  if (!job.ok()) {
    return job.status();
  }
  History history;
  if (job->last_sequence() == 0) {
    return history;
  }
  v1::WatchJobRequest request;
  request.set_name(name);
  const std::unique_ptr<WatchStream> stream = client.WatchJob(request);
  v1::WatchJobResponse response;
  bool all = false;
  while (!all && stream->Next(response)) {
    if (response.has_event() && response.event().has_metrics()) {
      const v1::Metrics& metrics = response.event().metrics();
      history.points[metrics.step()] = metrics;
      history.events[metrics.step()] = response.event();
      for (const auto& [metric, value] : metrics.values()) {
        history.names.insert(metric);
      }
    }
    all = response.event().sequence() >= job->last_sequence() || response.has_heartbeat();
  }
  if (all) {
    stream->Cancel();
    while (stream->Next(response)) {
    }
    (void)stream->Finish();
    return history;
  }
  const absl::Status end = stream->Finish();
  if (!end.ok()) {
    return end;
  }
  return history;
}

void PrintCsv(const History& history) {
  std::printf("step,epoch,samples,active_seconds");
  for (const std::string& name : history.names) {
    std::printf(",%s", name.c_str());
  }
  std::printf("\n");
  for (const auto& [step, metrics] : history.points) {
    std::printf("%lld,%.6g,%lld,%.6g", static_cast<long long>(step), metrics.epoch(),
                static_cast<long long>(metrics.samples()), metrics.active_seconds());
    for (const std::string& name : history.names) {
      const auto value = metrics.values().find(name);
      if (value == metrics.values().end()) {
        std::printf(",");
      } else {
        std::printf(",%.9g", value->second);
      }
    }
    std::printf("\n");
  }
}

void PrintTable(const History& history) {
  std::vector<std::vector<std::string>> rows = {{">step", ">epoch"}};
  for (const std::string& name : history.names) {
    rows[0].push_back(absl::StrCat(">", name));
  }
  for (const auto& [step, metrics] : history.points) {
    rows.push_back(
        {absl::StrCat(">", Count(step)), absl::StrCat(">", Significant(metrics.epoch()))});
    for (const std::string& name : history.names) {
      const auto value = metrics.values().find(name);
      rows.back().push_back(
          value == metrics.values().end() ? "" : absl::StrCat(">", Significant(value->second)));
    }
  }
  const Screen screen = Screen::Of(stdout);
  for (const Line& line : Table(rows)) {
    std::printf("%s\n", line.Render(1 << 20, screen.color).c_str());
  }
}

int Metrics(const MetricsOptions& options, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  const std::string name = ResourceName("jobs", options.job);
  const absl::StatusOr<History> history = Read(*client, name);
  if (!history.ok()) {
    return Fail(history.status(), globals, /*from_server=*/true);
  }
  if (globals.json) {
    for (const auto& [step, event] : history->events) {
      PrintJsonLine(event);
    }
    const absl::StatusOr<v1::Job> job = client->GetJob(name);
    if (!job.ok()) {
      return Fail(job.status(), globals, /*from_server=*/true);
    }
    PrintJsonLine(*job);
  } else if (options.csv) {
    PrintCsv(*history);
  } else if (history->points.empty()) {
    std::printf("nothing measured yet\n");
  } else {
    PrintTable(*history);
  }
  return kSuccess;
}

}  // namespace

void AddMetrics(CLI::App& app, Globals& globals) {
  const auto options = std::make_shared<MetricsOptions>();
  CLI::App* command = AddCommand(app, globals, "metrics", "The whole history of a job's numbers.",
                                 [options, &globals] { return Metrics(*options, globals); });
  command->add_option("JOB", options->job, "jobs/<id>, or the id alone")->required();
  command->add_flag("--csv", options->csv, "comma-separated, with a head");
}

}  // namespace hone::client::cli
