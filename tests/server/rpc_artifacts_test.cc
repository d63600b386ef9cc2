// What a job leaves beside its model, and what leads out of its folder.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RpcArtifactsTest : public RpcTest {
 protected:
  std::string Done(const std::string& what = "artifacts") {
    const std::string name = Create(Request(what)).name();
    Watch(name);
    return name;
  }
  std::vector<std::string> List(const v1::ListArtifactsRequest& request,
                                std::string* next = nullptr) {
    grpc::ClientContext context;
    v1::ListArtifactsResponse response;
    const grpc::Status status = training_->ListArtifacts(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<std::string> paths;
    for (const v1::JobArtifact& artifact : response.artifacts()) {
      paths.push_back(artifact.path());
    }
    if (next != nullptr) {
      *next = response.next_page_token();
    }
    return paths;
  }
  grpc::Status Download(const std::string& job, const std::string& path,
                        std::string* bytes = nullptr) {
    grpc::ClientContext context;
    v1::DownloadArtifactRequest request;
    request.set_name(job);
    request.set_path(path);
    const auto reader = training_->DownloadArtifact(&context, request);
    std::string all;
    for (v1::DownloadArtifactResponse chunk; reader->Read(&chunk);) {
      EXPECT_EQ(chunk.has_artifact(), all.empty());
      EXPECT_EQ(chunk.offset(), static_cast<int64_t>(all.size()));
      all += chunk.data();
    }
    if (bytes != nullptr) {
      *bytes = all;
    }
    return reader->Finish();
  }
};

TEST_F(RpcArtifactsTest, AreThePlainFilesThatAreWholeByTheirPaths) {
  v1::ListArtifactsRequest request;
  request.set_name(Done());
  EXPECT_THAT(List(request), ElementsAre("a.txt", "empty", "samples/b.txt"));
}

TEST_F(RpcArtifactsTest, ComeInPages) {
  v1::ListArtifactsRequest request;
  request.set_name(Done());
  request.set_page_size(2);
  std::string next;
  EXPECT_THAT(List(request, &next), ElementsAre("a.txt", "empty"));
  request.set_page_token(next);
  EXPECT_THAT(List(request, &next), ElementsAre("samples/b.txt"));
  EXPECT_EQ(next, "");
}

TEST_F(RpcArtifactsTest, AreNoneOfAJobThatLeavesNone) {
  v1::ListArtifactsRequest request;
  request.set_name(Done("succeed"));
  EXPECT_THAT(List(request), IsEmpty());
}

TEST_F(RpcArtifactsTest, AreDownloadedWhole) {
  const std::string job = Done();
  std::string bytes;
  ASSERT_TRUE(Download(job, "samples/b.txt", &bytes).ok());
  EXPECT_EQ(bytes, std::string(3 << 20, 'b'));
  ASSERT_TRUE(Download(job, "empty", &bytes).ok());
  EXPECT_EQ(bytes, "");
}

TEST_F(RpcArtifactsTest, LeadNowhereElse) {
  const std::string job = Done();
  for (const std::string path :
       {"", "/", "/etc/passwd", "../worker.log", "samples/../a.txt", "./a.txt", "samples//b.txt",
        "samples", "samples/", "link", "etc/passwd", "pipe", "nothing", "a.txt/b"}) {
    EXPECT_EQ(Download(job, path).error_code(), grpc::StatusCode::NOT_FOUND) << path;
  }
  EXPECT_EQ(Download(job, std::string("a.txt\0b", 7)).error_code(), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace hone::server::rpc
