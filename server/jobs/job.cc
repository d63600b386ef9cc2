#include "server/jobs/job.h"

#include <google/protobuf/util/time_util.h>
#include <sys/random.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "engine/base/utf8.h"
#include "server/jobs/reason.h"

namespace hone::server::jobs {
namespace {

constexpr char kJobPrefix[] = "jobs/";
constexpr char kModelPrefix[] = "models/";

absl::StatusOr<std::string> IdOf(absl::string_view name, absl::string_view prefix) {
  absl::string_view id = name;
  const bool well_formed = absl::ConsumePrefix(&id, prefix) && !id.empty() && id.size() <= 64 &&
                           std::all_of(id.begin(), id.end(), [](unsigned char c) {
                             return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
                           });
  if (!well_formed) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat(
                          "name: must be ", prefix, "<id>, got \"", CutUtf8(name, 100), "\"")),
                      reason::kInvalidName);
  }
  return std::string(id);
}

}  // namespace

v1::Job ToProto(const Job& job) {
  v1::Job proto;
  proto.set_name(JobName(job.id));
  if (job.id.empty()) {
    proto.clear_name();
  }
  proto.set_project(job.project);
  proto.set_created_by(job.created_by);
  proto.set_display_name(job.resolved.display_name());
  *proto.mutable_labels() = job.resolved.labels();
  proto.set_priority(job.resolved.priority());
  *proto.mutable_spec() = job.spec;
  *proto.mutable_resolved_spec() = job.resolved;
  proto.set_state(ToProto(job.state));
  proto.set_end_reason(job.end_reason);
  proto.set_message(job.message);
  proto.set_attempt(job.attempt);
  proto.set_queue_position(job.queue_position);
  proto.set_threads(job.threads);
  if (job.create_time != absl::InfinitePast()) {
    *proto.mutable_create_time() = ToTimestamp(job.create_time);
  }
  if (job.start_time != absl::InfinitePast()) {
    *proto.mutable_start_time() = ToTimestamp(job.start_time);
  }
  if (job.end_time != absl::InfinitePast()) {
    *proto.mutable_end_time() = ToTimestamp(job.end_time);
  }
  *proto.mutable_progress() = job.progress;
  *proto.mutable_metrics() = job.latest.values();
  if (job.evaluation.ByteSizeLong() > 0) {
    *proto.mutable_evaluation() = job.evaluation;
  }
  if (job.plan.ByteSizeLong() > 0) {
    *proto.mutable_plan() = job.plan;
  }
  if (!job.model_id.empty()) {
    proto.set_model(ModelName(job.model_id));
  }
  proto.set_last_sequence(job.last_sequence);
  proto.set_failures(job.failures);
  proto.set_retries(job.retries);
  if (!job.retry_of.empty()) {
    proto.set_retry_of(JobName(job.retry_of));
  }
  return proto;
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(time));
}

absl::Time Deadline(const v1::JobSpec& spec, absl::Time created) {
  return spec.deadline_seconds() > 0 ? created + absl::Seconds(spec.deadline_seconds())
                                     : absl::InfinitePast();
}

std::string TaskName(const v1::JobSpec& spec) {
  const auto* oneof = v1::JobSpec::descriptor()->FindOneofByName("task");
  const auto* field = v1::JobSpec::GetReflection()->GetOneofFieldDescriptor(spec, oneof);
  if (field == nullptr) {
    field = v1::JobSpec::GetReflection()->GetOneofFieldDescriptor(
        spec, v1::JobSpec::descriptor()->FindOneofByName("kind"));
  }
  return field == nullptr ? "" : field->name();
}

std::string ModelTaskName(const v1::JobSpec& spec) {
  return spec.has_preference_optimization() ? "language_modeling" : TaskName(spec);
}

std::vector<NamedModel> ModelsOf(const v1::JobSpec& spec) {
  std::vector<NamedModel> models;
  for (const auto& [field, name] :
       {std::pair("model.pretrained.model", &spec.model().pretrained().model()),
        std::pair("image_generation.evaluation.classifier",
                  &spec.image_generation().evaluation().classifier()),
        std::pair("evaluation.model", &spec.evaluation().model()),
        std::pair("evaluation.against", &spec.evaluation().against())}) {
    if (!name->empty()) {
      models.push_back({field, *name});
    }
  }
  return models;
}

std::vector<std::string> AllTaskNames() {
  std::vector<std::string> names;
  for (const char* name : {"task", "kind"}) {
    const auto* oneof = v1::JobSpec::descriptor()->FindOneofByName(name);
    for (int i = 0; i < oneof->field_count(); ++i) {
      names.push_back(oneof->field(i)->name());
    }
  }
  return names;
}

int ThreadsOf(const v1::JobSpec& spec) {
  return static_cast<int>(spec.has_evaluation() ? spec.evaluation().threads()
                                                : spec.training().threads());
}

absl::Status CheckTaskName(absl::string_view task) {
  const std::vector<std::string> tasks = AllTaskNames();
  return task.empty() || std::find(tasks.begin(), tasks.end(), task) != tasks.end()
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat("task: must be one of ",
                                                       absl::StrJoin(tasks, ", "), ", got \"",
                                                       absl::CHexEscape(task), "\""));
}

std::string JobName(absl::string_view id) { return absl::StrCat(kJobPrefix, id); }
absl::StatusOr<std::string> JobId(absl::string_view name) { return IdOf(name, kJobPrefix); }
absl::Status JobNotFound(absl::string_view id) {
  return WithReason(absl::NotFoundError(absl::StrCat("there is no job ", JobName(id))),
                    reason::kJobNotFound);
}
absl::Status ModelNotFound(absl::string_view id) {
  return WithReason(absl::NotFoundError(absl::StrCat("there is no model ", ModelName(id))),
                    reason::kModelNotFound);
}

std::string ModelName(absl::string_view id) { return absl::StrCat(kModelPrefix, id); }
absl::StatusOr<std::string> ModelId(absl::string_view name) { return IdOf(name, kModelPrefix); }

absl::StatusOr<JobState> ParseState(absl::string_view name) {
  for (const JobState state : kAllStates) {
    if (StateName(state) == name) {
      return state;
    }
  }
  return absl::InternalError(absl::StrCat("unknown job state \"", name, "\""));
}

absl::StatusOr<JobState> FromProto(v1::Job::State state) {
  return ParseState(v1::Job::State_Name(state));
}

v1::Job::State ToProto(JobState state) {
  v1::Job::State proto = v1::Job::STATE_UNSPECIFIED;
  v1::Job::State_Parse(std::string(StateName(state)), &proto);
  return proto;
}

v1::Job::EndReason ParseEndReason(absl::string_view name) {
  v1::Job::EndReason reason;
  return v1::Job::EndReason_Parse(std::string(name), &reason) ? reason : v1::Job::INTERNAL;
}

bool EndsJob(const v1::Event& event) {
  const auto state = FromProto(event.state().state());
  return event.has_state() && state.ok() && IsEnd(*state);
}

std::string NewId() {
  static constexpr char kAlphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
  unsigned char random[16];
  // At most 256 bytes are never interrupted.
  while (::getrandom(random, sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) {
  }
  std::string id;
  for (const unsigned char byte : random) {
    id.push_back(kAlphabet[byte % 32]);
  }
  return id;
}

}  // namespace hone::server::jobs
