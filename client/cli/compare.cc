#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

#include "client/cli/command.h"
#include "client/cli/comparison.h"
#include "client/cli/live_view.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

struct CompareOptions {
  std::vector<std::string> jobs;
  std::vector<std::string> metrics;
};

constexpr int kMostColumns = 100;

absl::StatusOr<std::vector<Compared>> Fetch(const CompareOptions& options, Client& client) {
  std::vector<Compared> jobs;
  for (const std::string& given : options.jobs) {
    Compared& compared = jobs.emplace_back();
    const std::string name = ResourceName("jobs", given);
    HONE_ASSIGN_OR_RETURN(compared.job, client.GetJob(name));
    v1::GetMetricHistoryRequest request;
    request.set_name(name);
    HONE_ASSIGN_OR_RETURN(compared.history, client.GetMetricHistory(request));
  }
  return jobs;
}

// What was asked for, or the losses. INVALID_ARGUMENT: no job has measured it.
absl::StatusOr<std::vector<std::string>> Metrics(const CompareOptions& options,
                                                 const std::vector<Compared>& jobs) {
  std::set<std::string> known;
  for (const Compared& compared : jobs) {
    for (const v1::Metrics& point : compared.history.points()) {
      for (const auto& [name, value] : point.values()) {
        known.insert(name);
      }
    }
  }
  std::vector<std::string> metrics = options.metrics;
  if (metrics.empty()) {
    for (const char* name : {"loss", "validation_loss"}) {
      if (known.contains(name)) {
        metrics.emplace_back(name);
      }
    }
  }
  for (const std::string& name : metrics) {
    if (!known.contains(name)) {
      std::string names;
      for (const std::string& one : known) {
        names += names.empty() ? one : ", " + one;
      }
      return absl::InvalidArgumentError("--metric: none of the jobs has measured `" + name +
                                        "`; they have: " + (names.empty() ? "nothing yet" : names));
    }
  }
  return metrics;
}

int Compare(const CompareOptions& options, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  const absl::StatusOr<std::vector<Compared>> jobs = Fetch(options, *client);
  if (!jobs.ok()) {
    return Fail(jobs.status(), globals);
  }
  const absl::StatusOr<std::vector<std::string>> metrics = Metrics(options, *jobs);
  if (!metrics.ok()) {
    return Fail(metrics.status(), globals);
  }
  if (globals.json) {
    std::printf("%s\n", ComparisonJson(*jobs).c_str());
  } else {
    PrintLines(
        RenderComparison(*jobs, *metrics, std::min(Screen::Of(stdout).width(), kMostColumns)));
  }
  return kSuccess;
}

}  // namespace

void AddCompare(CLI::App& jobs, Globals& globals) {
  const auto options = std::make_shared<CompareOptions>();
  CLI::App* command =
      AddCommand(jobs, globals, "compare",
                 "Jobs side by side: the settings that differ, their curves, their final numbers.",
                 [options, &globals] { return Compare(*options, globals); });
  command->add_option("JOB", options->jobs, "two or more: jobs/<id>, or the id alone")
      ->required()
      ->expected(2, 26);
  command
      ->add_option("--metric", options->metrics,
                   "the curves of this value; may be repeated; default: the losses")
      ->allow_extra_args(false);
}

}  // namespace hone::client::cli
