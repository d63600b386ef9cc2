#include <gmock/gmock.h>
#include <google/protobuf/stubs/common.h>
#include <gtest/gtest.h>

#include <string>

#include "google/rpc/status.pb.h"
#include "server/jobs/job.h"
#include "server/rpc/status.h"

namespace hone::server::rpc {
namespace {

TEST(ToGrpc, SaysTheCodeAndMessageInTheDetailsToo) {
  for (const absl::Status& status :
       {absl::NotFoundError("no job"), absl::UnavailableError("away"), absl::InternalError("")}) {
    const grpc::Status out = ToGrpc(status);
    google::rpc::Status details;
    ASSERT_TRUE(details.ParseFromString(out.error_details()));
    EXPECT_EQ(details.code(), static_cast<int>(status.code())) << status;
    EXPECT_EQ(details.message(), status.message());
  }
}

TEST(ToGrpc, CutsALongMessageBetweenCharacters) {
  std::string message = "x";
  for (int i = 0; i < 1000; ++i) {
    message += "\xc3\xa4";
  }
  EXPECT_EQ(ToGrpc(absl::NotFoundError(message)).error_message(), message.substr(0, 1499));
}

TEST(Names, ThatAreRefusedAreQuotedInUtf8) {
  std::string name = "x";
  for (int i = 0; i < 100; ++i) {
    name += "\xc3\xa4";
  }
  const std::string text(jobs::JobId(name).status().message());
  EXPECT_TRUE(google::protobuf::internal::IsStructurallyValidUTF8(text.data(),
                                                                  static_cast<int>(text.size())));
}

}  // namespace
}  // namespace hone::server::rpc
