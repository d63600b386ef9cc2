// hone-bench-agent [SECONDS]: a learning agent of ours, timed.
//
// "learn_ms": one update of deep Q-learning on a net of 4-128-128-2 with batches of 128: drawn from
// the replay, valued by the target network, forward, backward, Adam; with it the one step of the
// environment that comes before, as a job with two threads makes it; "learn_one_thread_ms": the
// same on one. "steps_per_second": steps of environments alone on one thread, with the network that
// acts in them in batches of 32. Prints one line of JSON; tests/bench/run puts it beside PyTorch's,
// which torch_agent.py gives.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/tasks/table.h"
#include "engine/train/batch_filler.h"
#include "engine/train/programs.h"
#include "engine/train/train_step.h"
#include "tests/bench/timing.h"

namespace hone::engine {
namespace {

using bench::Now;
using tasks::ReinforcementLearningOptions;

models::LayerDescription DenseLayer(int64_t units, ActivationKind activation) {
  layers::DenseOptions dense;
  dense.units = units;
  dense.activation = activation;
  return {.name = "", .inputs = {}, .frozen = false, .kind = dense};
}

// A task compiled, with its state, ready for steps.
class Agent {
 public:
  static absl::StatusOr<std::unique_ptr<Agent>> Make(const ReinforcementLearningOptions& options,
                                                     int64_t batch, int threads) {
    auto agent = std::make_unique<Agent>();
    tasks::TrainingConfig& config = agent->config_;
    config.task = options;
    config.batch_size = batch;
    config.steps = 1'000'000;
    config.threads = threads;
    config.one_thread_if_small = true;
    const auto actions = static_cast<int64_t>(
        environments::MakeEnvironment(options.environment)->spec().actions.size());
    config.model.layers = {DenseLayer(128, ActivationKind::kRelu),
                           DenseLayer(128, ActivationKind::kRelu),
                           DenseLayer(actions, ActivationKind::kNone)};
    agent->task_ = tasks::MakeTask(config.task);
    HONE_ASSIGN_OR_RETURN(agent->data_, tasks::LoadExamples(config.data, config, *agent->task_));
    const tasks::DataInfo info = tasks::InfoOf(agent->data_, *agent->task_);
    HONE_ASSIGN_OR_RETURN(agent->programs_, train::Programs::Compile(config, info, *agent->task_));
    HONE_RETURN_IF_ERROR(agent->programs_->Bind());
    agent->programs_->store().Initialize(config.seed);
    agent->programs_->store().RefreshAll();
    agent->state_ = agent->task_->NewState(config);
    agent->step_.emplace(agent->programs_->store(), *agent->programs_->updates()[0].optimizer,
                         agent->programs_->threads());
    return agent;
  }

  absl::Status Step(bool learns) {
    ++steps_;
    const tasks::ArtifactSink nowhere;
    HONE_RETURN_IF_ERROR(state_->BeginStep({.step = steps_,
                                            .examples = config_.batch_size,
                                            .programs = *programs_,
                                            .artifacts = nowhere}));
    if (!learns) {
      return absl::OkStatus();
    }
    programs_->store().RefreshAll();
    const train::BatchFiller filler(data_.dataset, *task_, state_.get());
    const std::span<const int32_t> rows(data_.splits.train.data(),
                                        static_cast<size_t>(config_.batch_size));
    const auto fill = [&](const Program& program, int64_t first, int64_t count) {
      return filler.Fill(
          tasks::Inputs(program, {count, 0}),
          {.rows = rows.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
           .first = first});
    };
    HONE_ASSIGN_OR_RETURN(const Replicas* replicas,
                          programs_->training(0, {config_.batch_size, 0}));
    return step_
        ->Run(*replicas, {.scalars = {}, .update_number = steps_, .learning_rate = 1e-4}, fill)
        .status();
  }

  // Seconds of one step.
  absl::StatusOr<double> Time(bool learns, double seconds) {
    std::vector<double> chunks;
    const double end = Now() + seconds;
    while (Now() < end || chunks.size() < 5) {
      const double begin = Now();
      for (int i = 0; i < 50; ++i) {
        HONE_RETURN_IF_ERROR(Step(learns));
      }
      chunks.push_back((Now() - begin) / 50);
    }
    return bench::Median(chunks);
  }

 private:
  tasks::TrainingConfig config_;
  std::unique_ptr<tasks::Task> task_;
  data::LoadedData data_;
  std::unique_ptr<train::Programs> programs_;
  std::unique_ptr<tasks::TaskState> state_;
  std::optional<train::TrainStep> step_;
  int64_t steps_ = 0;
};

absl::StatusOr<double> LearnSeconds(int threads, double seconds) {
  const ScopedThreads scoped(threads);
  ReinforcementLearningOptions options;
  options.environment = environments::Control::kCartPole;
  options.steps = 1'000'000;
  options.train_every = 1;
  options.learning_starts = 0;
  options.exploration = {.start = 0, .end = 0, .share = 0, .decay = 0};
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Agent> agent, Agent::Make(options, 128, threads));
  return agent->Time(/*learns=*/true, seconds);
}

absl::StatusOr<double> StepsPerSecond(const environments::EnvironmentOptions& environment,
                                      double seconds) {
  const ScopedThreads scoped(1);
  constexpr int64_t kCopies = 32;
  ReinforcementLearningOptions options;
  options.environment = environment;
  options.steps = 1'000'000;
  options.copies = kCopies;
  options.train_every = kCopies;
  options.learning_starts = int64_t{1} << 40;
  options.exploration = {.start = 0.1, .end = 0.1, .share = 0, .decay = 0};
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Agent> agent, Agent::Make(options, kCopies, 1));
  HONE_ASSIGN_OR_RETURN(const double step, agent->Time(/*learns=*/false, seconds));
  return kCopies / step;
}

absl::Status Run(double seconds) {
  HONE_ASSIGN_OR_RETURN(const double learn, LearnSeconds(2, seconds));
  HONE_ASSIGN_OR_RETURN(const double alone, LearnSeconds(1, seconds));
  HONE_ASSIGN_OR_RETURN(const double maze, StepsPerSecond(environments::MazeOptions(), seconds));
  HONE_ASSIGN_OR_RETURN(const double cart_pole,
                        StepsPerSecond(environments::Control::kCartPole, seconds));
  HONE_ASSIGN_OR_RETURN(const double acrobot,
                        StepsPerSecond(environments::Control::kAcrobot, seconds));
  std::printf(
      "{\"learn_ms\": %.5f, \"learn_one_thread_ms\": %.5f, \"steps_per_second\": {\"maze\": %.0f, "
      "\"cart_pole\": %.0f, "
      "\"acrobot\": %.0f}}\n",
      1e3 * learn, 1e3 * alone, maze, cart_pole, acrobot);
  return absl::OkStatus();
}

}  // namespace
}  // namespace hone::engine

int main(int argc, char** argv) {
  double seconds = 2;
  if (argc > 2 || (argc == 2 && !absl::SimpleAtod(argv[1], &seconds))) {
    std::fprintf(stderr, "usage: hone-bench-agent [SECONDS]\n");
    return 2;
  }
  if (const absl::Status status = hone::engine::Run(seconds); !status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
