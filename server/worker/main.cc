// hone-worker MODE --request FILE [--nice N]: one job in one process, or one model that serves
// predictions. Events go to descriptor 3; end of file on descriptor 4 means that the parent is
// gone.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <new>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "engine/base/files.h"
#include "engine/base/memory_error.h"
#include "engine/base/status.h"
#include "engine/base/traceparent.h"
#include "server/worker/confine.h"
#include "server/worker/failure.h"
#include "server/worker/modes.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::worker {
namespace {

std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void RequestStop(int) { stop_requested = true; }

// Ends the process when the parent does: checkpoints on disk are what remains.
void WatchParent() {
  std::thread([] {
    char byte;
    ssize_t count;
    do {
      count = read(worker_process::kParentAliveFd, &byte, 1);
    } while (count > 0 || (count < 0 && errno == EINTR));
    _exit(1);
  }).detach();
}

// Files that a data set of pictures in a folder, a model and a log need at a time.
constexpr rlim_t kOpenFiles = 256;

// Under sanitizers memory is no measure.
void LimitMemory([[maybe_unused]] int64_t bytes) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  if (bytes > 0) {
    const rlimit limit{static_cast<rlim_t>(bytes), static_cast<rlim_t>(bytes)};
    setrlimit(RLIMIT_DATA, &limit);
  }
#endif
}

// No core dumps (they would hold users' data), no new privileges, SIGTERM as a request to stop.
// Threads that come later give way as this one does.
void SetUpProcess(int niceness) {
  setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + niceness);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  const rlimit files{kOpenFiles, kOpenFiles};
  setrlimit(RLIMIT_NOFILE, &files);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  struct sigaction action {};
  action.sa_handler = &RequestStop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool Run(const v1::WorkerRequest& request, FrameWriter& writer) {
  switch (request.mode()) {
    case v1::WorkerRequest::TRAIN:
      return Train(request, stop_requested, writer);
    case v1::WorkerRequest::PLAN:
      return MakePlan(request, writer);
    case v1::WorkerRequest::PREDICT:
      return Predict(request, writer);
    case v1::WorkerRequest::DATASET:
      return InspectDataset(request, writer);
    case v1::WorkerRequest::IMPORT:
      return ImportCheckpoint(request, writer);
    case v1::WorkerRequest::SERVE:
      return Serve(request, writer);
    case v1::WorkerRequest::EXPORT:
      return ExportModel(request, writer);
    default:
      SendFailure(ToFailure(absl::InvalidArgumentError("the request has no mode"),
                            engine::job::Phase::kPlanning, 0),
                  writer);
      return false;
  }
}

// The fence for what libraries throw.
bool RunSafely(const v1::WorkerRequest& request, FrameWriter& writer) {
  v1::Failure failure;
  try {
    return Run(request, writer);
  } catch (const std::bad_alloc&) {
    failure = ToFailure(OutOfMemoryError("the job needs more memory than there is"),
                        engine::job::Phase::kTraining, 0);
  } catch (const std::exception& error) {
    failure.set_end_reason("INTERNAL");
    failure.set_message(error.what());
    failure.set_code(static_cast<int>(absl::StatusCode::kInternal));
  }
  SendFailure(failure, writer);
  return false;
}

// Where the machine has no memory left the kernel ends the process with the highest score: first
// those whose work is soon done again, then a job's, and the server last.
void OfferToKiller(v1::WorkerRequest::Mode mode) {
  std::ofstream("/proc/self/oom_score_adj") << (mode == v1::WorkerRequest::TRAIN ? 200 : 1000);
}

// Reads the request and takes from the process what it does not need for it. No thread runs yet.
absl::Status Prepare(const std::string& request_path, v1::WorkerRequest& request) {
  HONE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(request_path, int64_t{256} << 20));
  if (!request.ParseFromString(bytes)) {
    return absl::InvalidArgumentError("the request cannot be read");
  }
  OfferToKiller(request.mode());
  LimitMemory(request.memory_limit_bytes());
  return Confine(request);
}

int Main(int argc, char** argv) {
  int niceness = 0;
  const bool usage = (argc == 4 || (argc == 6 && std::strcmp(argv[4], "--nice") == 0 &&
                                    absl::SimpleAtoi(argv[5], &niceness))) &&
                     std::strcmp(argv[2], "--request") == 0;
  if (!usage || fcntl(worker_process::kEventFd, F_GETFD) < 0 ||
      fcntl(worker_process::kParentAliveFd, F_GETFD) < 0) {
    std::fprintf(stderr,
                 "usage: hone-worker train|plan|predict|dataset|import|serve|export --request FILE "
                 "[--nice N]\n"
                 "It is started by honed and by `hone run`, with pipes on descriptors 3 and 4.\n");
    return 2;
  }
  SetUpProcess(niceness);
  // What follows in its log, such as a library's last words, belongs to this trace.
  const char* const traceparent = std::getenv("TRACEPARENT");
  if (const absl::string_view trace = TraceIdOf(traceparent == nullptr ? "" : traceparent);
      !trace.empty()) {
    std::fprintf(stderr, "msg=\"worker started\" mode=%s trace_id=%.*s\n", argv[1],
                 static_cast<int>(trace.size()), trace.data());
  }
  v1::WorkerRequest request;
  const absl::Status prepared = Prepare(argv[3], request);
  FrameWriter writer(worker_process::kEventFd);
  if (!prepared.ok()) {
    SendFailure(ToFailure(prepared, engine::job::Phase::kPlanning, 0), writer);
    return 1;
  }
  // One that serves reads that descriptor itself.
  if (request.mode() != v1::WorkerRequest::SERVE) {
    WatchParent();
  }
  return RunSafely(request, writer) ? 0 : 1;
}

}  // namespace
}  // namespace hone::server::worker

int main(int argc, char** argv) { return hone::server::worker::Main(argc, argv); }
