#include "server/rpc/plan_cache.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"

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
  return Sha256(absl::StrCat(threads, "|", dataset_path, "|", planned.SerializeAsString()));
}

std::optional<v1::Plan> PlanCache::Find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    return std::nullopt;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->plan;
}

void PlanCache::Put(const std::string& key, const v1::Plan& plan) {
  const size_t bytes = plan.ByteSizeLong();
  const std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    Erase(found->second);
  }
  if (bytes > capacity_) {
    return;
  }
  entries_.push_front({key, plan, bytes});
  by_key_[key] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > capacity_) {
    Erase(std::prev(entries_.end()));
  }
}

void PlanCache::Erase(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

size_t PlanCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace hone::server::rpc
