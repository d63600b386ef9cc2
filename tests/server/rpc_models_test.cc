// What a finished job leaves: its model, listed, pinned, sent, asked, deleted.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "engine/base/files.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::HasSubstr;

TEST_F(RpcTest, ADeletedModelIsNotFoundAndItsJobStaysWithoutIt) {
  const v1::Job job = Create(Request("succeed"));
  Watch(job.name());
  const std::string name = Get(job.name()).model();
  grpc::ClientContext context, again;
  v1::DeleteModelRequest request;
  request.set_name(name);
  v1::DeleteModelResponse none;
  ASSERT_TRUE(models_->DeleteModel(&context, request, &none).ok());
  EXPECT_EQ(models_->DeleteModel(&again, request, &none).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Get(job.name()).model(), "");
}

TEST_F(RpcTest, APinnedModelSaysSoUntilItIsLetGo) {
  const v1::Job job = Create(Request("succeed"));
  Watch(job.name());
  v1::UpdateModelRequest request;
  const std::string name = Get(job.name()).model();
  request.mutable_model()->set_name(name);
  request.mutable_update_mask()->add_paths("pinned");
  for (const bool pinned : {true, false}) {
    request.mutable_model()->set_pinned(pinned);
    grpc::ClientContext pin_context, list_context, get_context;
    v1::Model model;
    ASSERT_TRUE(models_->UpdateModel(&pin_context, request, &model).ok());
    EXPECT_EQ(model.name(), name);
    EXPECT_EQ(model.pinned(), pinned);
    v1::ListModelsResponse list;
    ASSERT_TRUE(models_->ListModels(&list_context, {}, &list).ok());
    ASSERT_EQ(list.models_size(), 1);
    EXPECT_EQ(list.models(0).pinned(), pinned);
    v1::GetModelRequest get;
    get.set_name(name);
    ASSERT_TRUE(models_->GetModel(&get_context, get, &model).ok());
    EXPECT_EQ(model.pinned(), pinned);
  }
}

TEST_F(RpcTest, AListOfPinnedModelsHasNoOthers) {
  std::vector<std::string> names;
  for (int i = 0; i < 2; ++i) {
    const v1::Job job = Create(Request("succeed"));
    Watch(job.name());
    names.push_back(Get(job.name()).model());
  }
  v1::UpdateModelRequest pin;
  pin.mutable_model()->set_name(names[0]);
  pin.mutable_model()->set_pinned(true);
  pin.mutable_update_mask()->add_paths("pinned");
  grpc::ClientContext context;
  v1::Model model;
  ASSERT_TRUE(models_->UpdateModel(&context, pin, &model).ok());
  for (const bool pinned : {true, false}) {
    v1::ListModelsRequest request;
    request.set_pinned(pinned);
    grpc::ClientContext list_context;
    v1::ListModelsResponse list;
    ASSERT_TRUE(models_->ListModels(&list_context, request, &list).ok());
    ASSERT_EQ(list.models_size(), 1);
    EXPECT_EQ(list.models(0).name(), names[pinned ? 0 : 1]);
  }
}

TEST_F(RpcTest, ADownloadedModelHasTheListedFilesAndSums) {
  const v1::Job job = Create(Request("succeed"));
  Watch(job.name());
  grpc::ClientContext context;
  v1::DownloadModelRequest request;
  request.set_name(Get(job.name()).model());
  const auto reader = models_->DownloadModel(&context, request);
  std::map<std::string, std::string> files;
  std::map<std::string, std::string> sums;
  std::string path;
  for (v1::DownloadModelResponse chunk; reader->Read(&chunk);) {
    if (chunk.has_file()) {
      path = chunk.file().path();
      sums[path] = chunk.file().sha256();
    }
    EXPECT_EQ(chunk.offset(), static_cast<int64_t>(files[path].size()));
    files[path] += chunk.data();
  }
  EXPECT_TRUE(reader->Finish().ok());
  ASSERT_EQ(files.size(), 2u);
  for (const auto& [name, bytes] : files) {
    EXPECT_EQ(Sha256(bytes), sums[name]) << name;
  }
}

TEST_F(RpcTest, PredictAnswersEachInputAndRefusesBrokenOnesInOneProcess) {
  const v1::Job job = Create(Request("succeed"));
  Watch(job.name());
  v1::PredictRequest request;
  request.set_name(Get(job.name()).model());
  request.add_inputs()->set_image("a");
  request.add_inputs()->set_image("b");
  grpc::ClientContext context;
  v1::PredictResponse response;
  const grpc::Status status = models_->Predict(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.predictions_size(), 2);
  EXPECT_EQ(response.predictions(0).classification().classes(0).name(), "seven");
  EXPECT_THAT(Http("/metrics"), HasSubstr("hone_worker_starts_total{mode=\"predict\"} 1\n"));
  request.mutable_inputs(0)->set_image("broken");
  grpc::ClientContext again;
  EXPECT_EQ(models_->Predict(&again, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(Http("/metrics"), HasSubstr("hone_worker_starts_total{mode=\"predict\"} 1\n"));
}

TEST_F(RpcTest, GetModelHasTheLayerTableAndListModelsDoesNot) {
  Watch(Create(Request("succeed")).name());
  grpc::ClientContext list_context;
  v1::ListModelsResponse list;
  ASSERT_TRUE(models_->ListModels(&list_context, {}, &list).ok());
  ASSERT_EQ(list.models_size(), 1);
  EXPECT_FALSE(list.models(0).has_plan());
  v1::GetModelRequest request;
  request.set_name(list.models(0).name());
  grpc::ClientContext context;
  v1::Model model;
  ASSERT_TRUE(models_->GetModel(&context, request, &model).ok());
  EXPECT_EQ(model.plan().layers(0).name(), "dense_1");
}

}  // namespace
}  // namespace hone::server::rpc
