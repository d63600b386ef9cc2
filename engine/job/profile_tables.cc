#include "engine/job/profile_tables.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
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

void AddRow(std::string& text, const ProfileRow& row, double whole, const ProfileRates& rates) {
  absl::StrAppendFormat(&text, "%-16s %-28s %-8s %8.1f %5.1f%% %s  %s\n", row.layer, row.op,
                        row.pass, 1e6 * row.seconds, 100 * row.seconds / whole,
                        LimitAndRate(row, rates), row.implementation);
}

// Rows of the same op and pass put together, the longest first; in place of a layer, how many.
std::vector<ProfileRow> Sums(const std::vector<ProfileRow>& rows) {
  std::vector<ProfileRow> sums;
  std::vector<int> steps;
  for (const ProfileRow& row : rows) {
    const auto same = std::ranges::find_if(sums, [&](const ProfileRow& other) {
      return other.op == row.op && other.pass == row.pass;
    });
    if (same == sums.end()) {
      sums.push_back(row);
      steps.push_back(1);
      sums.back().implementation.clear();
    } else {
      same->seconds += row.seconds;
      same->cost.flops += row.cost.flops;
      same->cost.bytes += row.cost.bytes;
      ++steps[static_cast<size_t>(same - sums.begin())];
    }
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    sums[i].layer = absl::StrCat(steps[i], steps[i] == 1 ? " step" : " steps");
  }
  std::ranges::sort(sums, std::greater(), &ProfileRow::seconds);
  return sums;
}

}  // namespace

absl::string_view KindOfWork(absl::string_view op, absl::string_view pass) {
  if (pass != "forward" && pass != "backward") {
    return pass == "step" ? op : pass;
  }
  // The first of these that the name contains decides: "mul_broadcast" is no cast.
  static constexpr std::pair<absl::string_view, absl::string_view> kKinds[] = {
      {"loss", "losses"},
      {"cross_entropy", "losses"},
      {"huber", "losses"},
      {"mean_absolute_error", "losses"},
      {"mean_squared_error", "losses"},
      {"lstm", "recurrence"},
      {"gru", "recurrence"},
      {"simple_rnn", "recurrence"},
      {"scan", "recurrence"},
      {"attention", "attention"},
      {"batch_norm", "norms"},
      {"layer_norm", "norms"},
      {"rms_norm", "norms"},
      {"dropout", "dropout"},
      {"linear", "products"},
      {"matmul", "products"},
      {"conv2d", "products"},
      {"gelu", "activations"},
      {"relu", "activations"},
      {"sigmoid", "activations"},
      {"silu", "activations"},
      {"softmax", "activations"},
      {"tanh", "activations"},
      {"embedding", "lookups"},
      {"distinct_rows", "lookups"},
      {"positions", "lookups"},
      {"sinusoids", "lookups"},
      {"broadcast", "elementwise"},
      {"add", "elementwise"},
      {"mul", "elementwise"},
      {"scale", "elementwise"},
      {"sum", "elementwise"},
      {"reorder", "copies"},
      {"cast", "copies"},
      {"concat", "copies"},
      {"reshape", "copies"},
      {"slice", "copies"},
      {"transpose", "copies"},
  };
  const auto* const kind =
      std::ranges::find_if(kKinds, [&](const auto& k) { return absl::StrContains(op, k.first); });
  return kind == std::end(kKinds) ? "other ops" : kind->second;
}

std::string ProfileTables(const std::vector<ProfileRow>& rows, double whole,
                          const ProfileRates& rates, ProfileDetail detail) {
  constexpr char kHead[] = "%-16s %-28s %-8s %9s %6s %8s %7s %-8s  %s\n";
  std::string text = absl::StrFormat(kHead, "layer", "op", "pass", "µs", "share", "GFLOP/s",
                                     "of max", "limit", "implementation");
  if (detail == ProfileDetail::kSteps) {
    for (const ProfileRow& row : rows) {
      AddRow(text, row, whole, rates);
    }
  }
  absl::StrAppend(&text, "by op\n");
  for (const ProfileRow& row : Sums(rows)) {
    AddRow(text, row, whole, rates);
  }
  std::vector<ProfileRow> kinds = rows;
  for (ProfileRow& row : kinds) {
    row.op = std::string(KindOfWork(row.op, row.pass));
    row.pass.clear();
  }
  absl::StrAppend(&text, "by kind of work\n");
  for (const ProfileRow& row : Sums(kinds)) {
    AddRow(text, row, whole, rates);
  }
  absl::StrAppendFormat(&text, "%-54s %8.1f 100.0%%", "the whole step", 1e6 * whole);
  return text;
}

}  // namespace hone::engine::job
