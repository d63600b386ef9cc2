#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hone/v1/model_service.pb.h"
#include "server/jobs/job.h"
#include "server/store/job_store.h"
#include "server/store/sqlite.h"

namespace hone::server::store {

// The columns that ReadJob reads, for a SELECT over `job`.
inline constexpr char kJobColumns[] =
    "job.row, id, spec, plan, threads, state, end_reason, message, attempt, failures, retries, "
    "create_time, start_time, end_time, progress, latest, evaluation, model_id, retry_of, "
    "last_sequence, request, dataset_sha256, checkpoint_step, checkpoints_removed, recoveries, "
    "resolved, makes_model, project, created_by";
inline constexpr int kJobColumnCount = 29;

// How many jobs of its project are in the queue up to this one; 0 for one that is not, or is held.
// For a SELECT over `job`; it walks over all that are ahead.
inline constexpr char kQueuePosition[] =
    "CASE WHEN state = 'QUEUED' AND held = 0 THEN (SELECT count(*) FROM job AS ahead "
    "WHERE ahead.project = job.project AND ahead.state = 'QUEUED' AND ahead.held = 0 AND "
    "(ahead.priority > job.priority OR "
    "(ahead.priority = job.priority AND ahead.row <= job.row))) ELSE 0 END";

// Milliseconds that those of its project ahead of a job in the queue will take; NULL where one is
// not known, or the job is held.
inline constexpr char kQueuedBefore[] =
    "CASE WHEN state = 'QUEUED' AND held = 1 THEN NULL "
    "WHEN state = 'QUEUED' THEN (SELECT CASE WHEN count(*) = count(expected_ms) "
    "THEN coalesce(sum(expected_ms), 0) END FROM job AS ahead "
    "WHERE ahead.project = job.project AND ahead.state = 'QUEUED' AND ahead.held = 0 AND "
    "(ahead.priority > job.priority OR "
    "(ahead.priority = job.priority AND ahead.row < job.row))) ELSE 0 END";

// A job that has not ended and goes on from the checkpoints of the one with this id.
inline constexpr char kUnfinishedRetry[] =
    "SELECT id, state FROM job WHERE retry_of = ? AND retry_of != '' AND state NOT IN "
    "('SUCCEEDED', 'FAILED', 'CANCELLED') LIMIT 1";

// As in the table `removal`.
absl::string_view FolderKindName(Folder::Kind kind);

struct JobRow {
  int64_t row = 0;
  jobs::Job job;
};

// All but the queue position. DATA_LOSS: the row holds what no version wrote.
absl::StatusOr<JobRow> ReadJob(const Statement& statement);

// `project`: the column, which the message does not repeat.
absl::StatusOr<v1::Model> ReadModel(absl::string_view bytes, absl::string_view project);

// As a request_id stands in its table, where it is unique among those of all projects.
std::string RequestKey(absl::string_view project, absl::string_view request_id);

// DATA_LOSS as above. A change of state that version 0.1 wrote gets its state and reason from the
// names that it has.
absl::StatusOr<v1::Event> ReadEvent(absl::string_view bytes);

// InfiniteDuration where the column is NULL.
absl::Duration ColumnMilliseconds(const Statement& statement, int column);

int64_t ToNanos(absl::Time time);
absl::Time FromNanos(int64_t nanos);

// Equal messages give equal bytes.
std::string Serialize(const google::protobuf::MessageLite& message);

}  // namespace hone::server::store
