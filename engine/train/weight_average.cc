#include "engine/train/weight_average.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"

namespace hone::engine::train {
namespace {

constexpr absl::string_view kPrefix = "average/";

}  // namespace

bool WeightAverage::Holds(absl::string_view parameter) {
  return absl::StartsWith(parameter, kPrefix);
}

absl::Status WeightAverage::Declare(std::span<const ParameterId> trained, ParameterStore& store) {
  for (const ParameterId id : trained) {
    ParameterSpec spec = store.spec(id);
    spec.name = absl::StrCat(kPrefix, spec.name);
    spec.role = ParameterRole::kBuffer;
    spec.sparse = false;
    HONE_RETURN_IF_ERROR(store.Declare(spec).status());
  }
  return absl::OkStatus();
}

WeightAverage::WeightAverage(ParameterStore& store) : store_(store) {
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ParameterSpec& spec = store.spec(id);
    if (spec.role != ParameterRole::kBuffer || !Holds(spec.name)) {
      continue;
    }
    const auto weight = store.Find(absl::string_view(spec.name).substr(kPrefix.size()));
    if (weight.ok()) {
      pairs_.emplace_back(*weight, id);
    }
  }
}

void WeightAverage::Begin() {
  for (const auto& [weight, mean] : pairs_) {
    std::ranges::copy(store_.values(weight).f32(), store_.mutable_values(mean).f32().begin());
  }
}

void WeightAverage::Follow(double decay, int64_t update, int threads) {
  const auto n = static_cast<double>(update);
  const auto share = static_cast<float>(1 - std::min(decay, (1 + n) / (10 + n)));
  RunTeam(threads, [&](int k) {
    for (const auto& [weight, mean] : pairs_) {
      const std::span<const float> from = store_.values(weight).f32();
      const std::span<float> to = store_.mutable_values(mean).f32();
      const auto [begin, end] =
          ShareOf(static_cast<int64_t>(to.size()), k, threads, ParameterStore::kAlignment);
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        to[i] += share * (from[i] - to[i]);
      }
    }
  });
}

void WeightAverage::Exchange() {
  std::vector<ParameterId> changed;
  for (const auto& [weight, mean] : pairs_) {
    std::ranges::swap_ranges(store_.mutable_values(weight).f32(),
                             store_.mutable_values(mean).f32());
    changed.push_back(weight);
    changed.push_back(mean);
  }
  // Packed copies of others, which may be large and frozen, are still right.
  store_.MarkChanged(changed);
  store_.RefreshAll();
}

}  // namespace hone::engine::train
