// UpdateJob and UpdateModel: what a field mask names is changed, all else stays.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/jobs/job.h"
#include "server/jobs/validate.h"
#include "server/rpc/calls.h"

namespace hone::server::rpc {
namespace {

// Fields that a mask may name, more than once, too: each is read.
constexpr int kMostPaths = 16;

absl::Status NoSuchField(const std::string& path, absl::string_view known) {
  return absl::InvalidArgumentError(
      absl::StrCat("update_mask: must name some of ", known, ", got \"", CutUtf8(path, 80), "\""));
}

absl::Status CheckMask(const google::protobuf::FieldMask& mask, absl::string_view known) {
  if (mask.paths_size() > kMostPaths) {
    return absl::InvalidArgumentError(absl::StrCat("update_mask: must be at most ", kMostPaths,
                                                   " paths, got ", mask.paths_size()));
  }
  return mask.paths().empty() ? NoSuchField("", known) : absl::OkStatus();
}

absl::StatusOr<store::JobUpdate> ToUpdate(const v1::UpdateJobRequest& request) {
  HONE_RETURN_IF_ERROR(CheckMask(request.update_mask(), "display_name, labels, priority"));
  store::JobUpdate update;
  v1::JobSpec checked;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "display_name") {
      update.display_name = request.job().display_name();
      checked.set_display_name(request.job().display_name());
    } else if (path == "labels") {
      update.labels.emplace(request.job().labels().begin(), request.job().labels().end());
      *checked.mutable_labels() = request.job().labels();
    } else if (path == "priority") {
      update.priority = request.job().priority();
      checked.set_priority(request.job().priority());
    } else {
      return NoSuchField(path, "display_name, labels, priority");
    }
  }
  HONE_RETURN_IF_ERROR(jobs::CheckAttributes(checked).ToStatus());
  return update;
}

absl::StatusOr<store::ModelUpdate> ToUpdate(const v1::UpdateModelRequest& request) {
  HONE_RETURN_IF_ERROR(CheckMask(request.update_mask(), "display_name, pinned"));
  store::ModelUpdate update;
  v1::JobSpec checked;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "display_name") {
      update.display_name = request.model().display_name();
      checked.set_display_name(request.model().display_name());
    } else if (path == "pinned") {
      update.pinned = request.model().pinned();
    } else {
      return NoSuchField(path, "display_name, pinned");
    }
  }
  HONE_RETURN_IF_ERROR(jobs::CheckAttributes(checked).ToStatus());
  return update;
}

}  // namespace

void UpdateJob(const v1::UpdateJobRequest& request, Deps& deps, Done<v1::Job> done) {
  const absl::StatusOr<std::string> id = jobs::JobId(request.job().name());
  if (!id.ok()) {
    return done(id.status());
  }
  absl::StatusOr<store::JobUpdate> update = ToUpdate(request);
  if (!update.ok()) {
    return done(update.status());
  }
  deps.writer.Submit<jobs::Job>([id = *id, update = *std::move(update)](
                                    store::JobStore& store) { return store.UpdateJob(id, update); },
                                [&deps, done = std::move(done)](absl::StatusOr<jobs::Job> job) {
                                  if (!job.ok()) {
                                    return done(job.status());
                                  }
                                  deps.scheduler.Wake();  // another job may be the next one now
                                  done(jobs::ToProto(*job));
                                });
}

void UpdateModel(const v1::UpdateModelRequest& request, Deps& deps, Done<v1::Model> done) {
  const absl::StatusOr<std::string> id = jobs::ModelId(request.model().name());
  if (!id.ok()) {
    return done(id.status());
  }
  absl::StatusOr<store::ModelUpdate> update = ToUpdate(request);
  if (!update.ok()) {
    return done(update.status());
  }
  deps.writer.Submit<v1::Model>(
      [id = *id, update = *std::move(update)](store::JobStore& store) {
        return store.UpdateModel(id, update);
      },
      std::move(done));
}

}  // namespace hone::server::rpc
