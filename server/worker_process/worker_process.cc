#include "server/worker_process/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/worker_process/confinement.h"
#include "server/worker_process/orphans.h"

extern char** environ;

namespace hone::server::worker_process {
namespace {

// Closes the descriptor when it leaves scope, unless it was released.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

struct Pipe {
  Descriptor read;
  Descriptor write;
};

// Both ends above the numbers that the child gives them, so that one dup2 there cannot overwrite
// the other's source.
absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return ErrnoStatus(errno, "pipe for the worker");
  }
  const Descriptor low_read(ends[0]);
  const Descriptor low_write(ends[1]);
  Pipe result{Descriptor(fcntl(ends[0], F_DUPFD_CLOEXEC, 16)),
              Descriptor(fcntl(ends[1], F_DUPFD_CLOEXEC, 16))};
  if (result.read.get() < 0 || result.write.get() < 0) {
    return ErrnoStatus(errno, "pipe for the worker");
  }
  return result;
}

// Owns what posix_spawn is told.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  void SetDescriptors(const std::string& output_path, int event_fd, int alive_fd) {
    const char* output = output_path.empty() ? "/dev/null" : output_path.c_str();
    posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&actions_, 1, 2);
    posix_spawn_file_actions_adddup2(&actions_, event_fd, kEventFd);
    posix_spawn_file_actions_adddup2(&actions_, alive_fd, kParentAliveFd);
    posix_spawn_file_actions_addclosefrom_np(&actions_, kParentAliveFd + 1);
  }

  // An own process group (so that Ctrl-C in our terminal is ours to pass on), no signal blocked or
  // ignored.
  void SetGroupAndSignals() {
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }

  absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments,
                              const std::vector<std::string>& environment) {
    pid_t pid = 0;
    const int error = posix_spawn(&pid, arguments[0].c_str(), &actions_, &attributes_,
                                  Pointers(arguments).data(), Pointers(environment).data());
    if (error != 0) {
      return ErrnoStatus(error, absl::StrCat("cannot start ", arguments[0]));
    }
    return pid;
  }

 private:
  static std::vector<char*> Pointers(const std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    for (const std::string& s : strings) {
      pointers.push_back(const_cast<char*>(s.c_str()));
    }
    pointers.push_back(nullptr);
    return pointers;
  }

  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// Ours to pass on: where things are, what language, and switches of the libraries below; how to
// reach the network, which may name a proxy with a password, to who uses it.
bool Inherited(absl::string_view name, bool network) {
  if (name == "HONE_TOKEN") {
    return false;  // it says who its user is, and a worker reads what strangers wrote
  }
  static constexpr absl::string_view kNames[] = {
      "PATH",         "HOME",          "USER",           "LANG",
      "TZ",           "TMPDIR",        "XDG_CACHE_HOME", "LD_LIBRARY_PATH",
      "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",   "LSAN_OPTIONS"};
  static constexpr absl::string_view kNetworkNames[] = {
      "http_proxy", "https_proxy", "HTTPS_PROXY",  "no_proxy",      "NO_PROXY",      "all_proxy",
      "ALL_PROXY",  "HTTP_PROXY",  "SSL_CERT_DIR", "SSL_CERT_FILE", "CURL_CA_BUNDLE"};
  static constexpr std::array kPrefixes = {"HONE_", "LC_", "DNNL_", "ONEDNN_"};
  if (std::ranges::find(kNames, name) != std::end(kNames) ||
      (network && std::ranges::find(kNetworkNames, name) != std::end(kNetworkNames))) {
    return true;
  }
  for (const char* prefix : kPrefixes) {
    if (absl::StartsWith(name, prefix)) {
      return true;
    }
  }
  return false;
}

struct InMemory {
  int64_t resident = 0;
  int64_t shared = 0;  // of it pages of files and of shared memory
};

InMemory BytesInMemory(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/statm"));
  int64_t pages = 0, resident = 0, shared = 0;
  file >> pages >> resident >> shared;
  const int64_t page = sysconf(_SC_PAGESIZE);
  return file ? InMemory{resident * page, shared * page} : InMemory{};
}

// What was killed is gone within milliseconds, unless something holds it up.
constexpr absl::Duration kPatienceWithOrphans = absl::Seconds(1);

}  // namespace

const char* ModeName(v1::WorkerRequest::Mode mode) {
  switch (mode) {
    case v1::WorkerRequest::TRAIN:
      return "train";
    case v1::WorkerRequest::PLAN:
      return "plan";
    case v1::WorkerRequest::PREDICT:
      return "predict";
    case v1::WorkerRequest::DATASET:
      return "dataset";
    case v1::WorkerRequest::IMPORT:
      return "import";
    case v1::WorkerRequest::SERVE:
      return "serve";
    case v1::WorkerRequest::EXPORT:
      return "export";
    default:
      return nullptr;
  }
}

absl::Status ToStatus(const v1::Failure& failure) {
  const bool known = failure.code() > 0 && failure.code() <= 16;
  return absl::Status(
      known ? static_cast<absl::StatusCode>(failure.code()) : absl::StatusCode::kInternal,
      failure.message());
}

std::vector<std::string> WorkerEnvironment(int threads, bool network) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view text(*entry);
    if (Inherited(text.substr(0, text.find('=')), network)) {
      environment.emplace_back(text);
    }
  }
  environment.push_back(absl::StrCat("OMP_NUM_THREADS=", threads > 0 ? threads : 1));
  environment.emplace_back("OMP_DYNAMIC=false");
  // Between two parallel regions of a step lie microseconds, and a thread that sleeps needs tens of
  // them to wake: so it spins, for a few hundred microseconds. Not longer: where another process
  // holds one of the cores, a spinning thread keeps its own from the thread that it waits for.
  environment.emplace_back("OMP_WAIT_POLICY=active");
  environment.emplace_back("GOMP_SPINCOUNT=10000");
  return environment;
}

absl::StatusOr<std::string> FindWorkerBinary() {
  if (const char* path = std::getenv("HONE_WORKER"); path != nullptr && *path != '\0') {
    if (access(path, X_OK) != 0) {
      return ErrnoStatus(errno, absl::StrCat("HONE_WORKER=", path));
    }
    return std::string(path);
  }
  std::string self(4096, '\0');
  const ssize_t length = readlink("/proc/self/exe", self.data(), self.size());
  if (length <= 0) {
    return ErrnoStatus(errno, "/proc/self/exe");
  }
  self.resize(static_cast<size_t>(length));
  const std::string path = absl::StrCat(self.substr(0, self.rfind('/')), "/hone-worker");
  if (access(path.c_str(), X_OK) != 0) {
    return absl::NotFoundError(
        absl::StrCat("no worker at ", path, "; build it, or name one in HONE_WORKER"));
  }
  return path;
}

std::string ExitStatus::ToString() const {
  if (signal == 0) {
    return absl::StrCat("exited with ", code);
  }
  const char* name = sigabbrev_np(signal);
  return absl::StrCat("was ended by ", name == nullptr ? absl::StrCat("signal ", signal)
                                                       : absl::StrCat("SIG", name));
}

absl::StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Start(
    const v1::WorkerRequest& request, const StartOptions& options) {
  const char* mode = ModeName(request.mode());
  if (mode == nullptr) {
    return absl::InvalidArgumentError("the worker request has no mode");
  }
  HONE_RETURN_IF_ERROR(WriteFileAtomically(options.request_path, request.SerializeAsString()));
  HONE_ASSIGN_OR_RETURN(Pipe events, MakePipe());
  HONE_ASSIGN_OR_RETURN(Pipe alive, MakePipe());
  SpawnPlan plan;
  plan.SetDescriptors(options.output_path, events.write.get(), alive.read.get());
  plan.SetGroupAndSignals();
  std::vector<std::string> arguments = {options.binary, mode, "--request", options.request_path};
  if (options.nice != 0) {
    arguments.insert(arguments.end(), {"--nice", absl::StrCat(options.nice)});
  }
  std::vector<std::string> environment = WorkerEnvironment(request.threads(), MayDownload(request));
  if (!options.traceparent.empty()) {
    environment.push_back(absl::StrCat("TRACEPARENT=", options.traceparent));
  }
  HONE_ASSIGN_OR_RETURN(const pid_t pid, plan.Spawn(arguments, environment));
  // A worker that reads no more must not hold us up.
  fcntl(alive.write.get(), F_SETFL, O_NONBLOCK);
  return std::unique_ptr<WorkerProcess>(
      new WorkerProcess(pid, events.read.release(), alive.write.release()));
}

WorkerProcess::~WorkerProcess() {
  if (!exit_) {
    Wait(absl::ZeroDuration());
  }
  close(event_fd_);
  close(alive_fd_);
}

absl::StatusOr<Received> WorkerProcess::Read(absl::Duration timeout) {
  const absl::Duration deadline = SteadyNow() + timeout;
  while (true) {
    HONE_ASSIGN_OR_RETURN(std::optional<v1::WorkerFrame> frame, decoder_.Next());
    if (frame || ended_) {
      return Received{.frame = std::move(frame), .ended = !frame && ended_};
    }
    const absl::Duration left = std::max(deadline - SteadyNow(), absl::ZeroDuration());
    pollfd wanted{.fd = event_fd_, .events = POLLIN, .revents = 0};
    const int ready = poll(
        &wanted, 1, static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(left), 1 << 30)));
    if (ready <= 0) {
      return Received{};
    }
    std::array<char, 1 << 16> bytes;
    const ssize_t count = read(event_fd_, bytes.data(), bytes.size());
    if (count > 0) {
      decoder_.Append(absl::string_view(bytes.data(), static_cast<size_t>(count)));
    } else if (count == 0 || errno != EINTR) {
      ended_ = true;
    }
  }
}

absl::Status WorkerProcess::Write(const v1::WorkerFrame& frame, absl::Duration timeout) {
  HONE_ASSIGN_OR_RETURN(const std::string bytes, EncodeFrame(frame));
  const absl::Duration deadline = SteadyNow() + timeout;
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t written = write(alive_fd_, bytes.data() + done, bytes.size() - done);
    if (written >= 0) {
      done += static_cast<size_t>(written);
    } else if (errno == EAGAIN) {
      const absl::Duration left = deadline - SteadyNow();
      if (left <= absl::ZeroDuration()) {
        return absl::DeadlineExceededError("the worker did not read its request");
      }
      pollfd wanted{.fd = alive_fd_, .events = POLLOUT, .revents = 0};
      poll(&wanted, 1,
           static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 1000)));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "request pipe");
    }
  }
  return absl::OkStatus();
}

int64_t ResidentBytes(pid_t pid) { return BytesInMemory(pid).resident; }

int64_t PrivateBytes(pid_t pid) {
  const InMemory bytes = BytesInMemory(pid);
  return bytes.resident - bytes.shared;
}

int64_t WorkerProcess::ResidentBytes() const {
  return exit_ ? 0 : worker_process::ResidentBytes(pid_);
}

int64_t WorkerProcess::PrivateBytes() const {
  return exit_ ? 0 : worker_process::PrivateBytes(pid_);
}

void WorkerProcess::Signal(int signal) {
  if (exit_) {
    return;
  }
  killed_ = killed_ || signal == SIGKILL;
  kill(-pid_, signal);
}

std::optional<ExitStatus> WorkerProcess::Reap(absl::Duration patience) {
  const absl::Duration deadline = SteadyNow() + patience;
  while (!exit_) {
    siginfo_t ended = {};
    if (waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        ended.si_pid != 0) {
      // What it started ends with it. The worker itself is not reaped yet, so that the number of
      // its group is nobody else's.
      if (ended.si_pid == pid_) {
        kill(-pid_, SIGKILL);
      }
      int status = 0;
      rusage used = {};
      wait4(pid_, &status, 0, &used);
      Orphans::OfThisProcess().Reap(pid_, kPatienceWithOrphans);
      exit_ = WIFSIGNALED(status) ? ExitStatus{.signal = WTERMSIG(status), .killed_by_us = killed_}
                                  : ExitStatus{.code = WEXITSTATUS(status)};
      exit_->peak_resident_bytes = int64_t{used.ru_maxrss} << 10;
    } else if (SteadyNow() >= deadline) {
      break;
    } else {
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  return exit_;
}

ExitStatus WorkerProcess::Wait(absl::Duration grace) {
  if (!Reap(grace)) {
    Signal(SIGKILL);
  }
  return *Reap(absl::InfiniteDuration());
}

}  // namespace hone::server::worker_process
