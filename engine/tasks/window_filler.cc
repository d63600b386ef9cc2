#include "engine/tasks/window_filler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/ops/new_tokens.h"
#include "engine/tasks/writing.h"

namespace hone::engine::tasks {

absl::StatusOr<WindowFiller> WindowFiller::Begin(const Inputs& inputs, const PackedShape& shape) {
  WindowFiller filler;
  filler.shape_ = shape;
  HONE_ASSIGN_OR_RETURN(filler.tokens_, inputs.Find<int32_t>(kTokensInput));
  HONE_ASSIGN_OR_RETURN(filler.offsets_, inputs.Find<int32_t>(kOffsetsInput));
  HONE_ASSIGN_OR_RETURN(filler.targets_, inputs.Find<int32_t>(kTargetsInput));
  HONE_ASSIGN_OR_RETURN(filler.learned_, inputs.Find<int32_t>(kLearnedInput));
  HONE_ASSIGN_OR_RETURN(filler.state_rows_, inputs.Find<int32_t>(kStateRowsInput));
  if (!filler.offsets_.empty()) {
    filler.offsets_[0] = 0;
  }
  return filler;
}

absl::Status WindowFiller::Add(std::span<const int32_t> sequence, std::span<const uint8_t> learned,
                               int32_t state_row) {
  const size_t count = sequence.size() - 1;
  if (static_cast<int64_t>(row_ + count) > shape_.rows ||
      static_cast<int64_t>(sequence_) >= shape_.sequences) {
    return absl::InternalError(absl::StrCat("a program for ", shape_.sequences, " sequences with ",
                                            shape_.rows, " tokens was given others"));
  }
  if (!tokens_.empty()) {
    std::ranges::copy(sequence.first(count), tokens_.subspan(row_).begin());
  }
  if (!learned_.empty()) {
    HONE_RETURN_IF_ERROR(AddLearned(sequence, learned));
  } else if (!targets_.empty()) {
    for (size_t i = 0; i < count; ++i) {
      targets_[row_ + i] = learned.empty() || learned[i + 1] != 0 ? sequence[i + 1] : -1;
    }
  }
  if (!state_rows_.empty()) {
    state_rows_[sequence_] = state_row;
  }
  row_ += count;
  ++sequence_;
  if (!offsets_.empty()) {
    offsets_[sequence_] = static_cast<int32_t>(row_);
  }
  return absl::OkStatus();
}

absl::Status WindowFiller::AddLearned(std::span<const int32_t> sequence,
                                      std::span<const uint8_t> learned) {
  for (size_t i = 0; i + 1 < sequence.size(); ++i) {
    if (!learned.empty() && learned[i + 1] == 0) {
      continue;
    }
    if (target_ == learned_.size() || target_ == targets_.size()) {
      return absl::InternalError(absl::StrCat("a program for ", learned_.size(),
                                              " learned tokens was given more of them"));
    }
    learned_[target_] = static_cast<int32_t>(row_ + i);
    targets_[target_++] = sequence[i + 1];
  }
  return absl::OkStatus();
}

void WindowFiller::Finish() {
  std::ranges::fill(tokens_.subspan(std::min(row_, tokens_.size())), 0);
  std::ranges::fill(learned_.subspan(std::min(target_, learned_.size())), 0);
  std::ranges::fill(targets_.subspan(std::min(learned_.empty() ? row_ : target_, targets_.size())),
                    -1);
  std::ranges::fill(offsets_.subspan(std::min(sequence_ + 1, offsets_.size())),
                    static_cast<int32_t>(row_));
  std::ranges::fill(state_rows_.subspan(std::min(sequence_, state_rows_.size())),
                    StateRow(0, false));
}

}  // namespace hone::engine::tasks
