#include "server/rpc/plan_cache.h"

#include "absl/strings/str_cat.h"

namespace hone::server::rpc {

std::string PlanCache::KeyOf(const v1::JobSpec& spec, int threads,
                             const std::string& dataset_path) {
  v1::JobSpec planned = spec;
  planned.clear_display_name();
  planned.clear_labels();
  planned.clear_priority();
  planned.clear_deadline_seconds();
  planned.mutable_training()->clear_seed();
  return absl::StrCat(threads, "|", dataset_path, "|", planned.SerializeAsString());
}

std::optional<v1::Plan> PlanCache::Find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    return std::nullopt;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->second;
}

void PlanCache::Put(const std::string& key, const v1::Plan& plan) {
  const std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    entries_.erase(found->second);
    by_key_.erase(found);
  }
  entries_.emplace_front(key, plan);
  by_key_[key] = entries_.begin();
  if (entries_.size() > capacity_) {
    by_key_.erase(entries_.back().first);
    entries_.pop_back();
  }
}

}  // namespace hone::server::rpc
