#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

bool Within60Seconds(const std::function<bool()>& come) {
  for (int i = 0; i < 6000; ++i) {
    if (come()) {
      return true;
    }
    ::usleep(10'000);
  }
  return false;
}

class ShutdownTest : public RpcTest {
 protected:
  // As the store has it, whether or not the server still answers.
  std::string StateInStore() const {
    sqlite3* db = nullptr;
    sqlite3_stmt* statement = nullptr;
    std::string state;
    if (sqlite3_open_v2((root_ + "/store.db").c_str(), &db, SQLITE_OPEN_READONLY, nullptr) ==
            SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT state FROM job", -1, &statement, nullptr) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
      state = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return state;
  }
  std::string Part() const {
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/uploads")) {
      return entry.path().string();
    }
    return "";
  }
};

TEST_F(ShutdownTest, JobsAreDrainedAlthoughACallDoesNotEnd) {
  Create(Request("wait"));
  ASSERT_TRUE(Within60Seconds([&] { return StateInStore() == "RUNNING"; }));
  // An upload whose last step waits until somebody writes into its file.
  const std::string bytes = "a,b\n1,2\n";
  grpc::ClientContext context;
  v1::Dataset dataset;
  const auto upload = datasets_->UploadDataset(&context, &dataset);
  v1::UploadDatasetRequest message;
  message.mutable_header()->set_dataset_id("set");
  message.mutable_header()->set_format(v1::Dataset::CSV);
  message.mutable_header()->set_bytes(static_cast<int64_t>(bytes.size()));
  message.mutable_header()->set_sha256(Sha256(bytes));
  ASSERT_TRUE(upload->Write(message));
  message.set_chunk(bytes);
  ASSERT_TRUE(upload->Write(message));
  ASSERT_TRUE(Within60Seconds(
      [&] { return !Part().empty() && std::filesystem::file_size(Part()) == bytes.size(); }));
  const std::string part = Part();
  ::unlink(part.c_str());
  ASSERT_EQ(::mkfifo(part.c_str(), 0600), 0);
  upload->WritesDone();
  int writing = -1;
  ASSERT_TRUE(Within60Seconds([&] {
    writing = ::open(part.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return writing >= 0;
  }));
  std::thread shutdown([&] { server_->Shutdown(); });
  EXPECT_TRUE(Within60Seconds([&] { return StateInStore() == "QUEUED"; }));
  ::close(writing);
  shutdown.join();
  upload->Finish();
}

}  // namespace
}  // namespace hone::server::rpc
