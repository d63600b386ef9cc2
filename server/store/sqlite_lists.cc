#include "server/store/sqlite_lists.h"

#include <algorithm>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {
namespace {

constexpr int64_t kMostPageBytes = int64_t{2} << 20;

// How many jobs a part of the queue has, of how many the time is known, and what those take.
constexpr char kQueuePart[] =
    "SELECT count(*), count(expected_ms), ifnull(sum(expected_ms), 0) "
    "FROM job INDEXED BY job_queue WHERE project = ? AND state = 'QUEUED' AND held = 0 AND ";

int64_t OrNewest(int64_t before_row) {
  return before_row == 0 ? std::numeric_limits<int64_t>::max() : before_row;
}

// Of what grows with the job, as it is sent.
int64_t BytesOf(const jobs::Job& job) {
  return static_cast<int64_t>(job.spec.ByteSizeLong() + job.plan.ByteSizeLong() +
                              job.latest.ByteSizeLong() + job.evaluation.ByteSizeLong());
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteLists>> SqliteLists::Open(const std::string& path,
                                                               absl::Duration most_time) {
  std::unique_ptr<SqliteLists> lists(new SqliteLists());
  HONE_RETURN_IF_ERROR(lists->connection_.Open(path, most_time));
  HONE_RETURN_IF_ERROR(lists->PrepareJobs());
  for (const auto& [statement, sql] : std::vector<std::pair<Statement*, std::string>>{
           {&lists->queue_place_,
            "SELECT priority FROM job WHERE row = ? AND state = 'QUEUED' AND held = 0"},
           {&lists->queue_rows_, absl::StrCat(kQueuePart, "priority = ? AND row >= ? AND row < ?")},
           {&lists->queue_priorities_, absl::StrCat(kQueuePart, "priority > ? AND priority < ?")},
           {&lists->count_, "SELECT state, task, count(*) FROM job GROUP BY state, task"},
           {&lists->every_model_,
            "SELECT row, payload, project FROM model WHERE row < ?1 ORDER BY row DESC LIMIT ?6"},
           {&lists->models_,
            "SELECT row, payload, project FROM model INDEXED BY model_by_project WHERE project = "
            "?7 "
            "AND row < ?1 AND (?2 = '' OR display_name = ?2) AND "
            "(?3 = '' OR task = ?3) AND (?4 = '' OR job_id = ?4) AND (?5 < 0 OR pinned = ?5) "
            "ORDER BY row DESC LIMIT ?6"},
       }) {
    HONE_RETURN_IF_ERROR(statement->Prepare(lists->connection_.get(), sql));
  }
  return lists;
}

absl::Status SqliteLists::PrepareJobs() {
  const std::string select = absl::StrCat("SELECT ", kJobColumns, " FROM job ");
  // The labels are ?7 and those after it, as many as ?5 says; the others are NULL, which is in no
  // row. ?6 is the project.
  std::string labels = "?7";
  for (size_t i = 1; i < ListJobs::kMostLabels; ++i) {
    absl::StrAppend(&labels, ", ?", 7 + i);
  }
  const std::string filter = absl::StrCat(
      " AND (?3 = '' OR task = ?3) "
      "AND (?5 = 0 OR ?5 = (SELECT count(*) FROM job_label AS has WHERE has.job_row = "
      "job.row AND has.label IN (",
      labels, "))) ORDER BY ");
  const std::string of_all = select + "INDEXED BY job_by_project WHERE project = ?6 AND ";
  const std::string of_state =
      select + "INDEXED BY job_by_project_and_state WHERE project = ?6 AND state = ?2 AND ";
  // Walks over the jobs that have the first label, ?7, in all projects.
  const std::string of_label =
      absl::StrCat("SELECT ", kJobColumns,
                   " FROM job_label INDEXED BY job_label_by_label CROSS JOIN job ON job.row = "
                   "job_label.job_row WHERE label = ?7 AND project = ?6 AND (?2 = '' OR state = "
                   "?2) AND ");
  struct List {
    Statement *newest, *oldest;
    std::string select;
    const char* row;
  };
  HONE_RETURN_IF_ERROR(
      every_.Prepare(connection_.get(), select + "WHERE row < ?1 ORDER BY row DESC LIMIT ?4"));
  HONE_RETURN_IF_ERROR(
      every_oldest_.Prepare(connection_.get(), select + "WHERE row > ?1 ORDER BY row LIMIT ?4"));
  for (const List& list : {List{&list_, &list_oldest_, of_all, "row"},
                           List{&list_state_, &list_state_oldest_, of_state, "row"},
                           List{&list_label_, &list_label_oldest_, of_label, "job_row"}}) {
    HONE_RETURN_IF_ERROR(list.newest->Prepare(
        connection_.get(),
        absl::StrCat(list.select, list.row, " < ?1", filter, list.row, " DESC LIMIT ?4")));
    HONE_RETURN_IF_ERROR(list.oldest->Prepare(
        connection_.get(),
        absl::StrCat(list.select, list.row, " > ?1", filter, list.row, " LIMIT ?4")));
  }
  return absl::OkStatus();
}

absl::Status SqliteLists::Collect(Statement& list, const ListJobs& what, absl::string_view state,
                                  std::vector<JobRow>& rows) {
  const Standing standing(list);
  list.Reset()
      .Int(what.oldest_first ? what.from_row : OrNewest(what.from_row))
      .Text(state)
      .Text(what.task)
      .Int(what.limit + 1)
      .Int(static_cast<int64_t>(what.labels.size()))
      .Text(what.project);
  for (const std::string& label : what.labels) {
    list.Text(label);
  }
  int64_t bytes = 0;
  for (int count = 0; count < 2 || bytes <= what.max_bytes; ++count) {
    HONE_ASSIGN_OR_RETURN(const bool found, list.Step());
    if (!found) {
      return absl::OkStatus();
    }
    HONE_ASSIGN_OR_RETURN(JobRow row, ReadJob(list));
    row.job.plan.clear_layers();
    row.job.evaluation.clear_confusion();
    bytes += BytesOf(row.job);
    rows.push_back(std::move(row));
  }
  return absl::OkStatus();
}

absl::StatusOr<Page<jobs::Job>> SqliteLists::List(const ListJobs& what) {
  if (what.labels.size() > ListJobs::kMostLabels) {
    return absl::InvalidArgumentError(absl::StrCat(
        "labels: must be at most ", ListJobs::kMostLabels, ", got ", what.labels.size()));
  }
  connection_.BeginCall();
  std::vector<JobRow> rows;
  const auto in_order = [&](Statement& newest, Statement& oldest) -> Statement& {
    return what.oldest_first ? oldest : newest;
  };
  const bool of_all = what.project.empty();
  if (of_all) {
    HONE_RETURN_IF_ERROR(Collect(in_order(every_, every_oldest_), what, "", rows));
  }
  const bool labelled = !what.labels.empty();
  Statement& of_label = in_order(list_label_, list_label_oldest_);
  if (what.states.empty() && !of_all) {
    HONE_RETURN_IF_ERROR(
        Collect(labelled ? of_label : in_order(list_, list_oldest_), what, "", rows));
  }
  const std::set<jobs::JobState> states(what.states.begin(), what.states.end());
  for (const jobs::JobState state : states) {
    HONE_RETURN_IF_ERROR(Collect(labelled ? of_label : in_order(list_state_, list_state_oldest_),
                                 what, jobs::StateName(state), rows));
  }
  std::sort(rows.begin(), rows.end(), [&](const JobRow& a, const JobRow& b) {
    return what.oldest_first ? a.row < b.row : a.row > b.row;
  });
  Page<jobs::Job> page;
  absl::flat_hash_map<int64_t, size_t> queued;  // row → item
  int64_t bytes = 0, last = 0;
  for (JobRow& row : rows) {
    bytes += BytesOf(row.job);
    const bool full = static_cast<int>(page.items.size()) == what.limit;
    if (full || (!page.items.empty() && bytes > what.max_bytes)) {
      page.next_row = last;
      break;
    }
    last = row.row;
    if (row.job.state == jobs::JobState::kQueued && !of_all) {
      row.job.queued_before = absl::InfiniteDuration();  // of one that is held
      queued.emplace(row.row, page.items.size());
    }
    page.items.push_back(std::move(row.job));
  }
  HONE_RETURN_IF_ERROR(NumberQueued(what.project, queued, page.items));
  return page;
}

// Counts from each job of the page to the next one in the order of the queue. SQLite adds up what
// lies between them: a walk over its rows takes several times as long. Where a job is claimed
// meanwhile, those behind it may have the numbers of before or of after that.
absl::Status SqliteLists::NumberQueued(const std::string& project,
                                       const absl::flat_hash_map<int64_t, size_t>& queued,
                                       std::vector<jobs::Job>& items) {
  struct Place {
    int64_t priority;
    int64_t row;
    size_t item = 0;
  };
  std::vector<Place> places;
  for (const auto& [row, item] : queued) {
    const Standing standing(queue_place_);
    HONE_ASSIGN_OR_RETURN(const bool waits, queue_place_.Reset().Int(row).Step());
    if (waits) {
      places.push_back({queue_place_.ColumnInt(0), row, item});
    }
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.priority != b.priority ? a.priority > b.priority : a.row < b.row;
  });
  int64_t position = 1;
  absl::Duration before = absl::ZeroDuration();
  const auto pass = [&](Statement& part) -> absl::Status {
    const Standing standing(part);
    HONE_RETURN_IF_ERROR(part.Step().status());
    const int64_t jobs = part.ColumnInt(0), known = part.ColumnInt(1);
    position += jobs;
    before += known < jobs ? absl::InfiniteDuration() : absl::Milliseconds(part.ColumnInt(2));
    return absl::OkStatus();
  };
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  Place last = {.priority = kMost, .row = kMost};
  for (const Place& place : places) {
    if (place.priority < last.priority) {
      HONE_RETURN_IF_ERROR(
          pass(queue_rows_.Reset().Text(project).Int(last.priority).Int(last.row).Int(kMost)));
      HONE_RETURN_IF_ERROR(
          pass(queue_priorities_.Reset().Text(project).Int(place.priority).Int(last.priority)));
      last = {.priority = place.priority, .row = 0};
    }
    HONE_RETURN_IF_ERROR(
        pass(queue_rows_.Reset().Text(project).Int(place.priority).Int(last.row).Int(place.row)));
    last.row = place.row;
    items[place.item].queue_position = static_cast<int>(position);
    items[place.item].queued_before = before;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<JobCount>> SqliteLists::Count() {
  connection_.BeginCall();
  const Standing standing(count_);
  std::vector<JobCount> counts;
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, count_.Step());
    if (!found) {
      return counts;
    }
    JobCount& count = counts.emplace_back();
    HONE_ASSIGN_OR_RETURN(count.state, jobs::ParseState(count_.ColumnBytes(0)));
    count.task = std::string(count_.ColumnBytes(1));
    count.jobs = count_.ColumnInt(2);
  }
}

absl::StatusOr<Page<v1::Model>> SqliteLists::ListModels(const struct ListModels& what) {
  connection_.BeginCall();
  Statement& list = what.project.empty() ? every_model_ : models_;
  const Standing standing(list);
  list.Reset()
      .Int(OrNewest(what.before_row))
      .Text(what.display_name)
      .Text(what.task)
      .Text(what.job_id)
      .Int(what.pinned.has_value() ? (*what.pinned ? 1 : 0) : -1)
      .Int(what.limit + 1)
      .Text(what.project);
  Page<v1::Model> page;
  for (int64_t last = 0, bytes = 0;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, list.Step());
    if (!found) {
      return page;
    }
    HONE_ASSIGN_OR_RETURN(v1::Model model, ReadModel(list.ColumnBytes(1), list.ColumnBytes(2)));
    model.clear_plan();
    model.mutable_evaluation()->clear_confusion();
    bytes += static_cast<int64_t>(model.ByteSizeLong());
    const bool full = static_cast<int>(page.items.size()) == what.limit;
    if (full || (!page.items.empty() && bytes > kMostPageBytes)) {
      page.next_row = last;
      return page;
    }
    last = list.ColumnInt(0);
    page.items.push_back(std::move(model));
  }
}

absl::StatusOr<std::vector<std::string>> SqliteLists::FindDamage() {
  connection_.BeginCallWithoutLimit();
  std::vector<std::string> damage;
  for (const char* query :
       {"PRAGMA integrity_check(20)",
        "SELECT 'row ' || rowid || ' of ' || \"table\" || ' names a row of ' || parent || ' that "
        "is not "
        "there' FROM pragma_foreign_key_check",
        "SELECT 'jobs/' || id || ': there is no project ' || project FROM job WHERE project NOT IN "
        "(SELECT name FROM project)",
        "SELECT 'jobs/' || id || ': its log should have the events 1 to ' || last_sequence || ', "
        "and "
        "has ' || (SELECT count(*) FROM event WHERE job_row = job.row) || ' up to ' || "
        "(SELECT coalesce(max(sequence), 0) FROM event WHERE job_row = job.row) FROM job "
        "WHERE last_sequence != (SELECT count(*) FROM event WHERE job_row = job.row) "
        "OR last_sequence != (SELECT max(sequence) FROM event WHERE job_row = job.row)"}) {
    Statement statement;
    HONE_RETURN_IF_ERROR(statement.Prepare(connection_.get(), query));
    for (;;) {
      const absl::StatusOr<bool> found = statement.Step();
      if (!found.ok()) {
        damage.push_back(std::string(found.status().message()));
        break;
      }
      if (!*found) {
        break;
      }
      if (statement.ColumnBytes(0) != "ok") {
        damage.emplace_back(statement.ColumnBytes(0));
      }
    }
  }
  return damage;
}

}  // namespace hone::server::store
