// What people call things and how they sort them: names, labels, priorities, pins.
#include <google/protobuf/util/time_util.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/jobs/reason.h"
#include "server/store/sqlite_job_store.h"

namespace hone::server::store {

absl::Status SqliteStore::PrepareUpdates() {
  return Prepare({
      {&update_job_, "UPDATE job SET resolved = ?, priority = ? WHERE row = ?"},
      {&load_model_, "SELECT payload, project FROM model WHERE id = ?"},
      {&update_model_, "UPDATE model SET display_name = ?, pinned = ?, payload = ? WHERE id = ?"},
  });
}

absl::StatusOr<jobs::Job> SqliteStore::UpdateJob(const std::string& id, const JobUpdate& update) {
  const absl::Status updated = Atomically([&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(JobRow row, Load(id));
    v1::JobSpec& resolved = row.job.resolved;
    if (update.priority.has_value() && jobs::IsEnd(row.job.state)) {
      return jobs::WithReason(absl::FailedPreconditionError(absl::StrCat(
                                  "jobs/", id, " has ended: it is ", jobs::StateName(row.job.state),
                                  " and needs no priority any more")),
                              jobs::reason::kJobState);
    }
    resolved.set_display_name(update.display_name.value_or(resolved.display_name()));
    resolved.set_priority(update.priority.value_or(resolved.priority()));
    if (update.labels.has_value()) {
      resolved.clear_labels();
      HONE_RETURN_IF_ERROR(delete_labels_.Reset().Int(row.row).Run());
      for (const auto& [key, value] : *update.labels) {
        (*resolved.mutable_labels())[key] = value;
        HONE_RETURN_IF_ERROR(label_.Reset().Int(row.row).Text(absl::StrCat(key, "=", value)).Run());
      }
    }
    return update_job_.Reset()
        .Blob(Serialize(resolved))
        .Int(resolved.priority())
        .Int(row.row)
        .Run();
  });
  HONE_RETURN_IF_ERROR(updated);
  HONE_ASSIGN_OR_RETURN(JobRow row, Load(id));
  return std::move(row.job);
}

absl::Status SqliteStore::AddModel(const v1::Model& model) {
  const int64_t nanos =
      google::protobuf::util::TimeUtil::TimestampToNanoseconds(model.create_time());
  return Atomically([&]() -> absl::Status {
    const absl::Time made = absl::FromUnixNanos(nanos);
    const std::string project = model.project().empty() ? jobs::kDefaultProject : model.project();
    HONE_RETURN_IF_ERROR(projects_->Ensure(project, made));
    return InsertModel(model, project, /*job_row=*/0, /*job_id=*/"", made);
  });
}

absl::StatusOr<v1::Model> SqliteStore::UpdateModel(const std::string& id,
                                                   const ModelUpdate& update) {
  // By the writer's connection, which sees what was changed before in the same transaction.
  HONE_ASSIGN_OR_RETURN(const bool found, load_model_.Reset().Text(id).Step());
  if (!found) {
    return jobs::ModelNotFound(id);
  }
  HONE_ASSIGN_OR_RETURN(v1::Model model,
                        ReadModel(load_model_.ColumnBytes(0), load_model_.ColumnBytes(1)));
  load_model_.Reset();
  model.set_display_name(update.display_name.value_or(model.display_name()));
  model.set_pinned(update.pinned.value_or(model.pinned()));
  HONE_RETURN_IF_ERROR(update_model_.Reset()
                           .Text(model.display_name())
                           .Int(model.pinned() ? 1 : 0)
                           .Blob(Serialize(model))
                           .Text(id)
                           .Run());
  return model;
}

}  // namespace hone::server::store
