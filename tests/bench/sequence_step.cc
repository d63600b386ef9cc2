// hone-bench-sequences NET [PRECISION] [SECONDS]: a training step over sequences, timed.
// hone-bench-sequences NET,NET… [PRECISION] --profile: where its time goes, by op and kind of work.
//
// NET:
//   lstm, gru        embedding 10,000 × 64, 128 units, the last state; 32 sequences of 120 tokens
//   gpt128, gpt256   4 layers × 128 or 256, 4 heads, 65 characters; 12 × 64 or 8 × 256 tokens
//   minilm           BERT's encoder of 6 layers × 384, 12 heads, 30,522 tokens, dropout 0.1, the
//                    first token's state through a dense layer with tanh, two classes; 16 × 128
//   minilm_lengths   the same; 16 sequences of other lengths in each of 16 batches, as long as
//                    sentences of SST-2 (24 ± 9)
//   seq2seq          GRU of 256 units, Bahdanau's attention, dropout 0.1, vocabularies of 7,000 and
//                    12,000; 64 pairs of 2 to 10 and 3 to 12 tokens
// Batches are computed as a job's are: in parts, a thread each, where ShardsFor says so. PRECISION:
// f32 or bf16. Exact Adam over all parameters, tables too; two threads. Prints one line of JSON;
// torch_sequences.py is its peer.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/job/machine_rates.h"
#include "engine/job/plan.h"
#include "engine/job/step_profile.h"
#include "engine/optim/optimizer.h"
#include "engine/train/train_step.h"
#include "tests/bench/sequence_nets.h"
#include "tests/bench/timing.h"

namespace hone::engine::bench {
namespace {

constexpr int kThreads = 2;

// A net with its weights, and a program for each shape of its batches.
class Trainer {
 public:
  Trainer(SequenceNet net, DType compute) : net_(std::move(net)), compute_(compute) {}

  absl::Status Prepare() {
    // Declares the parameters.
    HONE_RETURN_IF_ERROR(BuildSequenceStep(net_, net_.batches[0], store_).status());
    for (const SequenceBatch& batch : net_.batches) {
      parts_.push_back(batch.Parts(ShardsFor(
          net_.sequences, kThreads, false, store_.SlabBytes(1) - store_.SlabBytes(0), batch.rows)));
    }
    const size_t shards = std::ranges::max(parts_, {}, &std::vector<SequenceBatch>::size).size();
    store_.Allocate(static_cast<int>(shards));
    store_.Initialize(1);
    for (const std::vector<SequenceBatch>& parts : parts_) {
      const auto [place, is_new] = programs_.try_emplace(parts[0].shape());
      if (is_new) {
        HONE_ASSIGN_OR_RETURN(
            place->second,
            Replicas::Compile([&](int64_t) { return BuildSequenceStep(net_, parts[0], store_); },
                              net_.sequences, store_,
                              {.threads = kThreads,
                               .shards = static_cast<int>(parts.size()),
                               .compute = compute_}));
      }
    }
    int64_t arena_bytes = 0;
    for (const auto& [shape, replicas] : programs_) {
      arena_bytes = std::max(arena_bytes, replicas.arena_bytes());
    }
    for (size_t k = 0; k < shards; ++k) {
      arenas_.emplace_back(arena_bytes);
    }
    for (auto& [shape, replicas] : programs_) {
      HONE_RETURN_IF_ERROR(replicas.Bind(arenas_));
    }
    ids_.resize(static_cast<size_t>(store_.size()));
    std::iota(ids_.begin(), ids_.end(), 0);
    std::ranges::sort(ids_, {}, [&](ParameterId id) { return store_.offset(id); });
    std::vector<optim::ParameterRange> ranges;
    for (const ParameterId id : ids_) {
      ranges.push_back({.begin = store_.offset(id),
                        .end = store_.offset(id) + store_.spec(id).shape.elements(),
                        .row_width = store_.gives_rows(id) ? store_.spec(id).shape.back() : 0});
    }
    HONE_ASSIGN_OR_RETURN(optim::Optimizer optimizer,
                          optim::Optimizer::Create(optim::Adam{}, std::move(ranges)));
    optimizer_ = std::make_unique<optim::Optimizer>(std::move(optimizer));
    step_ = std::make_unique<train::TrainStep>(store_, *optimizer_, kThreads);
    store_.RefreshAll();
    return absl::OkStatus();
  }

  absl::Status Step() {
    const std::vector<SequenceBatch>& parts = parts_[static_cast<size_t>(steps_) % parts_.size()];
    ++steps_;
    const auto fill = [&](const Program& program, int64_t first, int64_t count) {
      return FillSequences(parts[static_cast<size_t>(first / count)], program);
    };
    HONE_ASSIGN_OR_RETURN(const train::StepResult result,
                          step_->Run(programs_.at(parts[0].shape()),
                                     {.scalars = {.seed = 1, .step = static_cast<uint64_t>(steps_)},
                                      .update_number = steps_,
                                      .learning_rate = 1e-3},
                                     fill));
    return result.finite ? absl::OkStatus() : absl::InternalError("the loss is not finite");
  }

  // All batches equally often.
  absl::StatusOr<Timing> Time(double seconds) {
    const size_t kinds = net_.batches.size(), least = std::max<size_t>(kinds, 5);
    for (size_t i = 0; i < 3 || i % kinds != 0; ++i) {  // the first ones touch their memory
      HONE_RETURN_IF_ERROR(Step());
    }
    std::vector<double> times;
    const double end = Now() + seconds;
    while (Now() < end || times.size() < least || times.size() % kinds != 0) {
      const double begin = Now();
      HONE_RETURN_IF_ERROR(Step());
      times.push_back(Now() - begin);
    }
    return TimingOf(times, kinds);
  }

  absl::StatusOr<std::string> Profile(const job::MachineRates& rates) {
    const std::vector<SequenceBatch>& parts = parts_[0];
    const auto fill = [&](const Program& program, int64_t first, int64_t count) {
      return FillSequences(parts[static_cast<size_t>(first / count)], program);
    };
    return job::ProfileStep({.replicas = programs_.at(parts[0].shape()),
                             .optimizer = *optimizer_,
                             .store = store_,
                             .moved = ids_,
                             .threads = kThreads,
                             .fill = fill,
                             .filled_bytes = 4.0 * static_cast<double>(net_.batches[0].rows)},
                            rates, job::ProfileDetail::kSums);
  }

  // Of a mean step, as planned.
  double Flops() const {
    double sum = 0;
    for (const std::vector<SequenceBatch>& parts : parts_) {
      sum += job::FlopsOf(programs_.at(parts[0].shape()));
    }
    return sum / static_cast<double>(parts_.size());
  }
  // Rows that a mean step is planned for.
  double rows() const {
    int64_t sum = 0;
    for (const std::vector<SequenceBatch>& parts : parts_) {
      sum += std::ssize(parts) * parts[0].rows;
    }
    return static_cast<double>(sum) / static_cast<double>(parts_.size());
  }
  size_t shapes() const { return programs_.size(); }
  const SequenceNet& net() const { return net_; }

 private:
  const SequenceNet net_;
  const DType compute_;
  ParameterStore store_;
  std::vector<std::vector<SequenceBatch>> parts_;  // of each batch, for a shard each
  std::map<std::vector<size_t>, Replicas> programs_;
  std::vector<Buffer> arenas_;
  std::vector<ParameterId> ids_;  // of all parameters, in the slab's order
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::unique_ptr<train::TrainStep> step_;
  int64_t steps_ = 0;
};

struct Options {
  std::string nets;
  DType compute = DType::kF32;
  double seconds = 2;
  bool profiles = false;
};

absl::Status PrintTiming(const Options& options) {
  HONE_ASSIGN_OR_RETURN(SequenceNet net, MakeSequenceNet(options.nets));
  Trainer trainer(std::move(net), options.compute);
  HONE_RETURN_IF_ERROR(trainer.Prepare());
  HONE_ASSIGN_OR_RETURN(const Timing timing, trainer.Time(options.seconds));
  const double peak_rss_mb = PeakRssMb();  // of the steps: the rates have matrices of their own
  HONE_ASSIGN_OR_RETURN(const job::MachineRates rates,
                        job::MeasureRates(kThreads, options.compute));
  std::printf(
      "{\"net\": \"%s\", \"precision\": \"%s\", \"step_ms\": %.4f, \"steps\": %lld, \"spread\": "
      "%.4f, \"tokens\": %.2f, \"rows_over_tokens\": %.4f, \"shapes\": %zu, \"gflops\": %.1f, "
      "\"mfu\": %.4f, \"peak_rss_mb\": %.1f}\n",
      options.nets.c_str(), std::string(NameOf(options.compute)).c_str(), 1e3 * timing.seconds,
      static_cast<long long>(timing.steps), timing.spread, trainer.net().tokens(),
      trainer.rows() / trainer.net().tokens(), trainer.shapes(), rates.flops_per_second / 1e9,
      trainer.Flops() / timing.seconds / rates.flops_per_second, peak_rss_mb);
  return absl::OkStatus();
}

absl::Status PrintProfiles(const Options& options) {
  HONE_ASSIGN_OR_RETURN(const job::MachineRates rates,
                        job::MeasureRates(kThreads, options.compute));
  std::printf("this machine: %.0f GFLOP/s in products of %s, %.1f GB/s; %d threads\n",
              rates.flops_per_second / 1e9, std::string(NameOf(options.compute)).c_str(),
              rates.bytes_per_second / 1e9, kThreads);
  for (const absl::string_view name : absl::StrSplit(options.nets, ',')) {
    HONE_ASSIGN_OR_RETURN(SequenceNet net, MakeSequenceNet(name));
    Trainer trainer(std::move(net), options.compute);
    HONE_RETURN_IF_ERROR(trainer.Prepare());
    HONE_ASSIGN_OR_RETURN(const std::string table, trainer.Profile(rates));
    std::printf("\n%s b%lld, %lld tokens\n%s\n", std::string(name).c_str(),
                static_cast<long long>(trainer.net().sequences),
                static_cast<long long>(trainer.net().batches[0].tokens), table.c_str());
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

// False if it cannot be read.
bool Read(int argc, char** argv, Options& options) {
  const std::string precision = argc > 2 ? argv[2] : "f32";
  options.nets = argc > 1 ? argv[1] : "";
  options.compute = precision == "bf16" ? DType::kBf16 : DType::kF32;
  options.profiles = argc > 3 && absl::string_view(argv[3]) == "--profile";
  return argc > 1 && argc <= 4 && (precision == "f32" || precision == "bf16") &&
         (argc <= 3 || options.profiles || absl::SimpleAtod(argv[3], &options.seconds));
}

int Main(int argc, char** argv) {
  Options options;
  if (!Read(argc, argv, options)) {
    std::fputs(
        "usage: hone-bench-sequences NET [f32|bf16 [SECONDS]]\n"
        "       hone-bench-sequences NET[,NET...] f32|bf16 --profile\n",
        stderr);
    return 2;
  }
  absl::Status status;
  if (options.compute == DType::kBf16 && !HasBf16()) {
    status = absl::FailedPreconditionError("this processor does not multiply bfloat16 numbers");
  } else {
    status = options.profiles ? PrintProfiles(options) : PrintTiming(options);
  }
  if (!status.ok()) {
    std::fprintf(stderr, "hone-bench-sequences: %s\n", status.ToString().c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace hone::engine::bench

int main(int argc, char** argv) { return hone::engine::bench::Main(argc, argv); }
