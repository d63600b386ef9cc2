#include "tests/engine/checkpoint_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/checkpoint.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::checkpoint {
namespace {

namespace fs = std::filesystem;
using ::hone::testing::Contents;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;
using ::hone::testing::Put;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr const char* kFiles[] = {"model.safetensors", "optimizer.safetensors", "state.json",
                                  "manifest.json"};

// A checkpoint whose one weight tells the step.
absl::StatusOr<WrittenCheckpoint> Write(const std::string& root, int64_t step, float extra = 0) {
  const float weight[2] = {static_cast<float>(step), extra};
  const float m[2] = {0.5f, -0.0f};
  CheckpointContents contents;
  contents.state.step = step;
  contents.state.seed = 7;
  contents.model = {{"w", {2}, weight}};
  contents.model_metadata = {{"format", "hone"}};
  contents.optimizer = {{"w/m", {2}, m}};
  return WriteCheckpoint(root, contents);
}

float WeightOf(const Checkpoint& checkpoint, size_t i = 0) {
  std::vector<float> weight(2);
  EXPECT_THAT(checkpoint.model.Read("w", {2}, weight), IsOk());
  return weight[i];
}

std::vector<std::string> Names(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void Damage(const std::string& path) {
  std::string bytes = Contents(path);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  Put(path, bytes);
}

TEST(Checkpoint, ComesBackAsItWasWritten) {
  const Folder root;
  const auto written = Write(root / "deep/er", 1234);
  ASSERT_THAT(written, IsOk());
  EXPECT_EQ(written->directory, root / "deep/er/step-00001234");
  const auto checkpoint = LatestCheckpoint(root / "deep/er");
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ(checkpoint->state.step, 1234);
  EXPECT_EQ(checkpoint->state.seed, 7u);
  EXPECT_EQ(WeightOf(*checkpoint), 1234);
  EXPECT_EQ(checkpoint->model.metadata().at("format"), "hone");
  std::vector<float> m(2);
  EXPECT_THAT(checkpoint->optimizer.Read("w/m", {2}, m), IsOk());
  EXPECT_THAT(checkpoint->skipped, IsEmpty());
  EXPECT_THAT(Names(written->directory), ElementsAre("manifest.json", "model.safetensors",
                                                     "optimizer.safetensors", "state.json"));
}

TEST(Checkpoint, HasFilesOfTheirOwnForLargeSections) {
  const Folder root;
  CheckpointContents contents;
  contents.state.step = 3;
  contents.state.sections = {{"replay", std::string(100'000, '\xfe')}, {"small", "\x01"}};
  const auto written = WriteCheckpoint(root.path(), contents);
  ASSERT_THAT(written, IsOk());
  EXPECT_THAT(Names(written->directory), ::testing::Contains("section-replay.bin"));
  EXPECT_LT(Contents(written->directory + "/state.json").size(), 1000u);
  const auto read = LoadCheckpoint(written->directory);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->state.sections, contents.state.sections);
  Damage(written->directory + "/section-replay.bin");
  EXPECT_THAT(LoadCheckpoint(written->directory),
              StatusIs(kDataLoss, HasSubstr("section-replay.bin")));
}

TEST(Checkpoint, OfTheSameContentsIsTheSameBytes) {
  const Folder root;
  ASSERT_THAT(Write(root / "a", 5), IsOk());
  ASSERT_THAT(Write(root / "b", 5), IsOk());
  for (const char* file : kFiles) {
    EXPECT_EQ(Contents(root / "a/step-00000005/" + file),
              Contents(root / "b/step-00000005/" + file));
  }
}

TEST(Checkpoint, OfTheSameStepIsReplacedAsAWhole) {
  const Folder root;
  ASSERT_THAT(Write(root.path(), 5, 1), IsOk());
  ASSERT_THAT(Write(root.path(), 5, 2), IsOk());
  const auto checkpoint = LatestCheckpoint(root.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ(WeightOf(*checkpoint, 1), 2);
  EXPECT_THAT(Names(root.path()), ElementsAre("step-00000005"));
}

TEST(Checkpoint, TellsNoneFromNoneWhole) {
  const Folder root;
  EXPECT_THAT(LatestCheckpoint(root.path()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no checkpoint")));
  EXPECT_THAT(LatestCheckpoint(root / "absent"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));
  ASSERT_THAT(Write(root.path(), 1), IsOk());
  ASSERT_THAT(Write(root.path(), 2), IsOk());
  Damage(root / "step-00000001/state.json");
  fs::remove(root / "step-00000002/manifest.json");
  EXPECT_THAT(LatestCheckpoint(root.path()),
              StatusIs(kDataLoss, AllOf(HasSubstr("none of the 2"), HasSubstr("state.json"),
                                        HasSubstr("00002/manifest.json"))));
}

TEST(Checkpoint, FallsBackToTheOneBeforeWhicheverFileIsDamagedAndSaysSo) {
  for (const char* file : kFiles) {
    for (const std::string how : {"changed", "short", "empty", "missing"}) {
      const Folder root;
      ASSERT_THAT(Write(root.path(), 10), IsOk());
      ASSERT_THAT(Write(root.path(), 20), IsOk());
      const std::string path = root / "step-00000020/" + file;
      if (how == "changed") {
        Damage(path);
      } else if (how == "missing") {
        fs::remove(path);
      } else {
        fs::resize_file(path, how == "short" ? fs::file_size(path) - 1 : 0);
      }
      if (how == "short" && file == std::string("manifest.json")) {
        continue;  // only the newline at its end is gone
      }
      const auto checkpoint = LatestCheckpoint(root.path());
      ASSERT_THAT(checkpoint, IsOk()) << file << " " << how;
      EXPECT_EQ(checkpoint->state.step, 10);
      EXPECT_EQ(WeightOf(*checkpoint), 10);
      ASSERT_EQ(checkpoint->skipped.size(), 1u);
      EXPECT_EQ(checkpoint->skipped[0].directory, root / "step-00000020");
      // A manifest that still reads blames the file that it no longer describes.
      const bool blames = how != "changed" || file != std::string("manifest.json");
      EXPECT_THAT(checkpoint->skipped[0].reason,
                  StatusIs(kDataLoss, HasSubstr(blames ? file : "")));
    }
  }
}

TEST(Checkpoint, IgnoresAnInterruptedWriteAndClearsItAtTheNext) {
  const Folder root;
  ASSERT_THAT(Write(root.path(), 1), IsOk());
  fs::create_directory(root / ".tmp-step-00000002");
  fs::copy(root / "step-00000001/model.safetensors", root / ".tmp-step-00000002/model.safetensors");
  auto checkpoint = LatestCheckpoint(root.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ(checkpoint->state.step, 1);
  ASSERT_THAT(Write(root.path(), 3), IsOk());
  EXPECT_THAT(Names(root.path()), ElementsAre("step-00000001", "step-00000003"));
}

TEST(Checkpoint, LeavesForeignNamesAlone) {
  const Folder root;
  fs::create_directory(root / "step-12");
  Put(root / "notes.txt", "mine");
  ASSERT_THAT(Write(root.path(), 123456789), IsOk());
  const auto steps = CheckpointSteps(root.path());
  ASSERT_THAT(steps, IsOk());
  EXPECT_THAT(*steps, ElementsAre(123456789));
  EXPECT_EQ(Names(root.path()).size(), 3u);
}

// The limit on the size of a file stands in for a full disk: the write fails half-way, as EFBIG or
// ENOSPC would have it.
TEST(Checkpoint, SaysThatThereIsNoSpaceAndKeepsWhatWasThere) {
  const Folder root;
  ASSERT_THAT(Write(root.path(), 1), IsOk());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t bytes : {rlim_t{10}, rlim_t{200}, rlim_t{400}}) {
    const rlimit small{.rlim_cur = bytes, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const auto written = Write(root.path(), 2);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_THAT(written, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("cannot write")));
    EXPECT_THAT(Names(root.path()), ElementsAre("step-00000001"));
  }
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(LatestCheckpoint(root.path()), IsOk());
}

TEST(Checkpoint, ThatIsNotThereIsNotFound) {
  const Folder root;
  EXPECT_THAT(LoadCheckpoint(root / "step-00000009"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("00009")));
}

TEST(Prune, KeepsTheLatestAndTheBest) {
  const Folder root;
  for (const int64_t step : {1, 2, 3, 4, 5}) {
    ASSERT_THAT(Write(root.path(), step), IsOk());
  }
  const auto removed = Prune(root.path(), {.latest = 2, .best_step = 2});
  ASSERT_THAT(removed, IsOk());
  EXPECT_THAT(*removed, ElementsAre(root / "step-00000003", root / "step-00000001"));
  EXPECT_THAT(Names(root.path()), ElementsAre("step-00000002", "step-00000004", "step-00000005"));
}

TEST(Prune, DoesNotCountADamagedOne) {
  const Folder root;
  for (const int64_t step : {1, 2, 3}) {
    ASSERT_THAT(Write(root.path(), step), IsOk());
  }
  fs::resize_file(root / "step-00000003/model.safetensors", 5);
  ASSERT_THAT(Prune(root.path(), {.latest = 1}), IsOk());
  EXPECT_THAT(Names(root.path()), ElementsAre("step-00000002"));
}

TEST(Prune, NeverRemovesTheOnlyGoodOne) {
  const Folder root;
  ASSERT_THAT(Write(root.path(), 1), IsOk());
  ASSERT_THAT(Write(root.path(), 2), IsOk());
  Damage(root / "step-00000002/model.safetensors");  // of the right size: only its SHA-256 tells
  const auto removed = Prune(root.path(), {.latest = 1});
  ASSERT_THAT(removed, IsOk());
  EXPECT_THAT(*removed, IsEmpty());
  const auto checkpoint = LatestCheckpoint(root.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ(checkpoint->state.step, 1);
}

// Hashed on its way to the disk: hashing it again would only read what the system still holds.
TEST(Prune, DoesNotReadAgainWhatWasWrittenJustNow) {
  const Folder root;
  ASSERT_THAT(Write(root.path(), 1), IsOk());
  ASSERT_THAT(Write(root.path(), 2), IsOk());
  Damage(root / "step-00000002/model.safetensors");  // would be seen by who reads it
  ASSERT_THAT(Prune(root.path(), {.latest = 1, .written_step = 2}), IsOk());
  EXPECT_THAT(Names(root.path()), ElementsAre("step-00000002"));
}

TEST(Prune, RefusesToKeepNone) {
  const Folder root;
  EXPECT_THAT(Prune(root.path(), {.latest = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least 1")));
}

TEST(ModelFolder, ComesBackAndIsReplacedAsAWhole) {
  const Folder root;
  const float data[1] = {3};
  const TensorToWrite tensors[] = {{"w", {1}, data}};
  ASSERT_THAT(WriteModel(root / "models/net", tensors, {}, "{\"a\":1}"), IsOk());
  ASSERT_THAT(WriteModel(root / "models/net", tensors, {}, "{\"a\":2}"), IsOk());
  const auto model = LoadModel(root / "models/net");
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->model_json, "{\"a\":2}");
  EXPECT_THAT(model->tensors.Find("w"), IsOk());
  EXPECT_THAT(Names(root / "models"), ElementsAre("net"));
  Damage(root / "models/net/model.json");
  EXPECT_THAT(LoadModel(root / "models/net"), StatusIs(kDataLoss, HasSubstr("model.json")));
}

TEST(ModelFolder, GivesItsDescriptionWithoutReadingTheWeights) {
  const Folder root;
  const float data[1] = {3};
  const TensorToWrite tensors[] = {{"w", {1}, data}};
  ASSERT_THAT(WriteModel(root / "net", tensors, {}, "{\"a\":1}"), IsOk());
  Damage(root / "net/model.safetensors");
  EXPECT_EQ(LoadModelJson(root / "net").value(), "{\"a\":1}");
  fs::resize_file(root / "net/model.safetensors", 5);
  EXPECT_THAT(LoadModelJson(root / "net"), StatusIs(kDataLoss, HasSubstr("model.safetensors")));
}

TEST(ModelFolder, WithAManifestThatNestsTooDeeplyIsDamaged) {
  const Folder root;
  const float data[1] = {3};
  const TensorToWrite tensors[] = {{"w", {1}, data}};
  ASSERT_THAT(WriteModel(root / "net", tensors, {}, "{}"), IsOk());
  Put(root / "net/manifest.json", std::string(100000, '['));
  EXPECT_THAT(LoadModel(root / "net"), StatusIs(kDataLoss, AllOf(HasSubstr("manifest.json"),
                                                                 HasSubstr("within each other"))));
}

TEST(ModelFolder, NamesItsWeightsByTheirHash) {
  const Folder root;
  const float data[1] = {3};
  const TensorToWrite tensors[] = {{"w", {1}, data}};
  const auto written = WriteModel(root / "net", tensors, {}, "{}");
  ASSERT_THAT(written, IsOk());
  EXPECT_EQ(LoadModel(root / "net")->tensors_sha256, written->sha256);
}

}  // namespace
}  // namespace hone::engine::checkpoint
