#pragma once

#include <string>
#include <vector>

#include "client/cli/text.h"
#include "hone/v1/sweep.pb.h"

namespace hone::client::cli {

// What a sweep has come to: how it stands, the trials with the best on top (`most` of them), over
// folds or seeds their means and deviations, and the objective over each axis. `width` is that of
// the plots.
std::vector<Line> RenderSweep(const v1::Sweep& sweep, size_t most, int width);

// The same in at most `height` lines, while it goes on: of the axes' plots those that fit beside
// the best trials.
std::vector<Line> RenderLiveSweep(const v1::Sweep& sweep, int width, int height);

// "mlp-sweep: running, 12 of 27 trials have ended, the best is trial 7: test accuracy 97.90 %"
std::string SweepLine(const v1::Sweep& sweep);

// "trial 3: units=64, learning_rate=0.001: test accuracy 97.10 %, 12 s"
std::string TrialLine(const v1::Sweep& sweep, const v1::Trial& trial);

// Short names for the axes' fields, each once: the last words of their paths.
std::vector<std::string> AxisNames(const v1::SweepSpec& spec);

}  // namespace hone::client::cli
