#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/jobs/job.h"

namespace hone::server::store {

// What a project may have. 0: no limit.
struct Shares {
  int64_t queued_jobs = 0;
  int64_t running_jobs = 0;
  int64_t threads = 0;           // of its running jobs together
  int64_t memory_bytes = 0;      // the same, by their plans
  int64_t dataset_bytes = 0;     // of its data sets and uploads
  int64_t model_bytes = 0;       // new jobs and imports are refused when it has so many
  int64_t checkpoint_bytes = 0;  // of each job's newest one; new jobs are refused as above
  double calls_per_second = 0;
  double weight = 1;  // in the queue: fair_queue.h

  bool operator==(const Shares&) const = default;
};

struct Project {
  std::string name;
  Shares shares = {};
  absl::Time created = absl::InfinitePast();  // that: it was there before there were projects
};

// What a project has.
struct ProjectUse {
  int64_t queued_jobs = 0;
  int64_t running_jobs = 0;
  int64_t threads = 0;
  int64_t memory_bytes = 0;
  int64_t dataset_bytes = 0;
  int64_t model_bytes = 0;
  int64_t checkpoint_bytes = 0;
};

struct ProjectJobs {
  std::string project;
  int64_t queued = 0;
  int64_t running = 0;
};

// Who things belong to: part of a JobStore, with the same threads, transactions and errors. A
// project is there as soon as something belongs to it or somebody sets its shares; `default` always
// is.
class ProjectStore {
 public:
  static constexpr int kMost = 1000;

  virtual ~ProjectStore() = default;

  // Makes the project if there is none. RESOURCE_EXHAUSTED: there are kMost, each of which has
  // something or shares of its own; others make room.
  virtual absl::Status Ensure(const std::string& name, absl::Time now) = 0;
  // What `change` does to the shares, of a project that is made if there is none. An error of
  // `change` is returned, and nothing is written.
  virtual absl::StatusOr<Project> SetShares(const std::string& name,
                                            absl::FunctionRef<absl::Status(Shares&)> change,
                                            absl::Time now) = 0;
  // RESOURCE_EXHAUSTED with what, how much there is and the limit: a job more is beyond the shares
  // of its project. Inside the transaction.
  virtual absl::Status CheckRoomForJob(const std::string& name) = 0;
  // The same for `more` bytes of data sets.
  virtual absl::Status CheckRoomForData(const std::string& name, int64_t more) = 0;

  // As CheckRoomForJob, as of the last commit.
  virtual absl::Status HasRoomForJob(const std::string& name) const = 0;
  // The same for a model.
  virtual absl::Status HasRoomForModel(const std::string& name) const = 0;
  // By name.
  virtual absl::StatusOr<std::vector<Project>> All() const = 0;
  // Default shares where there is no such project.
  virtual absl::StatusOr<Project> Get(const std::string& name) const = 0;
  virtual absl::StatusOr<ProjectUse> Use(const std::string& name) const = 0;
  // Which part of the machine a project's waiting jobs get: its weight in those of all projects
  // with jobs that wait, itself among them. Above 0, at most 1.
  virtual absl::StatusOr<double> PartOf(const std::string& name) const = 0;
  // Of all projects, by name.
  virtual absl::StatusOr<std::vector<ProjectJobs>> Count() const = 0;
};

// Why a job that waits cannot be claimed now: its project has reached a share; "": it can.
std::string WhyProjectWaits(const Project& project, const ProjectUse& use, const jobs::Job& job);

// "projects/" + name and back. INVALID_ARGUMENT, with the shape that a name must have: 1 to 64
// letters, digits, '-', '_' or '.', the first no '-' or '.'.
std::string ProjectName(absl::string_view project);
absl::StatusOr<std::string> ProjectOfName(absl::string_view name);
// INVALID_ARGUMENT begins with `field`.
absl::Status CheckProject(absl::string_view field, const std::string& project);

}  // namespace hone::server::store
