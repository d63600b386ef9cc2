#include "server/imports/imports.h"

#include <google/protobuf/util/time_util.h>

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/jobs/job.h"
#include "server/jobs/names.h"
#include "server/jobs/reason.h"
#include "server/jobs/retry_delay.h"
#include "server/jobs/validate.h"
#include "server/log/log.h"
#include "server/store/project_store.h"

namespace hone::server::imports {
namespace {

// Of the worker, since it was begun: how long it waits for others does not count.
constexpr absl::Duration kTimeout = absl::Minutes(9);

// How far an import is.
struct Course {
  v1::Model model;
  bool is_workers = false;  // what fails now fails in the worker
};

// What is wrong with the archive is wrong with what was asked for. Who is told UNAVAILABLE comes
// again, which helps where the server ends, and not where the disk does not take what was sent.
absl::Status ErrorOfWorker(const absl::Status& status, bool stopping) {
  const bool bytes = absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
                     absl::IsDataLoss(status) || absl::IsFailedPrecondition(status) ||
                     absl::IsUnimplemented(status);
  if (absl::IsUnavailable(status) && !stopping) {
    return absl::InternalError(status.message());
  }
  if (absl::IsResourceExhausted(status)) {  // disk or memory: not in the next seconds
    return jobs::WithRetryDelay(status, absl::Minutes(1));
  }
  return bytes ? absl::InvalidArgumentError(absl::StrCat("dataset: ", status.message())) : status;
}

// What the server could not do with a model that it has read is no fault of who asked.
absl::Status ErrorOfPublishing(const absl::Status& status, const std::string& dataset) {
  if (absl::IsNotFound(status) || absl::IsInvalidArgument(status) ||
      absl::IsFailedPrecondition(status) || absl::IsDataLoss(status) ||
      absl::IsPermissionDenied(status)) {
    log::Warning("an imported model cannot be published",
                 {{"dataset", dataset}, {"error", status.ToString()}});
    return absl::InternalError("the model cannot be published");
  }
  return status;
}

absl::Status Gone(absl::string_view dataset) {
  return jobs::WithReason(
      absl::NotFoundError(absl::StrCat("there is no data set ", dataset, " any more")),
      jobs::reason::kDatasetNotFound);
}

// A name of its own for the bytes, which the worker reads on where the data set is deleted. Without
// one, where the file system has no links, they are read where they lie.
absl::Status Hold(v1::WorkerRequest& request, const std::string& folder) {
  const std::string held = absl::StrCat(folder, "/archive");
  std::error_code error;
  std::filesystem::create_hard_link(request.dataset_path(), held, error);
  if (error == std::errc::no_such_file_or_directory) {
    return Gone(datasets::DatasetName(request.spec().data().dataset()));
  }
  if (!error) {
    request.set_dataset_path(held);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status UnderWay(absl::string_view dataset) {
  return jobs::WithReason(
      jobs::WithRetryDelay(
          absl::UnavailableError(absl::StrCat(CutUtf8(dataset, 80), " is being imported already")),
          absl::Seconds(2)),
      jobs::reason::kImportUnderWay);
}

void Imports::Import(const v1::ImportModelRequest& request, const std::string& project,
                     std::function<void(absl::StatusOr<v1::Model>)> done) {
  absl::StatusOr<Wanted> wanted = Check(request, project);
  if (!wanted.ok()) {
    return done(wanted.status());
  }
  if (!Begin(*wanted)) {
    return done(UnderWay(request.dataset()));
  }
  absl::StatusOr<std::optional<v1::Model>> known = Find(*wanted);
  const int64_t room = directory_.FreeBytes() - disk_floor_bytes_;
  if (known.ok() && !known->has_value()) {
    if (absl::Status share = store_.projects().HasRoomForModel(project); !share.ok()) {
      known = std::move(share);
    }
  }
  if (known.ok() && !known->has_value() && room <= 0) {
    known = jobs::WithReason(
        jobs::WithRetryDelay(absl::ResourceExhaustedError(absl::StrCat(
                                 "the server's disk is nearly full: no more than the floor of ",
                                 disk_floor_bytes_, " bytes is free")),
                             absl::Minutes(1)),
        jobs::reason::kDiskFull);
  }
  if (!known.ok() || known->has_value()) {
    End(*wanted);
    return done(known.ok() ? absl::StatusOr<v1::Model>(**std::move(known)) : known.status());
  }
  v1::WorkerRequest asked;
  asked.set_mode(v1::WorkerRequest::IMPORT);
  asked.mutable_spec()->mutable_data()->set_dataset(wanted->dataset.name);
  asked.set_dataset_path(wanted->archive);
  asked.set_most_bytes(room);
  asked.set_disk_floor_bytes(disk_floor_bytes_);
  asked.set_threads(1);
  const auto course = std::make_shared<Course>();
  calls_.Submit(
      std::move(asked), kTimeout,
      [this, wanted = *wanted, course,
       done = std::move(done)](absl::StatusOr<v1::WorkerFrame> frame) {
        End(wanted);
        if (frame.ok()) {
          done(std::move(course->model));
        } else {
          done(course->is_workers ? ErrorOfWorker(frame.status(), calls_.stopping())
                                  : frame.status());
        }
      },
      [this, wanted = *wanted, course](v1::WorkerFrame& frame, const std::string& folder,
                                       absl::FunctionRef<bool()> is_awaited) -> absl::Status {
        course->is_workers = false;
        if (!frame.has_imported()) {
          return absl::InternalError("the worker answered something else than was asked");
        }
        absl::StatusOr<v1::Model> model =
            Publish(wanted, *frame.mutable_imported(), folder, is_awaited);
        if (!model.ok()) {
          return ErrorOfPublishing(model.status(), wanted.dataset.name);
        }
        course->model = *std::move(model);
        return absl::OkStatus();
      },
      [course](v1::WorkerRequest& worker_request, const std::string& folder) {
        const absl::Status held = Hold(worker_request, folder);
        course->is_workers = held.ok();
        return held;
      },
      scheduler::WorkerCalls::Since::kBegun);
}

absl::StatusOr<Imports::Wanted> Imports::Check(const v1::ImportModelRequest& request,
                                               const std::string& project) const {
  const absl::StatusOr<std::string> id = datasets::DatasetId(request.dataset());
  if (!id.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("dataset: must be datasets/<dataset_id>, got \"",
                                                   CutUtf8(request.dataset(), 80), "\""));
  }
  v1::JobSpec checked;
  checked.set_display_name(request.display_name());
  HONE_RETURN_IF_ERROR(jobs::CheckAttributes(checked).ToStatus());
  HONE_ASSIGN_OR_RETURN(store::Dataset dataset, store_.datasets().Get(project, *id));
  const v1::Dataset::Format format = dataset.bytes.format;
  if (format != v1::Dataset::TAR && format != v1::Dataset::TAR_GZ) {
    return absl::InvalidArgumentError(
        absl::StrCat("dataset: must be TAR or TAR_GZ, an archive of a checkpoint's folder; ",
                     request.dataset(), " is ", v1::Dataset::Format_Name(format)));
  }
  std::string path = datasets_.PathOf(dataset.bytes);
  std::string name = request.display_name().empty() ? *id : request.display_name();
  return Wanted{
      .dataset = std::move(dataset), .archive = std::move(path), .display_name = std::move(name)};
}

absl::StatusOr<std::optional<v1::Model>> Imports::Find(const Wanted& wanted) const {
  store::ListModels what{
      .project = wanted.dataset.project, .display_name = wanted.display_name, .limit = 1000};
  do {
    HONE_ASSIGN_OR_RETURN(const store::Page<v1::Model> page, store_.ListModels(what));
    for (const v1::Model& model : page.items) {
      if (model.archive_sha256() == wanted.dataset.bytes.sha256) {
        HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(model.name()));
        return store_.GetModel(id);
      }
    }
    what.before_row = page.next_row;
  } while (what.before_row != 0);
  return std::optional<v1::Model>();
}

bool Imports::Begin(const Wanted& wanted) {
  const std::lock_guard lock(mutex_);
  return under_way_.insert(wanted.key()).second;
}

void Imports::End(const Wanted& wanted) {
  const std::lock_guard lock(mutex_);
  under_way_.erase(wanted.key());
}

absl::StatusOr<v1::Model> Imports::Publish(const Wanted& wanted,
                                           v1::WorkerFrame::Imported& imported,
                                           const std::string& folder,
                                           absl::FunctionRef<bool()> is_awaited) const {
  const std::string id = jobs::NewId();
  // Before the folder is there, so that a server that is killed leaves nothing that nobody knows.
  HONE_RETURN_IF_ERROR(
      writer_.RunStatus([&](store::JobStore& store) { return store.DraftModel(id); }));
  absl::StatusOr<std::vector<v1::ModelFile>> files =
      directory_.Publish(folder, "model", id, is_awaited);
  absl::Status status = files.status();
  v1::Model model;
  if (status.ok()) {
    jobs::CutNames(*imported.mutable_plan());
    model.set_name(jobs::ModelName(id));
    model.set_project(wanted.dataset.project);
    model.set_display_name(wanted.display_name);
    model.set_task(jobs::CheckTaskName(imported.task()).ok() ? imported.task() : "");
    *model.mutable_create_time() =
        google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(absl::Now()));
    model.set_archive_sha256(wanted.dataset.bytes.sha256);
    *model.mutable_plan() = std::move(*imported.mutable_plan());
    int64_t bytes = 0;
    for (v1::ModelFile& file : *files) {
      bytes += file.bytes();
      *model.add_files() = std::move(file);
    }
    model.set_bytes(bytes);
    status = writer_.RunStatus([&](store::JobStore& store) { return store.AddModel(model); });
  }
  if (status.ok()) {
    return model;
  }
  // What cannot be removed now is a draft, which the next server removes.
  if (directory_.RemoveModel(id).ok()) {
    writer_
        .RunStatus([&](store::JobStore& store) {
          return store.FolderIsRemoved({.kind = store::Folder::Kind::kDraft, .id = id});
        })
        .IgnoreError();
  }
  return status;
}

}  // namespace hone::server::imports
