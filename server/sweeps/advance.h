#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "hone/v1/event.pb.h"
#include "hone/v1/job_resource.pb.h"
#include "hone/v1/sweep.pb.h"

namespace hone::server::sweeps {

// What a sweep is to do next: a function of its resolved spec, its trials and the time alone, so
// that whoever is asked again, after a crash, finds the same.

// Moves trials that rest on to the next rung, or stops them, and ends the sweep when nothing is
// left to do. Returns the numbers of the trials that are to begin their rung now, the first first.
// `elapsed_seconds` since the sweep's creation.
std::vector<int> Advance(v1::Sweep& sweep, double elapsed_seconds);

// Takes over what a trial's job came to; the job has ended. `verdicts` are those of the job's
// latest layer statistics.
void TakeResult(const v1::SweepSpec& spec, const v1::Job& job, const v1::LayerStatistics& verdicts,
                v1::Trial& trial);

// The same where the job is no more.
void TakeLoss(absl::string_view why, v1::Trial& trial);

// Begins no more trials; the state is STOPPING while any still runs. `ends_as` is FAILED or
// CANCELLED.
void Stop(v1::Sweep::State ends_as, absl::string_view message, v1::Sweep& sweep);

// Counts the ended trials and names the best: those that trained longest first, then by the
// objective, then by number.
void Summarise(v1::Sweep& sweep);

// The trials' places from the best to the worst, as Summarise has it; those without an objective
// last, by number.
std::vector<const v1::Trial*> Ranked(const v1::Sweep& sweep);

bool IsEnd(v1::Sweep::State state);
bool IsEnd(v1::Trial::State state);

}  // namespace hone::server::sweeps
