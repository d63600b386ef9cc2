#include "server/store/sqlite_sweeps.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/jobs/reason.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {
namespace {

constexpr char kPrefix[] = "sweeps/";
constexpr char kColumns[] = "SELECT row, payload, sent, project FROM sweep ";

struct SweepRow {
  int64_t row = 0;
  v1::Sweep sweep;
  std::string sent;
};

std::string NameOf(v1::Sweep::State state) { return v1::Sweep::State_Name(state); }

bool HasEnded(v1::Sweep::State state) {
  return state != v1::Sweep::RUNNING && state != v1::Sweep::STOPPING;
}

template <typename Message>
absl::Status Parse(absl::string_view bytes, Message& message) {
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))
             ? absl::OkStatus()
             : absl::DataLossError("a sweep's row is damaged");
}

// One row or none.
absl::StatusOr<std::optional<SweepRow>> One(Statement& statement) {
  HONE_ASSIGN_OR_RETURN(const bool found, statement.Step());
  std::optional<SweepRow> row;
  if (found) {
    const Standing standing(statement);
    row.emplace();
    row->row = statement.ColumnInt(0);
    HONE_RETURN_IF_ERROR(Parse(statement.ColumnBytes(1), row->sweep));
    row->sent = std::string(statement.ColumnBytes(2));
    row->sweep.set_project(std::string(statement.ColumnBytes(3)));
  }
  return row;
}

absl::Status AddTrials(Statement& statement, SweepRow& row) {
  statement.Reset().Int(row.row);
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, statement.Step());
    if (!found) {
      return absl::OkStatus();
    }
    const absl::Status parsed = Parse(statement.ColumnBytes(0), *row.sweep.add_trials());
    if (!parsed.ok()) {
      statement.Reset();
      return parsed;
    }
  }
}

bool SameRequest(const std::string& stored, const v1::SweepSpec& sent) {
  v1::SweepSpec known;
  return known.ParseFromString(stored) &&
         google::protobuf::util::MessageDifferencer::Equals(known, sent);
}

absl::Status OtherRequest(const std::string& request_id, const v1::Sweep& sweep) {
  return jobs::WithReason(
      absl::AlreadyExistsError(absl::StrCat("request_id: ", request_id, " has made ", sweep.name(),
                                            " from another request; choose another id")),
      jobs::reason::kRequestIdReused);
}

class SqliteSweeps final : public SweepStore {
 public:
  explicit SqliteSweeps(ProjectStore& projects) : projects_(projects) {}
  absl::Status Open(sqlite3* writer, const std::string& path);

  absl::StatusOr<v1::Sweep> Insert(const NewSweep& sweep) override;
  absl::StatusOr<v1::Sweep> Change(const std::string& id,
                                   absl::FunctionRef<absl::Status(v1::Sweep&)> change) override;
  absl::Status Delete(const std::string& id) override;
  absl::StatusOr<v1::Sweep> Get(const std::string& id) const override;
  absl::StatusOr<std::string> ProjectOf(const std::string& id) const override;
  absl::StatusOr<std::optional<v1::Sweep>> FindRequest(const std::string& project,
                                                       const std::string& request_id,
                                                       const v1::SweepSpec& sent) const override;
  absl::StatusOr<Page<v1::Sweep>> List(const ListSweeps& what) const override;
  absl::StatusOr<std::vector<std::string>> Unfinished() const override;
  absl::StatusOr<std::vector<std::pair<v1::Sweep::State, int64_t>>> Count() const override;

 private:
  absl::Status WriteChanges(const SweepRow& before, v1::Sweep after);
  // Runs `body`; where it fails, nothing of it stays.
  absl::Status Atomically(absl::FunctionRef<absl::Status()> body);

  ProjectStore& projects_;
  sqlite3* writer_ = nullptr;
  Statement load_, load_request_, load_trials_, insert_, put_trial_, update_, delete_;

  mutable std::mutex mutex_;  // guards all below
  Connection reader_;
  mutable Statement get_, get_trials_, project_of_, find_request_, list_, unfinished_, count_;
};

absl::Status SqliteSweeps::Open(sqlite3* writer, const std::string& path) {
  writer_ = writer;
  const std::string select = kColumns;
  const std::string trials = "SELECT payload FROM sweep_trial WHERE sweep_row = ? ORDER BY number";
  HONE_RETURN_IF_ERROR(load_.Prepare(writer, select + "WHERE id = ?"));
  HONE_RETURN_IF_ERROR(load_request_.Prepare(writer, select + "WHERE request_id = ?"));
  HONE_RETURN_IF_ERROR(load_trials_.Prepare(writer, trials));
  HONE_RETURN_IF_ERROR(insert_.Prepare(
      writer,
      "INSERT INTO sweep (id, request_id, sent, state, payload, project) VALUES (?, ?, ?, "
      "?, ?, ?)"));
  HONE_RETURN_IF_ERROR(
      put_trial_.Prepare(writer, "INSERT OR REPLACE INTO sweep_trial VALUES (?, ?, ?)"));
  HONE_RETURN_IF_ERROR(
      update_.Prepare(writer, "UPDATE sweep SET state = ?, payload = ? WHERE row = ?"));
  HONE_RETURN_IF_ERROR(delete_.Prepare(writer, "DELETE FROM sweep WHERE row = ?"));
  HONE_ASSIGN_OR_RETURN(reader_, OpenReader(path));
  HONE_RETURN_IF_ERROR(get_.Prepare(reader_.get(), select + "WHERE id = ?"));
  HONE_RETURN_IF_ERROR(get_trials_.Prepare(reader_.get(), trials));
  HONE_RETURN_IF_ERROR(find_request_.Prepare(reader_.get(), select + "WHERE request_id = ?"));
  HONE_RETURN_IF_ERROR(
      list_.Prepare(reader_.get(),
                    "SELECT row, payload, state, project FROM sweep INDEXED BY sweep_by_project "
                    "WHERE row < ? AND project = ? ORDER BY row DESC"));
  HONE_RETURN_IF_ERROR(
      project_of_.Prepare(reader_.get(), "SELECT project FROM sweep WHERE id = ?"));
  HONE_RETURN_IF_ERROR(unfinished_.Prepare(
      reader_.get(), "SELECT id FROM sweep WHERE state IN ('RUNNING', 'STOPPING') ORDER BY row"));
  return count_.Prepare(reader_.get(), "SELECT state, count(*) FROM sweep GROUP BY state");
}

absl::Status SqliteSweeps::Atomically(absl::FunctionRef<absl::Status()> body) {
  HONE_RETURN_IF_ERROR(Execute(writer_, "SAVEPOINT sweep"));
  absl::Status status = body();
  if (status.ok()) {
    status = Execute(writer_, "RELEASE sweep");
  }
  if (!status.ok()) {
    // Fails where SQLite has rolled the whole batch back by itself.
    Execute(writer_, "ROLLBACK TO sweep; RELEASE sweep").IgnoreError();
  }
  return status;
}

absl::StatusOr<v1::Sweep> SqliteSweeps::Insert(const NewSweep& sweep) {
  const std::string project =
      sweep.sweep.project().empty() ? jobs::kDefaultProject : sweep.sweep.project();
  if (!sweep.request_id.empty()) {
    HONE_ASSIGN_OR_RETURN(std::optional<SweepRow> known,
                          One(load_request_.Reset().Text(RequestKey(project, sweep.request_id))));
    if (known.has_value()) {
      if (!SameRequest(known->sent, sweep.sent)) {
        return OtherRequest(sweep.request_id, known->sweep);
      }
      HONE_RETURN_IF_ERROR(AddTrials(load_trials_, *known));
      return std::move(known->sweep);
    }
  }
  HONE_ASSIGN_OR_RETURN(const std::string id, SweepId(sweep.sweep.name()));
  v1::Sweep alone = sweep.sweep;
  alone.clear_trials();
  const absl::Status inserted = Atomically([&]() -> absl::Status {
    HONE_RETURN_IF_ERROR(projects_.Ensure(project, absl::Now()));
    insert_.Reset().Text(id);
    sweep.request_id.empty() ? insert_.Null() : insert_.Text(RequestKey(project, sweep.request_id));
    HONE_RETURN_IF_ERROR(insert_.Blob(Serialize(sweep.sent))
                             .Text(NameOf(alone.state()))
                             .Blob(Serialize(alone))
                             .Text(project)
                             .Run());
    const int64_t row = sqlite3_last_insert_rowid(writer_);
    for (const v1::Trial& trial : sweep.sweep.trials()) {
      HONE_RETURN_IF_ERROR(
          put_trial_.Reset().Int(row).Int(trial.number()).Blob(Serialize(trial)).Run());
    }
    return absl::OkStatus();
  });
  HONE_RETURN_IF_ERROR(inserted);
  return sweep.sweep;
}

absl::Status SqliteSweeps::WriteChanges(const SweepRow& before, v1::Sweep after) {
  for (int i = 0; i < after.trials_size(); ++i) {
    const std::string payload = Serialize(after.trials(i));
    if (i >= before.sweep.trials_size() || payload != Serialize(before.sweep.trials(i))) {
      HONE_RETURN_IF_ERROR(
          put_trial_.Reset().Int(before.row).Int(after.trials(i).number()).Blob(payload).Run());
    }
  }
  after.clear_trials();
  v1::Sweep alone = before.sweep;
  alone.clear_trials();
  if (google::protobuf::util::MessageDifferencer::Equals(alone, after)) {
    return absl::OkStatus();
  }
  return update_.Reset().Text(NameOf(after.state())).Blob(Serialize(after)).Int(before.row).Run();
}

absl::StatusOr<v1::Sweep> SqliteSweeps::Change(const std::string& id,
                                               absl::FunctionRef<absl::Status(v1::Sweep&)> change) {
  HONE_ASSIGN_OR_RETURN(std::optional<SweepRow> row, One(load_.Reset().Text(id)));
  if (!row.has_value()) {
    return SweepNotFound(id);
  }
  HONE_RETURN_IF_ERROR(AddTrials(load_trials_, *row));
  v1::Sweep after = row->sweep;
  HONE_RETURN_IF_ERROR(change(after));
  HONE_RETURN_IF_ERROR(Atomically([&] { return WriteChanges(*row, after); }));
  return after;
}

absl::Status SqliteSweeps::Delete(const std::string& id) {
  HONE_ASSIGN_OR_RETURN(const std::optional<SweepRow> row, One(load_.Reset().Text(id)));
  if (!row.has_value()) {
    return SweepNotFound(id);
  }
  if (!HasEnded(row->sweep.state())) {
    return jobs::WithReason(absl::FailedPreconditionError(
                                absl::StrCat(SweepName(id), " is ", NameOf(row->sweep.state()),
                                             " and still begins trials; cancel it first")),
                            jobs::reason::kSweepState);
  }
  return delete_.Reset().Int(row->row).Run();
}

absl::StatusOr<v1::Sweep> SqliteSweeps::Get(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  HONE_ASSIGN_OR_RETURN(std::optional<SweepRow> row, One(get_.Reset().Text(id)));
  if (!row.has_value()) {
    return SweepNotFound(id);
  }
  HONE_RETURN_IF_ERROR(AddTrials(get_trials_, *row));
  return std::move(row->sweep);
}

absl::StatusOr<std::string> SqliteSweeps::ProjectOf(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const Standing standing(project_of_);
  HONE_ASSIGN_OR_RETURN(const bool found, project_of_.Reset().Text(id).Step());
  return found ? absl::StatusOr<std::string>(project_of_.ColumnBytes(0)) : SweepNotFound(id);
}

absl::StatusOr<std::optional<v1::Sweep>> SqliteSweeps::FindRequest(
    const std::string& project, const std::string& request_id, const v1::SweepSpec& sent) const {
  const std::lock_guard lock(mutex_);
  HONE_ASSIGN_OR_RETURN(std::optional<SweepRow> row,
                        One(find_request_.Reset().Text(RequestKey(project, request_id))));
  if (!row.has_value()) {
    return std::nullopt;
  }
  if (!SameRequest(row->sent, sent)) {
    return OtherRequest(request_id, row->sweep);
  }
  HONE_RETURN_IF_ERROR(AddTrials(get_trials_, *row));
  return std::move(row->sweep);
}

absl::StatusOr<Page<v1::Sweep>> SqliteSweeps::List(const ListSweeps& what) const {
  const std::lock_guard lock(mutex_);
  Page<v1::Sweep> page;
  const Standing standing(list_);
  list_.Reset()
      .Int(what.before_row == 0 ? std::numeric_limits<int64_t>::max() : what.before_row)
      .Text(what.project);
  int64_t last = 0;
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, list_.Step());
    if (!found) {
      return page;
    }
    v1::Sweep::State state = v1::Sweep::STATE_UNSPECIFIED;
    v1::Sweep::State_Parse(std::string(list_.ColumnBytes(2)), &state);
    if (!what.states.empty() && std::ranges::find(what.states, state) == what.states.end()) {
      continue;
    }
    if (static_cast<int>(page.items.size()) == what.limit) {
      page.next_row = last;
      return page;
    }
    v1::Sweep& sweep = page.items.emplace_back();
    HONE_RETURN_IF_ERROR(Parse(list_.ColumnBytes(1), sweep));
    sweep.set_project(std::string(list_.ColumnBytes(3)));
    sweep.mutable_spec()->clear_job();
    last = list_.ColumnInt(0);
  }
}

absl::StatusOr<std::vector<std::string>> SqliteSweeps::Unfinished() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  unfinished_.Reset();
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, unfinished_.Step());
    if (!found) {
      return ids;
    }
    ids.emplace_back(unfinished_.ColumnBytes(0));
  }
}

absl::StatusOr<std::vector<std::pair<v1::Sweep::State, int64_t>>> SqliteSweeps::Count() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<v1::Sweep::State, int64_t>> counts;
  count_.Reset();
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, count_.Step());
    if (!found) {
      return counts;
    }
    v1::Sweep::State state = v1::Sweep::STATE_UNSPECIFIED;
    v1::Sweep::State_Parse(std::string(count_.ColumnBytes(0)), &state);
    counts.emplace_back(state, count_.ColumnInt(1));
  }
}

}  // namespace

std::string SweepName(absl::string_view id) { return absl::StrCat(kPrefix, id); }

absl::Status SweepNotFound(absl::string_view id) {
  return jobs::WithReason(absl::NotFoundError(absl::StrCat("there is no sweep ", SweepName(id))),
                          jobs::reason::kSweepNotFound);
}

absl::StatusOr<std::string> SweepId(absl::string_view name) {
  absl::string_view id = name;
  const bool well_formed = absl::ConsumePrefix(&id, kPrefix) && !id.empty() && id.size() <= 64 &&
                           std::ranges::all_of(id, [](unsigned char c) {
                             return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
                           });
  if (!well_formed) {
    return jobs::WithReason(absl::InvalidArgumentError(absl::StrCat(
                                "name: must be sweeps/<id>, got \"", CutUtf8(name, 100), "\"")),
                            jobs::reason::kInvalidName);
  }
  return std::string(id);
}

absl::StatusOr<std::unique_ptr<SweepStore>> OpenSqliteSweeps(sqlite3* writer,
                                                             ProjectStore& projects,
                                                             const std::string& path) {
  auto sweeps = std::make_unique<SqliteSweeps>(projects);
  HONE_RETURN_IF_ERROR(sweeps->Open(writer, path));
  return sweeps;
}

}  // namespace hone::server::store
