#include "engine/job/profile_tables.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace hone::engine::job {
namespace {

absl::string_view LimitOf(const Cost& cost, double seconds, const MachineRates& rates) {
  const double compute = cost.flops / seconds / rates.flops_per_second;
  const double memory = cost.bytes / seconds / rates.bytes_per_second;
  if (std::max(compute, memory) < 0.5) {
    return "overhead";
  }
  return compute >= memory ? "compute" : "memory";
}

// Beside waiting, which has no limit but the slowest thread.
std::string LimitAndRate(const ProfileRow& row, const ProfileRates& rates) {
  const MachineRates& of = row.whole_machine ? rates.machine : rates.shard;
  if (row.cost.flops <= 0 && row.cost.bytes <= 0) {
    return absl::StrFormat("%8s %7s %-8s", "", "", "");
  }
  const double rate = row.cost.flops / row.seconds;
  return absl::StrFormat("%8.1f %6.0f%% %-8s", rate / 1e9, 100 * rate / of.flops_per_second,
                         LimitOf(row.cost, row.seconds, of));
}

}  // namespace

std::string ProfileTables(const std::vector<ProfileRow>& rows, double whole,
                          const ProfileRates& rates) {
  constexpr char kHead[] = "%-16s %-28s %-8s %9s %6s %8s %7s %-8s  %s\n";
  std::string text = absl::StrFormat(kHead, "layer", "op", "pass", "µs", "share", "GFLOP/s",
                                     "of max", "limit", "implementation");
  std::vector<ProfileRow> by_op;
  std::vector<int> steps;
  const auto add = [&](const std::string& first, const ProfileRow& row, const std::string& last) {
    absl::StrAppendFormat(&text, "%-16s %-28s %-8s %8.1f %5.1f%% %s  %s\n", first, row.op, row.pass,
                          1e6 * row.seconds, 100 * row.seconds / whole, LimitAndRate(row, rates),
                          last);
  };
  for (const ProfileRow& row : rows) {
    add(row.layer, row, row.implementation);
    const auto same = std::ranges::find_if(by_op, [&](const ProfileRow& other) {
      return other.op == row.op && other.pass == row.pass;
    });
    if (same == by_op.end()) {
      by_op.push_back(row);
      steps.push_back(1);
      by_op.back().implementation.clear();
      by_op.back().layer.clear();
    } else {
      same->seconds += row.seconds;
      same->cost.flops += row.cost.flops;
      same->cost.bytes += row.cost.bytes;
      ++steps[static_cast<size_t>(same - by_op.begin())];
    }
  }
  for (size_t i = 0; i < by_op.size(); ++i) {
    by_op[i].layer = absl::StrCat(steps[i], steps[i] == 1 ? " step" : " steps");
  }
  std::ranges::sort(by_op, std::greater(), &ProfileRow::seconds);
  absl::StrAppend(&text, "by op\n");
  for (const ProfileRow& row : by_op) {
    add(row.layer, row, "");
  }
  absl::StrAppendFormat(&text, "%-54s %8.1f 100.0%%", "the whole step", 1e6 * whole);
  return text;
}

}  // namespace hone::engine::job
