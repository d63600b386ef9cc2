// A data set that is read while its client is away.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "absl/time/clock.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

class RpcValidationTest : public RpcTest {
 protected:
  grpc::Status Start(const std::string& id, v1::DatasetValidation& validation, int rows = 0) {
    grpc::ClientContext context;
    v1::ValidateDatasetRequest request;
    request.set_name("datasets/" + id);
    request.set_rows(rows);
    return datasets_->ValidateDataset(&context, request, &validation);
  }
  grpc::Status Ask(const std::string& id, v1::DatasetValidation& validation, int rows = 0) {
    grpc::ClientContext context;
    v1::GetDatasetValidationRequest request;
    request.set_name("datasets/" + id);
    request.set_rows(rows);
    return datasets_->GetDatasetValidation(&context, request, &validation);
  }
  v1::DatasetValidation Ended(const std::string& id, int rows = 0) {
    v1::DatasetValidation validation;
    while (Ask(id, validation, rows).ok() && validation.state() == v1::DatasetValidation::RUNNING) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    return validation;
  }
};

TEST_F(RpcValidationTest, IsStartedAtOnceAndItsReportIsThereForWhoComesBack) {
  Upload("slow", "a,b\n1,2\n");
  v1::DatasetValidation validation;
  ASSERT_TRUE(Start("slow", validation).ok());
  EXPECT_EQ(validation.state(), v1::DatasetValidation::RUNNING);
  ASSERT_TRUE(Start("slow", validation).ok());
  EXPECT_EQ(validation.state(), v1::DatasetValidation::RUNNING);  // the same one
  EXPECT_FALSE(validation.has_report());
  std::ofstream(root_ + "/datasets/go");
  const v1::DatasetValidation ended = Ended("slow");
  EXPECT_EQ(ended.state(), v1::DatasetValidation::DONE);
  EXPECT_TRUE(ended.report().valid());
  EXPECT_EQ(ended.dataset(), "datasets/slow");
  EXPECT_THAT(Http("/metrics"),
              ::testing::HasSubstr("hone_worker_starts_total{mode=\"dataset\"} 1\n"));
}

TEST_F(RpcValidationTest, WhatHasAReportIsNotReadAgain) {
  Upload("table", "a,b\n1,2\n");
  v1::DatasetValidation validation;
  ASSERT_TRUE(Start("table", validation).ok());
  Ended("table");
  ASSERT_TRUE(Start("table", validation).ok());
  EXPECT_EQ(validation.state(), v1::DatasetValidation::DONE);
}

TEST_F(RpcValidationTest, ShowsAsManyRowsAsAreAskedFor) {
  Upload("table", "a,b\n1,2\n");
  v1::DatasetValidation validation;
  ASSERT_TRUE(Start("table", validation).ok());
  EXPECT_EQ(Ended("table").report().rows_size(), 0);
  EXPECT_EQ(Ended("table", 7).report().rows_size(), 7);
  EXPECT_EQ(Ask("table", validation, 101).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(RpcValidationTest, OneThatFailedSaysWhyAndIsTriedAgain) {
  Upload("broken", "a,b\n1,2\n");
  v1::DatasetValidation validation;
  ASSERT_TRUE(Start("broken", validation).ok());
  const v1::DatasetValidation ended = Ended("broken");
  EXPECT_EQ(ended.state(), v1::DatasetValidation::FAILED);
  EXPECT_EQ(ended.message(), "the disk does not answer");
  EXPECT_FALSE(ended.has_report());
  ASSERT_TRUE(Start("broken", validation).ok());
  EXPECT_NE(validation.state(), v1::DatasetValidation::DONE);
}

TEST_F(RpcValidationTest, IsNotFoundWhereNobodyStartedIt) {
  Upload("table", "a,b\n1,2\n");
  v1::DatasetValidation validation;
  const grpc::Status status = Ask("table", validation);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr("ValidateDataset"));
}

TEST_F(RpcValidationTest, ItsReportIsThereAfterARestart) {
  Upload("table", "a,b\n1,2\n");
  v1::DatasetValidation validation;
  ASSERT_TRUE(Start("table", validation).ok());
  const v1::DatasetValidation before = Ended("table", 7);
  RpcTest::Start();
  ASSERT_TRUE(Ask("table", validation, 7).ok());
  EXPECT_EQ(validation.SerializeAsString(), before.SerializeAsString());
}

TEST_F(RpcValidationTest, OneThatTheServersEndBrokeOffIsForgottenAndBeginsAnew) {
  Upload("slow", "a,b\n1,2\n");
  v1::DatasetValidation validation;
  ASSERT_TRUE(Start("slow", validation).ok());
  RpcTest::Start();
  EXPECT_EQ(Ask("slow", validation).error_code(), grpc::StatusCode::NOT_FOUND);
  std::ofstream(root_ + "/datasets/go");
  ASSERT_TRUE(Start("slow", validation).ok());
  EXPECT_EQ(Ended("slow").state(), v1::DatasetValidation::DONE);
}

TEST_F(RpcValidationTest, GoesWithItsDataSet) {
  Upload("table", "a,b\n1,2\n");
  v1::DatasetValidation validation;
  ASSERT_TRUE(Start("table", validation).ok());
  Ended("table");
  DeleteDataset("table");
  Upload("table", "a,b\n1,2\n");
  EXPECT_EQ(Ask("table", validation).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(RpcValidationTest, OtherBytesUnderTheSameNameAreReadAnew) {
  Upload("table", "a,b\n1,2\n");
  v1::DatasetValidation validation;
  ASSERT_TRUE(Start("table", validation).ok());
  Ended("table");
  DeleteDataset("table");
  Upload("table", "a,b\n3,4\n");
  EXPECT_EQ(Ask("table", validation).error_code(), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace hone::server::rpc
