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
  v1::TrainingSpec& training = *planned.mutable_training();
  training.clear_seed();
  // Checked before; a number that no plan looks at. Not so the other fields: a weight decay or a
  // momentum of zero has no step of its own.
  v1::Optimizer& optimizer = *training.mutable_optimizer();
  switch (optimizer.kind_case()) {
    case v1::Optimizer::kSgd:
      optimizer.mutable_sgd()->clear_learning_rate();
      break;
    case v1::Optimizer::kAdam:
      optimizer.mutable_adam()->clear_learning_rate();
      break;
    case v1::Optimizer::kAdamw:
      optimizer.mutable_adamw()->clear_learning_rate();
      break;
    case v1::Optimizer::kRmsprop:
      optimizer.mutable_rmsprop()->clear_learning_rate();
      break;
    case v1::Optimizer::KIND_NOT_SET:
      break;
  }
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
