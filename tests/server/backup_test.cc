#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/files.h"
#include "server/artifacts/data_directory.h"
#include "server/backup/backups.h"
#include "server/backup/layout.h"
#include "server/backup/make.h"
#include "server/backup/restore.h"
#include "server/doctor/doctor.h"
#include "server/store/sqlite_store.h"
#include "server/store/writer.h"
#include "tests/support/status_matchers.h"

namespace hone::server::backup {
namespace {

namespace fs = std::filesystem;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

void Write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::string Read(const std::string& path) { return ReadFile(path).value_or("(none)"); }

// A server's folder with a job that has ended, its model, and a job that runs and has a checkpoint.
class BackupTest : public ::testing::Test {
 protected:
  BackupTest()
      : base_(absl::StrCat(::testing::TempDir(), "/backup-", ::getpid(), "-", counter_++)),
        data_(base_ + "/data"),
        backups_(base_ + "/backups") {
    fs::create_directories(backups_);
    directory_ = *artifacts::DataDirectory::Open(data_);
    store_ = *store::OpenSqliteStore(directory_->store_path());
    writer_ = std::make_unique<store::Writer>(*store_, [](const store::LoggedEvent&) {});
    EXPECT_THAT(writer_->RunStatus([&](store::JobStore& store) -> absl::Status {
      v1::JobSpec spec;
      spec.mutable_classification();
      (void)store.Insert({.id = "ended", .spec = spec}, absl::Now());
      (void)store.Claim(1, absl::Now());
      const std::string run = *directory_->PrepareAttempt("ended", 1);
      Write(run + "/model/weights", "numbers");
      const auto files = *directory_->Publish(run, "model", "ended");
      store::Ending ending{.state = jobs::JobState::kSucceeded, .reason = v1::Job::COMPLETED};
      ending.model.emplace().set_name("models/ended");
      ending.model->mutable_files()->Assign(files.begin(), files.end());
      (void)store.Finish("ended", 1, ending, absl::Now());
      (void)store.Insert({.id = "running", .spec = spec}, absl::Now());
      return store.Claim(1, absl::Now()).status();
    }),
                IsOk());
    Write(*directory_->PrepareAttempt("running", 1) + "/checkpoints/step-00000001/state", "one");
    Write(directory_->AttemptDirectory("running", 1) + "/worker.log", "a line\n");
  }
  ~BackupTest() override {
    writer_.reset();
    store_.reset();
    directory_.reset();
    fs::remove_all(base_);
  }

  absl::StatusOr<v1::Backup> Make(const std::string& id = "one", const MakeHooks& hooks = {}) {
    v1::Backup backup;
    backup.set_name(BackupName(id));
    return MakeBackup(*directory_, backups_, id, backup, hooks);
  }
  std::string At(const std::string& path) const { return backups_ + "/one/" + path; }
  absl::Status Restored(const std::string& to) const {
    return Restore(backups_ + "/one", to, [](int64_t) {}).status();
  }
  static bool IsEmptyFolder(const std::string& folder) { return fs::is_empty(folder); }

  static inline int counter_ = 0;
  const std::string base_, data_, backups_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<store::Writer> writer_;
  metrics::Registry registry_;
};

TEST_F(BackupTest, HasTheFilesThatTheStoreNames) {
  ASSERT_THAT(Make(), IsOk());
  EXPECT_EQ(Read(At("models/ended/weights")), "numbers");
  EXPECT_EQ(Read(At("runs/running/attempt-1/checkpoints/step-00000001/state")), "one");
  EXPECT_EQ(Read(At("runs/running/attempt-1/worker.log")), "a line\n");
}

TEST_F(BackupTest, IsFoundToBeWhole) {
  ASSERT_THAT(Make(), IsOk());
  const auto findings = doctor::Examine(backups_ + "/one");
  ASSERT_THAT(findings, IsOk());
  EXPECT_THAT(*findings, IsEmpty());
}

TEST_F(BackupTest, StaysAsItIsWhenItIsExamined) {
  ASSERT_THAT(Make(), IsOk());
  ASSERT_THAT(doctor::Examine(backups_ + "/one"), IsOk());
  EXPECT_THAT(*FindDamage(backups_ + "/one"), IsEmpty());
  EXPECT_FALSE(fs::exists(At("store.db-wal")));
}

TEST_F(BackupTest, AFileThatHasChangedIsFound) {
  ASSERT_THAT(Make(), IsOk());
  Write(At("runs/running/attempt-1/worker.log"), "b line\n");
  const auto findings = doctor::Examine(backups_ + "/one");
  ASSERT_THAT(findings, IsOk());
  ASSERT_THAT(*findings, SizeIs(1));
  EXPECT_THAT(findings->front().what, HasSubstr("worker.log: has the SHA-256"));
}

TEST_F(BackupTest, DoesNotChangeWithTheLogThatIsWrittenOn) {
  ASSERT_THAT(Make(), IsOk());
  std::ofstream(directory_->AttemptDirectory("running", 1) + "/worker.log", std::ios::app) << "b";
  EXPECT_THAT(*FindDamage(backups_ + "/one"), IsEmpty());
}

TEST_F(BackupTest, TakesNoRoomForModelsOnTheSameFileSystem) {
  ASSERT_THAT(Make(), IsOk());
  EXPECT_EQ(fs::hard_link_count(At("models/ended/weights")), 2U);
}

TEST_F(BackupTest, KeepsAModelThatIsDeletedAfterwards) {
  ASSERT_THAT(Make(), IsOk());
  ASSERT_THAT(directory_->RemoveModel("ended"), IsOk());
  EXPECT_EQ(Read(At("models/ended/weights")), "numbers");
}

TEST_F(BackupTest, IsRestoredWithItsJobs) {
  ASSERT_THAT(Make(), IsOk());
  ASSERT_THAT(Restored(base_ + "/new"), IsOk());
  const auto directory = artifacts::DataDirectory::Open(base_ + "/new");
  ASSERT_THAT(directory, IsOk());
  const auto store = store::OpenSqliteStore((*directory)->store_path());
  ASSERT_THAT(store, IsOk());
  EXPECT_EQ((*store)->Recover(absl::Now()).value_or(-1), 1);
  EXPECT_EQ((*store)->Get("running")->state, jobs::JobState::kQueued);
  EXPECT_EQ(*(*directory)->FindCheckpoints("running"), artifacts::CheckpointFiles::kWhole);
}

TEST_F(BackupTest, HasAnotherGenerationWhenItIsRestored) {
  ASSERT_THAT(Make(), IsOk());
  ASSERT_THAT(Restored(base_ + "/new"), IsOk());
  const auto store = store::OpenSqliteStore(base_ + "/new/store.db");
  ASSERT_THAT(store, IsOk());
  EXPECT_NE((*store)->generation(), store_->generation());
}

TEST_F(BackupTest, IsNotRestoredWhereAFileIsDamaged) {
  ASSERT_THAT(Make(), IsOk());
  fs::remove(At("models/ended/weights"));
  Write(At("models/ended/weights"), "numbery");
  EXPECT_THAT(Restored(base_ + "/new"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("models/ended/weights")));
  EXPECT_TRUE(IsEmptyFolder(base_ + "/new"));
}

TEST_F(BackupTest, IsNotRestoredByAManifestOfAnother) {
  ASSERT_THAT(Make(), IsOk());
  Write(At("MANIFEST"), "");
  EXPECT_THAT(Restored(base_ + "/new"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("MANIFEST")));
}

TEST_F(BackupTest, IsNotRestoredOverSomething) {
  ASSERT_THAT(Make(), IsOk());
  Write(base_ + "/new/mine", "mine");
  EXPECT_THAT(Restored(base_ + "/new"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has mine in it")));
  EXPECT_EQ(Read(base_ + "/new/mine"), "mine");
}

TEST_F(BackupTest, ARestoreThatWasInterruptedServesNobody) {
  Write(base_ + "/new/restoring/store.db", "half");
  EXPECT_THAT(artifacts::DataDirectory::Open(base_ + "/new").status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("honed restore")));
}

TEST_F(BackupTest, ARestoreThatWasInterruptedIsBegunAnew) {
  ASSERT_THAT(Make(), IsOk());
  Write(base_ + "/new/restoring/runs/half", "half");
  Write(base_ + "/new/models/half/weights", "half");
  ASSERT_THAT(Restored(base_ + "/new"), IsOk());
  EXPECT_FALSE(fs::exists(base_ + "/new/models/half"));
  EXPECT_THAT(artifacts::DataDirectory::Open(base_ + "/new"), IsOk());
}

TEST_F(BackupTest, AFolderWithoutABackupIsNotRestored) {
  EXPECT_THAT(Restore(data_, base_ + "/new", [](int64_t) {}).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("backup.json")));
}

TEST_F(BackupTest, ABackupOfANewerFormatIsNotRestored) {
  ASSERT_THAT(Make(), IsOk());
  v1::Backup header = *ReadHeader(backups_ + "/one");
  header.set_format(kFormat + 1);
  fs::remove(At("backup.json"));
  ASSERT_THAT(WriteHeader(backups_ + "/one", header), IsOk());
  EXPECT_THAT(Restored(base_ + "/new"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("newer version")));
}

TEST_F(BackupTest, ANameIsUsedOnce) {
  ASSERT_THAT(Make(), IsOk());
  EXPECT_THAT(Make().status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("backups/one")));
}

TEST_F(BackupTest, LeavesNothingWhenItIsStopped) {
  int looks = 0;
  const MakeHooks hooks{.go_on = [&](const Progress&) {
    return ++looks < 4 ? absl::OkStatus() : absl::UnavailableError("stopped");
  }};
  EXPECT_THAT(Make("one", hooks).status(), StatusIs(absl::StatusCode::kUnavailable, "stopped"));
  EXPECT_TRUE(IsEmptyFolder(backups_));
  EXPECT_TRUE(IsEmptyFolder(data_ + "/tmp"));
}

TEST_F(BackupTest, LeavesTheDiskItsFloor) {
  EXPECT_THAT(Make("one", {.disk_floor_bytes = int64_t{1} << 60}).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("--disk-floor-bytes")));
  EXPECT_TRUE(IsEmptyFolder(backups_));
}

TEST_F(BackupTest, IsNotMadeInAFolderThatIsNotThere) {
  fs::remove(backups_);
  EXPECT_THAT(Make().status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("--backup-dir")));
  EXPECT_FALSE(fs::exists(backups_));
}

TEST_F(BackupTest, IsNotMadeWhereAModelsFilesAreGone) {
  fs::remove_all(data_ + "/models/ended");
  EXPECT_THAT(Make().status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("models/ended")));
}

TEST_F(BackupTest, IsMadeWhileJobsAreWritten) {
  std::atomic<bool> stop = false;
  std::thread others([&] {
    for (int i = 0; !stop; ++i) {
      (void)writer_->RunStatus([&](store::JobStore& store) {
        return store.Insert({.id = absl::StrCat("more", i)}, absl::Now()).status();
      });
    }
  });
  const absl::StatusOr<v1::Backup> made = Make();
  stop = true;
  others.join();
  ASSERT_THAT(made, IsOk());
  EXPECT_THAT(*doctor::Examine(backups_ + "/one"), IsEmpty());
}

class BackupsTest : public BackupTest {
 protected:
  Options Here() const { return {.folder = backups_, .server_version = "test"}; }
  static v1::Backup Await(const Backups& backups, const std::string& id) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    absl::StatusOr<v1::Backup> backup = backups.Get(id);
    while (absl::Now() < deadline && backup.ok() && backup->state() == v1::Backup::RUNNING) {
      absl::SleepFor(absl::Milliseconds(5));
      backup = backups.Get(id);
    }
    EXPECT_THAT(backup, IsOk());
    return backup.value_or(v1::Backup());
  }
};

TEST_F(BackupsTest, AreMadeWhenSomebodyAsks) {
  Backups backups(Here(), *directory_, registry_);
  backups.Start();
  ASSERT_THAT(backups.Begin("asked"), IsOk());
  EXPECT_EQ(Await(backups, "asked").state(), v1::Backup::SUCCEEDED);
  EXPECT_EQ((*backups.List()).front().name(), "backups/asked");
}

TEST_F(BackupsTest, AreMadeOneAtATime) {
  Backups backups(Here(), *directory_, registry_);  // and does not begin
  ASSERT_THAT(backups.Begin("first"), IsOk());
  EXPECT_THAT(backups.Begin("second").status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("backups/first")));
}

TEST_F(BackupsTest, NeedAFolder) {
  Backups backups({}, *directory_, registry_);
  backups.Start();
  EXPECT_THAT(backups.Begin("").status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--backup-dir")));
}

TEST_F(BackupsTest, AreNotCalledAsAPathIs) {
  Backups backups(Here(), *directory_, registry_);
  for (const char* const id : {"../one", "a/b", ".hidden", "-x"}) {
    EXPECT_THAT(backups.Begin(id).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")))
        << id;
  }
}

TEST_F(BackupsTest, SayWhyTheLastOneFailed) {
  Options options = Here();
  options.disk_floor_bytes = int64_t{1} << 60;
  Backups backups(options, *directory_, registry_);
  backups.Start();
  ASSERT_THAT(backups.Begin("asked"), IsOk());
  const v1::Backup failed = Await(backups, "asked");
  EXPECT_EQ(failed.state(), v1::Backup::FAILED);
  EXPECT_THAT(failed.message(), HasSubstr("--disk-floor-bytes"));
}

TEST_F(BackupsTest, AreMadeByTheirSchedule) {
  Options options = Here();
  options.every = absl::Hours(24);
  Backups backups(options, *directory_, registry_);
  backups.Start();
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  const auto made = [&] {
    const auto all = backups.List();
    return all.ok() && !all->empty() && all->front().state() == v1::Backup::SUCCEEDED;
  };
  while (absl::Now() < deadline && !made()) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  ASSERT_TRUE(made());
  EXPECT_TRUE((*backups.List()).front().scheduled());
}

TEST_F(BackupsTest, OfTheScheduleGoWhenThereAreTooMany) {
  v1::Backup backup;
  backup.set_scheduled(true);
  for (const char* const id : {"scheduled-1", "scheduled-2"}) {
    backup.set_name(BackupName(id));
    ASSERT_THAT(MakeBackup(*directory_, backups_, id, backup, {}), IsOk());
  }
  ASSERT_THAT(Make("asked"), IsOk());
  Options options = Here();
  options.every = absl::Nanoseconds(1);
  options.keep = 1;
  Backups backups(options, *directory_, registry_);
  backups.Start();
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (absl::Now() < deadline &&
         (fs::exists(backups_ + "/scheduled-1") || fs::exists(backups_ + "/scheduled-2"))) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_FALSE(fs::exists(backups_ + "/scheduled-1"));
  EXPECT_TRUE(fs::exists(backups_ + "/asked"));
}

TEST(Manifest, ALineLeadsBackToItsEntry) {
  for (const char* const path : {"store.db", "models/a b/ä", "with\nline", "with\\slash"}) {
    const ManifestEntry entry{.path = path, .sha256 = Sha256("x")};
    std::string line = ManifestLine(entry);
    ASSERT_EQ(line.back(), '\n');
    line.pop_back();
    EXPECT_THAT(line, Not(HasSubstr("\n")));
    const auto parsed = ParseManifestLine(line);
    ASSERT_THAT(parsed, IsOk()) << line;
    EXPECT_EQ(parsed->path, path);
    EXPECT_EQ(parsed->sha256, entry.sha256);
  }
}

TEST(Manifest, APathThatLeadsOutIsRefused) {
  for (const char* const path : {"/etc/passwd", "../x", "a/../../x", "a//b", "", "."}) {
    EXPECT_THAT(ParseManifestLine(absl::StrCat(Sha256("x"), "  ", path)).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")))
        << path;
  }
}

}  // namespace
}  // namespace hone::server::backup
