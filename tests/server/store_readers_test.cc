// A call that reads for long holds up no other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/store/dataset_store.h"
#include "server/store/sqlite_store.h"
#include "tests/server/now.h"
#include "tests/server/sqlite_faults.h"
#include "tests/support/status_matchers.h"

namespace hone::server::store {
namespace {

using ::hone::testing::IsOk;

class StoreReadersTest : public ::testing::Test {
 protected:
  StoreReadersTest()
      : path_(absl::StrCat(::testing::TempDir(), "/readers-", ::getpid(), "-", counter_++, ".db")) {
    auto opened = OpenSqliteStore(path_);
    EXPECT_THAT(opened, IsOk());
    store_ = *std::move(opened);
    const auto job = store_->Insert({.id = jobs::NewId()}, kNow);
    EXPECT_THAT(job, IsOk());
    id_ = job->id;
  }
  ~StoreReadersTest() override {
    store_.reset();
    for (const char* tail : {"", "-wal", "-shm"}) {
      std::filesystem::remove(path_ + tail);
    }
  }

  static inline int counter_ = 0;
  const std::string path_;
  OpenedConnections connections_;
  std::unique_ptr<JobStore> store_;
  std::string id_;
};

// More of them than there are readers.
TEST_F(StoreReadersTest, ListsThatAreSlowHoldUpNoGet) {
  std::vector<std::future<void>> lists;
  std::future<absl::Status> get;
  connections_.Hold("row < ?1");
  for (int i = 0; i < 10; ++i) {
    lists.push_back(std::async(std::launch::async, [this] { (void)store_->List({}); }));
  }
  connections_.AwaitHeld(2);
  get = std::async(std::launch::async, [this] { return store_->Get(id_).status(); });
  EXPECT_EQ(get.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  connections_.LetGo();
  EXPECT_THAT(get.get(), IsOk());
}

TEST_F(StoreReadersTest, AListOfDataSetsThatIsSlowHoldsUpNoOtherQuestionAboutThem) {
  std::future<void> list;
  std::future<absl::Status> get;
  connections_.Hold("substr(name");
  list = std::async(std::launch::async, [this] { (void)store_->datasets().List({}); });
  connections_.AwaitHeld(1);
  get = std::async(std::launch::async, [this] { return store_->datasets().OfJob(id_).status(); });
  EXPECT_EQ(get.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  connections_.LetGo();
  EXPECT_THAT(get.get(), IsOk());
}

}  // namespace
}  // namespace hone::server::store
