#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/job.h"
#include "server/rpc/calls.h"
#include "server/rpc/metric_points.h"

namespace hone::server::rpc {
namespace {

constexpr int kEventsAtOnce = 1000;
constexpr int64_t kBytesAtOnce = int64_t{1} << 20;
constexpr int kDefaultPoints = 1000, kMostPoints = 10'000;
// A client takes 4 MiB.
constexpr size_t kMostBytes = 2u << 20;

}  // namespace

absl::StatusOr<v1::MetricHistory> ReadMetricHistory(const v1::GetMetricHistoryRequest& request,
                                                    const std::string& id, size_t most,
                                                    const store::JobStore& store,
                                                    absl::FunctionRef<absl::Status()> go_on) {
  const std::set<std::string> wanted(request.metrics().begin(), request.metrics().end());
  MetricPoints points;
  int64_t after = 0;
  while (true) {
    HONE_RETURN_IF_ERROR(go_on());
    HONE_ASSIGN_OR_RETURN(std::vector<v1::Event> events,
                          store.ReadEvents(id, after, kEventsAtOnce, kBytesAtOnce));
    if (events.empty()) {
      break;
    }
    for (v1::Event& event : events) {
      after = event.sequence();
      if (event.has_started()) {
        points.ForgetAfter(event.started().resumed_from_step());
      }
      if (!event.has_metrics()) {
        continue;
      }
      v1::Metrics& point = *event.mutable_metrics();
      if (!wanted.empty()) {
        std::vector<std::string> others;
        for (const auto& [name, value] : point.values()) {
          if (!wanted.contains(name)) {
            others.push_back(name);
          }
        }
        for (const std::string& name : others) {
          point.mutable_values()->erase(name);
        }
      }
      if (!point.values().empty() || wanted.empty()) {
        points.Add(point);
      }
    }
  }
  // Two points for each curve: fewer have no room for its least and its greatest value.
  const size_t least = 2 * points.curves();
  if (points.size() > most && most < least) {
    return absl::InvalidArgumentError(absl::StrCat("max_points: must be at least ", least,
                                                   " for this job's ", least / 2, " curves, got ",
                                                   most, "; `metrics` chooses some of them"));
  }
  v1::MetricHistory history;
  history.set_total_points(points.total());
  points.Thin(most);
  if (const size_t bytes = points.bytes(); bytes > kMostBytes) {
    points.Thin(std::max(least, points.size() * kMostBytes / bytes));
  }
  points.MoveTo(history);
  return history;
}

void GetMetricHistory(const v1::GetMetricHistoryRequest& request, absl::Duration timeout,
                      Deps& deps, Done<v1::MetricHistory> done) {
  const absl::StatusOr<std::string> id = jobs::JobId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  const int most = request.max_points() == 0 ? kDefaultPoints : request.max_points();
  if (most < 2 || most > kMostPoints) {
    return done(absl::InvalidArgumentError(
        absl::StrCat("max_points: must be between 2 and ", kMostPoints, ", got ", most)));
  }
  if (const absl::Status known = deps.store.Get(*id).status(); !known.ok()) {
    return done(known);
  }
  const absl::Duration deadline = SteadyNow() + timeout;
  const auto go_on = [deadline, &deps] {
    return deps.stopping ? absl::UnavailableError("the server is shutting down")
           : SteadyNow() >= deadline
               ? absl::DeadlineExceededError("the job's history was not read in time")
               : absl::OkStatus();
  };
  const bool taken = deps.histories.Submit([request, id = *id, most, &deps, go_on, done] {
    done(ReadMetricHistory(request, id, static_cast<size_t>(most), deps.store, go_on));
  });
  if (!taken) {
    done(absl::ResourceExhaustedError("too many histories are being read; try again"));
  }
}

}  // namespace hone::server::rpc
