// The steps of an import: what is left when the server ends, or the store fails, between them.
#include "server/imports/imports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/files.h"
#include "server/removal/remover.h"
#include "server/store/sqlite_store.h"
#include "tests/server/failing_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::imports {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;

class ImportsTest : public ::testing::Test {
 protected:
  ImportsTest() : root_(absl::StrCat(::testing::TempDir(), "/imports-", ::getpid())) {
    directory_ = *artifacts::DataDirectory::Open(root_);
    store_ = *store::OpenSqliteStore(directory_->store_path());
    failing_store_ = std::make_unique<FailingStore>(*store_);
    writer_ = std::make_unique<store::Writer>(*failing_store_, [](const store::LoggedEvent&) {});
    datasets_ = std::make_unique<datasets::Datasets>(
        datasets::Limits{.quota_bytes = int64_t{1} << 40, .disk_floor_bytes = 0}, *directory_,
        store_->datasets(), *writer_);
    calls_ =
        std::make_unique<scheduler::WorkerCalls>(HONE_SCRIPTED_WORKER, 0, *directory_, registry_);
    Add("net");
  }
  ~ImportsTest() override {
    calls_.reset();
    datasets_.reset();
    writer_.reset();
    failing_store_.reset();
    store_.reset();
    directory_.reset();
    std::filesystem::remove_all(root_);
  }

  void Add(const std::string& name) {
    const store::Upload upload = {
        .id = "1",
        .name = name,
        .bytes = {.format = v1::Dataset::TAR, .bytes = 3, .sha256 = Sha256(name)}};
    ASSERT_THAT(store_->datasets().BeginUpload(upload, int64_t{1} << 40, absl::Now()), IsOk());
    ASSERT_THAT(store_->datasets().FinishUpload("1", absl::Now()), IsOk());
    std::ofstream(datasets_->PathOf(upload.bytes)) << "tar";
  }
  absl::StatusOr<v1::Model> Import(int64_t floor = 0) {
    Imports imports(floor, *directory_, *store_, *writer_, *datasets_, *calls_);
    v1::ImportModelRequest request;
    request.set_dataset("datasets/net");
    std::promise<absl::StatusOr<v1::Model>> promise;
    imports.Import(request, jobs::kDefaultProject,
                   [&](absl::StatusOr<v1::Model> model) { promise.set_value(std::move(model)); });
    return promise.get_future().get();
  }
  size_t Drafts() const { return store_->FoldersToRemove(store::Folder::Kind::kDraft, -1)->size(); }
  bool HasNoModelFolders() const { return std::filesystem::is_empty(root_ + "/models"); }

  const std::string root_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<FailingStore> failing_store_;
  std::unique_ptr<store::Writer> writer_;
  metrics::Registry registry_;
  std::unique_ptr<datasets::Datasets> datasets_;
  std::unique_ptr<scheduler::WorkerCalls> calls_;
};

TEST_F(ImportsTest, AModelThatIsStoredIsNoDraft) {
  ASSERT_THAT(Import(), IsOk());
  EXPECT_EQ(Drafts(), 0u);
  EXPECT_FALSE(HasNoModelFolders());
}

TEST_F(ImportsTest, AFolderWhoseModelCannotBeStoredIsRemoved) {
  failing_store_->FailAddModel();
  EXPECT_THAT(Import(),
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr(FailingStore::kWhy)));
  EXPECT_TRUE(HasNoModelFolders());
  EXPECT_EQ(Drafts(), 0u);
  EXPECT_THAT(Import(), IsOk());
}

TEST_F(ImportsTest, AFolderWhoseServerEndedBeforeItsModelWasStoredIsRemovedByTheNextOne) {
  ASSERT_THAT(store_->DraftModel("half"), IsOk());
  std::filesystem::create_directory(root_ + "/models/half");
  removal::Remover remover(*store_, *writer_, *directory_);
  ASSERT_THAT(remover.Start(), IsOk());
  EXPECT_TRUE(HasNoModelFolders());
}

TEST_F(ImportsTest, ADataSetWhoseBytesAreGoneIsNotFound) {
  std::filesystem::remove_all(root_ + "/datasets");
  EXPECT_THAT(Import().status(),
              StatusIs(absl::StatusCode::kNotFound, ::testing::HasSubstr("datasets/net")));
}

TEST_F(ImportsTest, TheFloorOfFreeDiskIsLeftAlone) {
  EXPECT_THAT(Import(/*floor=*/int64_t{1} << 60).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::HasSubstr("floor")));
}

}  // namespace
}  // namespace hone::server::imports
