#include "server/store/sqlite_projects.h"

#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/jobs/reason.h"
#include "server/jobs/retry_delay.h"
#include "server/jobs/validate.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {
namespace {

constexpr char kProjectPrefix[] = "projects/";
constexpr absl::Duration kRetryWhenQueueIsFull = absl::Seconds(5);
constexpr absl::Duration kRetryWhenDiskIsFull = absl::Minutes(1);

// A project that has nothing, not even shares of its own.
constexpr char kEmpty[] =
    "name != 'default' AND queued_jobs = 0 AND running_jobs = 0 AND threads = 0 AND memory_bytes = "
    "0 AND dataset_bytes = 0 AND model_bytes = 0 AND checkpoint_bytes = 0 AND calls_per_second = 0 "
    "AND weight = 1 AND NOT EXISTS (SELECT 1 FROM job WHERE job.project = project.name) AND NOT "
    "EXISTS (SELECT 1 FROM model WHERE model.project = project.name) AND NOT EXISTS (SELECT 1 FROM "
    "dataset WHERE dataset.project = project.name) AND NOT EXISTS (SELECT 1 FROM upload WHERE "
    "upload.project = project.name) AND NOT EXISTS (SELECT 1 FROM sweep WHERE sweep.project = "
    "project.name)";

absl::Status Beyond(const std::string& project, absl::string_view what, int64_t used, int64_t limit,
                    absl::Duration retry) {
  return jobs::WithReason(
      jobs::WithRetryDelay(absl::ResourceExhaustedError(
                               absl::StrCat("the project ", project, " has ", used, " of at most ",
                                            limit, " ", what, "; `hone quota` shows its shares")),
                           retry),
      jobs::reason::kQuotaExceeded);
}

// The questions that are asked inside a transaction and outside of it, on one connection each.
class Look {
 public:
  absl::Status Prepare(sqlite3* connection) {
    for (const auto& [statement, sql] : std::vector<std::pair<Statement*, std::string>>{
             {&get_,
              absl::StrCat("SELECT create_time, ", kShareColumns, " FROM project WHERE name = ?")},
             {&queued_,
              "SELECT count(*) FROM job INDEXED BY job_by_project_and_state WHERE project = ? AND "
              "state = 'QUEUED'"},
             {&running_,
              "SELECT count(*), coalesce(sum(threads), 0), coalesce(sum(memory), 0) FROM job "
              "INDEXED BY job_by_project_and_state WHERE project = ? AND state IN ('RUNNING', "
              "'CANCELLING', 'PAUSING')"},
             {&data_,
              "SELECT (SELECT coalesce(sum(bytes), 0) FROM (SELECT DISTINCT sha256, format, bytes "
              "FROM dataset WHERE project = ?1)) + (SELECT coalesce(sum(bytes), 0) FROM upload "
              "WHERE project = ?1)"},
             {&models_, "SELECT coalesce(sum(bytes), 0) FROM model WHERE project = ?"},
             {&checkpoints_,
              "SELECT coalesce(sum(checkpoint_bytes), 0) FROM job INDEXED BY job_by_checkpoint "
              "WHERE project = ? AND checkpoint_bytes > 0"},
         }) {
      HONE_RETURN_IF_ERROR(statement->Prepare(connection, sql));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<Project>> Find(const std::string& name) {
    const Standing standing(get_);
    HONE_ASSIGN_OR_RETURN(const bool found, get_.Reset().Text(name).Step());
    if (!found) {
      return std::nullopt;
    }
    return Project{
        .name = name, .shares = ReadShares(get_, 1), .created = FromNanos(get_.ColumnInt(0))};
  }
  absl::StatusOr<int64_t> Queued(const std::string& name) { return One(queued_, name); }
  absl::StatusOr<int64_t> Data(const std::string& name) { return One(data_, name); }
  absl::StatusOr<int64_t> Models(const std::string& name) { return One(models_, name); }
  absl::StatusOr<int64_t> Checkpoints(const std::string& name) { return One(checkpoints_, name); }

  absl::StatusOr<ProjectUse> Use(const std::string& name) {
    ProjectUse use;
    HONE_ASSIGN_OR_RETURN(use.queued_jobs, Queued(name));
    HONE_ASSIGN_OR_RETURN(use.dataset_bytes, Data(name));
    HONE_ASSIGN_OR_RETURN(use.model_bytes, Models(name));
    HONE_ASSIGN_OR_RETURN(use.checkpoint_bytes, Checkpoints(name));
    const Standing standing(running_);
    HONE_RETURN_IF_ERROR(running_.Reset().Text(name).Step().status());
    use.running_jobs = running_.ColumnInt(0);
    use.threads = running_.ColumnInt(1);
    use.memory_bytes = running_.ColumnInt(2);
    return use;
  }

  // What has no limit is not counted.
  absl::Status CheckRoomForJob(const std::string& name) {
    HONE_ASSIGN_OR_RETURN(const std::optional<Project> project, Find(name));
    if (!project.has_value()) {
      return absl::OkStatus();
    }
    const Shares& shares = project->shares;
    if (shares.queued_jobs > 0) {
      HONE_ASSIGN_OR_RETURN(const int64_t queued, Queued(name));
      if (queued >= shares.queued_jobs) {
        return Beyond(name, "jobs in the queue", queued, shares.queued_jobs, kRetryWhenQueueIsFull);
      }
    }
    if (shares.checkpoint_bytes > 0) {
      HONE_ASSIGN_OR_RETURN(const int64_t bytes, Checkpoints(name));
      if (bytes >= shares.checkpoint_bytes) {
        return Beyond(name, "bytes of checkpoints", bytes, shares.checkpoint_bytes,
                      kRetryWhenDiskIsFull);
      }
    }
    return CheckRoomForModel(name, shares);
  }

  absl::Status CheckRoomForModel(const std::string& name, const Shares& shares) {
    if (shares.model_bytes == 0) {
      return absl::OkStatus();
    }
    HONE_ASSIGN_OR_RETURN(const int64_t bytes, Models(name));
    return bytes < shares.model_bytes
               ? absl::OkStatus()
               : Beyond(name, "bytes of models", bytes, shares.model_bytes, kRetryWhenDiskIsFull);
  }

 private:
  static absl::StatusOr<int64_t> One(Statement& statement, const std::string& name) {
    const Standing standing(statement);
    HONE_RETURN_IF_ERROR(statement.Reset().Text(name).Step().status());
    return statement.ColumnInt(0);
  }

  Statement get_, queued_, running_, data_, models_, checkpoints_;
};

class SqliteProjects final : public ProjectStore {
 public:
  absl::Status Open(sqlite3* writer, const std::string& path) {
    HONE_RETURN_IF_ERROR(written_.Prepare(writer));
    for (const auto& [statement, sql] : std::vector<std::pair<Statement*, std::string>>{
             {&number_, "SELECT count(*) FROM project"},
             {&insert_, "INSERT INTO project (name, create_time) VALUES (?, ?)"},
             {&make_room_, absl::StrCat("DELETE FROM project WHERE ", kEmpty)},
             {&set_,
              "UPDATE project SET queued_jobs = ?, running_jobs = ?, threads = ?, memory_bytes = "
              "?, dataset_bytes = ?, model_bytes = ?, checkpoint_bytes = ?, calls_per_second = ?, "
              "weight = ? WHERE name = ?"},
         }) {
      HONE_RETURN_IF_ERROR(statement->Prepare(writer, sql));
    }
    HONE_ASSIGN_OR_RETURN(reader_, OpenReader(path));
    HONE_RETURN_IF_ERROR(seen_.Prepare(reader_.get()));
    for (const auto& [statement, sql] : std::vector<std::pair<Statement*, std::string>>{
             {&all_, absl::StrCat("SELECT name, create_time, ", kShareColumns,
                                  " FROM project ORDER BY name")},
             {&part_, absl::StrCat(kWaitingProjects,
                                   "SELECT sum(weight) FROM waiting CROSS JOIN project ON "
                                   "project.name = waiting.name WHERE project.name != ?")},
             {&count_,
              "SELECT name, (SELECT count(*) FROM job INDEXED BY job_by_project_and_state WHERE "
              "project = name AND state = 'QUEUED'), (SELECT count(*) FROM job INDEXED BY "
              "job_by_project_and_state WHERE project = name AND state IN ('RUNNING', "
              "'CANCELLING', 'PAUSING')) FROM project ORDER BY name"},
         }) {
      HONE_RETURN_IF_ERROR(statement->Prepare(reader_.get(), sql));
    }
    return absl::OkStatus();
  }

  absl::Status Ensure(const std::string& name, absl::Time now) override {
    HONE_ASSIGN_OR_RETURN(const std::optional<Project> known, written_.Find(name));
    if (known.has_value()) {
      return absl::OkStatus();
    }
    HONE_RETURN_IF_ERROR(CheckProject("project", name));
    HONE_ASSIGN_OR_RETURN(int64_t number, Number());
    if (number >= kMost) {
      HONE_RETURN_IF_ERROR(make_room_.Reset().Run());
      HONE_ASSIGN_OR_RETURN(number, Number());
    }
    if (number >= kMost) {
      return jobs::WithReason(
          absl::ResourceExhaustedError(
              absl::StrCat("project: this server has ", number, " projects, and at most ", kMost,
                           "; what has no things and no shares of its own makes room for others")),
          jobs::reason::kQuotaExceeded);
    }
    return insert_.Reset().Text(name).Int(ToNanos(now)).Run();
  }

  absl::StatusOr<Project> SetShares(const std::string& name,
                                    absl::FunctionRef<absl::Status(Shares&)> change,
                                    absl::Time now) override {
    HONE_ASSIGN_OR_RETURN(std::optional<Project> project, written_.Find(name));
    Shares shares = project.has_value() ? project->shares : Shares();
    HONE_RETURN_IF_ERROR(change(shares));
    HONE_RETURN_IF_ERROR(Ensure(name, now));
    HONE_RETURN_IF_ERROR(set_.Reset()
                             .Int(shares.queued_jobs)
                             .Int(shares.running_jobs)
                             .Int(shares.threads)
                             .Int(shares.memory_bytes)
                             .Int(shares.dataset_bytes)
                             .Int(shares.model_bytes)
                             .Int(shares.checkpoint_bytes)
                             .Real(shares.calls_per_second)
                             .Real(shares.weight)
                             .Text(name)
                             .Run());
    HONE_ASSIGN_OR_RETURN(project, written_.Find(name));
    return *std::move(project);
  }

  absl::Status CheckRoomForJob(const std::string& name) override {
    return written_.CheckRoomForJob(name);
  }

  absl::Status CheckRoomForData(const std::string& name, int64_t more) override {
    HONE_ASSIGN_OR_RETURN(const std::optional<Project> project, written_.Find(name));
    const int64_t limit = project.has_value() ? project->shares.dataset_bytes : 0;
    if (limit == 0 || more == 0) {
      return absl::OkStatus();
    }
    HONE_ASSIGN_OR_RETURN(const int64_t bytes, written_.Data(name));
    return more <= limit - bytes ? absl::OkStatus()
                                 : Beyond(name,
                                          absl::StrCat("bytes of data sets and uploads, and ", more,
                                                       " more do "
                                                       "not fit"),
                                          bytes, limit, kRetryWhenDiskIsFull);
  }

  absl::Status HasRoomForJob(const std::string& name) const override {
    const std::lock_guard lock(mutex_);
    return seen_.CheckRoomForJob(name);
  }

  absl::Status HasRoomForModel(const std::string& name) const override {
    HONE_ASSIGN_OR_RETURN(const Project project, Get(name));
    const std::lock_guard lock(mutex_);
    return seen_.CheckRoomForModel(name, project.shares);
  }

  absl::StatusOr<std::vector<Project>> All() const override {
    const std::lock_guard lock(mutex_);
    const Standing standing(all_);
    all_.Reset();
    std::vector<Project> projects;
    for (;;) {
      HONE_ASSIGN_OR_RETURN(const bool found, all_.Step());
      if (!found) {
        return projects;
      }
      projects.push_back({.name = std::string(all_.ColumnBytes(0)),
                          .shares = ReadShares(all_, 2),
                          .created = FromNanos(all_.ColumnInt(1))});
    }
  }

  absl::StatusOr<Project> Get(const std::string& name) const override {
    const std::lock_guard lock(mutex_);
    HONE_ASSIGN_OR_RETURN(std::optional<Project> project, seen_.Find(name));
    return project.has_value() ? *std::move(project) : Project{.name = name};
  }

  absl::StatusOr<ProjectUse> Use(const std::string& name) const override {
    const std::lock_guard lock(mutex_);
    return seen_.Use(name);
  }

  absl::StatusOr<double> PartOf(const std::string& name) const override {
    HONE_ASSIGN_OR_RETURN(const Project project, Get(name));
    const std::lock_guard lock(mutex_);
    const Standing standing(part_);
    HONE_RETURN_IF_ERROR(part_.Reset().Text(name).Step().status());
    const double own = project.shares.weight;
    return own / (own + part_.ColumnReal(0));
  }

  absl::StatusOr<std::vector<ProjectJobs>> Count() const override {
    const std::lock_guard lock(mutex_);
    const Standing standing(count_);
    count_.Reset();
    std::vector<ProjectJobs> counts;
    for (;;) {
      HONE_ASSIGN_OR_RETURN(const bool found, count_.Step());
      if (!found) {
        return counts;
      }
      counts.push_back({.project = std::string(count_.ColumnBytes(0)),
                        .queued = count_.ColumnInt(1),
                        .running = count_.ColumnInt(2)});
    }
  }

 private:
  absl::StatusOr<int64_t> Number() {
    const Standing standing(number_);
    HONE_RETURN_IF_ERROR(number_.Reset().Step().status());
    return number_.ColumnInt(0);
  }

  Look written_;
  Statement number_, insert_, make_room_, set_;  // the writer's

  mutable std::mutex mutex_;  // guards all below
  Connection reader_;
  mutable Look seen_;
  mutable Statement all_, part_, count_;
};

}  // namespace

Shares ReadShares(const Statement& statement, int first) {
  return {.queued_jobs = statement.ColumnInt(first),
          .running_jobs = statement.ColumnInt(first + 1),
          .threads = statement.ColumnInt(first + 2),
          .memory_bytes = statement.ColumnInt(first + 3),
          .dataset_bytes = statement.ColumnInt(first + 4),
          .model_bytes = statement.ColumnInt(first + 5),
          .checkpoint_bytes = statement.ColumnInt(first + 6),
          .calls_per_second = statement.ColumnReal(first + 7),
          .weight = statement.ColumnReal(first + 8)};
}

std::string WhyProjectWaits(const Project& project, const ProjectUse& use, const jobs::Job& job) {
  const Shares& shares = project.shares;
  const auto mib = [](int64_t bytes) { return (bytes >> 20) + 1; };
  const int64_t memory = job.plan.peak_memory_bytes();
  if (shares.threads > 0 && job.threads > shares.threads) {
    return absl::StrCat("it waits until its project's shares change: it asks for ", job.threads,
                        " threads, the project ", project.name, " may use ", shares.threads);
  }
  if (shares.memory_bytes > 0 && memory > shares.memory_bytes) {
    return absl::StrCat("it waits until its project's shares change: it needs about ", mib(memory),
                        " MiB of memory, the project ", project.name, " may use ",
                        mib(shares.memory_bytes));
  }
  if (shares.running_jobs > 0 && use.running_jobs >= shares.running_jobs) {
    return absl::StrCat("it waits: of the project ", project.name, ", ", use.running_jobs,
                        " jobs run of at most ", shares.running_jobs);
  }
  if (shares.threads > 0 && use.threads + job.threads > shares.threads) {
    return absl::StrCat("it waits for ", job.threads, " threads: the project ", project.name,
                        " uses ", use.threads, " of at most ", shares.threads);
  }
  if (shares.memory_bytes > 0 && use.memory_bytes + memory > shares.memory_bytes) {
    return absl::StrCat("it waits for ", mib(memory), " MiB of memory: the project ", project.name,
                        " uses ", mib(use.memory_bytes), " of at most ", mib(shares.memory_bytes));
  }
  return "";
}

std::string ProjectName(absl::string_view project) { return absl::StrCat(kProjectPrefix, project); }

absl::StatusOr<std::string> ProjectOfName(absl::string_view name) {
  absl::string_view project = name;
  if (!absl::ConsumePrefix(&project, kProjectPrefix) || !jobs::IsDatasetName(project)) {
    return jobs::WithReason(absl::InvalidArgumentError(absl::StrCat(
                                "name: must be projects/<name>, got \"", CutUtf8(name, 100), "\"")),
                            jobs::reason::kInvalidName);
  }
  return std::string(project);
}

absl::Status CheckProject(absl::string_view field, const std::string& project) {
  return jobs::IsDatasetName(project)
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat(
                   field,
                   ": must be 1 to 64 letters, digits, '-', '_' or '.', the first no '-' or '.', "
                   "got \"",
                   absl::CHexEscape(project.substr(0, 80)), "\""));
}

absl::StatusOr<std::unique_ptr<ProjectStore>> OpenSqliteProjects(sqlite3* writer,
                                                                 const std::string& path) {
  auto projects = std::make_unique<SqliteProjects>();
  HONE_RETURN_IF_ERROR(projects->Open(writer, path));
  return projects;
}

}  // namespace hone::server::store
