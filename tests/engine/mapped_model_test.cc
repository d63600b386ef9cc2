#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/job/pretrained.h"
#include "engine/job/process_memory.h"
#include "engine/tasks/model_file.h"
#include "engine/train/checkpoints.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// Jobs whose frozen weights stay in the file that they come from.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A job on the points that puts a head of `head` units behind a model of dense layers, all of them
// frozen.
class MappedJobTest : public TrainTest {
 protected:
  tasks::TrainingConfig Job(const std::string& base, int64_t head) const {
    tasks::TrainingConfig config = Points();
    config.pretrained = {.directory = base, .drop_layers = 1};
    config.model =
        job::WithPretrained(config.pretrained, {.layers = {DenseLayer(head, kRelu), DenseLayer(3)}})
            .value();
    config.parameter_rules = job::FreezeRules(config.pretrained, {"*"}).value();
    config.compute = HasBf16() ? DType::kBf16 : DType::kF32;
    config.epochs = 0;
    config.steps = 3;
    config.optimizer = optim::Adam{.learning_rate = 1e-4};
    config.resume = true;
    config.checkpoints.keep_latest = 1;
    config.layer_statistics_every = 1;
    return config;
  }

  static int64_t Bytes(const std::string& path) {
    return static_cast<int64_t>(std::filesystem::file_size(path));
  }
};

// A model of dense layers, `depth` of `width` units, published with its weights in bf16.
class MappedModelTest : public MappedJobTest {
 protected:
  // What any model of the points says of its data comes from one that was trained on them.
  MappedModelTest() {
    tasks::TrainingConfig config = Points();
    config.epochs = 1;
    EXPECT_EQ(Run(config).value(), EndReason::kCompleted);
    points_ =
        tasks::ModelFileFromJson(checkpoint::LoadModelJson(config.run_directory + "/model").value())
            .value();
  }

  std::string Base(int64_t width, int64_t depth, const std::string& name = "base",
                   uint64_t seed = 3) const {
    models::ModelDescription model;
    for (int64_t i = 0; i < depth; ++i) {
      model.layers.push_back(DenseLayer(width, kRelu));
    }
    model.layers.push_back(DenseLayer(3));
    model = models::WithNames(std::move(model)).value();
    RandomStream random(seed, "base");
    std::vector<uint16_t> bits(static_cast<size_t>(width * std::max<int64_t>(width, 3)));
    const float limit = std::sqrt(6.0f / static_cast<float>(width));
    std::ranges::generate(bits, [&] { return ToBf16(random.NextUniform(-limit, limit)); });
    std::vector<checkpoint::TensorToWrite> tensors;
    int64_t in = 3;
    for (size_t i = 0; i < model.layers.size(); ++i) {
      const int64_t out = i + 1 < model.layers.size() ? width : 3;
      const auto add = [&](const char* what, const Shape& shape) {
        tensors.push_back({.name = absl::StrCat(model.layers[i].name, ".", what),
                           .shape = shape,
                           .data = bits.data(),
                           .dtype = checkpoint::FileDType::kBf16});
      };
      add("weight", {in, out});
      add("bias", {out});
      in = out;
    }
    tasks::ModelFile file = points_;
    file.model = model;
    const std::string directory = Path(name);
    EXPECT_THAT(checkpoint::WriteModel(directory, tensors, {}, tasks::ToJson(file)), IsOk());
    return directory;
  }

  tasks::ModelFile points_;
};

// Sanitizers take memory of their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr char kBase[] = "HONE_TEST_MAPPED_BASE", kHead[] = "HONE_TEST_MAPPED_HEAD";

// 120 million parameters, 110 of them mapped and frozen. The peak of a process that has done
// nothing else is looked at, code and libraries included: the next test's.
TEST_F(MappedModelTest, NeedsItsFileAndWhatItTrainsAndNoMore) {
  constexpr int64_t kWidth = 2048, kFrozen = 110'000'000, kTrained = 10'000'000;
  const std::string base = Base(kWidth, kFrozen / (kWidth * kWidth) + 1);
  ::setenv(kBase, base.c_str(), 1);
  ::setenv(kHead, absl::StrCat(kTrained / kWidth).c_str(), 1);
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  EXPECT_EQ(std::system(absl::StrCat("GTEST_OUTPUT= '", self,
                                     "' --gtest_also_run_disabled_tests --gtest_brief=1 "
                                     "--gtest_filter=MappedJobTest.DISABLED_IsAlone")
                            .c_str()),
            0);
  EXPECT_TRUE(std::filesystem::exists(base + "/measured")) << "no test ran there";
}

TEST_F(MappedJobTest, DISABLED_IsAlone) {
  int64_t head = 0;
  ASSERT_TRUE(std::getenv(kBase) != nullptr && std::getenv(kHead) != nullptr &&
              absl::SimpleAtoi(std::getenv(kHead), &head))
      << "the test above starts this one";
  const std::string base = std::getenv(kBase);
  const tasks::TrainingConfig config = Job(base, head);
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  const int64_t peak = job::PeakMemoryBytes();

  const job::Plan& plan = recorder_.started.back().plan;
  const int64_t trained = plan.trainable_parameters * 4;
  EXPECT_GT(plan.frozen_parameters, 10 * plan.trainable_parameters);
  EXPECT_EQ(plan.shards, 1);
  const int64_t file = Bytes(base + "/model.safetensors");
  // Values, gradients, Adam's two states, and bf16 copies for the products.
  const int64_t needed = 4 * trained + (config.compute == DType::kBf16 ? trained / 2 : 0);
  const auto allowed =
      file + static_cast<int64_t>(1.2 * static_cast<double>(needed + plan.arena_bytes));
  EXPECT_LE(peak, allowed) << "MiB: peak " << (peak >> 20) << ", file " << (file >> 20)
                           << ", needed " << ((needed + plan.arena_bytes) >> 20);

  const std::string checkpoint = CheckpointRoot(config) + "/step-00000003";
  const int64_t stored = Bytes(checkpoint + "/model.safetensors") +
                         Bytes(checkpoint + "/optimizer.safetensors") +
                         Bytes(checkpoint + "/state.json");
  EXPECT_LE(static_cast<double>(stored), 1.1 * 3 * static_cast<double>(trained));
  std::ofstream(base + "/measured") << peak;
}
#endif

TEST_F(MappedModelTest, StoppedAtEveryStepAndResumedHasTheBitsOfOneLeftAlone) {
  const std::string base = Base(96, 3);
  for (const DType compute : {DType::kF32, DType::kBf16}) {
    if (compute == DType::kBf16 && !HasBf16()) {
      continue;
    }
    tasks::TrainingConfig whole = Job(base, 40);
    whole.compute = compute;
    tasks::TrainingConfig pieces = whole;
    pieces.run_directory = NewRun();
    ASSERT_EQ(Run(whole).value(), EndReason::kCompleted);
    recorder_.on_step = [&](int64_t) { stop_ = true; };
    int attempts = 1;
    for (; Run(pieces).value() == EndReason::kCancelled; ++attempts) {
      stop_ = false;
    }
    recorder_.on_step = nullptr;
    stop_ = false;
    EXPECT_EQ(attempts, 3);
    EXPECT_EQ(ModelSha(pieces), ModelSha(whole));
  }
}

TEST_F(MappedModelTest, IsPublishedWholeWithTheBitsOfTheFile) {
  const std::string base = Base(48, 2);
  const tasks::TrainingConfig config = Job(base, 16);
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  const auto lender = checkpoint::LoadModel(base);
  const auto made = checkpoint::LoadModel(config.run_directory + "/model");
  ASSERT_THAT(made, IsOk());
  const checkpoint::FileTensor* there = lender->tensors.Find("dense_2.weight").value();
  const checkpoint::FileTensor* here = made->tensors.Find("dense_2.weight").value();
  ASSERT_EQ(here->dtype, checkpoint::FileDType::kBf16);
  std::vector<std::byte> a(static_cast<size_t>(there->bytes)), b(a.size());
  ASSERT_THAT(lender->tensors.ReadBytes(*there, a), IsOk());
  ASSERT_THAT(made->tensors.ReadBytes(*here, b), IsOk());
  EXPECT_EQ(a, b);
}

TEST_F(MappedModelTest, IsNamedInTheCheckpointByTheHashOfItsFile) {
  const std::string base = Base(48, 2);
  const tasks::TrainingConfig config = Job(base, 16);
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  const auto latest = checkpoint::LatestCheckpoint(CheckpointRoot(config));
  ASSERT_THAT(latest, IsOk());
  EXPECT_EQ(latest->model.metadata().at("dense_1.weight"),
            "sha256:" + checkpoint::LoadModel(base)->tensors_sha256);
  EXPECT_TRUE(absl::IsNotFound(latest->model.Find("dense_1.weight").status()));
  EXPECT_THAT(latest->model.Find("dense_3.weight"), IsOk());
}

TEST_F(MappedModelTest, CannotGoOnWithAnotherFile) {
  const std::string base = Base(48, 2);
  tasks::TrainingConfig config = Job(base, 16);
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  Base(48, 2, "base", /*seed=*/4);  // in its place
  config.steps = 5;
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    AllOf(HasSubstr("dense_1.weight"), HasSubstr("SHA-256"),
                                          HasSubstr("base/model.safetensors"))));
}

TEST_F(MappedModelTest, CannotGoOnWithoutTheFile) {
  const std::string base = Base(48, 2);
  tasks::TrainingConfig config = Job(base, 16);
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  std::filesystem::remove_all(base);
  config.steps = 5;
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kNotFound, HasSubstr("model.pretrained")));
}

// What this process has read so far, files and the system's cache alike.
int64_t BytesRead() {
  std::ifstream io("/proc/self/io");
  std::string field;
  int64_t bytes = -1;
  io >> field >> bytes;
  return field == "rchar:" ? bytes : -1;
}

// Hashed, and its values taken or mapped; it used to be hashed three times.
TEST_F(MappedModelTest, IsReadOnceToBeVerifiedAndOnceForWhatIsTaken) {
  if (BytesRead() < 0) {
    GTEST_SKIP() << "the system does not tell what a process reads";
  }
  const std::string base = Base(700, 2);
  tasks::TrainingConfig config = Job(base, 8);
  config.parameter_rules.clear();
  config.model = job::WithPretrained(config.pretrained, {.layers = {DenseLayer(3)}}).value();
  config.optimizer = optim::Sgd{.learning_rate = 1e-4};
  const int64_t before = BytesRead();
  config.model = job::WithPretrained(config.pretrained, {.layers = {DenseLayer(3)}}).value();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_LT(BytesRead() - before, 5 * Bytes(base + "/model.safetensors") / 2);
}

}  // namespace
}  // namespace hone::engine::train
