// A request_id that made a job before, while that job is being deleted.
#include <sqlite3.h>

#include <thread>

#include "absl/time/clock.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

// Keeps the server from writing while it lives.
class WriteLock {
 public:
  explicit WriteLock(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &connection_), SQLITE_OK);
    sqlite3_busy_timeout(connection_, 60'000);
    EXPECT_EQ(sqlite3_exec(connection_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  }
  ~WriteLock() { sqlite3_close(connection_); }

 private:
  sqlite3* connection_ = nullptr;
};

TEST_F(RpcTest, AKnownRequestWithAnotherSpecStoresNothingWhileItsJobIsDeleted) {
  v1::CreateJobRequest request = Request("bad data");
  request.mutable_spec()->mutable_training()->set_threads(1);
  request.set_request_id("once");
  const std::string name = Create(request).name();
  Watch(name);
  request.mutable_spec()->mutable_data()->set_dataset("../etc/passwd");
  grpc::Status created;
  {
    auto lock = std::make_unique<WriteLock>(root_ + "/store.db");
    std::thread deletes([&] { Delete(name); });
    while (Http("/metrics").find("hone_rpc_started_total{method=\"DeleteJob\"} 1\n") ==
           std::string::npos) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    std::thread creates([&] {
      grpc::ClientContext context;
      v1::Job job;
      created = training_->CreateJob(&context, request, &job);
    });
    // It may have to wait for the writer; then it is behind the deletion.
    absl::SleepFor(absl::Milliseconds(300));
    lock.reset();
    creates.join();
    deletes.join();
  }
  EXPECT_FALSE(created.ok());
  grpc::ClientContext context;
  v1::ListJobsResponse jobs;
  ASSERT_TRUE(training_->ListJobs(&context, {}, &jobs).ok());
  for (const v1::Job& job : jobs.jobs()) {
    EXPECT_EQ(job.spec().data().dataset(), "mnist");
  }
}

}  // namespace
}  // namespace hone::server::rpc
