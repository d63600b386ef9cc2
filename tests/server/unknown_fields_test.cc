#include "server/jobs/unknown_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/protobuf/unknown_field_set.h"
#include "hone/v1/training_service.pb.h"

namespace hone::server::jobs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void AddUnknown(google::protobuf::Message& message, int number) {
  message.GetReflection()->MutableUnknownFields(&message)->AddVarint(number, 1);
}

TEST(UnknownFields, ARequestWithoutThemIsFine) {
  v1::CreateJobRequest request;
  (*request.mutable_spec()->mutable_labels())["a"] = "b";
  request.mutable_spec()->mutable_model()->add_layers()->mutable_dense()->set_units(3);
  EXPECT_TRUE(CheckFieldsAreKnown(request).ok());
}

TEST(UnknownFields, EachIsNamedByThePathOfItsMessageAndItsNumber) {
  v1::CreateJobRequest request;
  AddUnknown(*request.mutable_spec()->mutable_training(), 4711);
  request.mutable_spec()->mutable_model()->add_layers();
  AddUnknown(*request.mutable_spec()->mutable_model()->add_layers()->mutable_dense(), 99);
  const absl::Status status = CheckFieldsAreKnown(request);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("spec.training: must not have field 4711"),
                    HasSubstr("spec.model.layers[1].dense: must not have field 99")));
}

TEST(UnknownFields, ARequestMayHaveManyAndTheErrorIsShort) {
  v1::ListJobsRequest request;
  for (int i = 0; i < 100'000; ++i) {
    AddUnknown(request, 1000 + i);
  }
  EXPECT_THAT(std::string(CheckFieldsAreKnown(request).message()),
              HasSubstr("request: must not have field 1000"));
}

}  // namespace
}  // namespace hone::server::jobs
