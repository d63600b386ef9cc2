// How many streams there may be.
#include <functional>

#include "server/rpc/transfers.h"
#include "server/rpc/watch_streams.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::HasSubstr;

constexpr char kBytes[] = "a,b\n1,2\n";

v1::UploadDatasetRequest Header() {
  v1::UploadDatasetRequest message;
  message.mutable_header()->set_dataset_id("set");
  message.mutable_header()->set_format(v1::Dataset::CSV);
  message.mutable_header()->set_bytes(sizeof(kBytes) - 1);
  message.mutable_header()->set_sha256(Sha256(kBytes));
  return message;
}

class StreamsTest : public RpcTest {
 protected:
  struct Upload {
    grpc::ClientContext context;
    v1::Dataset dataset;
    std::unique_ptr<grpc::ClientWriter<v1::UploadDatasetRequest>> writer;
  };
  std::unique_ptr<Upload> Open() {
    auto upload = std::make_unique<Upload>();
    upload->writer = datasets_->UploadDataset(&upload->context, &upload->dataset);
    return upload;
  }
  // So many uploads without a word, which the server knows of.
  std::vector<std::unique_ptr<Upload>> Silent(int number) {
    std::vector<std::unique_ptr<Upload>> silent;
    for (int i = 0; i < number; ++i) {
      silent.push_back(Open());
    }
    const std::string line = "hone_rpc_started_total{method=\"UploadDataset\"} ";
    const std::string wanted = absl::StrCat(line, number, "\n");
    for (int i = 0; i < 6000 && Http("/metrics").find(wanted) == std::string::npos; ++i) {
      ::usleep(10'000);
    }
    EXPECT_THAT(Http("/metrics"), HasSubstr(wanted));
    return silent;
  }
  grpc::Status SendWhole() {
    const auto upload = Open();
    v1::UploadDatasetRequest message = Header();
    upload->writer->Write(message);
    message.set_chunk(kBytes);
    upload->writer->Write(message);
    upload->writer->WritesDone();
    return upload->writer->Finish();
  }
  // Comes again, as it is told, until it is taken.
  void ExpectRoomInTheEnd() {
    grpc::Status status;
    for (int i = 0; i < 6000; ++i) {
      status = SendWhole();
      if (status.ok()) {
        return;
      }
      ::usleep(10'000);
    }
    ADD_FAILURE() << status.error_message();
  }
};

TEST_F(StreamsTest, MoreUploadsThanTheLimitAreRefused) {
  const auto silent = Silent(Transfers::kMost);
  EXPECT_EQ(SendWhole().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(StreamsTest, UploadsWithoutAWordMakeRoomForOthersAndAreToldToComeBack) {
  config_.transfer_idle = absl::ZeroDuration();
  Start();
  const auto silent = Silent(Transfers::kMost);
  ExpectRoomInTheEnd();
  EXPECT_EQ(silent[0]->writer->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(StreamsTest, ADownloadThatNobodyTakesMakesRoom) {
  config_.transfer_idle = absl::ZeroDuration();
  Start();
  const v1::Job job = Create(Request("succeed"));
  Watch(job.name());
  v1::DownloadModelRequest request;
  request.set_name(Get(job.name()).model());
  // A client that holds no more than a part of a chunk that it has not asked for.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1 << 16);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const auto models = v1::ModelService::NewStub(grpc::CreateCustomChannel(
      absl::StrCat("127.0.0.1:", server_->port()), grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  const auto download = models->DownloadModel(&context, request);
  v1::DownloadModelResponse chunk;
  ASSERT_TRUE(download->Read(&chunk));
  const auto silent = Silent(Transfers::kMost - 1);
  ExpectRoomInTheEnd();
  while (download->Read(&chunk)) {
  }
  EXPECT_FALSE(download->Finish().ok());
}

TEST_F(StreamsTest, MoreWatchersThanTheLimitAreRefused) {
  const std::string name = Create(Request("wait")).name();
  struct Watcher {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::WatchJobResponse>> reader;
  };
  v1::WatchJobRequest request;
  request.set_name(name);
  request.set_live_only(true);
  std::vector<std::unique_ptr<Watcher>> watchers;
  v1::WatchJobResponse answer;
  for (size_t i = 0; i < WatchStreams::kMaxStreams; ++i) {
    watchers.push_back(std::make_unique<Watcher>());
    watchers.back()->reader = training_->WatchJob(&watchers.back()->context, request);
    ASSERT_TRUE(watchers.back()->reader->Read(&answer)) << i;
  }
  EXPECT_EQ(Watch(name).status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  for (const auto& watcher : watchers) {
    watcher->context.TryCancel();
  }
}

}  // namespace
}  // namespace hone::server::rpc
