// An upload against a server that is in the test's hand.
#include "client/cli/data_put.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "hone/v1/dataset_service.grpc.pb.h"
#include "tests/support/status_matchers.h"

namespace hone::client::cli {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;

constexpr absl::Duration kPatience = absl::Seconds(2);
constexpr int64_t kBytes = 1 << 20;

// Keeps what arrives; each stream ends as `ends` says, in turn, the last one whole.
class FakeDatasets final : public v1::DatasetService::Service {
 public:
  grpc::Status BeginUpload(grpc::ServerContext*, const v1::BeginUploadRequest*,
                           v1::BeginUploadResponse* response) override {
    response->set_offset(arrived);
    return grpc::Status::OK;
  }
  grpc::Status UploadDataset(grpc::ServerContext*, grpc::ServerReader<v1::UploadDatasetRequest>* in,
                             v1::Dataset* dataset) override {
    v1::UploadDatasetRequest message;
    const bool cut = streams < static_cast<int>(ends.size());
    while (in->Read(&message)) {
      arrived += static_cast<int64_t>(message.chunk().size());
      if (cut && arrived >= kBytes / 2) {
        absl::SleepFor(open_for);
        return ends[static_cast<size_t>(streams++)];
      }
    }
    dataset->set_bytes(arrived);
    return grpc::Status::OK;
  }

  int64_t arrived = 0;
  int streams = 0;
  std::vector<grpc::Status> ends;
  absl::Duration open_for;
};

class DataPutTest : public ::testing::Test {
 protected:
  DataPutTest() {
    std::ofstream(path_) << std::string(kBytes, 'x');
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&datasets_);
    server_ = builder.BuildAndStart();
    client_ = Client::ForServer(absl::StrCat("127.0.0.1:", port));
  }

  absl::StatusOr<v1::Dataset> Put() {
    return PutFile(
        *client_,
        {.dataset_id = "x", .path = path_, .format = v1::Dataset::CSV, .patience = kPatience},
        [](int64_t, int64_t, int) {});
  }

  const std::string path_ = ::testing::TempDir() + "hone-data-put.csv";
  FakeDatasets datasets_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(DataPutTest, GoesOnAfterACutOfAStreamThatWasOpenForLongerThanItsPatience) {
  datasets_.ends = {{grpc::StatusCode::UNAVAILABLE, "the line broke"}};
  datasets_.open_for = kPatience + absl::Milliseconds(100);
  const absl::StatusOr<v1::Dataset> dataset = Put();
  ASSERT_THAT(dataset, IsOk());
  EXPECT_EQ(dataset->bytes(), kBytes);
}

TEST_F(DataPutTest, ComesAgainWhenTheServerSaysWhen) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(1'000'000);
  google::rpc::Status details;
  details.add_details()->PackFrom(retry);
  datasets_.ends = {{grpc::StatusCode::RESOURCE_EXHAUSTED, "too many uploads at a time",
                     details.SerializeAsString()}};
  EXPECT_THAT(Put(), IsOk());
}

TEST_F(DataPutTest, EndsWithWhatTheServerRefuses) {
  google::rpc::Status details;
  details.set_code(3);
  datasets_.ends = {
      {grpc::StatusCode::INVALID_ARGUMENT, "the SHA-256 differs", details.SerializeAsString()}};
  EXPECT_THAT(Put().status(),
              StatusIs(absl::StatusCode::kInvalidArgument, std::string("the SHA-256 differs")));
}

}  // namespace
}  // namespace hone::client::cli
