#include <gmock/gmock.h>
#include <malloc.h>

#include <fstream>

#include "engine/job/process_memory.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// The memory that a plan promises is what the job is admitted by: nothing that a run needs may be
// missing from it.
namespace hone::engine::train {
namespace {

class PlanMemory : public TrainTest {
 protected:
  static job::Plan PlanOf(const tasks::TrainingConfig& config) {
    job::Phase phase = job::Phase::kLoading;
    return job::PlanJob(config, /*measure=*/false, &phase).value();
  }
};

TEST_F(PlanMemory, CountsTheSlabThatGradientsOfSeveralBatchesAddUpIn) {
  tasks::TrainingConfig config = Points();
  config.model.layers = {DenseLayer(1024, kRelu), DenseLayer(512, kRelu), DenseLayer(3)};
  config.threads = 1;
  const job::Plan single = PlanOf(config);
  config.accumulate_batches = 4;
  const job::Plan several = PlanOf(config);
  const int64_t added = several.parameter_bytes - single.parameter_bytes;
  EXPECT_GE(added, 4 * single.trainable_parameters);
  EXPECT_LT(added, 4 * single.trainable_parameters + 4096);  // the slab's gaps
}

// Sanitizers have an allocator of their own, which knows no mallopt.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(PlanMemory, OfATableIsNotLessThanReadingItTook) {
  std::string table = "a,b,c,kind\n";
  for (int i = 0; i < 300'000; ++i) {
    table += std::to_string(1e-3 * i) + ",0.123456789012345,-0.123456789012345,";
    table += std::string(1, "xyz"[i % 3]) + "\n";
  }
  tasks::TrainingConfig config = Points();
  config.data.path = Write("large.csv", table);
  table = std::string();
  ASSERT_EQ(::mallopt(M_MMAP_THRESHOLD, 1 << 17), 1);  // what is freed goes, as of larger tables
  std::ofstream("/proc/self/clear_refs") << 5;         // what the test itself held is no peak
  const job::Plan plan = PlanOf(config);
  EXPECT_GE(plan.peak_memory_bytes, job::PeakMemoryBytes());
}
#endif

TEST_F(PlanMemory, OfResizedPicturesCountsThemBeforeAndAfter) {
  tasks::TrainingConfig config = Pictures();
  const data::DataSummary plain = data::Inspect(config.data).value();
  EXPECT_EQ(plain.loading_bytes, plain.bytes);
  config.data.height = config.data.width = 4;
  const data::DataSummary resized = data::Inspect(config.data).value();
  EXPECT_EQ(resized.loading_bytes - resized.bytes, 140 * 8 * 8);
}

TEST_F(PlanMemory, WhileHugePicturesAreMadeSmallIsThePeak) {
  std::string pixels, labels;
  constexpr int kSide = 512, kPictures = 200;  // 2 × 50 MiB of pixels
  pixels.resize(size_t{kSide} * kSide * kPictures, 'p');
  for (int i = 0; i < kPictures; ++i) {
    labels += static_cast<char>(i % 2);
  }
  for (const char* part : {"train", "t10k"}) {
    Write(std::string("huge/") + part + "-images-idx3-ubyte",
          data::IdxImages(kPictures, kSide, kSide, pixels));
    Write(std::string("huge/") + part + "-labels-idx1-ubyte", data::IdxLabels(kPictures, labels));
  }
  tasks::TrainingConfig config = Pictures();
  config.data.path = Path("huge");
  config.data.height = config.data.width = 8;
  const int64_t before = job::ResidentMemoryBytes();
  const int64_t both = int64_t{2} * kSide * kSide * kPictures;
  EXPECT_GT(PlanOf(config).peak_memory_bytes - before, both * 9 / 10);
}

}  // namespace
}  // namespace hone::engine::train
