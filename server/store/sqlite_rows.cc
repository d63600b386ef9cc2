#include "server/store/sqlite_rows.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/unknown_field_set.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::server::store {
namespace {

bool Parse(absl::string_view bytes, google::protobuf::MessageLite& message) {
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// Version 0.1 wrote the names of the state and the reason, as the fields 1 and 2.
void TakeNames(v1::StateChange& change) {
  google::protobuf::UnknownFieldSet& old = *change.GetReflection()->MutableUnknownFields(&change);
  for (int i = 0; i < old.field_count(); ++i) {
    const google::protobuf::UnknownField& field = old.field(i);
    if (field.type() != google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED) {
      continue;
    }
    v1::Job::State state;
    if (field.number() == 1 && v1::Job::State_Parse(field.length_delimited(), &state)) {
      change.set_state(state);
    } else if (field.number() == 2) {
      change.set_end_reason(jobs::ParseEndReason(field.length_delimited()));
    }
  }
  old.Clear();
}

}  // namespace

absl::Duration ColumnMilliseconds(const Statement& statement, int column) {
  return statement.IsNull(column) ? absl::InfiniteDuration()
                                  : absl::Milliseconds(statement.ColumnInt(column));
}

int64_t ToNanos(absl::Time time) {
  return time == absl::InfinitePast() ? 0 : absl::ToUnixNanos(time);
}

absl::Time FromNanos(int64_t nanos) {
  return nanos == 0 ? absl::InfinitePast() : absl::FromUnixNanos(nanos);
}

std::string Serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

absl::StatusOr<v1::Event> ReadEvent(absl::string_view bytes) {
  v1::Event event;
  if (!Parse(bytes, event)) {
    return absl::DataLossError("an event in the store is damaged");
  }
  if (event.has_state() && event.state().state() == v1::Job::STATE_UNSPECIFIED) {
    TakeNames(*event.mutable_state());
  }
  return event;
}

absl::string_view FolderKindName(Folder::Kind kind) {
  switch (kind) {
    case Folder::Kind::kRun:
      return "run";
    case Folder::Kind::kModel:
      return "model";
    case Folder::Kind::kDraft:
      return "draft";
  }
  return "";
}

std::string RequestKey(absl::string_view project, absl::string_view request_id) {
  return absl::StrCat(project, " ", request_id);
}

absl::StatusOr<v1::Model> ReadModel(absl::string_view bytes, absl::string_view project) {
  v1::Model model;
  if (!Parse(bytes, model)) {
    return absl::DataLossError("a model's row in the store is damaged");
  }
  model.set_project(std::string(project));
  return model;
}

absl::StatusOr<JobRow> ReadJob(const Statement& statement) {
  JobRow read;
  jobs::Job& job = read.job;
  int column = 0;
  const auto integer = [&] { return statement.ColumnInt(column++); };
  const auto bytes = [&] { return statement.ColumnBytes(column++); };
  read.row = integer();
  job.id = std::string(bytes());
  bool whole = Parse(bytes(), job.spec);
  whole = Parse(bytes(), job.plan) && whole;
  job.threads = static_cast<int>(integer());
  HONE_ASSIGN_OR_RETURN(job.state, jobs::ParseState(bytes()));
  job.end_reason = static_cast<v1::Job::EndReason>(integer());
  job.message = std::string(bytes());
  job.attempt = static_cast<int>(integer());
  job.failures = static_cast<int>(integer());
  job.retries = static_cast<int>(integer());
  job.create_time = FromNanos(integer());
  job.start_time = FromNanos(integer());
  job.end_time = FromNanos(integer());
  whole = Parse(bytes(), job.progress) && whole;
  whole = Parse(bytes(), job.latest) && whole;
  whole = Parse(bytes(), job.evaluation) && whole;
  job.model_id = std::string(bytes());
  job.retry_of = std::string(bytes());
  job.last_sequence = integer();
  job.request = std::string(bytes());
  job.dataset_sha256 = std::string(bytes());
  job.checkpoint_step = integer();
  job.checkpoints_removed = integer() != 0;
  job.recoveries = static_cast<int>(integer());
  whole = Parse(bytes(), job.resolved) && whole;
  job.makes_model = std::string(bytes());
  job.project = std::string(bytes());
  job.created_by = std::string(bytes());
  if (!whole) {
    return absl::DataLossError(absl::StrCat("job ", job.id, ": its row in the store is damaged"));
  }
  return read;
}

}  // namespace hone::server::store
