#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/job.h"
#include "server/rpc/calls.h"

namespace hone::server::rpc {
namespace {

constexpr int kEventsAtOnce = 1000;
constexpr int kDefaultPoints = 1000, kMostPoints = 10'000;
// A client takes 4 MiB.
constexpr size_t kMostBytes = 2u << 20;
// Points held while the log is read: beyond, they are thinned.
constexpr size_t kMostHeld = 8 * kMostPoints;

using Points = std::map<int64_t, v1::Metrics>;  // by step

std::set<std::string> NamesOf(const Points& points) {
  std::set<std::string> names;
  for (const auto& [step, point] : points) {
    for (const auto& [name, value] : point.values()) {
      names.insert(name);
    }
  }
  return names;
}

// Leaves at most `most` points: the steps are cut into stretches, and of each stretch stay the
// points with some curve's least or greatest value there, as many as fit.
void Thin(Points& points, size_t most) {
  if (points.size() <= most) {
    return;
  }
  const size_t in_stretch = std::max<size_t>(2 * NamesOf(points).size(), 1);
  const size_t stretches = std::max<size_t>(most / in_stretch, 1);
  std::set<int64_t> kept;
  auto it = points.begin();
  for (size_t s = 0, done = 0; s < stretches; ++s) {
    const size_t end = points.size() * (s + 1) / stretches;
    // name → least and greatest: value and step
    std::map<std::string, std::pair<std::pair<double, int64_t>, std::pair<double, int64_t>>> ends;
    for (; done < end; ++done, ++it) {
      for (const auto& [name, value] : it->second.values()) {
        const std::pair<double, int64_t> here(value, it->first);
        const auto [found, first] = ends.try_emplace(name, here, here);
        if (!first) {
          found->second.first = std::min(found->second.first, here);
          found->second.second = std::max(found->second.second, here);
        }
      }
    }
    for (const auto& [name, extremes] : ends) {
      for (const int64_t step : {extremes.first.second, extremes.second.second}) {
        if (kept.size() < most) {
          kept.insert(step);
        }
      }
    }
  }
  std::erase_if(points, [&](const auto& entry) { return !kept.contains(entry.first); });
}

}  // namespace

absl::StatusOr<v1::MetricHistory> ReadMetricHistory(const v1::GetMetricHistoryRequest& request,
                                                    const std::string& id, size_t most,
                                                    const store::JobStore& store,
                                                    absl::FunctionRef<absl::Status()> go_on) {
  const std::set<std::string> wanted(request.metrics().begin(), request.metrics().end());
  Points points;
  v1::MetricHistory history;
  int64_t after = 0, dropped = 0;
  while (true) {
    HONE_RETURN_IF_ERROR(go_on());
    HONE_ASSIGN_OR_RETURN(std::vector<v1::Event> events,
                          store.ReadEvents(id, after, kEventsAtOnce));
    for (v1::Event& event : events) {
      after = event.sequence();
      if (event.has_started()) {
        // What an older attempt did beyond its last checkpoint is done again.
        points.erase(points.upper_bound(event.started().resumed_from_step()), points.end());
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
        points[point.step()].MergeFrom(point);
      }
      if (points.size() > kMostHeld) {
        const size_t before = points.size();
        Thin(points, kMostHeld / 2);
        dropped += static_cast<int64_t>(before - points.size());
      }
    }
    if (static_cast<int>(events.size()) < kEventsAtOnce) {
      break;
    }
  }
  history.set_total_points(static_cast<int64_t>(points.size()) + dropped);
  // Two points for each curve: fewer have no room for its least and its greatest value.
  const size_t least = 2 * NamesOf(points).size();
  if (points.size() > most && most < least) {
    return absl::InvalidArgumentError(absl::StrCat("max_points: must be at least ", least,
                                                   " for this job's ", least / 2, " curves, got ",
                                                   most, "; `metrics` chooses some of them"));
  }
  Thin(points, most);
  size_t bytes = 0;
  for (const auto& [step, point] : points) {
    bytes += point.ByteSizeLong();
  }
  if (bytes > kMostBytes) {
    Thin(points, std::max(least, points.size() * kMostBytes / bytes));
  }
  for (auto& [step, point] : points) {
    *history.add_points() = std::move(point);
  }
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
