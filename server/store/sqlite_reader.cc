#include "server/store/sqlite_reader.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {
absl::StatusOr<std::unique_ptr<SqliteReader>> SqliteReader::Open(const std::string& path) {
  std::unique_ptr<SqliteReader> reader(new SqliteReader());
  HONE_RETURN_IF_ERROR(reader->connection_.Open(path, TimedConnection::kMostTime));
  HONE_RETURN_IF_ERROR(reader->Prepare());
  return reader;
}

absl::Status SqliteReader::Prepare() {
  const std::string select = absl::StrCat("SELECT ", kJobColumns, " FROM job ");
  for (const auto& [statement, sql] : std::vector<std::pair<Statement*, std::string>>{
           {&get_, absl::StrCat("SELECT ", kJobColumns, ", ", kQueuePosition, ", ", kQueuedBefore,
                                " FROM job WHERE id = ?")},
           {&find_request_, select + "WHERE request_id = ?"},
           {&retry_, kUnfinishedRetry},
           {&project_of_job_, "SELECT project FROM job WHERE id = ?"},
           {&project_of_model_, "SELECT project FROM model WHERE id = ?"},
           {&events_,
            "SELECT payload FROM event WHERE job_row = (SELECT row FROM job WHERE id = ?) "
            "AND sequence > ? ORDER BY sequence LIMIT ?"},
           {&count_queued_, "SELECT count(*) FROM job WHERE state = 'QUEUED'"},
           {&oldest_queued_,
            "SELECT create_time FROM job WHERE row = (SELECT min(row) FROM job WHERE state = "
            "'QUEUED')"},
           {&removals_, "SELECT id FROM removal WHERE kind = ? ORDER BY id LIMIT ?"},
           {&get_model_, "SELECT payload, project FROM model WHERE id = ?"},
       }) {
    HONE_RETURN_IF_ERROR(statement->Prepare(connection_.get(), sql));
  }
  return absl::OkStatus();
}

absl::StatusOr<jobs::Job> SqliteReader::Get(const std::string& id) {
  connection_.BeginCall();
  const Standing standing(get_);
  HONE_ASSIGN_OR_RETURN(const bool found, get_.Reset().Text(id).Step());
  if (!found) {
    return jobs::JobNotFound(id);
  }
  HONE_ASSIGN_OR_RETURN(JobRow row, ReadJob(get_));
  row.job.queue_position = static_cast<int>(get_.ColumnInt(kJobColumnCount));
  row.job.queued_before = ColumnMilliseconds(get_, kJobColumnCount + 1);
  return std::move(row.job);
}

absl::StatusOr<std::string> SqliteReader::ProjectOfJob(const std::string& id) {
  connection_.BeginCall();
  const Standing standing(project_of_job_);
  HONE_ASSIGN_OR_RETURN(const bool found, project_of_job_.Reset().Text(id).Step());
  return found ? absl::StatusOr<std::string>(project_of_job_.ColumnBytes(0))
               : jobs::JobNotFound(id);
}

absl::StatusOr<std::string> SqliteReader::ProjectOfModel(const std::string& id) {
  connection_.BeginCall();
  const Standing standing(project_of_model_);
  HONE_ASSIGN_OR_RETURN(const bool found, project_of_model_.Reset().Text(id).Step());
  return found ? absl::StatusOr<std::string>(project_of_model_.ColumnBytes(0))
               : jobs::ModelNotFound(id);
}

absl::StatusOr<std::optional<jobs::Job>> SqliteReader::FindRequest(const std::string& project,
                                                                   const std::string& request_id) {
  connection_.BeginCall();
  const Standing standing(find_request_);
  HONE_ASSIGN_OR_RETURN(const bool found,
                        find_request_.Reset().Text(RequestKey(project, request_id)).Step());
  if (!found) {
    return std::nullopt;
  }
  HONE_ASSIGN_OR_RETURN(JobRow row, ReadJob(find_request_));
  return std::move(row.job);
}

absl::StatusOr<bool> SqliteReader::HasUnfinishedRetry(const std::string& id) {
  connection_.BeginCall();
  const Standing standing(retry_);
  return retry_.Reset().Text(id).Step();
}

absl::StatusOr<std::vector<v1::Event>> SqliteReader::ReadEvents(const std::string& id,
                                                                int64_t after, int limit,
                                                                int64_t max_bytes) {
  connection_.BeginCall();
  const Standing standing(events_);
  events_.Reset().Text(id).Int(after).Int(limit);
  std::vector<v1::Event> events;
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, events_.Step());
    if (!found) {
      return events;
    }
    const absl::string_view bytes = events_.ColumnBytes(0);
    max_bytes -= static_cast<int64_t>(bytes.size());
    if (!events.empty() && max_bytes < 0) {
      return events;
    }
    absl::StatusOr<v1::Event> event = ReadEvent(bytes);
    HONE_RETURN_IF_ERROR(Annotate(event.status(), absl::StrCat("job ", id)));
    events.push_back(*std::move(event));
  }
}

absl::StatusOr<int64_t> SqliteReader::CountQueued() {
  connection_.BeginCall();
  const Standing standing(count_queued_);
  HONE_RETURN_IF_ERROR(count_queued_.Reset().Step().status());
  return count_queued_.ColumnInt(0);
}

absl::StatusOr<std::optional<absl::Time>> SqliteReader::OldestQueued() {
  connection_.BeginCall();
  const Standing standing(oldest_queued_);
  HONE_ASSIGN_OR_RETURN(const bool found, oldest_queued_.Reset().Step());
  if (!found) {
    return std::nullopt;
  }
  return FromNanos(oldest_queued_.ColumnInt(0));
}

absl::StatusOr<std::vector<Folder>> SqliteReader::FoldersToRemove(Folder::Kind kind, int limit) {
  connection_.BeginCallWithoutLimit();
  const Standing standing(removals_);
  removals_.Reset().Text(FolderKindName(kind)).Int(limit);
  std::vector<Folder> folders;
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, removals_.Step());
    if (!found) {
      return folders;
    }
    folders.push_back({.kind = kind, .id = std::string(removals_.ColumnBytes(0))});
  }
}

absl::StatusOr<v1::Model> SqliteReader::GetModel(const std::string& id) {
  connection_.BeginCall();
  const Standing standing(get_model_);
  HONE_ASSIGN_OR_RETURN(const bool found, get_model_.Reset().Text(id).Step());
  if (!found) {
    return jobs::ModelNotFound(id);
  }
  return ReadModel(get_model_.ColumnBytes(0), get_model_.ColumnBytes(1));
}

}  // namespace hone::server::store
