// What is removed: jobs with their events, models, by a wish or by the limits.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/jobs/reason.h"
#include "server/store/sqlite_job_store.h"

namespace hone::server::store {

using jobs::JobState;

// No job that has not ended goes on from the checkpoints of `old`.
constexpr char kUnneeded[] =
    "NOT EXISTS (SELECT 1 FROM job AS retry WHERE retry.retry_of = old.id AND "
    "retry.retry_of != '' AND retry.state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) ";

absl::Status SqliteStore::CheckNobodyGoesOnFrom(const std::string& job_id) {
  HONE_ASSIGN_OR_RETURN(const bool needed, retry_.Reset().Text(job_id).Step());
  const std::string by =
      needed ? absl::StrCat("jobs/", retry_.ColumnBytes(0), ", which is ", retry_.ColumnBytes(1))
             : "";
  retry_.Reset();
  return needed
             ? jobs::WithReason(
                   absl::FailedPreconditionError(absl::StrCat("jobs/", job_id, " is needed by ", by,
                                                              " and goes on from its checkpoints")),
                   jobs::reason::kJobInUse)
             : absl::OkStatus();
}

absl::Status SqliteStore::ForgetCheckpoints(const std::string& id) {
  return Atomically([&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
    if (!jobs::IsEnd(row.job.state)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "jobs/", id, " is ", jobs::StateName(row.job.state), " and needs its checkpoints"));
    }
    HONE_RETURN_IF_ERROR(CheckNobodyGoesOnFrom(id));
    return forget_checkpoints_.Reset().Int(row.row).Run();
  });
}

absl::Status SqliteStore::ListForRemoval(const Folder& folder) {
  return list_for_removal_.Reset().Text(FolderKindName(folder.kind)).Text(folder.id).Run();
}

absl::Status SqliteStore::DraftModel(const std::string& id) {
  return ListForRemoval({.kind = Folder::Kind::kDraft, .id = id});
}

absl::Status SqliteStore::FolderIsRemoved(const Folder& folder) {
  return removed_.Reset().Text(FolderKindName(folder.kind)).Text(folder.id).Run();
}

absl::Status SqliteStore::Delete(const std::string& id) {
  return Atomically([&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
    const JobState state = row.job.state;
    if (!jobs::IsEnd(state) && state != JobState::kPaused) {
      return jobs::WithReason(
          absl::FailedPreconditionError(absl::StrCat("jobs/", id, " is ", jobs::StateName(state),
                                                     " and may still run; cancel it first")),
          jobs::reason::kJobState);
    }
    HONE_RETURN_IF_ERROR(CheckNobodyGoesOnFrom(id));
    HONE_RETURN_IF_ERROR(delete_.Reset().Int(row.row).Text(jobs::StateName(state)).Run());
    HONE_RETURN_IF_ERROR(delete_labels_.Reset().Int(row.row).Run());
    HONE_RETURN_IF_ERROR(to_garbage_.Reset().Int(row.row).Run());
    return ListForRemoval({.kind = Folder::Kind::kRun, .id = id});
  });
}

absl::Status SqliteStore::PrepareRemoval() {
  return Prepare({
      {&ended_, absl::StrCat("SELECT id FROM job AS old WHERE end_time > 0 AND end_time < ? AND ",
                             kUnneeded, "ORDER BY end_time LIMIT ?")},
      {&forget_checkpoints_,
       "UPDATE job SET checkpoints_removed = 1, checkpoint_bytes = 0 WHERE row = ?"},
      {&delete_, "DELETE FROM job WHERE row = ? AND state = ?"},
      {&delete_labels_, "DELETE FROM job_label WHERE job_row = ?"},
      {&to_garbage_, "INSERT INTO garbage VALUES (?)"},
      {&garbage_, "SELECT job_row FROM garbage ORDER BY job_row LIMIT 1"},
      {&delete_events_,
       "DELETE FROM event WHERE job_row = ?1 AND sequence IN "
       "(SELECT sequence FROM event WHERE job_row = ?1 ORDER BY sequence LIMIT ?2)"},
      {&delete_model_, "DELETE FROM model WHERE id = ?"},
      {&without_model_,
       "UPDATE job SET model_id = '' WHERE row = (SELECT job_row FROM model WHERE id = ?1) AND "
       "model_id = ?1"},
      {&retry_, kUnfinishedRetry},
      // A first sieve: whose spec has the model's name among its bytes.
      {&beginner_,
       "SELECT id, state, spec FROM job WHERE state IN "
       "('QUEUED', 'RUNNING', 'CANCELLING', 'PAUSING', 'PAUSED') AND instr(spec, ?) > 0"},
      {&list_for_removal_, "INSERT OR IGNORE INTO removal VALUES (?, ?)"},
      {&removed_, "DELETE FROM removal WHERE kind = ? AND id = ?"},
      {&clean_, "DELETE FROM garbage WHERE job_row = ?"},
      // The newest are passed over; of the others the oldest come first.
      {&excess_, absl::StrCat("SELECT id FROM (SELECT id, end_time FROM job WHERE end_time > 0 "
                              "ORDER BY end_time DESC LIMIT -1 OFFSET ?) AS old WHERE ",
                              kUnneeded, "ORDER BY end_time LIMIT ?")},
      {&bytes_,
       "SELECT (page_count - freelist_count) * page_size, EXISTS (SELECT 1 FROM garbage) "
       "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"},
      {&old_models_,
       "SELECT id FROM model WHERE pinned = 0 AND create_time BETWEEN 1 AND ? ORDER BY row "
       "LIMIT ?"},
      {&excess_models_,
       "SELECT id FROM (SELECT id, row, pinned, row_number() OVER (PARTITION BY project, "
       "display_name ORDER BY row DESC) AS age FROM model) WHERE age > ? AND pinned = 0 ORDER BY "
       "row LIMIT ?"},
      {&excess_but_best_,
       "SELECT id FROM (SELECT id, row, pinned, score, row_number() OVER (PARTITION BY project, "
       "display_name ORDER BY row DESC) AS age, row_number() OVER (PARTITION BY project, "
       "display_name ORDER BY score DESC NULLS LAST, row DESC) AS place FROM (SELECT id, row, "
       "pinned, project, display_name, model_score(payload) AS score FROM model)) "
       "WHERE age > ? AND (place > ? OR score IS NULL) AND pinned = 0 ORDER BY row LIMIT ?"},
      {&heavy_models_,
       "SELECT id FROM (SELECT id, row, pinned, sum(bytes) OVER (ORDER BY row DESC) AS total "
       "FROM model) WHERE total > ? AND pinned = 0 ORDER BY row LIMIT ?"},
  });
}

absl::StatusOr<std::vector<std::string>> SqliteStore::Ids(Statement& statement) {
  std::vector<std::string> ids;
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, statement.Step());
    if (!found) {
      return ids;
    }
    ids.emplace_back(statement.ColumnBytes(0));
  }
}

absl::StatusOr<std::vector<std::string>> SqliteStore::DeleteEnded(const KeepJobs& keep, int limit) {
  HONE_ASSIGN_OR_RETURN(std::vector<std::string> ids,
                        Ids(ended_.Reset().Int(ToNanos(keep.ended_since)).Int(limit)));
  if (ids.empty() && keep.at_most > 0) {
    HONE_ASSIGN_OR_RETURN(ids, Ids(excess_.Reset().Int(keep.at_most).Int(limit)));
  }
  if (ids.empty() && keep.bytes > 0) {
    HONE_RETURN_IF_ERROR(bytes_.Reset().Step().status());
    const bool full = bytes_.ColumnInt(0) > keep.bytes;
    const bool shrinking = bytes_.ColumnInt(1) != 0;  // events of deleted jobs are still to go
    bytes_.Reset();
    if (full && !shrinking) {
      HONE_ASSIGN_OR_RETURN(ids, Ids(excess_.Reset().Int(0).Int(1)));
    }
  }
  std::vector<std::string> deleted;
  for (const std::string& id : ids) {
    const absl::Status status = Delete(id);
    if (status.ok()) {
      deleted.push_back(id);
    } else if (!absl::IsFailedPrecondition(status)) {
      return status;  // else a job still goes on from it
    }
  }
  return deleted;
}

absl::StatusOr<std::vector<std::string>> SqliteStore::DeleteModels(const KeepModels& keep,
                                                                   int limit) {
  HONE_ASSIGN_OR_RETURN(std::vector<std::string> ids,
                        Ids(old_models_.Reset().Int(ToNanos(keep.made_since) - 1).Int(limit)));
  if (keep.of_a_name > 0) {
    Statement& excess = keep.best > 0
                            ? excess_but_best_.Reset().Int(keep.of_a_name).Int(keep.best).Int(limit)
                            : excess_models_.Reset().Int(keep.of_a_name).Int(limit);
    HONE_ASSIGN_OR_RETURN(const std::vector<std::string> more, Ids(excess));
    ids.insert(ids.end(), more.begin(), more.end());
  }
  if (keep.bytes > 0) {
    HONE_ASSIGN_OR_RETURN(const std::vector<std::string> more,
                          Ids(heavy_models_.Reset().Int(keep.bytes).Int(limit)));
    ids.insert(ids.end(), more.begin(), more.end());
  }
  std::vector<std::string> deleted;
  for (const std::string& id : ids) {
    const absl::Status status = DeleteModel(id);
    if (status.ok()) {
      deleted.push_back(id);
    } else if (!absl::IsNotFound(status) && !absl::IsFailedPrecondition(status)) {
      return status;  // else it went already, or a job still needs it
    }
  }
  return deleted;
}

absl::Status SqliteStore::CheckNobodyBeginsWith(const std::string& model_id) {
  const std::string name = jobs::ModelName(model_id);
  beginner_.Reset().Blob(name);
  absl::Status status;
  while (status.ok()) {
    HONE_ASSIGN_OR_RETURN(const bool found, beginner_.Step());
    if (!found) {
      break;
    }
    const absl::string_view bytes = beginner_.ColumnBytes(2);
    v1::JobSpec spec;
    static_cast<void>(spec.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
    const std::vector<jobs::NamedModel> needed = jobs::ModelsOf(spec);
    const auto found_at = std::ranges::find(needed, name, &jobs::NamedModel::name);
    if (found_at != needed.end()) {
      const bool begins = found_at->field == "model.pretrained.model";
      status = jobs::WithReason(absl::FailedPreconditionError(absl::StrCat(
                                    name, " is what jobs/", beginner_.ColumnBytes(0),
                                    begins ? " begins with" : " is evaluated by", ", which is ",
                                    beginner_.ColumnBytes(1), "; cancel the job first")),
                                jobs::reason::kModelInUse);
    }
  }
  beginner_.Reset();
  return status;
}

absl::Status SqliteStore::DeleteModel(const std::string& id) {
  return Atomically([&]() -> absl::Status {
    HONE_RETURN_IF_ERROR(CheckNobodyBeginsWith(id));
    HONE_RETURN_IF_ERROR(without_model_.Reset().Text(id).Run());
    HONE_RETURN_IF_ERROR(delete_model_.Reset().Text(id).Run());
    if (sqlite3_changes(connection_.get()) != 1) {
      return jobs::ModelNotFound(id);
    }
    return ListForRemoval({.kind = Folder::Kind::kModel, .id = id});
  });
}

absl::StatusOr<int> SqliteStore::RemoveGarbage(int events) {
  HONE_ASSIGN_OR_RETURN(const bool found, garbage_.Reset().Step());
  if (!found) {
    return 0;
  }
  const int64_t row = garbage_.ColumnInt(0);
  garbage_.Reset();
  int removed = 0;
  const absl::Status status = Atomically([&]() -> absl::Status {
    HONE_RETURN_IF_ERROR(delete_events_.Reset().Int(row).Int(events).Run());
    removed = sqlite3_changes(connection_.get());
    return removed < events ? clean_.Reset().Int(row).Run() : absl::OkStatus();
  });
  HONE_RETURN_IF_ERROR(status);
  return std::max(removed, 1);
}

}  // namespace hone::server::store
