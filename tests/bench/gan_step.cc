// hone-bench-gan NET BATCH PRECISION: one step of two networks against each other, timed: an update
// of the discriminator, then one of the generator.
//
// NET: dcgan or gan, the presets on grey pictures of 28x28; PRECISION: f32 or bf16. Two threads,
// Adam, made-up pictures. Prints one line of JSON; torch_gan.py is PyTorch's side.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/job/plan.h"
#include "engine/job/pretrained.h"
#include "engine/tasks/table.h"
#include "engine/train/programs.h"
#include "tests/bench/timing.h"

namespace hone::engine {
namespace {

absl::StatusOr<double> StepSeconds(const std::string& net, int64_t batch, DType compute) {
  tasks::TrainingConfig config;
  config.task = tasks::ImageGenerationOptions();
  for (const char* name : {"generator", "discriminator"}) {
    config.model.networks.push_back({.name = name, .preset = {net + "_" + name}});
  }
  config.epochs = 1;
  config.batch_size = batch;
  config.optimizer = optim::Adam{.learning_rate = 0.0002, .beta1 = 0.5};
  config.compute = compute;
  config.threads = 2;
  tasks::DataInfo info;
  info.features = {{1, 28, 28}, DType::kU8};
  info.preprocessing.image = info.features.shape;
  info.preprocessing.pixel_mean = info.preprocessing.pixel_std = {0.5f};
  info.preprocessing.class_names = {"a", "b"};
  info.train = 1000 * batch;
  const ScopedThreads threads(config.threads);
  const std::unique_ptr<tasks::Task> task = tasks::MakeTask(config.task);
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<train::Programs> programs,
                        job::CompileJob(config, info, *task, job::Pretrained()));
  job::Plan plan = job::MakePlan(config, info, *programs, /*data_in_memory=*/false);
  HONE_RETURN_IF_ERROR(job::Measure(config, info, *task, *programs, plan));
  return plan.step_seconds.value_or(0);
}

int Main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: hone-bench-gan NET BATCH PRECISION\n");
    return 2;
  }
  const std::string net = argv[1], precision = argv[3];
  const absl::StatusOr<double> seconds =
      StepSeconds(net, std::atoll(argv[2]), precision == "bf16" ? DType::kBf16 : DType::kF32);
  if (!seconds.ok()) {
    std::fprintf(stderr, "%s\n", seconds.status().ToString().c_str());
    return 1;
  }
  std::printf(
      "{\"net\": \"%s\", \"precision\": \"%s\", \"step_ms\": %.4f, \"peak_rss_mb\": %.1f}\n",
      net.c_str(), precision.c_str(), 1e3 * *seconds, bench::PeakRssMb());
  return 0;
}

}  // namespace
}  // namespace hone::engine

int main(int argc, char** argv) { return hone::engine::Main(argc, argv); }
