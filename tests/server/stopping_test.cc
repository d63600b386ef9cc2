// Work that is not begun: since the server stops, or since too much waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/metrics/prometheus.h"
#include "server/predict/model_cache.h"
#include "server/scheduler/worker_calls.h"
#include "tests/support/status_matchers.h"

namespace hone::server {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

class StoppingTest : public ::testing::Test {
 protected:
  StoppingTest()
      : root_(absl::StrCat(::testing::TempDir(), "/stopping-", ::getpid(), "-", counter_++)) {
    auto directory = artifacts::DataDirectory::Open(root_);
    EXPECT_THAT(directory, IsOk());
    directory_ = *std::move(directory);
  }
  ~StoppingTest() override {
    directory_.reset();
    std::filesystem::remove_all(root_);
  }
  static absl::Status Predict(predict::ModelCache& cache) {
    v1::Model model;
    model.set_name("models/a");
    v1::PredictRequest request;
    request.add_inputs()->set_image("a");
    std::promise<absl::Status> told;
    cache.Predict(model, request, absl::Seconds(60),
                  [&](const auto& answer) { told.set_value(answer.status()); });
    return told.get_future().get();
  }

  static inline int counter_ = 0;
  const std::string root_;
  metrics::Registry registry_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
};

TEST_F(StoppingTest, APlanOfAServerThatStopsIsToBeAskedForAgain) {
  scheduler::WorkerCalls calls("/no worker", /*memory_bytes=*/0, *directory_, registry_);
  calls.Stop();
  std::promise<absl::Status> told;
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::PLAN);
  calls.Submit(request, absl::Seconds(60),
               [&](const auto& answer) { told.set_value(answer.status()); });
  EXPECT_THAT(told.get_future().get(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
}

TEST_F(StoppingTest, APredictionOfAServerThatStopsIsToBeAskedForAgain) {
  predict::ModelCache cache({}, *directory_, registry_);
  cache.Stop();
  EXPECT_THAT(Predict(cache), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
}

TEST_F(StoppingTest, PredictionsThatAreRefusedAreCounted) {
  predict::ModelCache cache({.worker = "", .max_waiting_bytes = 0}, *directory_, registry_);
  const std::string counter = "hone_tasks_refused_total{queue=\"predictions\"} ";
  EXPECT_THAT(metrics::Render(registry_), HasSubstr(counter + "0\n"));
  EXPECT_THAT(Predict(cache), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("wait")));
  EXPECT_THAT(metrics::Render(registry_), HasSubstr(counter + "1\n"));
}

}  // namespace
}  // namespace hone::server
