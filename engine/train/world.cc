#include "engine/train/world.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"

namespace hone::engine::train {

std::pair<int64_t, int64_t> Place::PartOf(int64_t batch) const {
  return ShareOf(batch, rank, size);
}

namespace {

// Where they differ: a part that only one has counts as empty in the other.
absl::Status CheckAlike(size_t rank, const JobParts& here, const JobParts& first) {
  const auto find = [](const JobParts& parts, const std::string& name) {
    const auto found = std::ranges::find(parts, name, &JobParts::value_type::first);
    return found == parts.end() ? std::string("absent") : found->second;
  };
  for (const JobParts* parts : {&first, &here}) {
    for (const auto& [name, unused] : *parts) {
      const std::string one = find(first, name), other = find(here, name);
      if (one != other) {
        return absl::InvalidArgumentError(absl::StrCat("the ranks have different jobs: ", name,
                                                       " is ", one, " on rank 0, ", other,
                                                       " on rank ", rank));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Combine(std::span<const StepReport> of_ranks, StepReport& all) {
  for (size_t rank = 0; rank < of_ranks.size(); ++rank) {
    HONE_RETURN_IF_ERROR(Annotate(of_ranks[rank].failure, absl::StrCat("rank ", rank)));
  }
  all = {.step = of_ranks.front().step, .sums = {}, .failure = {}};
  for (size_t rank = 0; rank < of_ranks.size(); ++rank) {
    const StepReport& report = of_ranks[rank];
    if (report.step != all.step) {
      return absl::InternalError(
          absl::StrCat("rank ", rank, " is at step ", report.step, ", rank 0 at step ", all.step));
    }
    HONE_RETURN_IF_ERROR(CheckAlike(rank, report.job, of_ranks.front().job));
    all.sums.loss += report.sums.loss;
    all.sums.weight += report.sums.weight;
    all.sums.correct += report.sums.correct;
    all.sums.own.Add(report.sums.own);
    all.stop |= report.stop;
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::train
