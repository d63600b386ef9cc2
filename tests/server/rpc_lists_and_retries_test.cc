#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

TEST_F(RpcTest, ARetryWhoseCheckpointsWereRemovedIsRefusedUnlessItBeginsAnew) {
  const std::string name = Create(Request("bad data once")).name();
  Watch(name);
  const std::string run = root_ + "/runs/" + name.substr(5);
  ASSERT_TRUE(std::filesystem::exists(run + "/attempt-1/checkpoints/step-7"));
  std::filesystem::remove_all(run + "/attempt-1/checkpoints/step-7");
  std::ofstream(run + "/checkpoints-removed");
  v1::RetryJobRequest request;
  request.set_name(name);
  const grpc::Status refused = Retry(request);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_NE(refused.error_message().find("from_start"), std::string::npos);
  request.set_from_start(true);
  EXPECT_TRUE(Retry(request).ok());
}

class FewerThreadsTest : public RpcTest {
 protected:
  // What a retry is told of a job that asked for two threads, by a server that has one by now.
  grpc::Status RetryOnOneThread(const v1::CreateJobRequest& asks) {
    const std::string name = Create(asks).name();
    Watch(name);
    config_.threads = 1;
    config_.concurrent_jobs = 1;
    Start();
    v1::RetryJobRequest request;
    request.set_name(name);
    return Retry(request);
  }
  static v1::CreateJobRequest TwoThreads() {
    v1::CreateJobRequest asks = Request("bad data");
    asks.mutable_spec()->mutable_training()->set_threads(2);
    return asks;
  }
};

TEST_F(FewerThreadsTest, ARetryThatAsksForMoreThreadsThanThereAreIsRefused) {
  const grpc::Status refused = RetryOnOneThread(TwoThreads());
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_NE(refused.error_message().find("asks for 2 threads"), std::string::npos);
}

TEST_F(FewerThreadsTest, ARetryIsRefusedForTheReasonForWhichANewJobIs) {
  const std::string of_retry = ReasonOf(RetryOnOneThread(TwoThreads()));
  EXPECT_EQ(of_retry, ReasonOf(TryToCreate(TwoThreads())));
  EXPECT_EQ(of_retry, "hone/INVALID_FIELD");
}

TEST_F(RpcTest, JobsOfATaskThatDoesNotExistAreRefused) {
  grpc::ClientContext context;
  v1::ListJobsRequest request;
  request.set_task("clasification");
  v1::ListJobsResponse response;
  const grpc::Status status = training_->ListJobs(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_NE(status.error_message().find("classification"), std::string::npos);
}

}  // namespace
}  // namespace hone::server::rpc
