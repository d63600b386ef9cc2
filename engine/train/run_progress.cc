#include "engine/train/run_progress.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "engine/base/cpu.h"
#include "engine/optim/schedule.h"

namespace hone::engine::train {

checkpoint::RunState InitialState(const tasks::TrainingConfig& config,
                                  const tasks::DataInfo& info) {
  checkpoint::RunState state;
  state.seed = config.seed;
  state.scalars = {{"active_seconds", 0},
                   {"batch_size", static_cast<double>(config.batch_size)},
                   {"train_examples", static_cast<double>(info.train)}};
  const std::string sets = InstructionSets();
  state.arithmetic =
      absl::StrCat(config.threads, config.threads == 1 ? " thread, " : " threads, ",
                   config.compute == DType::kBf16 ? "bf16" : "f32", sets.empty() ? "" : ", ", sets);
  return state;
}

void AddToHistory(checkpoint::HistoryPoint point, checkpoint::RunState& state) {
  constexpr size_t kMost = 4096;
  std::vector<checkpoint::HistoryPoint>& history = state.history;
  history.push_back(std::move(point));
  if (history.size() == kMost) {
    for (size_t i = 0; i < kMost / 2; ++i) {
      history[i] = std::move(history[2 * i + 1]);  // the newest stays
    }
    history.resize(kMost / 2);
  }
}

bool ObserveValidation(const tasks::TrainingConfig& config, const Criterion& criterion,
                       checkpoint::RunState& state, LoopObserver& observer) {
  const std::string words = absl::StrReplaceAll(criterion.name, {{"_", " "}});
  // The lower the better, from here on.
  const double sign = criterion.rises ? -1 : 1, cost = sign * criterion.value;
  if (optim::ObserveValidationLoss(config.schedule, cost, state.plateau)) {
    observer.OnLog(Severity::kInfo,
                   absl::StrFormat("the %s does not %s: learning rate × %g from here", words,
                                   criterion.rises ? "rise" : "fall", state.plateau.factor));
  }
  const double min_delta = config.early_stopping ? config.early_stopping->min_delta : 0;
  if (!std::isfinite(cost)) {
    observer.OnLog(Severity::kWarning,
                   absl::StrCat("step ", state.step, ": the ", words,
                                " is not finite; these weights are not taken for the best"));
  }
  const bool improved = std::isfinite(cost) &&
                        (!state.best.has_value() || cost < sign * state.best->value - min_delta);
  if (improved) {
    state.best = {.name = criterion.name, .value = criterion.value, .step = state.step};
    state.epochs_without_improvement = 0;
  } else {
    ++state.epochs_without_improvement;
  }
  return improved;
}

bool StoppedEarly(const tasks::TrainingConfig& config, const checkpoint::RunState& state) {
  return config.early_stopping.has_value() &&
         state.epochs_without_improvement >= config.early_stopping->patience;
}

}  // namespace hone::engine::train
