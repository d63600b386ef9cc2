#pragma once

#include <cstdint>
#include <string>

namespace hone {

// What this process may use of the machine. Containers see the host's processors; these look at the
// affinity mask and at the cgroup (version 1 and 2). Each call reads afresh; none fails: what
// cannot be read does not limit.

// Processors' worth of time that the cgroup grants: its own quota or the smallest of its
// ancestors'; the number of processors in the affinity mask (which includes the cpuset) where there
// is no quota. Greater than 0.
double CpuQuotaCores();

// Threads that can run at the same time: the affinity mask's processors, at most the quota rounded
// up to a whole one. At least 1.
int AvailableThreads();

// Bytes of memory: the machine's, or the cgroup's limit where it is smaller.
int64_t AvailableMemoryBytes();

// What a processor computes with; each has all before it.
enum class InstructionSet { kLeast, kAvx2, kAvx512, kAvx512Bf16, kAmx };

// This processor's, at most the one that the environment variable HONE_MAX_CPU_ISA names (AVX2,
// AVX512, AVX512_BF16, AMX; another word: the least we ask for), so that any processor can play a
// smaller one. Our kernels, oneDNN and the choice between them keep to it. Read once.
InstructionSet CpuInstructionSet();
// The same for a processor with `has` and a variable of this value, null where it is not set.
InstructionSet LimitedInstructionSet(InstructionSet has, const char* variable);

// The processor multiplies bfloat16 numbers itself (AVX512-BF16).
bool HasBf16();

// What the processor has beyond the least we ask for: "AVX-512, bf16, AMX", "AVX2", "". Results
// differ with it in the last bits.
std::string InstructionSets();

// Such as "AMD EPYC, 2 threads, AVX-512, bf16".
std::string CpuDescription();

// As CpuQuotaCores, of the cgroup tree mounted at `root` for a process with the given contents of
// /proc/self/cgroup; 0 where there is no quota. For tests.
double CgroupQuotaCores(const std::string& root, const std::string& memberships);

// Seconds that the processes of our cgroup waited since it was made because its quota was used up;
// of the ancestors', the longest. 0 where nothing tells.
double CpuThrottledSeconds();
double CgroupThrottledSeconds(const std::string& root, const std::string& memberships);

// How often the kernel has killed a process for lack of memory: in our cgroup where that is told,
// else on the machine; 0 where nothing tells.
int64_t OomKills();

}  // namespace hone
