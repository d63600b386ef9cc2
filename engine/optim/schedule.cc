#include "engine/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/optim/fields.h"

namespace hone::engine::optim {
namespace {

constexpr double kOneCycleStart = 1.0 / 25;
constexpr double kOneCycleEnd = 1e-4;

absl::Status Reject(absl::string_view field, absl::string_view rule, double got) {
  return RejectField(absl::StrCat("schedule.", field), rule, got);
}

absl::Status CheckShare(absl::string_view field, double value) {
  return value >= 0 && value <= 1 ? absl::OkStatus() : Reject(field, "between 0 and 1", value);
}

absl::Status CheckFactor(absl::string_view field, double value) {
  return value > 0 && value <= 1 ? absl::OkStatus() : Reject(field, "above 0 and at most 1", value);
}

// Half a cosine from `from` at share 0 to `to` at share 1.
double Anneal(double from, double to, double share) {
  return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * share));
}

double OneCycleFactor(double rising_share, double share) {
  if (share < rising_share) {
    return Anneal(kOneCycleStart, 1, share / rising_share);
  }
  return rising_share < 1 ? Anneal(1, kOneCycleEnd, (share - rising_share) / (1 - rising_share))
                          : 1;
}

// `step` of `total`, both counted from the end of the warm-up.
double FactorAfterWarmup(const Schedule& schedule, int64_t step, int64_t total,
                         int64_t steps_per_epoch, const PlateauState& plateau) {
  // 0 at the first step, 1 at the last one.
  const double share =
      total > 1 ? std::clamp(static_cast<double>(step) / static_cast<double>(total - 1), 0.0, 1.0)
                : 0;
  const double epochs = static_cast<double>(step) / static_cast<double>(steps_per_epoch);
  return std::visit(
      Overloaded{
          [](const ConstantRate&) { return 1.0; },
          [&](const StepDecay& o) {
            return std::pow(o.factor, static_cast<double>(step / steps_per_epoch / o.every_epochs));
          },
          [&](const ExponentialDecay& o) { return std::pow(o.factor_per_epoch, epochs); },
          [&](const CosineDecay& o) { return Anneal(1, o.final_factor, share); },
          [&](const LinearDecay& o) { return 1 + (o.final_factor - 1) * share; },
          [&](const OneCycle& o) { return OneCycleFactor(o.rising_share, share); },
          [&](const Plateau&) { return plateau.factor; },
      },
      schedule.kind);
}

}  // namespace

absl::Status Validate(const Schedule& schedule) {
  if (schedule.warmup_steps < 0) {
    return Reject("warmup_steps", "at least 0", static_cast<double>(schedule.warmup_steps));
  }
  return std::visit(
      Overloaded{
          [](const ConstantRate&) { return absl::OkStatus(); },
          [](const StepDecay& o) {
            if (o.every_epochs < 1) {
              return Reject("step.every_epochs", "at least 1", static_cast<double>(o.every_epochs));
            }
            return CheckFactor("step.factor", o.factor);
          },
          [](const ExponentialDecay& o) {
            return CheckFactor("exponential.factor_per_epoch", o.factor_per_epoch);
          },
          [](const CosineDecay& o) { return CheckShare("cosine.final_factor", o.final_factor); },
          [](const LinearDecay& o) { return CheckShare("linear.final_factor", o.final_factor); },
          [](const OneCycle& o) { return CheckShare("one_cycle.rising_share", o.rising_share); },
          [](const Plateau& o) {
            if (!(o.factor > 0 && o.factor < 1)) {
              return Reject("plateau.factor", "above 0 and below 1", o.factor);
            }
            if (o.patience < 1) {
              return Reject("plateau.patience", "at least 1", static_cast<double>(o.patience));
            }
            if (!(o.min_delta >= 0 && std::isfinite(o.min_delta))) {
              return Reject("plateau.min_delta", "a finite number, at least 0", o.min_delta);
            }
            return CheckShare("plateau.min_factor", o.min_factor);
          },
      },
      schedule.kind);
}

bool ObserveValidationLoss(const Schedule& schedule, double loss, PlateauState& state) {
  const Plateau* plateau = std::get_if<Plateau>(&schedule.kind);
  if (plateau == nullptr) {
    return false;
  }
  if (loss < state.best - plateau->min_delta) {
    state.best = loss;
    state.epochs_without_fall = 0;
    return false;
  }
  if (++state.epochs_without_fall < plateau->patience) {
    return false;
  }
  state.epochs_without_fall = 0;
  const double before = state.factor;
  state.factor = std::max(state.factor * plateau->factor, std::min(plateau->min_factor, before));
  return state.factor < before;
}

double LearningRateFactor(const Schedule& schedule, const SchedulePosition& position,
                          const PlateauState& plateau) {
  const int64_t warmup = schedule.warmup_steps;
  const int64_t steps_per_epoch = std::max<int64_t>(position.steps_per_epoch, 1);
  const int64_t rest = position.total_steps - warmup;
  if (position.step < warmup) {
    const double share = static_cast<double>(position.step + 1) / static_cast<double>(warmup + 1);
    return share * FactorAfterWarmup(schedule, 0, rest, steps_per_epoch, plateau);
  }
  return FactorAfterWarmup(schedule, position.step - warmup, rest, steps_per_epoch, plateau);
}

}  // namespace hone::engine::optim
