// What is SQLite's own: damaged files, and the schema's copies of the tables in code.
#include "server/store/sqlite_store.h"

#include <gmock/gmock.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/store/dataset_store.h"
#include "server/store/project_store.h"
#include "server/store/schema.h"
#include "server/store/sqlite_functions.h"
#include "server/store/sqlite_lists.h"
#include "server/store/token_store.h"
#include "tests/server/now.h"
#include "tests/server/sqlite_faults.h"
#include "tests/support/status_matchers.h"

namespace hone::server::store {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using jobs::JobState;
using ::testing::HasSubstr;

class SqliteStoreTest : public ::testing::Test {
 protected:
  SqliteStoreTest()
      : path_(absl::StrCat(::testing::TempDir(), "/sqlite-", ::getpid(), "-", counter_++, ".db")) {
    Open();
  }
  ~SqliteStoreTest() override {
    store_.reset();
    for (const char* tail : {"", "-wal", "-shm"}) {
      std::filesystem::remove(path_ + tail);
    }
  }
  void Open() {
    store_.reset();
    absl::StatusOr<std::unique_ptr<JobStore>> opened = OpenSqliteStore(path_);
    ASSERT_THAT(opened, IsOk());
    store_ = std::move(*opened);
  }
  std::string InsertAndClaim() {
    const auto job = store_->Insert({.id = jobs::NewId()}, kNow);
    EXPECT_THAT(job, IsOk());
    EXPECT_THAT(store_->Claim(8, kNow), IsOk());
    return job->id;
  }

  static inline int counter_ = 0;
  const std::string path_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(SqliteStoreTest, AReadThatTakesTooLongIsGivenUpAndTheNextOneIsNot) {
  const auto written = store_->Commit([&] {
    for (int i = 0; i < 300; ++i) {
      EXPECT_THAT(store_->Insert({.id = jobs::NewId()}, kNow), IsOk());
    }
  });
  ASSERT_THAT(written, IsOk());
  const auto lists = SqliteLists::Open(path_, -absl::Seconds(1));
  ASSERT_THAT(lists, IsOk());
  const ListJobs none{.task = "no task"};  // which looks at every job
  EXPECT_THAT((*lists)->List(none),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("too long")));
  EXPECT_THAT((*lists)->ListModels({}), IsOk());  // too short to be looked at
}

TEST_F(SqliteStoreTest, ADamagedFileIsReportedAsDataLoss) {
  InsertAndClaim();
  store_.reset();
  std::ofstream(path_, std::ios::binary) << std::string(8192, 'x');
  EXPECT_THAT(OpenSqliteStore(path_).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)));
}

// Overwrites the pages that hold the text, but for their first bytes.
void Damage(const std::string& path, const std::string& text) {
  constexpr size_t kPage = 4096, kHeader = 100;
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (size_t page = kPage; page < bytes.size(); page += kPage) {
    if (bytes.substr(page, kPage).find(text) != std::string::npos) {
      bytes.replace(page, kHeader, std::string(kHeader, '\xee'));
    }
  }
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_F(SqliteStoreTest, ADamagedJobIsFoundWhenTheStoreIsOpened) {
  InsertAndClaim();
  store_.reset();
  Damage(path_, "RUNNING");
  EXPECT_THAT(OpenSqliteStore(path_).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)));
}

// Opening does not read the history.
TEST_F(SqliteStoreTest, ADamagedEventIsFoundWhenItIsRead) {
  const std::string id = InsertAndClaim();
  v1::Event event;
  event.mutable_log()->set_text("marked by its text");
  ASSERT_THAT(store_->Append(id, 1, {.events = {event}}, kNow), IsOk());
  store_.reset();
  Damage(path_, "marked by its text");
  Open();
  EXPECT_THAT(store_->Get(id), IsOk());
  EXPECT_THAT(store_->ReadEvents(id, 0, 10, int64_t{1} << 40).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("store")));
}

TEST_F(SqliteStoreTest, MoreDataSetsThanThereMayBeAreRefusedHoweverSmall) {
  OtherConnection(path_).Run(absl::StrCat(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ",
      DatasetStore::kMostDatasets,
      ") INSERT INTO dataset (project, name, format, bytes, sha256, create_time) SELECT "
      "'default', 'd' || i, 1, 100, "
      "printf('%064d', 0), 1 FROM n"));
  constexpr int64_t kQuota = 1000;
  const Upload more{
      .id = jobs::NewId(),
      .name = "one more",
      .bytes = {.format = v1::Dataset::CSV, .bytes = 1, .sha256 = std::string(64, 'a')}};
  EXPECT_THAT(store_->datasets().BeginUpload(more, kQuota, kNow),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("10000 data sets")));
  ASSERT_THAT(store_->datasets().Delete(jobs::kDefaultProject, "d1", false), IsOk());
  EXPECT_THAT(store_->datasets().BeginUpload(more, kQuota, kNow), IsOk());
}

TEST_F(SqliteStoreTest, AChangeOfStateThatVersion01WroteByNameIsReadAsTheEnum) {
  const std::string id = InsertAndClaim();
  v1::Event event;
  event.mutable_state()->set_message("as it was");
  auto* const old = event.state().GetReflection()->MutableUnknownFields(event.mutable_state());
  old->AddLengthDelimited(1, "FAILED");
  old->AddLengthDelimited(2, "NON_FINITE");
  ASSERT_THAT(store_->Append(id, 1, {.events = {event}}, kNow), IsOk());
  const auto events = store_->ReadEvents(id, 2, 10, int64_t{1} << 40);
  ASSERT_THAT(events, IsOk());
  ASSERT_EQ(events->size(), 1);
  EXPECT_EQ(events->front().state().state(), v1::Job::FAILED);
  EXPECT_EQ(events->front().state().end_reason(), v1::Job::NON_FINITE);
  EXPECT_EQ(events->front().state().message(), "as it was");
}

std::set<std::string> QuotedIn(const std::string& text) {
  std::set<std::string> found;
  const std::regex quoted("'([A-Z]+(>[A-Z]+)?)'");
  for (std::sregex_iterator it(text.begin(), text.end(), quoted), end; it != end; ++it) {
    found.insert((*it)[1]);
  }
  return found;
}

std::string Between(const std::string& text, const std::string& from, const std::string& to) {
  const size_t begin = text.find(from);
  EXPECT_NE(begin, std::string::npos) << from;
  return text.substr(begin, text.find(to, begin) - begin);
}

TEST(Schema, ListsTheTransitionsOfTheTable) {
  std::set<std::string> table;
  for (const auto& [from, to] : jobs::kTransitions) {
    table.insert(absl::StrCat(jobs::StateName(from), ">", jobs::StateName(to)));
  }
  EXPECT_EQ(QuotedIn(Between(kSchema0006, "CREATE TRIGGER job_state_change", "BEGIN")), table);
}

// A line of the manual: | QUEUED | RUNNING, PAUSED, … |
TEST(Manual, ListsTheTransitionsOfTheTable) {
  std::ifstream in(std::string(HONE_SOURCE_DIR) + "/deploy/README.md");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const std::string rows = Between(text, "| From | To |", "\n\n");
  std::set<std::string> table, told;
  for (const auto& [from, to] : jobs::kTransitions) {
    table.insert(absl::StrCat(jobs::StateName(from), ">", jobs::StateName(to)));
  }
  const std::regex word("[A-Z]{4,}"), row("\\| ([A-Z]+) \\|([^|\n]*)\\|");
  for (std::sregex_iterator it(rows.begin(), rows.end(), row), end; it != end; ++it) {
    const std::string to = (*it)[2];
    for (std::sregex_iterator state(to.begin(), to.end(), word); state != end; ++state) {
      told.insert(absl::StrCat((*it)[1].str(), ">", state->str()));
    }
  }
  EXPECT_EQ(told, table);
}

TEST(Schema, ListsTheStatesOfTheTable) {
  std::set<std::string> states;
  for (const JobState state : jobs::kAllStates) {
    states.insert(std::string(jobs::StateName(state)));
  }
  EXPECT_EQ(QuotedIn(Between(kSchema0001, "CHECK (state IN (", "))")), states);
}

TEST(Schema, RefusesAChangeThatTheTableDoesNotList) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, kSchema0001, nullptr, nullptr, nullptr), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db,
                         "INSERT INTO job (id, task, spec, plan, threads, state, create_time) "
                         "VALUES ('a', '', '', '', 1, 'QUEUED', 1)",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  EXPECT_NE(sqlite3_exec(db, "UPDATE job SET state = 'CANCELLING'", nullptr, nullptr, nullptr),
            SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, "UPDATE job SET state = 'RUNNING'", nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(db);
}

// A job and its model as version 0.1 stored them, in the schema before jobs had resolved specs.
std::string OldRows() {
  v1::JobSpec spec;
  spec.set_display_name("old");
  spec.mutable_classification();
  spec.mutable_training()->set_epochs(3);
  v1::Model model;
  model.set_name("models/a");
  model.set_job("jobs/a");
  model.set_task("classification");
  const auto hex = [](const std::string& bytes) {
    return absl::StrCat("x'", absl::BytesToHexString(bytes), "'");
  };
  return absl::StrCat(
      "INSERT INTO job (id, task, spec, plan, threads, state, create_time, last_sequence) VALUES "
      "('a', 'classification', ",
      hex(spec.SerializeAsString()), ", x'', 2, 'PAUSED', 1, 0);",
      "INSERT INTO model (id, job_row, payload) VALUES ('a', 1, ", hex(model.SerializeAsString()),
      ");");
}

TEST(SqliteMigration, AJobThatWaitsGetsTheDefaultsOfTheVersionThatTookIt) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/resolved-", ::getpid(), ".db");
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  constexpr size_t kBefore = 10;  // schemas without resolved specs
  std::string old;
  for (size_t i = 0; i < kBefore; ++i) {
    absl::StrAppend(&old, kMigrations[i]);
  }
  absl::StrAppend(
      &old, "INSERT INTO meta VALUES ('generation', 'old'); PRAGMA user_version = ", kBefore, ";");
  ASSERT_EQ(sqlite3_exec(db, (old + OldRows()).c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  {
    const auto store = OpenSqliteStore(path);
    ASSERT_THAT(store, IsOk());
    const auto job = (*store)->Get("a");
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->spec.training().has_batch_size(), false);
    EXPECT_EQ(job->resolved.training().batch_size(), 32);
    EXPECT_EQ(job->resolved.display_name(), "old");
    EXPECT_EQ(job->makes_model, "a");
    const auto models = (*store)->ListModels({.task = "classification", .job_id = "a"});
    ASSERT_THAT(models, IsOk());
    EXPECT_EQ(models->items.size(), 1);
  }
  for (const char* tail : {"", "-wal", "-shm"}) {
    std::filesystem::remove(path + tail);
  }
}

// Names, requests, uploads and what uses them, as they were before there were projects.
TEST(SqliteMigration, WhatWasThereBeforeProjectsBelongsToTheDefaultOne) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/projects-", ::getpid(), ".db");
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_THAT(RegisterFunctions(db), IsOk());
  constexpr size_t kBefore = 14;  // schemas without projects
  std::string first = "PRAGMA foreign_keys = ON;";
  for (size_t i = 0; i < kBefore; ++i) {
    absl::StrAppend(&first, kMigrations[i]);
  }
  absl::StrAppend(&first, "INSERT INTO meta VALUES ('generation', 'old');");
  const std::string sha256(64, 'a');
  absl::StrAppend(
      &first, OldRows(), "UPDATE job SET request_id = 'once';",
      "INSERT INTO dataset (name, format, bytes, sha256, create_time) VALUES ('one', 1, "
      "5, '",
      sha256, "', 1), (NULL, 1, 5, '", sha256, "', 1);", "INSERT INTO dataset_use VALUES (1, 1);",
      "INSERT INTO upload VALUES ('u', 'two', 1, 5, '", sha256, "', 1);",
      "INSERT INTO token (id, hash, role, project, create_time) VALUES ('t', 'h', "
      "'viewer', '', 1);",
      "PRAGMA user_version = ", kBefore, ";");
  ASSERT_EQ(sqlite3_exec(db, first.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(db);
  sqlite3_close(db);
  {
    const auto opened = OpenSqliteStore(path);
    ASSERT_THAT(opened, IsOk());
    JobStore& store = **opened;
    EXPECT_EQ(store.Get("a")->project, jobs::kDefaultProject);
    EXPECT_EQ((*store.FindRequest(jobs::kDefaultProject, "once"))->id, "a");
    EXPECT_EQ(store.ListModels({})->items.size(), 1U);
    EXPECT_EQ(store.datasets().List({})->items.size(), 1U);
    EXPECT_EQ((*store.datasets().OfJob("a"))->name, "one");
    EXPECT_EQ(store.datasets().AllUploads()->size(), 1U);
    EXPECT_EQ(store.tokens().All()->at(0).project, jobs::kDefaultProject);
    EXPECT_EQ(store.projects().All()->size(), 1U);
    EXPECT_THAT(*store.FindDamage(), ::testing::IsEmpty());
  }
  for (const char* tail : {"", "-wal", "-shm"}) {
    std::filesystem::remove(path + tail);
  }
}

TEST(SqliteMigration, AStoreOfTheFirstSchemaGetsTheTablesAndKeepsItsGeneration) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/migration-", ::getpid(), ".db");
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  const std::string first = absl::StrCat(
      kSchema0001, "INSERT INTO meta VALUES ('generation', 'old'); PRAGMA user_version = 1;");
  ASSERT_EQ(sqlite3_exec(db, first.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  {
    const auto store = OpenSqliteStore(path);
    ASSERT_THAT(store, IsOk());
    EXPECT_EQ((*store)->generation(), "old");
    EXPECT_THAT((*store)->datasets().List({}), IsOk());
  }
  for (const char* tail : {"", "-wal", "-shm"}) {
    std::filesystem::remove(path + tail);
  }
}

}  // namespace
}  // namespace hone::server::store
