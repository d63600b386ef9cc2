#include "server/store/sqlite_datasets.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/jobs/reason.h"
#include "server/jobs/retry_delay.h"
#include "server/store/reader_pool.h"
#include "server/store/sqlite_dataset_reader.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {
namespace {

constexpr char kUsed[] =
    "EXISTS (SELECT 1 FROM dataset_use JOIN job ON job.row = job_row WHERE dataset_row = "
    "dataset.row AND job.state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED'))";

// Two lists, a sweep, and one for what takes a moment.
constexpr int kReaders = 4;

bool Same(const DatasetBytes& a, const DatasetBytes& b) {
  return a.format == b.format && a.bytes == b.bytes && a.sha256 == b.sha256;
}

class SqliteDatasets final : public DatasetStore {
 public:
  explicit SqliteDatasets(ProjectStore& projects) : projects_(projects) {}
  absl::Status Open(sqlite3* writer, const std::string& path);

  absl::StatusOr<Begun> BeginUpload(const Upload& upload, int64_t quota, absl::Time now) override;
  absl::StatusOr<Dataset> FinishUpload(const std::string& id, absl::Time now) override;
  absl::Status DropUpload(const std::string& id) override {
    return drop_upload_.Reset().Text(id).Run();
  }
  absl::Status DropUploadsBefore(absl::Time time) override {
    return drop_old_.Reset().Int(ToNanos(time)).Run();
  }
  absl::Status Delete(const std::string& project, const std::string& name, bool force) override;
  absl::Status Check(const std::string& project, const std::string& name) override;
  absl::Status Use(const std::string& job_id, const std::string& name) override;
  absl::Status DropUnused() override { return drop_unused_.Reset().Run(); }
  absl::Status DropUnusedSince(absl::Time time) override {
    return drop_unused_since_.Reset().Int(ToNanos(time)).Run();
  }

  absl::Status SaveValidation(const Dataset& dataset,
                              const v1::DatasetValidation& validation) override;

  absl::StatusOr<Dataset> Get(const std::string& project, const std::string& name) const override {
    return readers_->Take()->Get(project, name);
  }
  absl::StatusOr<Page<Dataset>> List(const ListDatasets& what) const override {
    return readers_->Take()->List(what);
  }
  absl::StatusOr<std::optional<Dataset>> OfJob(const std::string& job_id) const override {
    return readers_->Take()->OfJob(job_id);
  }
  absl::StatusOr<std::vector<DatasetBytes>> AllBytes() const override {
    return readers_->Take()->AllBytes();
  }
  absl::StatusOr<std::vector<std::string>> AllUploads() const override {
    return readers_->Take()->AllUploads();
  }
  absl::StatusOr<std::optional<v1::DatasetValidation>> FindValidation(
      const Dataset& dataset) const override {
    return readers_->Take()->FindValidation(dataset);
  }

 private:
  // The data set of that name; ALREADY_EXISTS if it has other bytes.
  absl::StatusOr<std::optional<Dataset>> Known(const Upload& upload);
  absl::StatusOr<std::optional<Upload>> FindUpload(Statement& statement);
  absl::StatusOr<Dataset> Insert(const Upload& upload, absl::Time now);
  absl::Status CheckQuota(int64_t more, int64_t quota);

  ProjectStore& projects_;
  sqlite3* writer_ = nullptr;
  Statement load_, insert_, has_bytes_, load_upload_, find_upload_, insert_upload_, touch_upload_,
      drop_upload_, drop_old_, total_, delete_, detach_, user_, use_, remember_, drop_unused_,
      drop_unused_since_;
  Statement save_validation_, thin_validations_;
  std::unique_ptr<ReaderPool<SqliteDatasetReader>> readers_;
};

absl::Status SqliteDatasets::Open(sqlite3* writer, const std::string& path) {
  writer_ = writer;
  const std::string select = absl::StrCat("SELECT ", kDatasetColumns, " FROM dataset ");
  const std::string upload = "SELECT id, name, format, bytes, sha256, project FROM upload ";
  for (const auto& [statement, sql] : std::vector<std::pair<Statement*, std::string>>{
           {&load_, select + "WHERE project = ? AND name = ?"},
           {&insert_,
            "INSERT INTO dataset (project, name, format, bytes, sha256, create_time) VALUES (?, ?, "
            "?, ?, ?, ?)"},
           {&has_bytes_,
            select + "WHERE sha256 = ? AND format = ? AND bytes = ? AND project = ? LIMIT 1"},
           {&load_upload_, upload + "WHERE id = ?"},
           {&find_upload_, upload +
                               "WHERE project = ? AND name = ? AND format = ? AND bytes = ? AND "
                               "sha256 = ?"},
           {&insert_upload_, "INSERT INTO upload VALUES (?, ?, ?, ?, ?, ?, ?)"},
           {&touch_upload_, "UPDATE upload SET touch_time = ? WHERE id = ?"},
           {&drop_upload_, "DELETE FROM upload WHERE id = ?"},
           {&drop_old_, "DELETE FROM upload WHERE touch_time < ?"},
           {&total_,
            "SELECT (SELECT coalesce(sum(bytes), 0) FROM (SELECT DISTINCT sha256, format, bytes "
            "FROM dataset)) + (SELECT coalesce(sum(bytes), 0) FROM upload), "
            "(SELECT count(*) FROM dataset) + (SELECT count(*) FROM upload)"},
           {&delete_, "DELETE FROM dataset WHERE project = ? AND name = ?"},
           {&detach_, "UPDATE dataset SET name = NULL WHERE project = ? AND name = ?"},
           {&user_,
            "SELECT job.id, job.state FROM dataset_use JOIN job ON job.row = job_row WHERE "
            "dataset_row = (SELECT row FROM dataset WHERE project = ? AND name = ?) AND job.state "
            "NOT IN "
            "('SUCCEEDED', 'FAILED', 'CANCELLED') LIMIT 1"},
           {&use_,
            "INSERT OR IGNORE INTO dataset_use SELECT job.row, dataset.row FROM job, dataset "
            "WHERE job.id = ? AND dataset.project = job.project AND dataset.name = ?"},
           {&remember_,
            "UPDATE job SET dataset_sha256 = (SELECT sha256 FROM dataset WHERE dataset.project "
            "= job.project AND name = ?2) WHERE id = ?1"},
           {&drop_unused_, absl::StrCat("DELETE FROM dataset WHERE name IS NULL AND NOT ", kUsed)},
           {&drop_unused_since_,
            "DELETE FROM dataset WHERE create_time < ?1 AND NOT EXISTS (SELECT 1 FROM dataset_use "
            "JOIN job ON job.row = job_row WHERE dataset_row = dataset.row AND "
            "(end_time = 0 OR end_time >= ?1))"},
           {&save_validation_,
            "INSERT OR REPLACE INTO validation (project, name, sha256, payload) "
            "SELECT project, name, sha256, ?3 FROM dataset WHERE name = ?1 AND sha256 = ?2 AND "
            "project = ?4"},
           {&thin_validations_,
            "DELETE FROM validation WHERE row IN (SELECT row FROM (SELECT row, "
            "row_number() OVER (ORDER BY row DESC) AS age, "
            "sum(length(payload)) OVER (ORDER BY row DESC) AS total FROM validation) "
            "WHERE age > ?1 OR (age > 1 AND total > ?2))"},
       }) {
    HONE_RETURN_IF_ERROR(statement->Prepare(writer, sql));
  }
  HONE_ASSIGN_OR_RETURN(readers_, ReaderPool<SqliteDatasetReader>::Open(path, kReaders));
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Dataset>> SqliteDatasets::Known(const Upload& upload) {
  HONE_ASSIGN_OR_RETURN(std::optional<Dataset> known,
                        ReadOneDataset(load_.Reset().Text(upload.project).Text(upload.name)));
  if (known.has_value() && !Same(known->bytes, upload.bytes)) {
    return jobs::WithReason(
        absl::AlreadyExistsError(
            absl::StrCat("dataset_id: datasets/", upload.name, " exists with other bytes (SHA-256 ",
                         known->bytes.sha256, "); delete it first or take another name")),
        jobs::reason::kDatasetExists);
  }
  return known;
}

absl::StatusOr<std::optional<Upload>> SqliteDatasets::FindUpload(Statement& statement) {
  HONE_ASSIGN_OR_RETURN(const bool found, statement.Step());
  std::optional<Upload> upload;
  if (found) {
    upload = Upload{.id = std::string(statement.ColumnBytes(0)),
                    .name = std::string(statement.ColumnBytes(1)),
                    .bytes = ReadDatasetBytes(statement, 2),
                    .project = std::string(statement.ColumnBytes(5))};
    statement.Reset();
  }
  return upload;
}

absl::StatusOr<Dataset> SqliteDatasets::Insert(const Upload& upload, absl::Time now) {
  HONE_RETURN_IF_ERROR(projects_.Ensure(upload.project, now));
  HONE_RETURN_IF_ERROR(insert_.Reset()
                           .Text(upload.project)
                           .Text(upload.name)
                           .Int(upload.bytes.format)
                           .Int(upload.bytes.bytes)
                           .Text(upload.bytes.sha256)
                           .Int(ToNanos(now))
                           .Run());
  return Dataset{
      .name = upload.name, .bytes = upload.bytes, .create_time = now, .project = upload.project};
}

absl::Status SqliteDatasets::CheckQuota(int64_t more, int64_t quota) {
  HONE_RETURN_IF_ERROR(total_.Reset().Step().status());
  const int64_t total = total_.ColumnInt(0);
  const int64_t number = total_.ColumnInt(1);
  total_.Reset();
  const bool too_large = more > 0 && more > quota - total;
  if (!too_large && number < kMostDatasets) {
    return absl::OkStatus();
  }
  const std::string why =
      too_large
          ? absl::StrCat("bytes: the data sets and uploads of this server have ", total,
                         " of at most ", quota, " bytes; ", more, " more do not fit")
          : absl::StrCat("dataset_id: this server has ", number, " data sets and uploads, and at ",
                         "most ", kMostDatasets, "; delete some first");
  return jobs::WithReason(jobs::WithRetryDelay(absl::ResourceExhaustedError(why), absl::Minutes(1)),
                          jobs::reason::kQuotaExceeded);
}

absl::StatusOr<Begun> SqliteDatasets::BeginUpload(const Upload& upload, int64_t quota,
                                                  absl::Time now) {
  Begun begun;
  HONE_ASSIGN_OR_RETURN(begun.dataset, Known(upload));
  if (begun.dataset.has_value()) {
    return begun;
  }
  const DatasetBytes& bytes = upload.bytes;
  HONE_ASSIGN_OR_RETURN(const std::optional<Dataset> twin,
                        ReadOneDataset(has_bytes_.Reset()
                                           .Text(bytes.sha256)
                                           .Int(bytes.format)
                                           .Int(bytes.bytes)
                                           .Text(upload.project)));
  if (twin.has_value()) {
    HONE_RETURN_IF_ERROR(CheckQuota(0, quota));
    HONE_ASSIGN_OR_RETURN(begun.dataset, Insert(upload, now));
    return begun;
  }
  HONE_ASSIGN_OR_RETURN(const std::optional<Upload> going, FindUpload(find_upload_.Reset()
                                                                          .Text(upload.project)
                                                                          .Text(upload.name)
                                                                          .Int(bytes.format)
                                                                          .Int(bytes.bytes)
                                                                          .Text(bytes.sha256)));
  if (going.has_value()) {
    begun.upload = *going;
    HONE_RETURN_IF_ERROR(touch_upload_.Reset().Int(ToNanos(now)).Text(going->id).Run());
    return begun;
  }
  HONE_RETURN_IF_ERROR(CheckQuota(bytes.bytes, quota));
  HONE_RETURN_IF_ERROR(projects_.CheckRoomForData(upload.project, bytes.bytes));
  HONE_RETURN_IF_ERROR(projects_.Ensure(upload.project, now));
  HONE_RETURN_IF_ERROR(insert_upload_.Reset()
                           .Text(upload.id)
                           .Text(upload.project)
                           .Text(upload.name)
                           .Int(bytes.format)
                           .Int(bytes.bytes)
                           .Text(bytes.sha256)
                           .Int(ToNanos(now))
                           .Run());
  begun.upload = upload;
  return begun;
}

absl::StatusOr<Dataset> SqliteDatasets::FinishUpload(const std::string& id, absl::Time now) {
  HONE_ASSIGN_OR_RETURN(const std::optional<Upload> upload,
                        FindUpload(load_upload_.Reset().Text(id)));
  if (!upload.has_value()) {
    return absl::NotFoundError("the upload has expired: begin it again");
  }
  HONE_ASSIGN_OR_RETURN(const std::optional<Dataset> known, Known(*upload));
  HONE_RETURN_IF_ERROR(DropUpload(id));
  if (known.has_value()) {
    return *known;
  }
  return Insert(*upload, now);
}

absl::Status SqliteDatasets::Delete(const std::string& project, const std::string& name,
                                    bool force) {
  HONE_ASSIGN_OR_RETURN(const std::optional<Dataset> known,
                        ReadOneDataset(load_.Reset().Text(project).Text(name)));
  if (!known.has_value()) {
    return DatasetNotFound(name);
  }
  HONE_ASSIGN_OR_RETURN(const bool used, user_.Reset().Text(project).Text(name).Step());
  if (!used) {
    return delete_.Reset().Text(project).Text(name).Run();
  }
  const std::string user =
      absl::StrCat("jobs/", user_.ColumnBytes(0), ", which is ", user_.ColumnBytes(1));
  user_.Reset();
  if (!force) {
    return jobs::WithReason(
        absl::FailedPreconditionError(
            absl::StrCat("datasets/", name, " is needed by ", user,
                         "; cancel the job, or say `force`: then the name is free at once and the "
                         "bytes stay until the job has ended")),
        jobs::reason::kDatasetInUse);
  }
  return detach_.Reset().Text(project).Text(name).Run();
}

absl::Status SqliteDatasets::Check(const std::string& project, const std::string& name) {
  HONE_ASSIGN_OR_RETURN(const std::optional<Dataset> known,
                        ReadOneDataset(load_.Reset().Text(project).Text(name)));
  return known.has_value() ? absl::OkStatus() : DatasetNotFound(name);
}

absl::Status SqliteDatasets::Use(const std::string& job_id, const std::string& name) {
  HONE_RETURN_IF_ERROR(use_.Reset().Text(job_id).Text(name).Run());
  return remember_.Reset().Text(job_id).Text(name).Run();
}

absl::Status SqliteDatasets::SaveValidation(const Dataset& dataset,
                                            const v1::DatasetValidation& validation) {
  HONE_RETURN_IF_ERROR(save_validation_.Reset()
                           .Text(dataset.name)
                           .Text(dataset.bytes.sha256)
                           .Blob(Serialize(validation))
                           .Text(dataset.project)
                           .Run());
  return thin_validations_.Reset().Int(kMostValidations).Int(kMostValidationBytes).Run();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DatasetStore>> OpenSqliteDatasets(sqlite3* writer,
                                                                 ProjectStore& projects,
                                                                 const std::string& path) {
  auto datasets = std::make_unique<SqliteDatasets>(projects);
  HONE_RETURN_IF_ERROR(datasets->Open(writer, path));
  return datasets;
}

}  // namespace hone::server::store
