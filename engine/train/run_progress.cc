#include "engine/train/run_progress.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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

bool ObserveValidation(const tasks::TrainingConfig& config, double loss,
                       checkpoint::RunState& state, LoopObserver& observer) {
  if (optim::ObserveValidationLoss(config.schedule, loss, state.plateau)) {
    observer.OnLog(
        Severity::kInfo,
        absl::StrFormat("the validation loss does not fall: learning rate × %g from here",
                        state.plateau.factor));
  }
  const double min_delta = config.early_stopping ? config.early_stopping->min_delta : 0;
  if (!std::isfinite(loss)) {
    observer.OnLog(Severity::kWarning,
                   absl::StrCat("step ", state.step,
                                ": the validation loss is not finite; these weights are "
                                "not taken for the best"));
  }
  const bool improved =
      std::isfinite(loss) && (!state.best.has_value() || loss < state.best->value - min_delta);
  if (improved) {
    state.best = {.name = "validation_loss", .value = loss, .step = state.step};
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
