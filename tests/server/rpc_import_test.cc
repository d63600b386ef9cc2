// Checkpoints that are imported, over the wire; the worker does as the data set's name says.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::HasSubstr;

class RpcImportTest : public RpcTest {
 protected:
  // Bytes that begin as a tar does.
  static std::string Archive(char filler) {
    std::string bytes(1024, filler);
    bytes.replace(257, 5, "ustar");
    return bytes;
  }
  void UploadArchive(const std::string& id, char filler = 'x') {
    grpc::ClientContext context;
    v1::Dataset dataset;
    const auto writer = datasets_->UploadDataset(&context, &dataset);
    const std::string bytes = Archive(filler);
    v1::UploadDatasetRequest message;
    message.mutable_header()->set_dataset_id(id);
    message.mutable_header()->set_format(v1::Dataset::TAR);
    message.mutable_header()->set_bytes(static_cast<int64_t>(bytes.size()));
    message.mutable_header()->set_sha256(Sha256(bytes));
    writer->Write(message);
    message.set_chunk(bytes);
    writer->Write(message);
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  grpc::Status Import(const std::string& id, v1::Model* model = nullptr,
                      const std::string& name = "") {
    grpc::ClientContext context;
    v1::ImportModelRequest request;
    request.set_dataset("datasets/" + id);
    request.set_display_name(name);
    v1::Model ignored;
    return models_->ImportModel(&context, request, model == nullptr ? &ignored : model);
  }
  int Models() {
    grpc::ClientContext context;
    v1::ListModelsResponse list;
    EXPECT_TRUE(models_->ListModels(&context, {}, &list).ok());
    return list.models_size();
  }
  bool IsEmpty(const std::string& folder) const {
    return std::filesystem::is_empty(root_ + "/" + folder);
  }
};

TEST_F(RpcImportTest, MakesAModelWithoutAJob) {
  UploadArchive("net");
  v1::Model model;
  const grpc::Status status = Import("net", &model);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(model.display_name(), "net");
  EXPECT_EQ(model.job(), "");
  EXPECT_EQ(model.task(), "language_modeling");
  EXPECT_EQ(model.archive_sha256(), Sha256(Archive('x')));
  ASSERT_EQ(model.files_size(), 1);
  EXPECT_EQ(model.files(0).path(), "config.json");
  grpc::ClientContext context;
  v1::GetModelRequest get;
  get.set_name(model.name());
  v1::Model stored;
  ASSERT_TRUE(models_->GetModel(&context, get, &stored).ok());
  EXPECT_EQ(stored.plan().layers_size(), 1);
  EXPECT_EQ(stored.bytes(), model.bytes());
  EXPECT_TRUE(IsEmpty("tmp"));
}

TEST_F(RpcImportTest, TheModelAnswersAndOutlivesItsDataSetAndARestart) {
  UploadArchive("net");
  v1::Model model;
  ASSERT_TRUE(Import("net", &model).ok());
  DeleteDataset("net");
  Start();
  grpc::ClientContext context;
  v1::PredictRequest request;
  request.set_name(model.name());
  request.add_inputs()->set_image("a");
  v1::PredictResponse response;
  const grpc::Status status = models_->Predict(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(RpcImportTest, TheSameBytesUnderTheSameNameAreOneModel) {
  UploadArchive("net");
  v1::Model first, again, other;
  ASSERT_TRUE(Import("net", &first, "minilm").ok());
  ASSERT_TRUE(Import("net", &again, "minilm").ok());
  EXPECT_EQ(again.name(), first.name());
  EXPECT_THAT(Http("/metrics"), HasSubstr("hone_worker_starts_total{mode=\"import\"} 1\n"));
  ASSERT_TRUE(Import("net", &other, "another").ok());
  EXPECT_NE(other.name(), first.name());
}

TEST_F(RpcImportTest, WhoAsksWhileItIsUnderWayIsToldToComeAgain) {
  UploadArchive("slow");
  std::thread first([this] { EXPECT_TRUE(Import("slow").ok()); });
  while (Http("/metrics").find("hone_worker_starts_total{mode=\"import\"} 1\n") ==
         std::string::npos) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  const grpc::Status status = Import("slow");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_details(), HasSubstr("google.rpc.RetryInfo"));
  EXPECT_THAT(status.error_details(), HasSubstr("IMPORT_UNDER_WAY"));
  std::ofstream(root_ + "/datasets/go");
  first.join();
  EXPECT_EQ(Models(), 1);
}

TEST_F(RpcImportTest, WhoHasWaitedForLongIsToldToComeAgainWhileItGoesOn) {
  config_.import_call = absl::Milliseconds(50);
  Start();
  UploadArchive("slow");
  const grpc::Status status = Import("slow");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_details(), HasSubstr("IMPORT_UNDER_WAY"));
  std::ofstream(root_ + "/datasets/go");
  while (Models() == 0) {
    absl::SleepFor(absl::Milliseconds(5));
  }
}

TEST_F(RpcImportTest, NothingIsKeptOfACheckpointThatIsWrong) {
  UploadArchive("broken");
  const grpc::Status status = Import("broken");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("dataset: broken: has no config.json"));
  EXPECT_EQ(Models(), 0);
  EXPECT_TRUE(IsEmpty("models"));
  EXPECT_TRUE(IsEmpty("tmp"));
}

TEST_F(RpcImportTest, TheDataSetMayBeDeletedWhileItIsRead) {
  UploadArchive("slow");
  std::thread first([this] { EXPECT_TRUE(Import("slow").ok()); });
  while (Http("/metrics").find("hone_worker_starts_total{mode=\"import\"} 1\n") ==
         std::string::npos) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  DeleteDataset("slow");
  std::ofstream(root_ + "/datasets/go");
  first.join();
}

TEST_F(RpcImportTest, WhatTheWorkersDiskDoesNotTakeIsNotAskedForAgain) {
  UploadArchive("no-disk");
  EXPECT_EQ(Import("no-disk").error_code(), grpc::StatusCode::INTERNAL);
}

TEST_F(RpcImportTest, AModelThatCannotBePublishedIsTheServersFault) {
  UploadArchive("not-utf8");
  const grpc::Status status = Import("not-utf8");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(status.error_message(), HasSubstr("cannot be published"));
  EXPECT_TRUE(IsEmpty("models"));
}

TEST_F(RpcImportTest, NothingIsKeptWhenTheWorkerDies) {
  UploadArchive("dies");
  EXPECT_EQ(Import("dies").error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(Models(), 0);
  EXPECT_TRUE(IsEmpty("models"));
  EXPECT_TRUE(IsEmpty("tmp"));
}

TEST_F(RpcImportTest, ADataSetThatIsNoArchiveIsRefused) {
  Upload("table", "a,b\n1,2\n");
  const grpc::Status status = Import("table");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("must be TAR or TAR_GZ"));
}

TEST_F(RpcImportTest, AnImportThatTheServersEndCutsLeavesNothing) {
  UploadArchive("slow");
  std::thread first([this] { EXPECT_FALSE(Import("slow").ok()); });
  while (Http("/metrics").find("hone_worker_starts_total{mode=\"import\"} 1\n") ==
         std::string::npos) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  server_->Shutdown();
  first.join();
  Start();
  EXPECT_EQ(Models(), 0);
  EXPECT_TRUE(IsEmpty("models"));
  EXPECT_TRUE(IsEmpty("tmp"));
}

}  // namespace
}  // namespace hone::server::rpc
