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
  // Bytes of all plans together, as they are sent.
  explicit PlanCache(size_t capacity = size_t{16} << 20) : capacity_(capacity) {}

  // A SHA-256, equal for specs that have the same plan but for its name. `dataset_path` is that of
  // an uploaded data set, whose bytes never change, or "".
  static std::string KeyOf(const v1::JobSpec& spec, int threads, const std::string& dataset_path);

  std::optional<v1::Plan> Find(const std::string& key);
  // A plan that is larger than the capacity is not kept.
  void Put(const std::string& key, const v1::Plan& plan);
  size_t bytes() const;

 private:
  struct Entry {
    std::string key;
    v1::Plan plan;
    size_t bytes;
  };
  using Entries = std::list<Entry>;

  void Erase(Entries::iterator entry);  // with mutex_ held

  const size_t capacity_;
  mutable std::mutex mutex_;  // guards all below
  Entries entries_;           // the one used last is first
  absl::flat_hash_map<std::string, Entries::iterator> by_key_;
  size_t bytes_ = 0;  // of entries_
};

}  // namespace hone::server::rpc
