// What a server's job may read.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::worker_process {
namespace {

TEST(WorkerOfAServer, ReadsNoFileThatTheSpecNames) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/paths-", ::getpid());
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/points.csv") << "x,class\n1,a\n2,b\n3,a\n4,b\n";
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::PLAN);
  request.set_threads(1);
  request.set_refuse_paths(true);
  request.mutable_spec()->mutable_classification();
  request.mutable_spec()->mutable_training()->set_epochs(1);
  request.mutable_spec()->mutable_data()->set_path(folder + "/points.csv");
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
  EXPECT_NE(last.failure().message().find("data.path"), std::string::npos)
      << last.ShortDebugString();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace hone::server::worker_process
