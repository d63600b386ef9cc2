#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/interrupts.h"
#include "client/jobfile/sweep_file.h"
#include "hone/v1/sweep.pb.h"

namespace hone::client::cli {

// What is told of a sweep that runs here; every function is optional.
struct LocalSweepObserver {
  std::function<void(const v1::Sweep&, const v1::Trial&)> on_begin;
  std::function<void(const v1::Sweep&, const v1::Trial&)> on_end;
  std::function<void(const std::string&)> on_message;
};

// Begins a sweep in its folder, which is there and empty: the sweep file, then a folder for each
// trial, and sweep.json with what has become of them. INVALID_ARGUMENT: the sweep is wrong.
absl::StatusOr<v1::Sweep> BeginLocalSweep(const jobfile::SweepFile& file, int threads,
                                          const std::string& folder);

// One that was interrupted. NOT_FOUND: the folder holds no sweep.
absl::StatusOr<v1::Sweep> OpenLocalSweep(const std::string& folder);

// Runs its trials one after another, each in a worker of its own, until it has ended or was
// interrupted: then a trial that ran has written a checkpoint, and the sweep is still RUNNING. The
// folder has the newest state at any time. RESOURCE_EXHAUSTED, ABORTED: the disk or the network
// failed, not a trial, and the sweep can go on in its folder.
absl::StatusOr<v1::Sweep> RunLocalSweep(v1::Sweep sweep, const std::string& folder,
                                        Interrupts& interrupts, const LocalSweepObserver& observer);

}  // namespace hone::client::cli
