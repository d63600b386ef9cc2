#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/store/job_store.h"
#include "server/store/sqlite_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::store {

// A kind of store, for the suites that every store must pass unchanged.
struct StoreBackend {
  std::string name;
  // Opens the store that `folder` holds, or makes it there. `owner` names the server.
  absl::StatusOr<std::unique_ptr<JobStore>> (*open)(const std::string& folder,
                                                    const std::string& owner);
};

inline const StoreBackend kStoreBackends[] = {
    {"Sqlite",
     [](const std::string& folder, const std::string& owner) {
       return OpenSqliteStore(folder + "/store.db", owner);
     }},
};

inline std::string BackendName(const ::testing::TestParamInfo<StoreBackend>& info) {
  return info.param.name;
}

// A new store in a folder of its own.
class StoreConformance : public ::testing::TestWithParam<StoreBackend> {
 protected:
  StoreConformance()
      : folder_(absl::StrCat(::testing::TempDir(), "/store-", ::getpid(), "-", counter_++)) {
    std::filesystem::create_directories(folder_);
    Open();
  }
  ~StoreConformance() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  // As a server does that starts again, or another one with another name.
  void Open(const std::string& owner = "one") {
    store_.reset();
    absl::StatusOr<std::unique_ptr<JobStore>> opened = GetParam().open(folder_, owner);
    ASSERT_THAT(opened, ::hone::testing::IsOk());
    store_ = std::move(*opened);
  }

  static inline int counter_ = 0;
  const std::string folder_;
  std::unique_ptr<JobStore> store_;
};

}  // namespace hone::server::store
