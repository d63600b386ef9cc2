#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hone/v1/sweep.pb.h"

namespace hone::server::sweeps {

// More trials than this are refused.
inline constexpr int kMostTrials = 1000;

// Every field that is wrong by itself or against another one: INVALID_ARGUMENT with all of them.
// Pure: whether each trial's job is right is checked where it is known what runs it.
absl::Status Check(const v1::SweepSpec& spec);

// With every default of the sweep's own fields written out; of one that Check found right.
// `parallelism` is what it gets where it names none.
v1::SweepSpec Resolve(const v1::SweepSpec& spec, int parallelism);

// The trials before the first one has begun, with their settings: for the same spec always the
// same. INVALID_ARGUMENT: too many.
absl::StatusOr<std::vector<v1::Trial>> Expand(const v1::SweepSpec& spec);

// Of a resolved spec: how long trials train in each rung, in the unit of the job's length; one rung
// of the whole length where nothing is halved.
std::vector<int64_t> Rungs(const v1::SweepSpec& spec);

// How many trials of `trials` train in a rung, from 1.
int64_t TrialsInRung(const v1::SweepSpec& spec, int64_t trials, int rung);

// The job of a trial at its rung: the template with its settings, named after the sweep and the
// trial. INVALID_ARGUMENT names the axis.
absl::StatusOr<v1::JobSpec> JobOf(const v1::SweepSpec& spec, const v1::Trial& trial);

// "training.optimizer.adam.learning_rate=0.001, model.layers[0].dense.units=64"
std::string SettingsInWords(const v1::SweepSpec& spec, const v1::Trial& trial);

}  // namespace hone::server::sweeps
