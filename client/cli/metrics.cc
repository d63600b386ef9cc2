#include <cstdio>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/render.h"
#include "client/cli/text.h"

namespace hone::client::cli {
namespace {

struct MetricsOptions {
  std::string job;
  bool csv = false;
  bool layers = false;
};

// What a job has measured, by step.
struct History {
  std::map<int64_t, v1::Metrics> points;
  std::set<std::string> names;
  std::map<int64_t, v1::Event> events;  // by step, as they came: of the points, or of the layers
  std::map<int64_t, v1::LayerStatistics> layers;

  // An attempt goes on after `step`: what the one before it told of later steps is void.
  void GoOnAfter(int64_t step) {
    points.erase(points.upper_bound(step), points.end());
    events.erase(events.upper_bound(step), events.end());
    layers.erase(layers.upper_bound(step), layers.end());
  }
};

// Reads the events up to now: the job's last one at the call.
absl::StatusOr<History> Read(Client& client, const std::string& name, bool layers) {
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
    if (response.event().has_started()) {
      history.GoOnAfter(response.event().started().resumed_from_step());
    }
    if (layers && response.event().has_layer_statistics()) {
      const int64_t step = response.event().layer_statistics().step();
      history.layers[step] = response.event().layer_statistics();
      history.events[step] = response.event();
    }
    if (!layers && response.event().has_metrics()) {
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
  PrintLines(Table(rows));
}

void PrintLayersCsv(const History& history) {
  std::printf("step,layer,gradient_norm,weight_norm,dead_share,verdict\n");
  for (const auto& [step, statistics] : history.layers) {
    for (const v1::LayerStatistics::Layer& layer : statistics.layers()) {
      std::printf("%lld,%s,%.9g,%.9g,", static_cast<long long>(step), layer.name().c_str(),
                  layer.gradient_norm(), layer.weight_norm());
      if (layer.dead_share() >= 0) {
        std::printf("%.9g", layer.dead_share());
      }
      std::printf(",%s\n", layer.verdict().c_str());
    }
  }
}

void PrintLayers(const History& history) {
  for (const auto& [step, statistics] : history.layers) {
    PrintLines(RenderLayers(statistics, statistics.layers_size() + 1));
  }
}

int Metrics(const MetricsOptions& options, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  const std::string name = ResourceName("jobs", options.job);
  const absl::StatusOr<History> history = Read(*client, name, options.layers);
  if (!history.ok()) {
    return Fail(history.status(), globals);
  }
  if (globals.json) {
    for (const auto& [step, event] : history->events) {
      PrintJsonLine(event);
    }
    const absl::StatusOr<v1::Job> job = client->GetJob(name);
    if (!job.ok()) {
      return Fail(job.status(), globals);
    }
    PrintJsonLine(*job);
  } else if (options.csv) {
    options.layers ? PrintLayersCsv(*history) : PrintCsv(*history);
  } else if (history->events.empty()) {
    std::printf("nothing measured yet\n");
  } else if (options.layers) {
    PrintLayers(*history);
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
  command->add_flag("--layers", options->layers,
                    "instead, norms of gradients and weights and the verdict, layer by layer");
}

}  // namespace hone::client::cli
