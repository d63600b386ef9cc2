// Fills a store as a long life would have left it, and times what the scheduler asks of it.
//   fill_store STORE.db --queued 10000 --events 10000000
// Prints one JSON object: milliseconds at the 50th and 99th percentile.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "server/store/sqlite_store.h"

namespace hone::server::store {
namespace {

struct Options {
  std::string path;
  int64_t queued = 10'000;
  int64_t events = 10'000'000;
};

// A job like that of client/examples/mnist-cnn.yaml, with a plan of as many layers.
NewJob Job(int64_t number) {
  NewJob job{.id = jobs::NewId(), .threads = 1, .request_id = absl::StrCat("load-", number)};
  job.spec.set_display_name(absl::StrCat("SLEEPS ", number));
  job.spec.mutable_classification();
  job.spec.mutable_data()->set_dataset("mnist");
  (*job.spec.mutable_labels())["team"] = absl::StrCat("team-", number % 20);
  job.spec.set_priority(static_cast<int32_t>(number % 3));
  job.spec.mutable_training()->set_epochs(1);
  for (int i = 0; i < 8; ++i) {
    job.spec.mutable_model()->add_layers()->mutable_dense()->set_units(64);
    v1::LayerSummary& layer = *job.plan.add_layers();
    layer.set_name(absl::StrCat("dense_", i));
    layer.set_kind("dense");
    layer.set_weights(4096);
  }
  return job;
}

v1::Event Metrics(int64_t step) {
  v1::Event event;
  v1::Metrics& metrics = *event.mutable_metrics();
  metrics.set_step(step);
  metrics.set_samples(32 * step);
  (*metrics.mutable_values())["loss"] = 1.0 / static_cast<double>(step);
  (*metrics.mutable_values())["accuracy"] = 0.9;
  return event;
}

// Ended jobs of 100,000 events each.
absl::Status FillHistory(JobStore& store, int64_t events) {
  constexpr int64_t kEventsOfAJob = 100'000, kBatch = 1000;
  for (int64_t done = 0; done < events;) {
    HONE_ASSIGN_OR_RETURN(const jobs::Job job, store.Insert(Job(-1 - done), absl::Now()));
    HONE_RETURN_IF_ERROR(store.Claim(1, absl::Now()).status());
    for (int64_t n = 0; n < kEventsOfAJob && done < events; n += kBatch, done += kBatch) {
      Report report;
      for (int64_t i = 0; i < kBatch; ++i) {
        report.events.push_back(Metrics(n + i + 1));
      }
      absl::Status appended;
      HONE_RETURN_IF_ERROR(
          store.Commit([&] { appended = store.Append(job.id, 1, report, absl::Now()); }).status());
      HONE_RETURN_IF_ERROR(appended);
    }
    HONE_RETURN_IF_ERROR(
        store.Finish(job.id, 1, {.state = jobs::JobState::kSucceeded, .reason = v1::Job::COMPLETED},
                     absl::Now()));
  }
  return absl::OkStatus();
}

absl::Status FillQueue(JobStore& store, int64_t count) {
  constexpr int64_t kBatch = 1000;
  for (int64_t begin = 0; begin < count; begin += kBatch) {
    absl::Status inserted;
    HONE_RETURN_IF_ERROR(store
                             .Commit([&] {
                               for (int64_t i = begin; i < std::min(count, begin + kBatch); ++i) {
                                 inserted.Update(store.Insert(Job(i), absl::Now()).status());
                               }
                             })
                             .status());
    HONE_RETURN_IF_ERROR(inserted);
  }
  return absl::OkStatus();
}

class Times {
 public:
  template <typename Body>
  void Add(Body&& body) {
    const absl::Time begin = absl::Now();
    body();
    milliseconds_.push_back(absl::ToDoubleMilliseconds(absl::Now() - begin));
  }
  nlohmann::json Summary() {
    std::ranges::sort(milliseconds_);
    const auto at = [&](double share) {
      return milliseconds_[static_cast<size_t>(share *
                                               static_cast<double>(milliseconds_.size() - 1))];
    };
    return {{"p50_ms", at(0.5)}, {"p99_ms", at(0.99)}};
  }

 private:
  std::vector<double> milliseconds_;
};

absl::StatusOr<nlohmann::json> TimeCalls(JobStore& store) {
  constexpr int kRounds = 500;
  Times claims, lists, labels, ends;
  absl::Status status;
  for (int i = 0; i < kRounds && status.ok(); ++i) {
    absl::StatusOr<std::optional<jobs::Job>> claimed;
    claims.Add([&] { claimed = store.Claim(1, absl::Now()); });
    HONE_RETURN_IF_ERROR(claimed.status());
    if (!claimed->has_value()) {
      break;
    }
    ends.Add([&] {
      status.Update(store.Finish(
          (*claimed)->id, (*claimed)->attempt,
          {.state = jobs::JobState::kSucceeded, .reason = v1::Job::COMPLETED}, absl::Now()));
    });
    lists.Add([&] { status.Update(store.List({.states = {jobs::JobState::kRunning}}).status()); });
    labels.Add([&] { status.Update(store.List({.labels = {"team=team-7"}}).status()); });
  }
  HONE_RETURN_IF_ERROR(status);
  return nlohmann::json{{"claim", claims.Summary()},
                        {"finish", ends.Summary()},
                        {"list_running", lists.Summary()},
                        {"list_label", labels.Summary()}};
}

absl::StatusOr<nlohmann::json> Run(const Options& options) {
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<JobStore> store, OpenSqliteStore(options.path));
  HONE_RETURN_IF_ERROR(FillHistory(*store, options.events));
  HONE_RETURN_IF_ERROR(FillQueue(*store, options.queued));
  HONE_ASSIGN_OR_RETURN(nlohmann::json times, TimeCalls(*store));
  return times;
}

}  // namespace
}  // namespace hone::server::store

int main(int argc, char** argv) {
  hone::server::store::Options options;
  CLI::App app("Fills a store and times what the scheduler asks of it.");
  app.add_option("store", options.path)->required();
  app.add_option("--queued", options.queued);
  app.add_option("--events", options.events);
  CLI11_PARSE(app, argc, argv);
  const auto times = hone::server::store::Run(options);
  if (!times.ok()) {
    std::fprintf(stderr, "fill_store: %s\n", std::string(times.status().message()).c_str());
    return 1;
  }
  std::printf("%s\n", times->dump().c_str());
  return 0;
}
