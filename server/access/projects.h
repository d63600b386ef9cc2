#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/store/job_store.h"
#include "server/store/project_store.h"
#include "server/store/writer.h"

namespace hone::server::access {

// The shares of the projects, in memory: what the store has, as of the last change. Only projects
// whose shares were set are here, ProjectStore::kMost at most. Any thread.
class Projects {
 public:
  // `writer` outlives this but for what it still calls, and this outlives its last call.
  static absl::StatusOr<std::unique_ptr<Projects>> Open(const store::JobStore& store,
                                                        store::Writer& writer);

  // Default shares where nobody has set others.
  store::Shares SharesOf(const std::string& project) const;

  // A call of the project at `now` (SteadyNow()): OK, and it counts; RESOURCE_EXHAUSTED, with the
  // time until there is room: too many came. So many as in five seconds may come at once, and ten
  // at least.
  absl::Status CountCall(const std::string& project, absl::Duration now);

  // Errors of ProjectStore::SetShares. `done` is called once it is durable and counts.
  using Change = std::function<absl::Status(store::Shares&)>;
  using Done = std::function<void(absl::StatusOr<store::Project>)>;
  void SetShares(const std::string& project, Change change, absl::Time now, Done done);

 private:
  // A bucket: `calls` there may be at once as of `counted`, and more as time goes on.
  struct Entry {
    store::Shares shares;
    double calls = 0;
    absl::Duration counted = -absl::InfiniteDuration();  // SteadyNow()
  };

  explicit Projects(store::Writer& writer) : writer_(writer) {}
  void Keep(const store::Project& project);

  store::Writer& writer_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, Entry> by_name_;  // guarded by mutex_
};

}  // namespace hone::server::access
