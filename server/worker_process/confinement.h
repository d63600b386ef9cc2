#pragma once

#include "hone/v1/worker.pb.h"

namespace hone::server::worker_process {

// How far this machine's kernel lets a process give up what it does not need.

// The version of Landlock's interface, which keeps a process from writing outside its folders; 0:
// the kernel has none, or does not let us use it.
int LandlockAbi();
// A filter of system calls, which keeps a process from the network.
bool HasSeccomp();

// The worker may have to download what it learns from. No other one needs the network.
bool MayDownload(const v1::WorkerRequest& request);

}  // namespace hone::server::worker_process
