// DatasetService over the wire: what a well-meaning client never sends, too.
#include "server/datasets/datasets.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "hone/v1/dataset_service.grpc.pb.h"
#include "server/rpc/server.h"
#include "tests/support/status_matchers.h"

namespace hone::server {
namespace {

using ::hone::testing::IsOk;
using ::testing::HasSubstr;

constexpr size_t kChunk = 1 << 20;

std::string Table(size_t bytes, char digit = '1') {
  std::string text = "a,b\n";
  while (text.size() < bytes) {
    text += absl::StrCat(std::string(1, digit), ",2\n");
  }
  return text;
}

v1::UploadHeader Header(const std::string& id, const std::string& bytes) {
  v1::UploadHeader header;
  header.set_dataset_id(id);
  header.set_format(v1::Dataset::CSV);
  header.set_bytes(static_cast<int64_t>(bytes.size()));
  header.set_sha256(Sha256(bytes));
  return header;
}

class DatasetServiceTest : public ::testing::Test {
 protected:
  DatasetServiceTest()
      : root_(absl::StrCat(::testing::TempDir(), "/datasets-", ::getpid(), "-", counter_++)) {
    config_.data_dir = root_;
    config_.listen = "127.0.0.1:0";
    config_.metrics_listen = "127.0.0.1:0";
    config_.http_listen = "";
    config_.worker = HONE_SCRIPTED_WORKER;
    config_.threads = 2;
    config_.disk_floor_bytes = 0;
    Start();
  }
  ~DatasetServiceTest() override {
    server_.reset();
    std::filesystem::remove_all(root_);
  }

  void Start() {
    stub_.reset();
    server_.reset();
    auto started = rpc::Server::Start(config_);
    ASSERT_THAT(started, IsOk());
    server_ = *std::move(started);
    stub_ = v1::DatasetService::NewStub(grpc::CreateChannel(
        absl::StrCat("127.0.0.1:", server_->port()), grpc::InsecureChannelCredentials()));
  }

  grpc::Status Begin(const v1::UploadHeader& header, v1::BeginUploadResponse* response) {
    grpc::ClientContext context;
    v1::BeginUploadRequest request;
    *request.mutable_header() = header;
    return stub_->BeginUpload(&context, request, response);
  }
  grpc::Status Begin(const v1::UploadHeader& header) {
    v1::BeginUploadResponse ignored;
    return Begin(header, &ignored);
  }
  int64_t Offset(const v1::UploadHeader& header) {
    v1::BeginUploadResponse response;
    const grpc::Status status = Begin(header, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.offset();
  }

  // Sends bytes from the header's offset on, in chunks.
  grpc::Status Send(const v1::UploadHeader& header, const std::string& bytes,
                    size_t chunk = kChunk) {
    grpc::ClientContext context;
    v1::Dataset dataset;
    const auto writer = stub_->UploadDataset(&context, &dataset);
    v1::UploadDatasetRequest message;
    *message.mutable_header() = header;
    bool open = writer->Write(message);
    for (auto at = static_cast<size_t>(header.offset()); open && at < bytes.size(); at += chunk) {
      message.set_chunk(bytes.substr(at, chunk));
      open = writer->Write(message);
    }
    writer->WritesDone();
    return writer->Finish();
  }

  size_t Files(const std::string& folder) const {
    size_t files = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(root_ + folder)) {
      ++files;
    }
    return files;
  }

  static inline int counter_ = 0;
  const std::string root_;
  config::Config config_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::DatasetService::Stub> stub_;
};

TEST_F(DatasetServiceTest, AnUploadIsWholeAndListed) {
  const std::string bytes = Table(3 * kChunk + 17);
  const grpc::Status status = Send(Header("whole", bytes), bytes);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const auto stored = Sha256OfFile(absl::StrCat(root_, "/datasets/", Sha256(bytes), ".csv"));
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(*stored, Sha256(bytes));
  grpc::ClientContext context;
  v1::ListDatasetsResponse list;
  ASSERT_TRUE(stub_->ListDatasets(&context, {}, &list).ok());
  ASSERT_EQ(list.datasets_size(), 1);
  EXPECT_EQ(list.datasets(0).name(), "datasets/whole");
}

TEST_F(DatasetServiceTest, AStreamThatEndsEarlyIsRefusedAndCanGoOnAfterARestart) {
  const std::string bytes = Table(3 * kChunk);
  v1::UploadHeader header = Header("late", bytes);
  const grpc::Status early = Send(header, bytes.substr(0, kChunk + 5));
  EXPECT_EQ(early.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(early.error_message(), HasSubstr("the stream ended after 1048581"));
  Start();
  EXPECT_EQ(Offset(header), static_cast<int64_t>(kChunk) + 5);
  header.set_offset(kChunk + 5);
  EXPECT_TRUE(Send(header, bytes).ok());
}

TEST_F(DatasetServiceTest, AnOffsetBeyondWhatArrivedIsRefused) {
  const std::string bytes = Table(1000);
  v1::UploadHeader header = Header("ahead", bytes);
  header.set_offset(10);
  const grpc::Status status = Send(header, bytes);
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("offset: 0 bytes have arrived"));
}

TEST_F(DatasetServiceTest, AnOffsetBeforeWhatArrivedIsSentAgain) {
  const std::string bytes = Table(1000);
  v1::UploadHeader header = Header("again", bytes);
  EXPECT_FALSE(Send(header, bytes.substr(0, 500)).ok());
  header.set_offset(100);
  EXPECT_TRUE(Send(header, bytes).ok());
}

TEST_F(DatasetServiceTest, AWrongSha256IsRefusedAndItsBytesAreDropped) {
  const std::string bytes = Table(1000);
  v1::UploadHeader header = Header("wrong", bytes);
  header.set_sha256(Sha256("something else"));
  const grpc::Status status = Send(header, bytes);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("sha256: "));
  EXPECT_EQ(Files("/uploads") + Files("/datasets"), 0u);
}

TEST_F(DatasetServiceTest, MoreBytesThanDeclaredAreRefusedAndDropped) {
  const std::string bytes = Table(1000);
  v1::UploadHeader header = Header("long", bytes);
  header.set_bytes(999);
  const grpc::Status status = Send(header, bytes);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("bytes: 999 were declared"));
  EXPECT_EQ(Files("/uploads"), 0u);
}

TEST_F(DatasetServiceTest, AChunkBeyondTheLimitIsRefused) {
  const std::string bytes = Table(2 * kChunk);
  const grpc::Status status = Send(Header("fat", bytes), bytes, kChunk + 1);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("chunk: must be at most 1048576 bytes"));
}

TEST_F(DatasetServiceTest, AMessageBeyondTheTransportsLimitIsRefusedAndTheServerLives) {
  const std::string bytes = Table(6 * kChunk);
  EXPECT_FALSE(Send(Header("fatter", bytes), bytes, 6 * kChunk).ok());
  EXPECT_TRUE(Send(Header("fatter", bytes), bytes).ok());
}

TEST_F(DatasetServiceTest, AStreamWithoutAHeaderIsRefused) {
  grpc::ClientContext context;
  v1::Dataset dataset;
  const auto writer = stub_->UploadDataset(&context, &dataset);
  writer->WritesDone();
  EXPECT_EQ(writer->Finish().error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(DatasetServiceTest, NamesThatCouldLeadSomewhereAreRefused) {
  const std::string bytes = Table(1000);
  for (const std::string& id : {std::string("../escape"), std::string("nul\0inside", 10),
                                std::string("line\nbreak"), std::string(), std::string("a/b")}) {
    const grpc::Status status = Begin(Header(id, bytes));
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << id;
    EXPECT_THAT(status.error_message(), HasSubstr("dataset_id: must be")) << id;
  }
}

TEST_F(DatasetServiceTest, ANameOfTheCatalogueIsRefused) {
  const grpc::Status status = Begin(Header("mnist", Table(100)));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("a data set of the catalogue"));
}

TEST_F(DatasetServiceTest, EveryFieldOfTheHeaderIsChecked) {
  const std::string bytes = Table(1000);
  v1::UploadHeader header = Header("fields", bytes);
  header.set_format(v1::Dataset::FORMAT_UNSPECIFIED);
  EXPECT_THAT(Begin(header).error_message(), HasSubstr("format: "));
  header = Header("fields", bytes);
  header.set_bytes(0);
  EXPECT_THAT(Begin(header).error_message(), HasSubstr("bytes: "));
  header = Header("fields", bytes);
  header.set_sha256(std::string(64, 'G'));
  EXPECT_THAT(Begin(header).error_message(), HasSubstr("sha256: "));
  header = Header("fields", bytes);
  header.set_offset(-1);
  EXPECT_THAT(Begin(header).error_message(), HasSubstr("offset: "));
}

TEST_F(DatasetServiceTest, ANewerStreamEndsTheOlderOneAndGoesOnWhereItWas) {
  const std::string bytes = Table(2 * kChunk);
  v1::UploadHeader header = Header("moved", bytes);
  grpc::ClientContext context;
  v1::Dataset dataset;
  const auto older = stub_->UploadDataset(&context, &dataset);
  v1::UploadDatasetRequest message;
  *message.mutable_header() = header;
  ASSERT_TRUE(older->Write(message));
  message.set_chunk(bytes.substr(0, kChunk));
  ASSERT_TRUE(older->Write(message));
  const std::string uploads = root_ + "/uploads";
  // Until the chunk is on the disk there is nothing to go on from.
  for (bool arrived = false; !arrived;) {
    for (const auto& entry : std::filesystem::directory_iterator(uploads)) {
      arrived = arrived || entry.file_size() == kChunk;
    }
  }
  header.set_offset(Offset(header));
  EXPECT_EQ(header.offset(), static_cast<int64_t>(kChunk));
  EXPECT_TRUE(Send(header, bytes).ok());
  older->Write(message);
  older->WritesDone();
  EXPECT_EQ(older->Finish().error_code(), grpc::ABORTED);
}

TEST_F(DatasetServiceTest, KnownBytesUnderAnotherNameNeedNoSending) {
  const std::string bytes = Table(1000);
  ASSERT_TRUE(Send(Header("one", bytes), bytes).ok());
  v1::BeginUploadResponse response;
  ASSERT_TRUE(Begin(Header("two", bytes), &response).ok());
  EXPECT_EQ(response.dataset().name(), "datasets/two");
  EXPECT_EQ(Files("/datasets"), 1u);
}

TEST_F(DatasetServiceTest, MoreBytesThanDeclaredAreRefusedAlsoWhereTheyAreKnown) {
  const std::string bytes = Table(1000);
  ASSERT_TRUE(Send(Header("one", bytes), bytes).ok());
  EXPECT_TRUE(Send(Header("one", bytes), bytes).ok());
  const grpc::Status status = Send(Header("one", bytes), bytes + bytes);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("more came"));
}

TEST_F(DatasetServiceTest, TheQuotaCountsUploadsThatAreNotWholeAndSaysWhenToComeBack) {
  config_.dataset_quota_bytes = 1500;
  Start();
  const std::string first = Table(1000, '1');
  const std::string second = Table(1000, '2');
  ASSERT_TRUE(Begin(Header("first", first)).ok());
  const grpc::Status status = Begin(Header("second", second));
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_EQ(details.details_size(), 2);
  EXPECT_TRUE(details.details(0).Is<google::rpc::ErrorInfo>());
  EXPECT_TRUE(details.details(1).Is<google::rpc::RetryInfo>());
}

TEST_F(DatasetServiceTest, PagesGoOnWhereTheLastOneEnded) {
  for (const char digit : {'1', '2', '3'}) {
    const std::string bytes = Table(100, digit);
    ASSERT_TRUE(Send(Header(absl::StrCat("set", std::string(1, digit)), bytes), bytes).ok());
  }
  v1::ListDatasetsRequest request;
  request.set_page_size(2);
  std::vector<std::string> names;
  do {
    grpc::ClientContext context;
    v1::ListDatasetsResponse page;
    ASSERT_TRUE(stub_->ListDatasets(&context, request, &page).ok());
    for (const v1::Dataset& dataset : page.datasets()) {
      names.push_back(dataset.name());
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ::testing::ElementsAre("datasets/set3", "datasets/set2", "datasets/set1"));
}

}  // namespace
}  // namespace hone::server
