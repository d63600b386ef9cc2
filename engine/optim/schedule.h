#pragma once

#include <cstdint>
#include <limits>
#include <variant>

#include "absl/status/status.h"

// Learning-rate schedules: the factor on the optimizer's learning rate at each step. Pure
// functions, but for plateau, whose state is fed by the caller and belongs to a checkpoint.
namespace hone::engine::optim {

struct ConstantRate {};

// × factor after every `every_epochs` epochs.
struct StepDecay {
  int64_t every_epochs = 1;
  double factor = 0.1;
};

// factor_per_epoch to the power of the epochs passed, fractions counted.
struct ExponentialDecay {
  double factor_per_epoch = 0.95;
};

// Half a cosine from 1 to final_factor at the last step. Loshchilov and Hutter, SGDR, ICLR 2017,
// without restarts.
struct CosineDecay {
  double final_factor = 0;
};

struct LinearDecay {
  double final_factor = 0;
};

// From 1/25 up to 1 over rising_share of the steps, then down to 1e-4, both as half a cosine. Smith
// and Topin, "Super-Convergence", 2018; the numbers are those of
// torch.optim.lr_scheduler.OneCycleLR.
struct OneCycle {
  double rising_share = 0.3;
};

// × factor when the validation loss has not fallen for `patience` epochs.
struct Plateau {
  double factor = 0.1;
  int64_t patience = 5;
  double min_delta = 0;   // a fall by no more than this counts as none
  double min_factor = 0;  // never below
};

struct Schedule {
  int64_t warmup_steps =
      0;  // the factor rises linearly to the schedule's own start: (step + 1) / (warmup_steps + 1)
  std::variant<ConstantRate, StepDecay, ExponentialDecay, CosineDecay, LinearDecay, OneCycle,
               Plateau>
      kind = {};
};

// INVALID_ARGUMENT: "schedule.cosine.final_factor: must be between 0 and 1, got 2".
absl::Status Validate(const Schedule& schedule);

struct PlateauState {
  double factor = 1;
  double best = std::numeric_limits<double>::infinity();
  int64_t epochs_without_fall = 0;
  friend bool operator==(const PlateauState&, const PlateauState&) = default;
};

// Feeds a validation loss at the end of an epoch; NaN counts as no fall. Nothing happens for other
// schedules. True if the factor was lowered.
bool ObserveValidationLoss(const Schedule& schedule, double loss, PlateauState& state);

struct SchedulePosition {
  int64_t step = 0;         // updates made so far: 0 for the first
  int64_t total_steps = 1;  // of the whole job
  int64_t steps_per_epoch = 1;
};

// The factor for the update at this position. After the warm-up a schedule runs over the steps that
// remain.
double LearningRateFactor(const Schedule& schedule, const SchedulePosition& position,
                          const PlateauState& plateau = {});

}  // namespace hone::engine::optim
