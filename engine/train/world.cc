#include "engine/train/world.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"

namespace hone::engine::train {

std::pair<int64_t, int64_t> Place::PartOf(int64_t batch) const {
  return ShareOf(batch, rank, size);
}

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
    all.sums.loss += report.sums.loss;
    all.sums.weight += report.sums.weight;
    all.sums.correct += report.sums.correct;
    all.sums.own += report.sums.own;
    all.stop |= report.stop;
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::train
