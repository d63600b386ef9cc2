#include "client/jobfile/sweep_file.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>

#include <filesystem>
#include <fstream>

#include "client/jobfile/print.h"
#include "tests/support/status_matchers.h"

namespace hone::client::jobfile {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A sweep file beside a job file.
class SweepFiles : public ::testing::Test {
 protected:
  SweepFiles() : folder_(::testing::TempDir() + "/sweep-files") {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ + "/job.yaml") << "classification: {}\ndata: {path: a.csv}\n"
                                            "model: {layers: [{dense: {units: 3}}]}\n"
                                            "training: {epochs: 5}\n";
  }
  ~SweepFiles() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<SweepFile> Load(const std::string& text,
                                 const std::vector<std::string>& overrides = {}) {
    std::ofstream(folder_ + "/try.yaml") << text;
    return LoadSweepFile(folder_ + "/try.yaml", overrides);
  }

  const std::string folder_;
};

TEST_F(SweepFiles, TakeTheirJobFromAFileBeside) {
  const auto file = Load(
      "job_file: job.yaml\naxes: [{field: training.seed, values: [1, 2]}]\n"
      "objective: {metric: test_loss}\n",
      {"job.training.steps=7", "halving={first: 2}"});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->spec.display_name(), "try");
  EXPECT_EQ(file->spec.job().training().steps(), 7);
  EXPECT_EQ(file->spec.job().training().epochs(), 0);
  EXPECT_THAT(file->spec.axes(0).values(), ElementsAre("1", "2"));
  EXPECT_EQ(file->spec.halving().first(), 2);
  EXPECT_EQ(file->paths.data, "a.csv");
}

TEST_F(SweepFiles, AreReadBackAsTheyArePrinted) {
  const auto file = Load(
      "job_file: job.yaml\naxes: [{field: 'model.layers[0].dense.units', range: {from: 1, to: "
      "4}}]\n"
      "objective: {metric: test_loss, goal: MINIMIZE}\nrandom: {trials: 5}\n");
  ASSERT_THAT(file, IsOk());
  const auto again = Load(PrintSweepFile(*file));
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(again->spec, file->spec))
      << PrintSweepFile(*file);
  EXPECT_EQ(again->paths.data, "a.csv");
}

TEST_F(SweepFiles, LetAClassifiersPathTakeThePlaceOfItsName) {
  const auto file = Load("job: {image_generation: {evaluation: {classifier: models/one}}}\n",
                         {"job.image_generation.evaluation.path=runs/classifier"});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->paths.classifier, "runs/classifier");
  EXPECT_EQ(file->spec.job().image_generation().evaluation().classifier(), "");
}

TEST_F(SweepFiles, LetAClassifiersNameTakeThePlaceOfItsPath) {
  const auto file = Load("job: {image_generation: {evaluation: {path: runs/classifier}}}\n",
                         {"job.image_generation.evaluation.classifier=models/one"});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->paths.classifier, "");
  EXPECT_EQ(file->spec.job().image_generation().evaluation().classifier(), "models/one");
}

TEST_F(SweepFiles, LetAnEarlierModelsNameTakeThePlaceOfItsPath) {
  const auto file = Load("job: {model: {pretrained: {path: runs/one}}}\n",
                         {"job.model.pretrained.model=models/one"});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->paths.pretrained, "");
  EXPECT_EQ(file->spec.job().model().pretrained().model(), "models/one");
}

TEST_F(SweepFiles, LetStepsTakeThePlaceOfEpisodes) {
  const auto file = Load("job: {training: {episodes: 5}}\n", {"job.training.steps=7"});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->spec.job().training().ShortDebugString(), "steps: 7");
}

TEST_F(SweepFiles, WithTwoSourcesOfOneThingAreRefused) {
  EXPECT_THAT(Load("job: {data: {path: a.csv, dataset: wine}}\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("job.data: must have either `dataset` or `path`, got both")));
}

TEST_F(SweepFiles, NameWhatIsWrong) {
  EXPECT_THAT(Load("job_file: job.yaml\njob: {classification: {}}\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("`job` or `job_file`")));
  EXPECT_THAT(Load("jobfile: job.yaml\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did you mean `job_file`?")));
  EXPECT_THAT(Load("job_file: nowhere.yaml\n"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere.yaml")));
}

TEST_F(SweepFiles, ThatAreShippedAreReadWithoutErrors) {
  const auto file = LoadSweepFile(HONE_SOURCE_DIR "/client/examples/mlp-sweep.yaml");
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->spec.axes_size(), 3);
}

}  // namespace
}  // namespace hone::client::jobfile
