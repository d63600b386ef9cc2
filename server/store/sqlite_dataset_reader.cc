#include "server/store/sqlite_dataset_reader.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/jobs/reason.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {

DatasetBytes ReadDatasetBytes(const Statement& statement, int first) {
  return {.format = static_cast<v1::Dataset::Format>(statement.ColumnInt(first)),
          .bytes = statement.ColumnInt(first + 1),
          .sha256 = std::string(statement.ColumnBytes(first + 2))};
}

Dataset ReadDataset(const Statement& statement) {
  return {.name = std::string(statement.ColumnBytes(1)),
          .bytes = ReadDatasetBytes(statement, 2),
          .create_time = FromNanos(statement.ColumnInt(5)),
          .project = std::string(statement.ColumnBytes(6))};
}

absl::Status DatasetNotFound(const std::string& name) {
  return jobs::WithReason(absl::NotFoundError(absl::StrCat("there is no data set datasets/", name)),
                          jobs::reason::kDatasetNotFound);
}

absl::StatusOr<std::optional<Dataset>> ReadOneDataset(Statement& statement) {
  HONE_ASSIGN_OR_RETURN(const bool found, statement.Step());
  std::optional<Dataset> dataset;
  if (found) {
    dataset = ReadDataset(statement);
    statement.Reset();
  }
  return dataset;
}

absl::StatusOr<std::unique_ptr<SqliteDatasetReader>> SqliteDatasetReader::Open(
    const std::string& path) {
  std::unique_ptr<SqliteDatasetReader> reader(new SqliteDatasetReader());
  HONE_RETURN_IF_ERROR(reader->connection_.Open(path, TimedConnection::kMostTime));
  HONE_RETURN_IF_ERROR(reader->Prepare());
  return reader;
}

absl::Status SqliteDatasetReader::Prepare() {
  const std::string select = absl::StrCat("SELECT ", kDatasetColumns, " FROM dataset ");
  for (const auto& [statement, sql] : std::vector<std::pair<Statement*, std::string>>{
           {&get_, select + "WHERE project = ? AND name = ?"},
           {&list_, select + "WHERE project = ?6 AND dataset.row < ?1 AND name IS NOT NULL AND (?2 "
                             "= 0 OR (?2 >> format) & 1) "
                             "AND substr(name, 1, length(?3)) = ?3 AND (?4 = '' OR sha256 = ?4) "
                             "ORDER BY dataset.row DESC LIMIT ?5"},
           {&of_job_, select + "JOIN dataset_use ON dataset_row = dataset.row "
                               "JOIN job ON job.row = job_row WHERE job.id = ?"},
           {&all_bytes_, "SELECT DISTINCT format, bytes, sha256 FROM dataset"},
           {&all_uploads_, "SELECT id FROM upload"},
           {&find_validation_,
            "SELECT payload FROM validation WHERE project = ? AND name = ? AND sha256 = ?"},
       }) {
    HONE_RETURN_IF_ERROR(statement->Prepare(connection_.get(), sql));
  }
  return absl::OkStatus();
}

absl::StatusOr<Dataset> SqliteDatasetReader::Get(const std::string& project,
                                                 const std::string& name) {
  connection_.BeginCall();
  HONE_ASSIGN_OR_RETURN(const std::optional<Dataset> found,
                        ReadOneDataset(get_.Reset().Text(project).Text(name)));
  if (!found.has_value()) {
    return DatasetNotFound(name);
  }
  return *found;
}

absl::StatusOr<Page<Dataset>> SqliteDatasetReader::List(const ListDatasets& what) {
  connection_.BeginCall();
  Page<Dataset> page;
  int64_t formats = 0;  // a bit for each
  for (const v1::Dataset::Format format : what.formats) {
    formats |= int64_t{1} << format;
  }
  list_.Reset()
      .Int(what.before_row == 0 ? std::numeric_limits<int64_t>::max() : what.before_row)
      .Int(formats)
      .Text(what.name_prefix)
      .Text(what.sha256)
      .Int(what.limit + 1)
      .Text(what.project);
  int64_t last = 0;
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool row, list_.Step());
    if (!row) {
      return page;
    }
    if (static_cast<int>(page.items.size()) == what.limit) {
      page.next_row = last;
      list_.Reset();
      return page;
    }
    page.items.push_back(ReadDataset(list_));
    last = list_.ColumnInt(0);
  }
}

absl::StatusOr<std::optional<Dataset>> SqliteDatasetReader::OfJob(const std::string& job_id) {
  connection_.BeginCall();
  return ReadOneDataset(of_job_.Reset().Text(job_id));
}

absl::StatusOr<std::vector<DatasetBytes>> SqliteDatasetReader::AllBytes() {
  connection_.BeginCall();
  std::vector<DatasetBytes> all;
  all_bytes_.Reset();
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool row, all_bytes_.Step());
    if (!row) {
      return all;
    }
    all.push_back(ReadDatasetBytes(all_bytes_, 0));
  }
}

absl::StatusOr<std::vector<std::string>> SqliteDatasetReader::AllUploads() {
  connection_.BeginCall();
  std::vector<std::string> all;
  all_uploads_.Reset();
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool row, all_uploads_.Step());
    if (!row) {
      return all;
    }
    all.emplace_back(all_uploads_.ColumnBytes(0));
  }
}

absl::StatusOr<std::optional<v1::DatasetValidation>> SqliteDatasetReader::FindValidation(
    const Dataset& dataset) {
  connection_.BeginCall();
  const Standing standing(find_validation_);
  HONE_ASSIGN_OR_RETURN(const bool found, find_validation_.Reset()
                                              .Text(dataset.project)
                                              .Text(dataset.name)
                                              .Text(dataset.bytes.sha256)
                                              .Step());
  if (!found) {
    return std::nullopt;
  }
  const absl::string_view bytes = find_validation_.ColumnBytes(0);
  v1::DatasetValidation validation;
  if (!validation.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError(
        absl::StrCat("datasets/", dataset.name, ": its validation in the store is damaged"));
  }
  return validation;
}

}  // namespace hone::server::store
