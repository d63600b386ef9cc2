#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "server/datasets/datasets.h"
#include "server/store/sqlite_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::datasets {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

// Uploads, without a server around them.
class UploadSessionTest : public ::testing::Test {
 protected:
  UploadSessionTest()
      : root_(absl::StrCat(::testing::TempDir(), "/uploads-", ::getpid(), "-", counter_++)) {
    auto directory = artifacts::DataDirectory::Open(root_);
    EXPECT_THAT(directory, IsOk());
    directory_ = *std::move(directory);
    auto store = store::OpenSqliteStore(directory_->store_path());
    EXPECT_THAT(store, IsOk());
    store_ = *std::move(store);
    writer_ = std::make_unique<store::Writer>(*store_, [](const store::LoggedEvent&) {});
    datasets_ = std::make_unique<Datasets>(Limits{.quota_bytes = int64_t{1} << 30}, *directory_,
                                           store_->datasets(), *writer_);
  }
  ~UploadSessionTest() override {
    datasets_.reset();
    writer_.reset();
    store_.reset();
    directory_.reset();
    std::filesystem::remove_all(root_);
  }

  static v1::UploadHeader Header(const std::string& bytes) {
    v1::UploadHeader header;
    header.set_dataset_id("set");
    header.set_format(v1::Dataset::CSV);
    header.set_bytes(static_cast<int64_t>(bytes.size()));
    header.set_sha256(Sha256(bytes));
    return header;
  }
  std::unique_ptr<Session> Begin(const std::string& bytes) {
    auto session = datasets_->Open(Header(bytes), jobs::kDefaultProject);
    EXPECT_THAT(session, IsOk());
    EXPECT_THAT((*session)->StartAt(0), IsOk());
    return *std::move(session);
  }
  static void Append(Session& session, const std::string& bytes, size_t from, size_t to) {
    for (size_t at = from; at < to; at += Session::kMaxChunk) {
      const auto length = std::min<size_t>(Session::kMaxChunk, to - at);
      ASSERT_THAT(session.Append(absl::string_view(bytes).substr(at, length)), IsOk());
    }
  }
  std::string Part() const {
    return std::filesystem::directory_iterator(directory_->uploads_directory())->path().string();
  }
  // As if nobody had touched any upload since 1970.
  void MakeUploadsOld() const {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(directory_->store_path().c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, "UPDATE upload SET touch_time = 0", nullptr, nullptr, nullptr),
              SQLITE_OK);
    sqlite3_close(db);
  }

  static inline int counter_ = 0;
  const std::string root_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<store::Writer> writer_;
  std::unique_ptr<Datasets> datasets_;
};

TEST_F(UploadSessionTest, AStreamThatGoesOnIsNotAbandonedHoweverLongItTakes) {
  const std::string bytes = "a,b\n" + std::string(size_t{18} << 20, '1');
  const auto session = Begin(bytes);
  Append(*session, bytes, 0, size_t{16} << 20);
  MakeUploadsOld();
  Append(*session, bytes, size_t{16} << 20, bytes.size());
  datasets_->Sweep();
  EXPECT_THAT(session->Finish(), IsOk());
}

TEST_F(UploadSessionTest, WhoAsksHowFarItIsNeedNotWaitForTheBytesToBeVerified) {
  const std::string bytes = "a,b\n1,2\n";
  const auto session = Begin(bytes);
  Append(*session, bytes, 0, bytes.size());
  // A part that cannot be read before somebody writes: its verification does not end.
  const std::string part = Part();
  ::unlink(part.c_str());
  ASSERT_EQ(::mkfifo(part.c_str(), 0600), 0);
  auto finished = std::async(std::launch::async, [&] { return session->Finish().status(); });
  // It has begun when it waits for a writer.
  int writing = -1;
  for (int i = 0; i < 6000 && writing < 0; ++i) {
    writing = ::open(part.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    ::usleep(writing < 0 ? 10'000 : 0);
  }
  ASSERT_GE(writing, 0);
  auto begun = std::async(std::launch::async, [&] {
    return datasets_->Begin(Header(bytes), jobs::kDefaultProject).status();
  });
  const bool answered = begun.wait_for(std::chrono::seconds(60)) == std::future_status::ready;
  ::close(writing);
  EXPECT_TRUE(answered);
  EXPECT_THAT(begun.get(), IsOk());
  EXPECT_THAT(finished.get(), StatusIs(absl::StatusCode::kAborted, HasSubstr("newer stream")));
}

TEST_F(UploadSessionTest, AVerificationEndsWhenTheServerStopsAndKeepsTheBytes) {
  const std::string bytes = "a,b\n1,2\n";
  const auto session = Begin(bytes);
  Append(*session, bytes, 0, bytes.size());
  datasets_->Stop();
  EXPECT_THAT(session->Finish(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
  EXPECT_EQ(std::filesystem::file_size(Part()), bytes.size());
}

}  // namespace
}  // namespace hone::server::datasets
