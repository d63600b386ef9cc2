#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hone/v1/event.pb.h"
#include "hone/v1/job_resource.pb.h"
#include "server/jobs/state.h"

namespace hone::server::jobs {

// What a thing belongs to where nobody says another one.
inline constexpr char kDefaultProject[] = "default";

// A job as the store keeps it. Times are InfinitePast where they have not come yet.
struct Job {
  std::string id;
  std::string project = kDefaultProject;
  std::string created_by;  // who asked for it; "": it was not asked who calls
  v1::JobSpec spec;        // as it was sent
  v1::JobSpec resolved;    // what is trained; its name, labels and priority are those of now
  JobState state = JobState::kQueued;
  v1::Job::EndReason end_reason = v1::Job::END_REASON_UNSPECIFIED;
  std::string message;
  int attempt = 0;     // rises at every claim: results of older attempts are refused
  int failures = 0;    // charged ones since the newest checkpoint
  int retries = 0;     // those that cost nothing, since the newest checkpoint
  int recoveries = 0;  // how often a server ended while it ran, since the newest checkpoint
  int threads = 1;
  int queue_position = 0;                               // among those of its project
  absl::Duration queued_before = absl::ZeroDuration();  // time that those of its project before it
                                                        // will take; infinite: not known
  absl::Time create_time = absl::InfinitePast();
  absl::Time start_time = absl::InfinitePast();
  absl::Time end_time = absl::InfinitePast();
  v1::JobProgress progress;
  v1::Metrics latest;  // its `values` are the latest of each name
  v1::Evaluation evaluation;
  v1::Plan plan;
  std::string model_id;     // of the model that it has published; "": none
  std::string makes_model;  // the id that its model gets
  std::string retry_of;     // id of the job whose checkpoints it begins with; "": none
  int64_t last_sequence = 0;
  std::string request;          // as in store::NewJob
  int64_t checkpoint_step = 0;  // of the newest checkpoint that it told of, or begins with; 0: none
  bool checkpoints_removed = false;  // they go, or are gone
  std::string dataset_sha256;  // of the uploaded data set that it learns from; "": the catalogue's
};

v1::Job ToProto(const Job& job);

google::protobuf::Timestamp ToTimestamp(absl::Time time);

// "classification": the name of the field that is set in the oneof `task`, or in `kind`; "" where
// none is.
std::string TaskName(const v1::JobSpec& spec);
// The task of the model that the job makes: its own, but for "preference_optimization", which makes
// a language model.
std::string ModelTaskName(const v1::JobSpec& spec);

// The models of this server that a job needs while it has not ended, and the fields that name them.
struct NamedModel {
  std::string field;  // "model.pretrained.model"
  std::string name;   // models/<id>
};
std::vector<NamedModel> ModelsOf(const v1::JobSpec& spec);
std::vector<std::string> AllTaskNames();
// Those that a spec asks for; 0: it names no number.
int ThreadsOf(const v1::JobSpec& spec);
// INVALID_ARGUMENT unless it is one of them, or "" for all.
absl::Status CheckTaskName(absl::string_view task);

// When a job made at `created` is to be ended; InfinitePast: never.
absl::Time Deadline(const v1::JobSpec& spec, absl::Time created);

// "jobs/" + id and back. INVALID_ARGUMENT, with the shape a name must have: ids are 1 to 64 of a-z,
// 0-9, '-'.
std::string JobName(absl::string_view id);
absl::StatusOr<std::string> JobId(absl::string_view name);
// NOT_FOUND with the reason: there is no job (model) with this id.
absl::Status JobNotFound(absl::string_view id);
absl::Status ModelNotFound(absl::string_view id);
std::string ModelName(absl::string_view id);
absl::StatusOr<std::string> ModelId(absl::string_view name);

// INTERNAL where it names no state or reason.
absl::StatusOr<JobState> ParseState(absl::string_view name);
absl::StatusOr<JobState> FromProto(v1::Job::State state);
v1::Job::State ToProto(JobState state);
v1::Job::EndReason ParseEndReason(absl::string_view name);  // INTERNAL's value for an unknown name

// The event says that its job has ended.
bool EndsJob(const v1::Event& event);

// 16 random characters of a-z and 2-7.
std::string NewId();

}  // namespace hone::server::jobs
