#pragma once

#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "hone/v1/job.pb.h"
#include "hone/v1/plan.pb.h"

namespace hone::server::rpc {

// The plans of the newest specs that were found right, so that the same net over the same data is
// planned once: a job sent again, a sweep over seeds. Thread safe.
class PlanCache {
 public:
  explicit PlanCache(size_t capacity = 256) : capacity_(capacity) {}

  // Equal for specs that have the same plan but for its name. `dataset_path` is that of an uploaded
  // data set, whose bytes never change, or "".
  static std::string KeyOf(const v1::JobSpec& spec, int threads, const std::string& dataset_path);

  std::optional<v1::Plan> Find(const std::string& key);
  void Put(const std::string& key, const v1::Plan& plan);

 private:
  using Entry = std::pair<std::string, v1::Plan>;

  const size_t capacity_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // the one used last is first
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace hone::server::rpc
