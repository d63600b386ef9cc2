#include "server/datasets/datasets.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "server/datasets/catalog_names.h"
#include "server/jobs/job.h"
#include "server/jobs/reason.h"
#include "server/jobs/retry_delay.h"
#include "server/jobs/validate.h"
#include "server/log/log.h"

namespace hone::server::datasets {
namespace {

constexpr char kPrefix[] = "datasets/";
constexpr int64_t kMaxBytes = int64_t{1} << 40;
// Free disk is looked at once in so many bytes of an upload.
constexpr int64_t kCheckEvery = 16 << 20;
constexpr absl::Duration kAbandonedAfter = absl::Hours(24);

absl::StatusOr<store::Upload> ToUpload(const v1::UploadHeader& header, const std::string& project) {
  if (!jobs::IsDatasetName(header.dataset_id())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "dataset_id: must be 1 to 64 letters, digits, '-', '_' or '.', the first no '-' or '.', "
        "got \"",
        absl::CHexEscape(header.dataset_id().substr(0, 80)), "\""));
  }
  if (IsCatalogName(header.dataset_id())) {
    return absl::InvalidArgumentError(
        absl::StrCat("dataset_id: must not be ", header.dataset_id(),
                     ", which is a data set of the catalogue; choose another name"));
  }
  if (header.format() < v1::Dataset::CSV || header.format() > v1::Dataset::TEXT_GZ) {
    return absl::InvalidArgumentError(
        "format: must be CSV, CSV_GZ, TAR, TAR_GZ, JSONL, JSONL_GZ, TEXT or TEXT_GZ");
  }
  if (header.bytes() < 1 || header.bytes() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("bytes: must be between 1 and ", kMaxBytes, ", got ", header.bytes()));
  }
  const std::string& sha256 = header.sha256();
  const bool hexadecimal = std::all_of(sha256.begin(), sha256.end(), [](unsigned char c) {
    return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
  });
  if (sha256.size() != 64 || !hexadecimal) {
    return absl::InvalidArgumentError("sha256: must be 64 lower-case hexadecimal digits");
  }
  if (header.offset() < 0 || header.offset() > header.bytes()) {
    return absl::InvalidArgumentError(absl::StrCat("offset: must be between 0 and bytes (",
                                                   header.bytes(), "), got ", header.offset()));
  }
  return store::Upload{
      .id = jobs::NewId(),
      .name = header.dataset_id(),
      .bytes = {.format = header.format(), .bytes = header.bytes(), .sha256 = sha256},
      .project = project};
}

absl::Status Taken() { return absl::AbortedError("a newer stream has taken over this upload"); }

}  // namespace

std::string DatasetName(absl::string_view id) { return absl::StrCat(kPrefix, id); }

absl::StatusOr<std::string> DatasetId(absl::string_view name) {
  absl::string_view id = name;
  if (!absl::ConsumePrefix(&id, kPrefix) || !jobs::IsDatasetName(id)) {
    return absl::InvalidArgumentError(absl::StrCat("name: must be datasets/<dataset_id>, got \"",
                                                   absl::CHexEscape(name.substr(0, 100)), "\""));
  }
  return std::string(id);
}

v1::Dataset ToProto(const store::Dataset& dataset) {
  v1::Dataset proto;
  proto.set_name(DatasetName(dataset.name));
  proto.set_format(dataset.bytes.format);
  proto.set_bytes(dataset.bytes.bytes);
  proto.set_sha256(dataset.bytes.sha256);
  proto.set_project(dataset.project);
  *proto.mutable_create_time() = jobs::ToTimestamp(dataset.create_time);
  return proto;
}

Datasets::Datasets(const Limits& limits, const artifacts::DataDirectory& directory,
                   const store::DatasetStore& store, store::Writer& writer)
    : limits_(limits),
      directory_(directory),
      store_(store),
      writer_(writer),
      blobs_(directory.datasets_directory(), directory.uploads_directory()),
      executor_(/*threads=*/2, /*max_queued=*/256),
      verifications_(/*threads=*/2, /*max_queued=*/64) {}

absl::Status Datasets::CheckSpace(int64_t more) const {
  const int64_t free = directory_.FreeBytes();
  return free - more >= limits_.disk_floor_bytes
             ? absl::OkStatus()
             : jobs::WithReason(
                   jobs::WithRetryDelay(
                       absl::ResourceExhaustedError(absl::StrCat(
                           "bytes: ", more, " more would leave less than the floor of ",
                           limits_.disk_floor_bytes, " bytes of disk; ", free, " are free")),
                       absl::Minutes(1)),
                   jobs::reason::kDiskFull);
}

absl::StatusOr<std::unique_ptr<Session>> Datasets::Open(const v1::UploadHeader& header,
                                                        const std::string& project) {
  HONE_ASSIGN_OR_RETURN(const store::Upload wanted, ToUpload(header, project));
  Sweep();
  absl::StatusOr<store::Begun> answer = absl::UnknownError("not asked");
  {
    const std::lock_guard lock(publishing_);
    answer = writer_.Run<store::Begun>([&](store::JobStore& store) {
      return store.datasets().BeginUpload(wanted, limits_.quota_bytes, absl::Now());
    });
  }
  HONE_ASSIGN_OR_RETURN(const store::Begun begun, std::move(answer));
  std::unique_ptr<Session> session(new Session(*this, begun.upload, 0));
  session->whole_ = begun.dataset;
  if (begun.dataset.has_value()) {
    session->offset_ = wanted.bytes.bytes;
    return session;
  }
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(turns_, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<Session::Turn>& turn = turns_[begun.upload.id];
    session->turn_ = turn.lock();
    if (session->turn_ == nullptr) {
      session->turn_ = std::make_shared<Session::Turn>();
      turn = session->turn_;
    }
  }
  const std::lock_guard lock(session->turn_->mutex);
  session->number_ = ++session->turn_->newest;
  HONE_ASSIGN_OR_RETURN(session->offset_, blobs_.PartBytes(begun.upload.id));
  session->checked_ = session->offset_;
  if (const absl::Status space = CheckSpace(wanted.bytes.bytes - session->offset_); !space.ok()) {
    if (session->offset_ == 0) {
      Drop(begun.upload.id).IgnoreError();
    }
    return space;
  }
  return session;
}

absl::StatusOr<v1::BeginUploadResponse> Datasets::Begin(const v1::UploadHeader& header,
                                                        const std::string& project) {
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Open(header, project));
  v1::BeginUploadResponse response;
  response.set_offset(session->offset_);
  if (session->whole_.has_value()) {
    *response.mutable_dataset() = ToProto(*session->whole_);
  }
  return response;
}

absl::Status Datasets::Drop(const std::string& upload) {
  HONE_RETURN_IF_ERROR(writer_.RunStatus(
      [&](store::JobStore& store) { return store.datasets().DropUpload(upload); }));
  blobs_.RemovePart(upload);  // else Sweep finds it
  return absl::OkStatus();
}

absl::Status Datasets::Delete(const std::string& project, const std::string& id, bool force) {
  HONE_RETURN_IF_ERROR(writer_.RunStatus(
      [&](store::JobStore& store) { return store.datasets().Delete(project, id, force); }));
  Sweep();
  return absl::OkStatus();
}

void Datasets::Sweep() {
  const std::lock_guard lock(publishing_);
  const absl::Status dropped = writer_.RunStatus([](store::JobStore& store) -> absl::Status {
    HONE_RETURN_IF_ERROR(store.datasets().DropUploadsBefore(absl::Now() - kAbandonedAfter));
    return store.datasets().DropUnused();
  });
  const auto bytes = store_.AllBytes();
  const auto uploads = store_.AllUploads();
  if (!dropped.ok() || !bytes.ok() || !uploads.ok()) {
    log::Warning("unneeded data sets were not removed: the store cannot be read");
    return;
  }
  const auto others = blobs_.Others(*bytes, *uploads);
  if (!others.ok()) {
    log::Warning("data sets that nothing needs were not removed this time",
                 {{"error", others.status().ToString()}});
    return;
  }
  for (const std::string& path : *others) {
    ::unlink(path.c_str());
  }
}

absl::StatusOr<std::string> Datasets::PathOfJob(const std::string& job_id) const {
  HONE_ASSIGN_OR_RETURN(const std::optional<store::Dataset> dataset, store_.OfJob(job_id));
  if (!dataset.has_value()) {
    return "";
  }
  HONE_ASSIGN_OR_RETURN(const bool there, blobs_.Has(dataset->bytes));
  if (!there) {
    return absl::FailedPreconditionError(absl::StrCat("the bytes of its data set (SHA-256 ",
                                                      dataset->bytes.sha256,
                                                      ") are not on the server's disk any more"));
  }
  return blobs_.Path(dataset->bytes);
}

absl::StatusOr<std::string> Datasets::PathOf(const std::string& project,
                                             const std::string& id) const {
  const absl::StatusOr<store::Dataset> dataset = store_.Get(project, id);
  if (absl::IsNotFound(dataset.status())) {
    return "";
  }
  HONE_RETURN_IF_ERROR(dataset.status());
  return blobs_.Path(dataset->bytes);
}

absl::Status Session::StartAt(int64_t offset) {
  if (whole_.has_value()) {
    return absl::OkStatus();
  }
  const std::lock_guard lock(turn_->mutex);
  if (number_ != turn_->newest) {
    return Taken();
  }
  if (offset > offset_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "offset: ", offset_, " bytes have arrived, so it must be at most that, got ", offset));
  }
  HONE_RETURN_IF_ERROR(owner_.blobs_.TruncatePart(upload_.id, offset));
  offset_ = offset;
  return absl::OkStatus();
}

absl::Status Session::Append(absl::string_view chunk) {
  const auto bytes = static_cast<int64_t>(chunk.size());
  if (bytes > kMaxChunk) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk: must be at most ", kMaxChunk, " bytes, got ", bytes));
  }
  if (whole_.has_value()) {
    // The same bytes are in the store.
    known_ += bytes;
    return known_ <= whole_->bytes.bytes
               ? absl::OkStatus()
               : absl::InvalidArgumentError(
                     absl::StrCat("bytes: ", whole_->bytes.bytes, " were declared, but more came"));
  }
  const std::lock_guard lock(turn_->mutex);
  if (number_ != turn_->newest) {
    return Taken();
  }
  if (bytes > upload_.bytes.bytes - offset_) {
    owner_.Drop(upload_.id).IgnoreError();
    return absl::InvalidArgumentError(absl::StrCat(
        "bytes: ", upload_.bytes.bytes, " were declared, but ", offset_ + bytes, " or more came"));
  }
  if (offset_ - checked_ >= kCheckEvery) {
    checked_ = offset_;
    HONE_RETURN_IF_ERROR(owner_.CheckSpace(upload_.bytes.bytes - offset_));
    HONE_RETURN_IF_ERROR(Touch());
    if (whole_.has_value()) {
      return absl::OkStatus();
    }
  }
  HONE_RETURN_IF_ERROR(owner_.blobs_.WritePart(upload_.id, offset_, chunk));
  offset_ += bytes;
  return absl::OkStatus();
}

// With the turn's lock held.
absl::Status Session::Touch() {
  HONE_ASSIGN_OR_RETURN(
      const store::Begun begun, owner_.writer_.Run<store::Begun>([&](store::JobStore& store) {
        return store.datasets().BeginUpload(upload_, owner_.limits_.quota_bytes, absl::Now());
      }));
  whole_ = begun.dataset;
  return whole_.has_value() || begun.upload.id == upload_.id ? absl::OkStatus() : Taken();
}

absl::StatusOr<store::Dataset> Session::Finish() {
  if (whole_.has_value()) {
    return *whole_;
  }
  if (offset_ < upload_.bytes.bytes) {
    return absl::InvalidArgumentError(absl::StrCat("bytes: ", upload_.bytes.bytes,
                                                   " were declared, but the stream ended after ",
                                                   offset_, "; what came is kept"));
  }
  // Without the lock: it may take minutes, and a newer stream need not wait for it.
  const absl::Status verified = owner_.blobs_.Verify(
      upload_.id, upload_.bytes, [this] { return number_ == turn_->newest && !owner_.stopping_; });
  const std::lock_guard turn(turn_->mutex);
  if (number_ != turn_->newest) {
    return Taken();
  }
  if (owner_.stopping_) {
    return absl::UnavailableError("the server is shutting down; what arrived is kept");
  }
  if (absl::IsInvalidArgument(verified)) {
    owner_.Drop(upload_.id).IgnoreError();
  }
  HONE_RETURN_IF_ERROR(verified);
  const std::lock_guard publishing(owner_.publishing_);
  HONE_RETURN_IF_ERROR(owner_.blobs_.Publish(upload_.id, upload_.bytes));
  return owner_.writer_.Run<store::Dataset>([&](store::JobStore& store) {
    return store.datasets().FinishUpload(upload_.id, absl::Now());
  });
}

}  // namespace hone::server::datasets
