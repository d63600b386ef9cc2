#include "engine/params/parameter_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"

namespace hone::engine {
namespace {

int64_t Aligned(int64_t elements) {
  constexpr int64_t kStep = ParameterStore::kAlignment;
  return SaturatingSum(elements, kStep - 1) / kStep * kStep;
}

constexpr int64_t kFloat = sizeof(float);

absl::string_view NameOf(ParameterRole role) {
  switch (role) {
    case ParameterRole::kTrainable:
      return "trainable";
    case ParameterRole::kFrozen:
      return "frozen";
    case ParameterRole::kBuffer:
      return "buffer";
    case ParameterRole::kTransient:
      return "transient";
  }
  return "?";
}

}  // namespace

absl::StatusOr<ParameterId> ParameterStore::Declare(const ParameterSpec& spec) {
  if (const auto found = by_name_.find(spec.name); found != by_name_.end()) {
    const ParameterSpec& known = this->spec(found->second);
    if (known.shape != spec.shape || known.role != spec.role) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameter ", spec.name, " is declared twice, as ", NameOf(known.role), " ",
                       known.shape.ToString(), " and as ", NameOf(spec.role), " ",
                       spec.shape.ToString(), ": names must be unique"));
    }
    return found->second;
  }
  if (allocated_) {
    return absl::FailedPreconditionError(
        absl::StrCat("parameter ", spec.name, " is declared after the store was allocated"));
  }
  const auto id = static_cast<ParameterId>(specs_.size());
  specs_.push_back(spec);
  versions_.push_back(1);
  by_name_[spec.name] = id;
  return id;
}

void ParameterStore::Allocate(int shards) {
  offsets_.assign(specs_.size(), 0);
  int64_t value_end = 0, buffer_end = 0;
  const auto place = [&](ParameterRole role, int64_t& end) {
    for (size_t i = 0; i < specs_.size(); ++i) {
      if (specs_[i].role == role) {
        offsets_[i] = end;
        end += Aligned(specs_[i].shape.elements());
      }
    }
  };
  place(ParameterRole::kTrainable, value_end);
  trainable_size_ = value_end;
  place(ParameterRole::kFrozen, value_end);
  place(ParameterRole::kBuffer, buffer_end);
  place(ParameterRole::kTransient, buffer_end);
  values_ = Buffer(value_end * kFloat);
  buffers_ = Buffer(buffer_end * kFloat);
  gradients_.clear();
  for (int shard = 0; shard < shards; ++shard) {
    gradients_.emplace_back(trainable_size_ * kFloat);
  }
  allocated_ = true;
}

void ParameterStore::Initialize(uint64_t seed) {
  for (ParameterId id = 0; id < size(); ++id) {
    FillInitial(spec(id), seed, values(id));
  }
  MarkChanged();
}

absl::StatusOr<ParameterId> ParameterStore::Find(absl::string_view name) const {
  if (const auto found = by_name_.find(name); found != by_name_.end()) {
    return found->second;
  }
  std::vector<std::string> names;
  for (const ParameterSpec& spec : specs_) {
    names.push_back(spec.name);
  }
  return absl::NotFoundError(
      absl::StrCat("no parameter ", name, "; there are: ", absl::StrJoin(names, ", ")));
}

std::span<float> ParameterStore::values(ParameterId id) {
  const ParameterRole role = spec(id).role;
  const bool apart = role == ParameterRole::kBuffer || role == ParameterRole::kTransient;
  float* slab = apart ? buffers_.as<float>() : values_.as<float>();
  return {slab + offset(id), static_cast<size_t>(spec(id).shape.elements())};
}

std::span<const float> ParameterStore::values(ParameterId id) const {
  return const_cast<ParameterStore*>(this)->values(id);
}

std::span<float> ParameterStore::gradients(ParameterId id, int shard) {
  return {gradient_slab(shard) + offset(id), static_cast<size_t>(spec(id).shape.elements())};
}

absl::Status ParameterStore::Blend(ParameterId from, ParameterId to, float rate) {
  if (spec(from).shape != spec(to).shape) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot copy ", spec(from).name, " ", spec(from).shape.ToString(), " to ",
                     spec(to).name, " ", spec(to).shape.ToString(), ": the shapes must be equal"));
  }
  const std::span<const float> source = std::as_const(*this).values(from);
  const std::span<float> target = values(to);
  for (size_t i = 0; i < target.size(); ++i) {
    target[i] = rate == 1 ? source[i] : target[i] + rate * (source[i] - target[i]);
  }
  MarkChanged({&to, 1});
  return absl::OkStatus();
}

int64_t ParameterStore::SlabBytes(int shards) const {
  int64_t bytes = 0;
  for (const ParameterSpec& spec : specs_) {
    const int64_t copies = spec.role == ParameterRole::kTrainable ? 1 + shards : 1;
    bytes =
        SaturatingSum(bytes, SaturatingProduct(Aligned(spec.shape.elements()), kFloat * copies));
  }
  return bytes;
}

int64_t ParameterStore::packed_bytes() const {
  int64_t bytes = 0;
  for (const PackedCopy& copy : packed_) {
    bytes += copy.data.bytes();
  }
  return bytes;
}

absl::StatusOr<void*> ParameterStore::Packed(ParameterId id, absl::string_view key, int64_t bytes,
                                             const PackerMaker& make) {
  const std::string whole_key = absl::StrCat(spec(id).name, "|", key);
  if (const auto known = packed_by_key_.find(whole_key); known != packed_by_key_.end()) {
    return packed_[known->second].data.data();
  }
  PackedCopy copy{.parameter = id, .data = Buffer(bytes), .packer = nullptr};
  HONE_ASSIGN_OR_RETURN(copy.packer, make(values(id).data(), copy.data.data()));
  packed_by_key_[whole_key] = packed_.size();
  packed_.push_back(std::move(copy));
  PlanRefresh();
  return packed_.back().data.data();
}

void ParameterStore::MarkChanged() {
  for (uint64_t& version : versions_) {
    ++version;
  }
  PlanRefresh();
}

void ParameterStore::MarkChanged(std::span<const ParameterId> ids) {
  for (const ParameterId id : ids) {
    ++versions_[static_cast<size_t>(id)];
  }
  PlanRefresh();
}

// Who refreshes what is settled before the workers start: what is stale changes while they work.
void ParameterStore::PlanRefresh() {
  stale_bytes_ = 0;
  for (PackedCopy& copy : packed_) {
    copy.stale_before = stale_bytes_;
    stale_bytes_ += IsStale(copy) ? copy.data.bytes() : 0;
  }
}

// A copy belongs to the worker in whose equal part of the stale bytes its middle lies.
void ParameterStore::Refresh(int k, int n) {
  for (PackedCopy& copy : packed_) {
    const int64_t middle = copy.stale_before + copy.data.bytes() / 2;
    const int64_t owner =
        stale_bytes_ > 0 ? std::min<int64_t>(middle * n / stale_bytes_, n - 1) : 0;
    if (owner == k && IsStale(copy)) {
      copy.packer->Pack();
      copy.version = versions_[static_cast<size_t>(copy.parameter)];
    }
  }
}

}  // namespace hone::engine
