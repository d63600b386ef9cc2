#include "engine/job/step_profile.h"

#include <algorithm>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/plan/program.h"
#include "engine/train/meter.h"
#include "engine/train/table_gradients.h"

namespace hone::engine::job {
namespace {

constexpr int kRounds = 30;

// Seconds of the rounds. Their median is what counts: on a machine that does something else, too, a
// round now and then waits for a core.
double Median(std::vector<double>& seconds) {
  std::ranges::nth_element(seconds, seconds.begin() + kRounds / 2);
  return seconds[kRounds / 2];
}

// Says of one thread, which is always in one of the parts of a step, how long it is in each.
class Laps {
 public:
  explicit Laps(size_t parts) : of_round_(parts), of_part_(parts) {}

  void BeginRound() {
    std::ranges::fill(of_round_, 0);
    last_ = train::Clock::now();
  }
  // What has passed since the last call belongs to this part.
  void Add(size_t part) {
    const train::Clock::time_point now = train::Clock::now();
    of_round_[part] += train::SecondsBetween(last_, now);
    last_ = now;
  }
  void EndRound() {
    for (size_t part = 0; part < of_part_.size(); ++part) {
      of_part_[part].push_back(of_round_[part]);
    }
  }
  double MedianOf(size_t part) { return Median(of_part_[part]); }

 private:
  std::vector<double> of_round_;
  std::vector<std::vector<double>> of_part_;
  train::Clock::time_point last_;
};

// A row for each of these parts, in their order: the batch, the program's steps, the passes over
// the weights, waiting.
std::vector<ProfileRow> RowsOf(const ProfiledStep& parts) {
  const Replicas& replicas = parts.replicas;
  const std::vector<Program::Step>& steps = replicas.program(0).steps();
  const double slab = 4.0 * static_cast<double>(parts.store.trainable_slab_size());
  const double gradients = replicas.shards() * slab;
  std::vector<ProfileRow> rows = {{.op = "fill the batch",
                                   .pass = "data",
                                   .cost = {.bytes = 2 * parts.filled_bytes},
                                   .whole_machine = true}};
  for (const Program::Step& step : steps) {
    rows.push_back({.layer = step.layer,
                    .op = step.op,
                    .pass = step.backward ? "backward" : "forward",
                    .cost = step.cost,
                    .implementation = step.implementation});
  }
  rows.push_back({.op = "read the gradients",
                  .pass = "update",
                  .cost = {.bytes = gradients},
                  .whole_machine = true});
  rows.push_back(
      {.op = "write the weights",
       .pass = "update",
       .cost = {.bytes = gradients + 2 * slab + 2.0 * parts.optimizer.state_slabs() * slab},
       .whole_machine = true});
  rows.push_back({.op = "repack the weights",
                  .pass = "update",
                  .cost = {.bytes = 2.0 * static_cast<double>(parts.store.packed_bytes())},
                  .whole_machine = true});
  rows.push_back({.op = "wait for other threads", .pass = "step"});
  return rows;
}

// Whole steps with a learning rate of 0, as TrainStep makes them, so that each part finds in the
// caches what the part before it left there; how long the first thread is in each.
absl::StatusOr<std::vector<ProfileRow>> TimeParts(const ProfiledStep& parts) {
  const Replicas& replicas = parts.replicas;
  const std::vector<Program::Step>& steps = replicas.program(0).steps();
  const bool sharded = replicas.shards() > 1;
  std::vector<ProfileRow> rows = RowsOf(parts);
  const size_t read = 1 + steps.size(), write = read + 1, repack = read + 2, wait = read + 3;
  Laps laps(rows.size());
  const auto compute = [&](int k) -> absl::Status {
    HONE_RETURN_IF_ERROR(parts.fill(replicas.program(k), replicas.begin(k), replicas.examples(k)));
    if (k != 0) {
      return replicas.RunShard(k, {});
    }
    laps.Add(0);
    for (size_t i = 0; i < steps.size(); ++i) {
      if (!steps[i].run({})) {
        return absl::InternalError("oneDNN refused a step");
      }
      laps.Add(1 + i);
    }
    return absl::OkStatus();
  };
  std::vector<const float*> shards;
  for (int k = 0; k < replicas.shards(); ++k) {
    shards.push_back(parts.store.gradient_slab(k));
  }
  train::TableGradients tables(parts.store, parts.optimizer);
  const optim::Slabs slabs = {
      parts.store.value_slab(), {shards.data(), shards.size()}, tables.Collect(replicas)};
  std::vector<absl::Status> statuses(static_cast<size_t>(replicas.shards()));
  Barrier barrier(parts.threads);
  for (int round = 0; round < kRounds; ++round) {
    laps.BeginRound();
    if (!sharded) {
      statuses[0] = compute(0);
    }
    RunTeam(parts.threads, [&](int k) {
      const auto share = [&](int64_t count) {
        return ShareOf(count, k, parts.threads, ParameterStore::kAlignment);
      };
      const auto add = [&](size_t part) {
        if (k == 0) {
          laps.Add(part);
        }
      };
      const auto meet = [&] {
        barrier.Wait();
        add(wait);
      };
      if (sharded) {
        statuses[static_cast<size_t>(k)] = compute(k);
      }
      meet();
      if (parts.optimizer.tables() > 0) {
        parts.optimizer.MergeRows(slabs, k, parts.threads);
        meet();
      }
      const auto to_read = share(parts.optimizer.ReadFloats(false));
      parts.optimizer.Read(slabs, false, to_read.first, to_read.second);
      add(read);
      meet();
      const auto to_write = share(parts.optimizer.WriteFloats());
      parts.optimizer.Write(slabs, {.step = round + 1}, to_write.first, to_write.second);
      add(write);
      meet();
      if (k == 0) {
        parts.store.MarkChanged(parts.moved);
        parts.store.MarkChanged(replicas.program(0).updated());
      }
      meet();
      const auto to_refresh = share(parts.store.stale_bytes());
      parts.store.Refresh(to_refresh.first, to_refresh.second);
      add(repack);
    });
    laps.Add(wait);
    laps.EndRound();
    for (const absl::Status& status : statuses) {
      HONE_RETURN_IF_ERROR(status);
    }
  }
  for (size_t part = 0; part < rows.size(); ++part) {
    rows[part].seconds = laps.MedianOf(part);
  }
  return rows;
}

// The whole step as the loop runs it, without looking at the clock in between.
absl::StatusOr<double> TimeWhole(const ProfiledStep& parts) {
  train::TrainStep step(parts.store, parts.optimizer, parts.threads);
  std::vector<double> seconds;
  for (int round = 0; round < kRounds; ++round) {
    const train::Clock::time_point begin = train::Clock::now();
    const train::StepRequest request = {.scalars = {}, .update_number = round + 1};
    HONE_RETURN_IF_ERROR(step.Run(parts.replicas, request, parts.fill).status());
    seconds.push_back(train::SecondsBetween(begin, train::Clock::now()));
  }
  return Median(seconds);
}

}  // namespace

absl::StatusOr<std::string> ProfileStep(const ProfiledStep& step, const MachineRates& machine,
                                        ProfileDetail detail) {
  HONE_ASSIGN_OR_RETURN(std::vector<ProfileRow> timed, TimeParts(step));
  HONE_ASSIGN_OR_RETURN(double whole, TimeWhole(step));
  double sum = 0;
  for (const ProfileRow& row : timed) {
    sum += row.seconds;
  }
  // Looking at the clock between the parts costs something, too: the whole may be less than they.
  whole = std::max(whole, sum);
  timed.push_back({.op = "not in these parts", .pass = "step", .seconds = whole - sum});
  const int shards = step.replicas.shards();
  const ProfileRates rates = {
      machine, {machine.flops_per_second / shards, machine.bytes_per_second / shards}};
  return ProfileTables(timed, whole, rates, detail);
}

}  // namespace hone::engine::job
