#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hone/v1/worker.pb.h"
#include "server/worker_process/frames.h"

namespace hone::server::worker_process {

// Descriptors as the worker finds them.
inline constexpr int kEventFd = 3;
inline constexpr int kParentAliveFd = 4;

// Of memory that a worker may reserve and not use, above its share: stacks, heaps.
inline constexpr int64_t kUnusedBytes = int64_t{128} << 20;

// What a server's jobs give way by, as nice(1) counts it, to all that its clients wait for: answers
// of models, plans, imports. Beside such a thread one of a job gets a tenth of a processor.
inline constexpr int kNiceOfJobs = 10;

struct StartOptions {
  std::string binary;        // hone-worker
  std::string request_path;  // where the request is written for it
  std::string output_path;  // what it writes to stdout and stderr is appended here; "": thrown away
  int nice = 0;             // how far it gives way to other processes
  std::string traceparent = "";  // TRACEPARENT in its environment; "": none
};

// How a process ended.
struct ExitStatus {
  int code = 0;                     // of exit(); meaningless when a signal ended it
  int signal = 0;                   // 0: it exited by itself
  bool killed_by_us = false;        // SIGKILL was sent through Signal, Wait or the destructor
  int64_t peak_resident_bytes = 0;  // the most memory that it held at a time
  // "exited with 1", "was ended by SIGSEGV"
  std::string ToString() const;
};

// What came from the pipe: a frame; or nothing within the time; or, with ended, the pipe is closed
// and empty.
struct Received {
  std::optional<v1::WorkerFrame> frame;
  bool ended = false;
};

// What the worker said, with the code that it gave. INTERNAL where there is none.
absl::Status ToStatus(const v1::Failure& failure);

// "plan": as the worker is told it. Null for none.
const char* ModeName(v1::WorkerRequest::Mode mode);

// Bytes of a process that are in memory; 0 where it is gone.
int64_t ResidentBytes(pid_t pid);
// The same without pages of files, which other processes share and the kernel can take back.
int64_t PrivateBytes(pid_t pid);

// The environment a worker is started with: what it may inherit of ours (the proxies, which may
// have passwords, only where it needs the network), and the settings of the OpenMP runtime, which
// reads them once, before main.
std::vector<std::string> WorkerEnvironment(int threads, bool network);

// hone-worker beside the program that runs; HONE_WORKER overrides it. NOT_FOUND says where it was
// looked for.
absl::StatusOr<std::string> FindWorkerBinary();

// One hone-worker process, started by exec, in its own process group, with no descriptor of ours
// but the two pipes. It ends with this object: the destructor kills and reaps it. For one thread.
class WorkerProcess {
 public:
  // Writes the request and starts the worker in the request's mode.
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Start(const v1::WorkerRequest& request,
                                                              const StartOptions& options);
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // Waits at most `timeout` for the next frame; returns early without one when a signal handler
  // ran. INVALID_ARGUMENT: what came is no frame.
  absl::StatusOr<Received> Read(absl::Duration timeout);

  // To a worker that serves: one frame on its descriptor 4. DEADLINE_EXCEEDED: it does not read;
  // UNAVAILABLE: it has ended (the process must ignore SIGPIPE). After either it is of no more use.
  absl::Status Write(const v1::WorkerFrame& frame, absl::Duration timeout);

  // To the worker's process group. Nothing once it was reaped.
  void Signal(int signal);

  // Waits at most `patience` for the end. What the worker started and left running is killed then;
  // what of it takes longer than a second to die is not waited for (orphans.h).
  std::optional<ExitStatus> Reap(absl::Duration patience);
  // Waits for the end; kills it when `grace` is over, and waits on for however long it takes to die
  // (a disk that does not answer holds it up).
  ExitStatus Wait(absl::Duration grace);

  pid_t pid() const { return pid_; }
  // Of memory that it holds now; 0 once it has ended.
  int64_t ResidentBytes() const;
  int64_t PrivateBytes() const;
  // Becomes readable when Read has something to do.
  int event_fd() const { return event_fd_; }

 private:
  WorkerProcess(pid_t pid, int event_fd, int alive_fd)
      : pid_(pid), event_fd_(event_fd), alive_fd_(alive_fd) {}

  const pid_t pid_;
  const int event_fd_;
  const int alive_fd_;
  FrameDecoder decoder_;
  bool ended_ = false;
  std::optional<ExitStatus> exit_;
  bool killed_ = false;
};

}  // namespace hone::server::worker_process
