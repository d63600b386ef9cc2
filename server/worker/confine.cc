#include "server/worker/confine.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/text/sentencepiece_trainer.h"
#include "server/worker_process/confinement.h"

namespace hone::server::worker {
namespace {

// Of linux/landlock.h in its newest version, which older systems do not have.
constexpr uint64_t kExecute = uint64_t{1} << 0;
constexpr uint64_t kWriteFile = uint64_t{1} << 1;
constexpr uint64_t kRemoveAndMake = uint64_t{0x1ff} << 4;  // REMOVE_DIR to MAKE_SYM
constexpr uint64_t kRefer = uint64_t{1} << 13;             // since 2: renames between folders
constexpr uint64_t kTruncate = uint64_t{1} << 14;          // since 3
constexpr uint64_t kScopes = 3;                            // since 6: abstract sockets, signals
constexpr int kRulePathBeneath = 1;

struct RulesetAttributes {
  uint64_t handled_access_fs;
  uint64_t handled_access_net;  // since 4
  uint64_t scoped;              // since 6
};

struct __attribute__((packed)) PathBeneath {
  uint64_t allowed_access;
  int32_t parent_fd;
};

uint64_t Writing(int abi) {
  return kWriteFile | kRemoveAndMake | (abi >= 2 ? kRefer : 0) | (abi >= 3 ? kTruncate : 0);
}

#if defined(SYS_landlock_create_ruleset)
absl::Status Allow(int ruleset, const std::string& path, uint64_t access) {
  const int fd = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (fd < 0) {
    return ErrnoStatus(errno, path);
  }
  const absl::Cleanup close = [fd] { ::close(fd); };
  const PathBeneath rule{.allowed_access = access, .parent_fd = fd};
  return ::syscall(SYS_landlock_add_rule, ruleset, kRulePathBeneath, &rule, 0) == 0
             ? absl::OkStatus()
             : ErrnoStatus(errno, absl::StrCat("Landlock's rule for ", path));
}

// Takes what the attributes handle, but for what `allow` gives back to the ruleset.
absl::Status Restrict(const RulesetAttributes& attributes,
                      absl::FunctionRef<absl::Status(int ruleset)> allow) {
  // An older kernel takes the longer struct, too: what it does not know is 0.
  const int ruleset =
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0));
  if (ruleset < 0) {
    return ErrnoStatus(errno, "Landlock");
  }
  const absl::Cleanup close = [ruleset] { ::close(ruleset); };
  HONE_RETURN_IF_ERROR(allow(ruleset));
  return ::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? absl::OkStatus()
                                                                : ErrnoStatus(errno, "Landlock");
}

absl::Status ConfineFiles(const std::vector<std::string>& folders) {
  const int abi = worker_process::LandlockAbi();
  if (abi < 1) {
    return absl::OkStatus();
  }
  return Restrict({.handled_access_fs = Writing(abi),
                   .handled_access_net = 0,
                   .scoped = abi >= 6 ? kScopes : 0},
                  [&](int ruleset) -> absl::Status {
                    for (const std::string& folder : folders) {
                      HONE_RETURN_IF_ERROR(Allow(ruleset, folder, Writing(abi)));
                    }
                    return Allow(ruleset, "/dev/null",
                                 kWriteFile | (abi >= 3 ? kTruncate : uint64_t{0}));
                  });
}

absl::Status ConfinePrograms() {
  if (worker_process::LandlockAbi() < 1) {
    return absl::OkStatus();
  }
  return Restrict({.handled_access_fs = kExecute, .handled_access_net = 0, .scoped = 0},
                  [](int) { return absl::OkStatus(); });
}
#else
absl::Status ConfineFiles(const std::vector<std::string>&) { return absl::OkStatus(); }
absl::Status ConfinePrograms() { return absl::OkStatus(); }
#endif

#if defined(__x86_64__) || defined(__aarch64__)
#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
constexpr uint32_t kFirstForeignCall = 0x40000000;  // those of the x32 ABI
#else
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
constexpr uint32_t kFirstForeignCall = 0xffffffff;
#endif

// Sockets of every family are refused, and the ring that could make them unseen.
absl::Status ConfineNetwork() {
  constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | (EACCES & SECCOMP_RET_DATA);
  std::array<sock_filter, 8> filter = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kFirstForeignCall, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, kRefuse),
  }};
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()),
                           .filter = filter.data()};
  return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0
             ? absl::OkStatus()
             : ErrnoStatus(errno, "the filter of system calls");
}
#else
absl::Status ConfineNetwork() { return absl::OkStatus(); }
#endif

// A tokenizer is trained by a program of its own.
bool TrainsSentencePieces(const v1::WorkerRequest& request) {
  const v1::DataSpec& data = request.spec().data();
  return (request.mode() == v1::WorkerRequest::TRAIN ||
          request.mode() == v1::WorkerRequest::PLAN) &&
         (data.text().tokenizer().has_sentencepiece() ||
          data.pairs().source_tokenizer().has_sentencepiece() ||
          data.pairs().target_tokenizer().has_sentencepiece());
}

}  // namespace

absl::Status Confine(const v1::WorkerRequest& request) {
  std::vector<std::string> folders;
  if (!request.run_directory().empty()) {
    folders.push_back(request.run_directory());
  }
  const bool network = worker_process::MayDownload(request);
  if (network && !request.cache_directory().empty()) {
    std::error_code error;
    std::filesystem::create_directories(request.cache_directory(), error);
    if (!error) {  // else the download will say it
      folders.push_back(request.cache_directory());
    }
  }
  HONE_RETURN_IF_ERROR(ConfineFiles(folders));
  if (!network && worker_process::HasSeccomp()) {
    HONE_RETURN_IF_ERROR(ConfineNetwork());
  }
  if (TrainsSentencePieces(request)) {
    // It is confined as this process is by now, and the last one that may be started. Where it is
    // not there, the training of the tokenizer says so.
    engine::text::StartSentencePieceProgram().IgnoreError();
  }
  return ConfinePrograms();
}

}  // namespace hone::server::worker
