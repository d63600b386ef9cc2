// Where a job's data may lie.
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::worker_process {
namespace {

// Field 2 of DataSpec was the path of a file of the machine that runs the job.
TEST(WorkerOfAServer, ReadsNoFileThatTheSpecNamesAsOldClientsDid) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/paths-", ::getpid());
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/points.csv") << "x,class\n1,a\n2,b\n3,a\n4,b\n";
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::PLAN);
  request.set_threads(1);
  request.mutable_spec()->mutable_classification();
  request.mutable_spec()->mutable_training()->set_epochs(1);
  v1::DataSpec& data = *request.mutable_spec()->mutable_data();
  data.GetReflection()->MutableUnknownFields(&data)->AddLengthDelimited(2, folder + "/points.csv");
  request.mutable_spec()->mutable_model()->add_layers()->mutable_dense()->set_units(2);
  const auto worker = WorkerProcess::Start(
      request,
      {.binary = HONE_WORKER_BINARY, .request_path = folder + "/request", .output_path = ""});
  ASSERT_TRUE(worker.ok()) << worker.status();
  v1::WorkerFrame last;
  for (auto received = (*worker)->Read(absl::Seconds(60));
       received.ok() && received->frame.has_value();
       received = (*worker)->Read(absl::Seconds(60))) {
    last = *received->frame;
  }
  EXPECT_EQ(last.failure().end_reason(), "INVALID_SPEC");
  EXPECT_NE(last.failure().message().find("data.dataset"), std::string::npos)
      << last.ShortDebugString();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace hone::server::worker_process
