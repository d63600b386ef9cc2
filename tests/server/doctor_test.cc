#include "server/doctor/doctor.h"

#include <gmock/gmock.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/artifacts/data_directory.h"
#include "server/store/sqlite_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::doctor {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A folder with one job that has ended and its model of one file.
class DoctorTest : public ::testing::Test {
 protected:
  DoctorTest()
      : root_(absl::StrCat(::testing::TempDir(), "/doctor-", ::getpid(), "-", counter_++)) {
    const auto directory = artifacts::DataDirectory::Open(root_);
    EXPECT_THAT(directory, IsOk());
    const auto store = store::OpenSqliteStore((*directory)->store_path());
    EXPECT_THAT(store, IsOk());
    v1::JobSpec spec;
    spec.mutable_classification();
    EXPECT_THAT((*store)->Insert({.id = "job1", .spec = spec}, absl::Now()), IsOk());
    EXPECT_THAT((*store)->Claim(1, absl::Now()), IsOk());
    const std::string run = *(*directory)->PrepareAttempt("job1", 1);
    std::filesystem::create_directories(run + "/model");
    std::ofstream(run + "/model/weights") << "numbers";
    v1::Model model;
    model.set_name("models/job1");
    const auto files = (*directory)->Publish(run, "model", "job1");
    EXPECT_THAT(files, IsOk());
    model.mutable_files()->Assign(files->begin(), files->end());
    EXPECT_THAT(
        (*store)->Finish(
            "job1", 1,
            {.state = jobs::JobState::kSucceeded, .reason = v1::Job::COMPLETED, .model = model},
            absl::Now()),
        IsOk());
  }
  ~DoctorTest() override { std::filesystem::remove_all(root_); }

  std::vector<std::string> Findings() const {
    const auto findings = Examine(root_);
    EXPECT_THAT(findings, IsOk());
    std::vector<std::string> texts;
    for (const Finding& finding : *findings) {
      texts.push_back(finding.what);
    }
    return texts;
  }
  void Sql(const std::string& sql) const {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open((root_ + "/store.db").c_str(), &connection), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(connection);
  }

  static inline int counter_ = 0;
  const std::string root_;
};

TEST_F(DoctorTest, FindsNothingInAHealthyFolder) { EXPECT_THAT(Findings(), IsEmpty()); }

TEST_F(DoctorTest, FindsAModelsFileThatHasChanged) {
  std::ofstream(root_ + "/models/job1/weights") << "other numbers";
  EXPECT_THAT(Findings(), ElementsAre(HasSubstr("models/job1: ")));
}

TEST_F(DoctorTest, FindsAModelsFileThatIsGone) {
  std::filesystem::remove(root_ + "/models/job1/weights");
  EXPECT_THAT(Findings(), ElementsAre(HasSubstr("weights")));
}

TEST_F(DoctorTest, FindsAnEventThatIsMissing) {
  Sql("DELETE FROM event WHERE sequence = 2");
  EXPECT_THAT(
      Findings(),
      ElementsAre(HasSubstr("jobs/job1: its log should have the events 1 to 3, and has 2")));
}

TEST_F(DoctorTest, MendsFoldersOfNobodyOnlyWhenAsked) {
  std::filesystem::create_directories(root_ + "/runs/nobody/attempt-1");
  std::filesystem::create_directories(root_ + "/models/nobody");
  EXPECT_THAT(Findings(),
              ElementsAre("runs/nobody: belongs to no job", "models/nobody: belongs to no model"));
  EXPECT_THAT(Findings().size(), 2u);
  const char* const arguments[] = {"doctor", "--data-dir", root_.c_str(), "--mend"};
  EXPECT_EQ(Main(4, arguments), 0);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(DoctorTest, WhatCannotBeMendedIsNotSaidToBe) {
  std::filesystem::create_directories(root_ + "/datasets/nobody/with something");
  const char* const arguments[] = {"doctor", "--data-dir", root_.c_str(), "--mend"};
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(Main(4, arguments), 1);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), HasSubstr("(not mended: cannot remove"));
}

TEST_F(DoctorTest, ChangesNothingByLooking) {
  std::filesystem::create_directories(root_ + "/tmp/something");
  Sql("PRAGMA user_version = 3");
  EXPECT_THAT(Examine(root_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("schema 3")));
  EXPECT_TRUE(std::filesystem::exists(root_ + "/tmp/something"));
}

TEST_F(DoctorTest, FindsFilesOfNoDataSetAndJobsWithoutTheirModel) {
  std::ofstream(root_ + "/datasets/nobody.csv") << "1,2";
  Sql("DELETE FROM model");
  EXPECT_THAT(Findings(),
              ElementsAre("jobs/job1: its model is not there", "models/job1: belongs to no model",
                          HasSubstr("nobody.csv: belongs to no data set")));
}

TEST_F(DoctorTest, LeavesAFolderAloneThatAServerUses) {
  const auto server = artifacts::DataDirectory::Open(root_);
  EXPECT_THAT(Examine(root_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("in use")));
}

TEST_F(DoctorTest, SaysThatAFolderIsNoServers) {
  EXPECT_THAT(Examine("/tmp").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("store.db")));
}

}  // namespace
}  // namespace hone::server::doctor
