#include "engine/params/parameter_store.h"

#include <algorithm>
#include <cassert>

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

std::string KeyOf(const ParameterSpec& spec, absl::string_view key) {
  return absl::StrCat(spec.name, "|", key);
}

// The room that a parameter takes, in floats.
int64_t FloatsFor(const ParameterSpec& spec) {
  const int64_t in_float = kFloat / SizeOf(spec.dtype);
  return Aligned((spec.shape.elements() - 1) / in_float + 1);
}

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

// "trainable [4]", "frozen bf16 [4]"
std::string Described(const ParameterSpec& spec) {
  return absl::StrCat(NameOf(spec.role), " ", spec.dtype == DType::kF32 ? "" : "bf16 ",
                      spec.shape.ToString());
}

}  // namespace

std::span<const float> ConstParameterView::f32() const {
  assert(dtype == DType::kF32);
  return {static_cast<const float*>(data), static_cast<size_t>(shape.elements())};
}

void ConstParameterView::CopyTo(std::span<float> out) const {
  if (dtype == DType::kF32) {
    std::ranges::copy(f32(), out.begin());
    return;
  }
  const auto* from = static_cast<const uint16_t*>(data);
  std::transform(from, from + out.size(), out.begin(), FromBf16);
}

std::span<float> ParameterView::f32() const {
  assert(dtype == DType::kF32);
  return {static_cast<float*>(data), static_cast<size_t>(shape.elements())};
}

void ParameterView::CopyFrom(std::span<const float> from) const {
  if (dtype == DType::kF32) {
    std::ranges::copy(from, f32().begin());
  } else {
    std::ranges::transform(from, static_cast<uint16_t*>(data), ToBf16);
  }
}

absl::StatusOr<ParameterId> ParameterStore::Declare(const ParameterSpec& spec) {
  if (const auto found = by_name_.find(spec.name); found != by_name_.end()) {
    const ParameterSpec& known = this->spec(found->second);
    if (known.shape != spec.shape || known.role != spec.role || known.dtype != spec.dtype) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameter ", spec.name, " is declared twice, as ", Described(known),
                       " and as ", Described(spec), ": names must be unique"));
    }
    return found->second;
  }
  const bool may_be_bf16 =
      spec.role == ParameterRole::kFrozen || spec.role == ParameterRole::kTransient;
  if (spec.dtype != DType::kF32 && (spec.dtype != DType::kBf16 || !may_be_bf16)) {
    return absl::InvalidArgumentError(absl::StrCat("parameter ", spec.name, ": must be f32",
                                                   may_be_bf16 ? " or bf16" : "", ", got ",
                                                   NameOf(spec.dtype)));
  }
  if (allocated_) {
    return absl::FailedPreconditionError(
        absl::StrCat("parameter ", spec.name, " is declared after the store was allocated"));
  }
  const auto id = static_cast<ParameterId>(specs_.size());
  specs_.push_back(spec);
  versions_.push_back(1);
  gives_rows_.push_back(false);
  by_name_[spec.name] = id;
  return id;
}

absl::Status ParameterStore::Borrow(ParameterId id, BorrowedValues values) {
  const ParameterSpec& spec = this->spec(id);
  if (allocated_) {
    return absl::FailedPreconditionError(
        absl::StrCat("parameter ", spec.name, " is borrowed after the store was allocated"));
  }
  if (spec.role != ParameterRole::kFrozen) {
    return absl::InvalidArgumentError(absl::StrCat("parameter ", spec.name, " is ",
                                                   NameOf(spec.role),
                                                   ": only frozen ones can lie in a file"));
  }
  const bool known = values.dtype == DType::kF32 || values.dtype == DType::kBf16;
  if (!known || values.data == nullptr ||
      reinterpret_cast<uintptr_t>(values.data) % static_cast<uintptr_t>(SizeOf(values.dtype)) !=
          0) {
    return absl::InvalidArgumentError(
        absl::StrCat(values.path, ": the values of ", spec.name,
                     " must be f32 or bf16 and begin at a multiple of their size to be read where "
                     "they lie; got ",
                     NameOf(values.dtype)));
  }
  borrowed_[id] = std::move(values);
  return absl::OkStatus();
}

const BorrowedValues* ParameterStore::borrowed(ParameterId id) const {
  const auto found = borrowed_.find(id);
  return found == borrowed_.end() ? nullptr : &found->second;
}

void ParameterStore::Allocate(int shards) {
  offsets_.assign(specs_.size(), 0);
  owned_.assign(specs_.size(), nullptr);
  // Returns the first float behind them.
  const auto place = [&](int64_t end, auto&& belongs) {
    for (ParameterId id = 0; id < size(); ++id) {
      if (belongs(id)) {
        offsets_[static_cast<size_t>(id)] = end;
        end += FloatsFor(spec(id));
      }
    }
    return end;
  };
  const auto trainable = [&](ParameterId id) { return spec(id).role == ParameterRole::kTrainable; };
  dense_size_ = place(0, [&](ParameterId id) { return trainable(id) && !gives_rows(id); });
  trainable_size_ =
      place(dense_size_, [&](ParameterId id) { return trainable(id) && gives_rows(id); });
  values_ = Buffer(trainable_size_ * kFloat);
  untrained_ = Buffer(
      kFloat * place(0, [&](ParameterId id) { return !trainable(id) && borrowed(id) == nullptr; }));
  for (ParameterId id = 0; id < size(); ++id) {
    if (borrowed(id) == nullptr) {
      const Buffer& slab = trainable(id) ? values_ : untrained_;
      owned_[static_cast<size_t>(id)] = slab.as<std::byte>() + offset(id) * kFloat;
    }
  }
  gradients_.clear();
  for (int shard = 0; shard < shards; ++shard) {
    gradients_.emplace_back(dense_size_ * kFloat);
  }
  allocated_ = true;
}

void ParameterStore::Initialize(uint64_t seed) {
  Initialize(seed, [](ParameterId) { return true; });
}

void ParameterStore::Initialize(uint64_t seed, absl::FunctionRef<bool(ParameterId)> wanted) {
  for (ParameterId id = 0; id < size(); ++id) {
    if (borrowed(id) != nullptr || !wanted(id)) {
      continue;
    }
    const ParameterView view = mutable_values(id);
    if (view.dtype == DType::kF32) {
      FillInitial(spec(id), seed, view.f32());
    } else {
      std::vector<float> values(static_cast<size_t>(view.shape.elements()));
      FillInitial(spec(id), seed, values);
      view.CopyFrom(values);
    }
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

ConstParameterView ParameterStore::values(ParameterId id) const {
  if (const BorrowedValues* values = borrowed(id); values != nullptr) {
    return {values->dtype, spec(id).shape, values->data};
  }
  return {spec(id).dtype, spec(id).shape, owned_[static_cast<size_t>(id)]};
}

ParameterView ParameterStore::mutable_values(ParameterId id) {
  return {values(id).dtype, spec(id).shape, owned_[static_cast<size_t>(id)]};
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
  for (const ParameterId id : {from, to}) {
    if (values(id).dtype != DType::kF32 || (id == to && borrowed(id) != nullptr)) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot copy ", spec(from).name, " to ", spec(to).name, ": ", spec(id).name,
                       " is ", NameOf(values(id).dtype),
                       borrowed(id) != nullptr ? " of a file" : "", ", must be f32 in memory"));
    }
  }
  const std::span<const float> source = values(from).f32();
  const std::span<float> target = mutable_values(to).f32();
  for (size_t i = 0; i < target.size(); ++i) {
    target[i] = rate == 1 ? source[i] : target[i] + rate * (source[i] - target[i]);
  }
  MarkChanged({&to, 1});
  return absl::OkStatus();
}

int64_t ParameterStore::SlabBytes(int shards) const {
  int64_t bytes = 0;
  for (ParameterId id = 0; id < size(); ++id) {
    const bool has_slabs = spec(id).role == ParameterRole::kTrainable && !gives_rows(id);
    const int64_t copies = has_slabs ? 1 + shards : borrowed(id) != nullptr ? 0 : 1;
    bytes = SaturatingSum(bytes, SaturatingProduct(FloatsFor(spec(id)), kFloat * copies));
  }
  return bytes;
}

int64_t ParameterStore::borrowed_bytes() const {
  int64_t bytes = 0;
  for (const auto& [id, unused] : borrowed_) {
    bytes = SaturatingSum(bytes, values(id).bytes());
  }
  return bytes;
}

int64_t ParameterStore::packed_bytes(bool borrowed_only) const {
  int64_t bytes = 0;
  for (const PackedCopy& copy : packed_) {
    bytes += borrowed_only && borrowed(copy.parameter) == nullptr ? 0 : copy.data.bytes();
  }
  return bytes;
}

absl::StatusOr<void*> ParameterStore::Packed(ParameterId id, absl::string_view key, int64_t bytes,
                                             const PackerMaker& make) {
  const std::string whole_key = KeyOf(spec(id), key);
  if (const auto known = packed_by_key_.find(whole_key); known != packed_by_key_.end()) {
    return packed_[known->second].data.data();
  }
  PackedCopy copy{.parameter = id, .data = Buffer(bytes), .packer = nullptr};
  HONE_ASSIGN_OR_RETURN(copy.packer, make(values(id).data, copy.data.data()));
  packed_by_key_[whole_key] = packed_.size();
  packed_.push_back(std::move(copy));
  PlanRefresh();
  return packed_.back().data.data();
}

bool ParameterStore::HasPacked(ParameterId id, absl::string_view key) const {
  return packed_by_key_.contains(KeyOf(spec(id), key));
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

void ParameterStore::Refresh(int64_t begin, int64_t end) {
  for (PackedCopy& copy : packed_) {
    const int64_t middle = copy.stale_before + copy.data.bytes() / 2;
    if (begin <= middle && middle < end && IsStale(copy)) {
      copy.packer->Pack();
      copy.version = versions_[static_cast<size_t>(copy.parameter)];
    }
  }
}

}  // namespace hone::engine
