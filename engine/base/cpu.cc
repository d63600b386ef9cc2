#include "engine/base/cpu.h"

#include <sched.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace hone {
namespace {

constexpr char kCgroupRoot[] = "/sys/fs/cgroup";

// The file's contents; empty where it cannot be read.
std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

int64_t ReadNumber(const std::string& path) {
  int64_t value = 0;
  return absl::SimpleAtoi(absl::StripAsciiWhitespace(Read(path)), &value) ? value : 0;
}

// N of the line "WORD N"; -1 where there is none.
int64_t NumberAfter(absl::string_view word, absl::string_view text) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> words = absl::StrSplit(line, ' ');
    int64_t number = 0;
    if (words.first == word && absl::SimpleAtoi(words.second, &number)) {
      return number;
    }
  }
  return -1;
}

struct Membership {
  bool version2 = false;
  std::string path;  // from the hierarchy's root; "" is the root
};

// The group that holds this process in the hierarchy of `controller`, or in version 2's only
// hierarchy.
std::vector<Membership> MembershipsOf(absl::string_view controller, absl::string_view text) {
  std::vector<Membership> found;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) {
      continue;
    }
    const std::vector<std::string> controllers = absl::StrSplit(fields[1], ',');
    const bool version2 = fields[0] == "0" && fields[1].empty();
    if (version2 ||
        std::find(controllers.begin(), controllers.end(), controller) != controllers.end()) {
      found.push_back({version2, fields[2] == "/" ? "" : fields[2]});
    }
  }
  return found;
}

// The folders of a group and of its ancestors. Inside a container the membership names a path of
// the host that is not mounted here; then only the hierarchy's root is there to read.
std::vector<std::string> FoldersOf(const std::string& mount, std::string path) {
  std::vector<std::string> folders;
  while (!path.empty()) {
    folders.push_back(mount + path);
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  folders.push_back(mount);
  return folders;
}

double QuotaOfFolderV1(const std::string& folder) {
  const int64_t quota = ReadNumber(folder + "/cpu.cfs_quota_us");
  const int64_t period = ReadNumber(folder + "/cpu.cfs_period_us");
  return quota > 0 && period > 0 ? static_cast<double>(quota) / static_cast<double>(period) : 0;
}

double QuotaOfFolderV2(const std::string& folder) {
  const std::string text = Read(folder + "/cpu.max");
  const std::vector<std::string> fields = absl::StrSplit(absl::StripAsciiWhitespace(text), ' ');
  int64_t quota = 0;
  int64_t period = 0;
  if (fields.size() != 2 || !absl::SimpleAtoi(fields[0], &quota) ||
      !absl::SimpleAtoi(fields[1], &period) || quota <= 0 || period <= 0) {
    return 0;
  }
  return static_cast<double>(quota) / static_cast<double>(period);
}

// Calls `visit(folder, version2)` for every folder whose limits hold for this process.
template <typename Visit>
void VisitFolders(const std::string& root, absl::string_view controller,
                  absl::string_view memberships, Visit visit) {
  for (const Membership& membership : MembershipsOf(controller, memberships)) {
    const std::vector<std::string> mounts =
        membership.version2 ? std::vector<std::string>{root, root + "/unified"}
                            : std::vector<std::string>{absl::StrCat(root, "/", controller),
                                                       absl::StrCat(root, "/cpu,cpuacct")};
    for (const std::string& mount : mounts) {
      for (const std::string& folder : FoldersOf(mount, membership.path)) {
        visit(folder, membership.version2);
      }
    }
  }
}

int AffinityThreads() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(0, sizeof(mask), &mask) != 0) {
    return static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  }
  return std::max(1, CPU_COUNT(&mask));
}

#if defined(__x86_64__)
constexpr int kEax = 0, kEdx = 3;

bool LeafSevenBit(unsigned subleaf, int reg, unsigned bit) {
  unsigned r[4] = {0, 0, 0, 0};
  return __get_cpuid_count(7, subleaf, &r[0], &r[1], &r[2], &r[3]) != 0 &&
         ((r[reg] >> bit) & 1u) != 0;
}
#endif

// The operating system must save the wide registers: for AVX-512 the compiler's test includes that;
// the tiles' are bits 17 and 18 of XCR0, and a process asks for them (ARCH_REQ_XCOMP_PERM).
InstructionSet ProcessorsInstructionSet() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    return InstructionSet::kLeast;
  }
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")) {
    return InstructionSet::kAvx2;
  }
  if (!LeafSevenBit(/*subleaf=*/1, kEax, /*bit=*/5)) {
    return InstructionSet::kAvx512;
  }
  constexpr unsigned kTileState = 3u << 17;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const bool tiles = LeafSevenBit(0, kEdx, 22) && LeafSevenBit(0, kEdx, 24) &&
                     (low & kTileState) == kTileState &&
                     ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return tiles ? InstructionSet::kAmx : InstructionSet::kAvx512Bf16;
#else
  return InstructionSet::kLeast;
#endif
}

std::string ModelName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (absl::StartsWith(line, "model name")) {
      const size_t colon = line.find(':');
      if (colon != std::string::npos) {
        return std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
      }
    }
  }
  return "unknown processor";
}

}  // namespace

double CgroupQuotaCores(const std::string& root, const std::string& memberships) {
  double smallest = 0;
  VisitFolders(root, "cpu", memberships, [&](const std::string& folder, bool version2) {
    const double quota = version2 ? QuotaOfFolderV2(folder) : QuotaOfFolderV1(folder);
    if (quota > 0 && (smallest == 0 || quota < smallest)) {
      smallest = quota;
    }
  });
  return smallest;
}

double CpuQuotaCores() {
  const double quota = CgroupQuotaCores(kCgroupRoot, Read("/proc/self/cgroup"));
  const double processors = AffinityThreads();
  return quota > 0 ? std::min(quota, processors) : processors;
}

// Never more than the quota: threads that are throttled wait for each other.
int AvailableThreads() { return std::max(1, static_cast<int>(CpuQuotaCores() + 1e-9)); }

int64_t AvailableMemoryBytes() {
  int64_t smallest = int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  VisitFolders(kCgroupRoot, "memory", Read("/proc/self/cgroup"),
               [&](const std::string& folder, bool version2) {
                 const int64_t limit =
                     ReadNumber(folder + (version2 ? "/memory.max" : "/memory.limit_in_bytes"));
                 if (limit > 0) {
                   smallest = std::min(smallest, limit);
                 }
               });
  return smallest;
}

double CgroupThrottledSeconds(const std::string& root, const std::string& memberships) {
  double longest = 0;
  VisitFolders(root, "cpu", memberships, [&](const std::string& folder, bool version2) {
    const std::string text = Read(folder + "/cpu.stat");
    const double seconds = version2
                               ? static_cast<double>(NumberAfter("throttled_usec", text)) * 1e-6
                               : static_cast<double>(NumberAfter("throttled_time", text)) * 1e-9;
    longest = std::max(longest, seconds);
  });
  return longest;
}

double CpuThrottledSeconds() {
  return CgroupThrottledSeconds(kCgroupRoot, Read("/proc/self/cgroup"));
}

int64_t OomKills() {
  const auto count = [](const std::string& text) { return NumberAfter("oom_kill", text); };
  int64_t kills = -1;
  VisitFolders(kCgroupRoot, "memory", Read("/proc/self/cgroup"),
               [&](const std::string& folder, bool version2) {
                 kills = std::max(
                     kills,
                     count(Read(folder + (version2 ? "/memory.events" : "/memory.oom_control"))));
               });
  return std::max<int64_t>(kills >= 0 ? kills : count(Read("/proc/vmstat")), 0);
}

InstructionSet LimitedInstructionSet(InstructionSet has, const char* variable) {
  if (variable == nullptr || *variable == 0) {
    return has;
  }
  constexpr std::pair<const char*, InstructionSet> kNames[] = {
      {"AVX2", InstructionSet::kAvx2},
      {"AVX512", InstructionSet::kAvx512},
      {"AVX512_BF16", InstructionSet::kAvx512Bf16},
      {"AMX", InstructionSet::kAmx}};
  for (const auto& [name, set] : kNames) {
    if (absl::EqualsIgnoreCase(variable, name)) {
      return std::min(has, set);
    }
  }
  return InstructionSet::kLeast;
}

InstructionSet CpuInstructionSet() {
  static const InstructionSet set =
      LimitedInstructionSet(ProcessorsInstructionSet(), std::getenv("HONE_MAX_CPU_ISA"));
  return set;
}

bool HasBf16() { return CpuInstructionSet() >= InstructionSet::kAvx512Bf16; }

std::string InstructionSets() {
  switch (CpuInstructionSet()) {
    case InstructionSet::kLeast:
      return "";
    case InstructionSet::kAvx2:
      return "AVX2";
    case InstructionSet::kAvx512:
      return "AVX-512";
    case InstructionSet::kAvx512Bf16:
      return "AVX-512, bf16";
    case InstructionSet::kAmx:
      return "AVX-512, bf16, AMX";
  }
  return "";
}

std::string CpuDescription() {
  const std::string sets = InstructionSets();
  return absl::StrCat(ModelName(), ", ", AvailableThreads(), " threads", sets.empty() ? "" : ", ",
                      sets);
}

}  // namespace hone
