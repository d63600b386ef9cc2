#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/jobs/resolve.h"
#include "server/store/job_store.h"
#include "tests/server/now.h"
#include "tests/server/store_backend.h"
#include "tests/support/status_matchers.h"

namespace hone::server::store {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using jobs::JobState;

inline v1::JobSpec Spec(const std::string& name = "digits") {
  v1::JobSpec spec;
  spec.set_display_name(name);
  spec.mutable_classification();
  spec.mutable_training()->set_epochs(1);
  return spec;
}

inline const Ending kCompleted{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};

// What every JobStore must do: the suites of job_*_test.cc and writer_test.cc.
class JobStoreTest : public StoreConformance {
 protected:
  std::string Insert(const std::string& request_id = "", int threads = 1) {
    const auto job = store_->Insert(
        {.id = jobs::NewId(), .spec = Spec(), .threads = threads, .request_id = request_id}, kNow);
    EXPECT_THAT(job, IsOk());
    return job.ok() ? job->id : "";
  }
  std::string InsertAndClaim() {
    const std::string id = Insert();
    EXPECT_THAT(store_->Claim(8, kNow), IsOk());
    return id;
  }
  // A job that ended so many hours after kNow.
  std::string End(int hours) {
    const std::string id = InsertAndClaim();
    EXPECT_THAT(store_->Finish(id, 1, kCompleted, kNow + absl::Hours(hours)), IsOk());
    return id;
  }
  std::string EndWithModel(const std::string& name, int64_t bytes, int hours) {
    const std::string id = InsertAndClaim();
    Ending ending = kCompleted;
    ending.model.emplace().set_name(jobs::ModelName(id));
    ending.model->set_display_name(name);
    ending.model->set_bytes(bytes);
    EXPECT_THAT(store_->Finish(id, 1, ending, kNow + absl::Hours(hours)), IsOk());
    return id;
  }
  std::vector<std::string> States(const std::string& id) {
    std::vector<std::string> states;
    int64_t expected = 0;
    const auto events = store_->ReadEvents(id, 0, 1000, int64_t{1} << 40);
    for (const v1::Event& event : *events) {
      EXPECT_EQ(event.sequence(), ++expected);
      states.push_back(event.has_state() ? v1::Job::State_Name(event.state().state()) : "");
    }
    return states;
  }
};

}  // namespace hone::server::store
