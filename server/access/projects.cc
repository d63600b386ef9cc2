#include "server/access/projects.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/jobs/reason.h"
#include "server/jobs/retry_delay.h"

namespace hone::server::access {
namespace {

double MostAtOnce(double calls_per_second) { return std::max(10.0, 5 * calls_per_second); }

}  // namespace

absl::StatusOr<std::unique_ptr<Projects>> Projects::Open(const store::JobStore& store,
                                                         store::Writer& writer) {
  HONE_ASSIGN_OR_RETURN(const std::vector<store::Project> all, store.projects().All());
  std::unique_ptr<Projects> projects(new Projects(writer));
  for (const store::Project& project : all) {
    projects->Keep(project);
  }
  return projects;
}

void Projects::Keep(const store::Project& project) {
  const std::lock_guard lock(mutex_);
  if (project.shares == store::Shares()) {
    by_name_.erase(project.name);
  } else {
    by_name_[project.name] = {.shares = project.shares};
  }
}

store::Shares Projects::SharesOf(const std::string& project) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(project);
  return found == by_name_.end() ? store::Shares() : found->second.shares;
}

absl::Status Projects::CountCall(const std::string& project, absl::Duration now) {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(project);
  if (found == by_name_.end() || found->second.shares.calls_per_second <= 0) {
    return absl::OkStatus();
  }
  Entry& entry = found->second;
  const double rate = entry.shares.calls_per_second;
  const double most = MostAtOnce(rate);
  entry.calls =
      entry.counted == -absl::InfiniteDuration()
          ? most
          : std::min(most, entry.calls + rate * absl::ToDoubleSeconds(std::max(
                                                    now - entry.counted, absl::ZeroDuration())));
  entry.counted = now;
  if (entry.calls >= 1) {
    --entry.calls;
    return absl::OkStatus();
  }
  return jobs::WithReason(jobs::WithRetryDelay(absl::ResourceExhaustedError(absl::StrCat(
                                                   "the project ", project, " has used up its ",
                                                   rate, " calls a second; try again")),
                                               absl::Seconds((1 - entry.calls) / rate)),
                          jobs::reason::kQuotaExceeded);
}

void Projects::SetShares(const std::string& project, Change change, absl::Time now, Done done) {
  writer_.Submit<store::Project>(
      [project, change = std::move(change), now](store::JobStore& store) {
        return store.projects().SetShares(project, change, now);
      },
      [this, done = std::move(done)](absl::StatusOr<store::Project> set) {
        if (set.ok()) {
          Keep(*set);
        }
        done(std::move(set));
      });
}

}  // namespace hone::server::access
