#include "client/jobfile/job_file.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/jobfile/print.h"
#include "tests/support/status_matchers.h"

namespace hone::client::jobfile {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kJob[] = R"(display_name: fashion-cnn
classification: {}
data:
  dataset: fashion-mnist
model:
  layers:
    - conv2d: {filters: 32, kernel: 3, activation: RELU}
    - flatten: {}
    - dense: {units: 10}
training:
  epochs: 5
  optimizer: {adam: {learning_rate: 0.001}}
)";

absl::StatusOr<v1::JobSpec> Parse(const std::string& text,
                                  const std::vector<std::string>& overrides = {}) {
  const absl::StatusOr<JobFile> file = ParseJobFile(text, "job.yaml", overrides);
  return file.ok() ? absl::StatusOr<v1::JobSpec>(file->spec) : file.status();
}

std::string ErrorOf(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const auto spec = Parse(text, overrides);
  EXPECT_THAT(spec, StatusIs(absl::StatusCode::kInvalidArgument, ::testing::_));
  return std::string(spec.status().message());
}

TEST(JobFile, ReadsEveryPartOfAJob) {
  const auto spec = Parse(kJob);
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->display_name(), "fashion-cnn");
  EXPECT_TRUE(spec->has_classification());
  ASSERT_EQ(spec->model().layers_size(), 3);
  EXPECT_EQ(spec->model().layers(0).conv2d().activation(), v1::Activation::RELU);
  EXPECT_TRUE(spec->model().layers(1).has_flatten());
  EXPECT_FLOAT_EQ(spec->training().optimizer().adam().learning_rate(), 0.001f);
}

TEST(JobFile, LeavesWhatIsNotGivenUnset) {
  const auto spec = Parse(kJob);
  EXPECT_FALSE(spec->training().has_batch_size());
  EXPECT_FALSE(spec->training().optimizer().adam().has_beta1());
}

TEST(JobFile, ReadsAForecastOfASeries) {
  const auto spec = Parse(R"(forecasting: {loss: HUBER}
data:
  path: sales.csv
  series: {target: sold, columns: [rain, price], time: month, window: 24, horizon: 12, period: 12,
           scaling: LOG_STANDARD, base: SEASONAL}
model:
  layers:
    - gru: {units: 8}
    - dense: {units: 12}
training: {epochs: 5}
)");
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->forecasting().loss(), v1::Forecasting::HUBER);
  const v1::SeriesOptions& series = spec->data().series();
  EXPECT_THAT(series.columns(), ElementsAre("rain", "price"));
  EXPECT_EQ(series.horizon(), 12);
  EXPECT_EQ(series.scaling(), v1::SeriesOptions::LOG_STANDARD);
  EXPECT_FALSE(series.has_step());
}

TEST(JobFile, ReadsJson) {
  const auto spec = Parse(R"({"classification": {"label_smoothing": 0.1},
      "training": {"epochs": "3", "seed": 18446744073709551615}})");
  ASSERT_THAT(spec, IsOk());
  EXPECT_FLOAT_EQ(spec->classification().label_smoothing(), 0.1f);
  EXPECT_EQ(spec->training().epochs(), 3);
  EXPECT_EQ(spec->training().seed(), UINT64_MAX);
}

TEST(JobFile, TakesAScalarForAListOfOne) {
  const auto spec = Parse("data: {image: {mean: 0.5, std: [0.25, 0.5]}, table: {ignore: id}}");
  ASSERT_THAT(spec, IsOk());
  EXPECT_THAT(spec->data().image().mean(), ElementsAre(0.5f));
  EXPECT_THAT(spec->data().image().std(), ElementsAre(0.25f, 0.5f));
  EXPECT_THAT(spec->data().table().ignore(), ElementsAre("id"));
}

TEST(JobFile, ReadsLabels) {
  const auto spec = Parse("labels: {team: vision, week: 12}");
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->labels().at("team"), "vision");
  EXPECT_EQ(spec->labels().at("week"), "12");
}

TEST(JobFile, ReadsWholeNumbersInEverySpelling) {
  const auto spec = Parse("training: {epochs: 1e3, steps: +5, threads: 2.0}");
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->training().epochs(), 1000);
  EXPECT_EQ(spec->training().steps(), 5);
  EXPECT_EQ(spec->training().threads(), 2);
}

TEST(JobFile, ReportsEveryErrorAtOnce) {
  const std::string error = ErrorOf(
      "classification: {}\n"
      "model:\n"
      "  layers:\n"
      "    - dense: {unit: 10}\n"
      "training:\n"
      "  epochs: many\n"
      "  batch_size: [32]\n");
  EXPECT_THAT(
      error, AllOf(HasSubstr("job.yaml:4:15: model.layers[0].dense: unknown key `unit`; did you "
                             "mean `units`? Known keys: units, activation"),
                   HasSubstr("job.yaml:6:11: training.epochs: must be a whole number, got `many`"),
                   HasSubstr("job.yaml:7:15: training.batch_size: must be one value, got a list")));
}

TEST(JobFile, ShowsTheFirstTwentyErrorsAndCountsTheRest) {
  std::string text;
  for (int i = 0; i < 25; ++i) {
    text += "wrong" + std::to_string(i) + ": 1\n";
  }
  const std::string error = ErrorOf(text);
  EXPECT_THAT(error,
              AllOf(HasSubstr("wrong19"), Not(HasSubstr("wrong20")), HasSubstr("and 5 more")));
}

TEST(JobFile, SuggestsTheSnakeCaseName) {
  EXPECT_THAT(ErrorOf("training: {batchSize: 3}"), HasSubstr("did you mean `batch_size`?"));
}

TEST(JobFile, SuggestsTheWholeOfAPartOfAName) {
  EXPECT_THAT(ErrorOf("training: {batch: 3}"), HasSubstr("did you mean `batch_size`?"));
}

TEST(JobFile, SaysWhereAKeyOfAnotherLevelBelongs) {
  EXPECT_THAT(ErrorOf("training: {learning_rate: 3}"),
              HasSubstr("there is optimizer.sgd.learning_rate"));
}

TEST(JobFile, ListsTheValuesOfAnEnum) {
  EXPECT_THAT(
      ErrorOf("model: {layers: [{dense: {activation: relu}}]}"),
      AllOf(HasSubstr("unknown value `relu`; did you mean RELU?"),
            HasSubstr("Known values: LINEAR, RELU, LEAKY_RELU"), Not(HasSubstr("UNSPECIFIED"))));
}

TEST(JobFile, RefusesANumberOutsideTheFieldsRange) {
  EXPECT_THAT(ErrorOf("training: {epochs: 9223372036854775808}"),
              HasSubstr("must be between -9223372036854775808 and 9223372036854775807"));
  EXPECT_THAT(ErrorOf("training: {seed: -1}"), HasSubstr("must be between 0 and"));
  EXPECT_THAT(ErrorOf("training: {clip_norm: 1e39}"), HasSubstr("must be between ±3.4"));
}

TEST(JobFile, RefusesNumbersThatAreNotFinite) {
  for (const char* text : {".inf", "-.inf", ".nan", "inf", "nan", "1e999"}) {
    EXPECT_THAT(ErrorOf(absl::StrCat("training: {clip_norm: ", text, "}")),
                HasSubstr("must be a finite number"))
        << text;
  }
}

TEST(JobFile, RefusesAFractionWhereAWholeNumberBelongs) {
  EXPECT_THAT(ErrorOf("training: {epochs: 1.5}"), HasSubstr("must be a whole number, got `1.5`"));
}

TEST(JobFile, RefusesWordsForABoolean) {
  EXPECT_THAT(ErrorOf("data: {deduplicate: yes}"), HasSubstr("must be true or false, got `yes`"));
}

TEST(JobFile, RefusesADuplicateKeyAndNamesTheFirst) {
  EXPECT_THAT(ErrorOf("training: {epochs: 1}\ndata: {}\ntraining: {epochs: 2}\n"),
              HasSubstr("job.yaml:3:1: training: is given twice; first in line 1"));
}

TEST(JobFile, RefusesTwoMembersOfAOneof) {
  EXPECT_THAT(ErrorOf("classification: {}\nregression: {}\n"),
              HasSubstr("job.yaml:2:1: regression: cannot stand beside `classification`"));
}

TEST(JobFile, AsksForBracesWhereAMessageHasNoValue) {
  EXPECT_THAT(ErrorOf("model: {layers: [{flatten: }]}"),
              HasSubstr("model.layers[0].flatten: must be a map, got nothing; write {}"));
}

TEST(JobFile, AsksForAListWhereLayersAreAMap) {
  EXPECT_THAT(ErrorOf("model: {layers: {dense: {}}}"), HasSubstr("model.layers: must be a list"));
}

TEST(JobFile, AsksForAMapAtTheTop) {
  EXPECT_THAT(ErrorOf("- a\n- b\n"), HasSubstr("job.yaml:1:1: must be a map, got a list"));
}

TEST(JobFile, SaysThatAFileIsEmpty) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("job.yaml:1:1: is empty"));
  EXPECT_THAT(ErrorOf("# only a comment\n"), HasSubstr("is empty"));
}

TEST(JobFile, GivesThePlaceOfASyntaxError) {
  EXPECT_THAT(ErrorOf("data: {\n  dataset: mnist\nmodel: ]\n"), HasSubstr("job.yaml:3:"));
}

TEST(JobFile, RefusesASecondDocument) {
  EXPECT_THAT(ErrorOf("data: {}\n---\ndata: {}\n"),
              HasSubstr("job.yaml:3:1: a second document; a file has one job"));
}

TEST(JobFile, RefusesAHugeFile) {
  EXPECT_THAT(ErrorOf(std::string((1 << 20) + 1, ' ')), HasSubstr("at most 1048576"));
}

TEST(JobFile, RefusesDeepNesting) {
  EXPECT_THAT(ErrorOf(std::string(100'000, '[')), HasSubstr("nested deeper than 32 levels"));
  std::string block;
  for (int i = 0; i < 40; ++i) {
    block += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  }
  EXPECT_THAT(ErrorOf(block), HasSubstr("nested deeper than 32 levels"));
}

TEST(JobFile, RefusesABombOfAliases) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += absl::StrCat("a", i, ": &a", i, " [");
    for (int j = 0; j < 9; ++j) {
      bomb += absl::StrCat("*a", i - 1, ", ");
    }
    bomb += "x]\n";
  }
  EXPECT_THAT(ErrorOf(bomb), HasSubstr("job.yaml:2:10: aliases (*name) are not supported"));
}

TEST(JobFile, RefusesTags) {
  EXPECT_THAT(ErrorOf("training: {epochs: !!int 3}"), HasSubstr("tags"));
}

TEST(JobFile, RefusesAFileOfTooManyValuesSoon) {
  std::string text = "data: [";
  while (text.size() < (1 << 20) - 10) {
    text += "1,";
  }
  EXPECT_THAT(ErrorOf(text + "]"), HasSubstr("more than 200000 values"));
}

TEST(JobFile, SaysThatATabIsNoIndentation) {
  EXPECT_THAT(ErrorOf("regression: {}\ndata:\n\tpath: x.csv\n"),
              HasSubstr(":3:1: is indented with a tab; YAML takes only spaces there"));
}

TEST(JobFile, RefusesAFolder) {
  EXPECT_THAT(LoadJobFile("/tmp"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Is a directory")));
}

TEST(JobFile, NamesAFileThatIsNotThere) {
  EXPECT_THAT(LoadJobFile("/nowhere/job.yaml"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/job.yaml")));
}

TEST(Override, SetsAField) {
  EXPECT_EQ(Parse(kJob, {"training.epochs=1"})->training().epochs(), 1);
}

TEST(Override, SetsAFieldOfALayerByItsIndex) {
  EXPECT_EQ(Parse(kJob, {"model.layers[2].dense.units=32"})->model().layers(2).dense().units(), 32);
}

TEST(Override, MakesMessagesOnTheWay) {
  const auto spec = Parse(kJob, {"training.schedule.cosine.final_factor=0.1"});
  ASSERT_THAT(spec, IsOk());
  EXPECT_FLOAT_EQ(spec->training().schedule().cosine().final_factor(), 0.1f);
}

TEST(Override, ReplacesAMessageByAYamlValue) {
  const auto spec = Parse(kJob, {"training.optimizer={sgd: {momentum: 0.9}}"});
  ASSERT_THAT(spec, IsOk());
  EXPECT_FLOAT_EQ(spec->training().optimizer().sgd().momentum(), 0.9f);
}

TEST(Override, ReplacesALayer) {
  const auto spec = Parse(kJob, {"model.layers[0]={dense: {units: 3}}"});
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->model().layers(0).dense().units(), 3);
  EXPECT_EQ(spec->model().layers_size(), 3);
}

TEST(Override, ReplacesAListAndAnItemOfIt) {
  const auto spec = Parse(kJob, {"data.image.mean=[0.1, 0.2, 0.3]", "data.image.mean[1]=0.5"});
  ASSERT_THAT(spec, IsOk());
  EXPECT_THAT(spec->data().image().mean(), ElementsAre(0.1f, 0.5f, 0.3f));
}

TEST(Override, TheLaterOneWins) {
  EXPECT_EQ(Parse(kJob, {"training.epochs=1", "training.epochs=2"})->training().epochs(), 2);
}

TEST(Override, ALengthTakesThePlaceOfTheFilesOther) {
  const absl::StatusOr<v1::JobSpec> spec = Parse(kJob, {"training.steps=7"});
  EXPECT_EQ(spec->training().steps(), 7);
  EXPECT_EQ(spec->training().epochs(), 0);
}

TEST(Override, TakesTextAsItStands) {
  EXPECT_EQ(Parse(kJob, {"display_name=a: {b"})->display_name(), "a: {b");
}

TEST(Override, SetsALabel) {
  EXPECT_EQ(Parse(kJob, {"labels.team.name=x"})->labels().at("team.name"), "x");
}

TEST(Override, IsNamedInItsErrors) {
  EXPECT_THAT(ErrorOf(kJob, {"training.epochs=x"}),
              ::testing::StrEq("--set training.epochs: must be a whole number, got `x`"));
  EXPECT_THAT(
      ErrorOf(kJob, {"training.epoch=1"}),
      HasSubstr("--set training.epoch: training: unknown key `epoch`; did you mean `epochs`?"));
  EXPECT_THAT(ErrorOf(kJob, {"model.layers[9].dense.units=1"}),
              HasSubstr("there is no item 9: the list has 3, counted from 0 to 2"));
  EXPECT_THAT(ErrorOf(kJob, {"model.layers.dense=1"}), HasSubstr("say which item"));
  EXPECT_THAT(ErrorOf(kJob, {"training.epochs.x=1"}), HasSubstr("has nothing below it"));
  EXPECT_THAT(ErrorOf(kJob, {"training.epochs"}), HasSubstr("must be PATH=VALUE"));
  EXPECT_THAT(ErrorOf(kJob, {"training.optimizer={"}), HasSubstr("cannot be read"));
}

TEST(Print, YamlReadsBackAsTheSameJob) {
  const auto spec = Parse(kJob, {"labels={a: 'yes', 'b c': '12'}", "data.image.mean=[0.1]"});
  ASSERT_THAT(spec, IsOk());
  const std::string text = PrintYaml(*spec);
  const auto again = Parse(text);
  ASSERT_THAT(again, IsOk()) << text;
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*again, *spec)) << text;
}

TEST(Print, YamlLooksAsAPersonWritesIt) {
  EXPECT_EQ(PrintYaml(*Parse(kJob)),
            "display_name: fashion-cnn\n"
            "classification: {}\n"
            "data:\n"
            "  dataset: fashion-mnist\n"
            "model:\n"
            "  layers:\n"
            "    - conv2d: {filters: 32, kernel: 3, activation: RELU}\n"
            "    - flatten: {}\n"
            "    - dense: {units: 10}\n"
            "training:\n"
            "  epochs: 5\n"
            "  optimizer:\n"
            "    adam: {learning_rate: 0.001}\n");
}

TEST(Print, JsonHasSnakeCaseNamesAndNumbersForIntegers) {
  EXPECT_EQ(PrintJson(*Parse("display_name: x\ntraining: {batch_size: 32, clip_norm: 0.1}")),
            R"({"display_name":"x","training":{"batch_size":32,"clip_norm":0.1}})");
}

TEST(Print, JsonKeepsEveryDigitOfLargeIntegers) {
  EXPECT_EQ(PrintJson(*Parse("training: {seed: 18446744073709551615}")),
            R"({"training":{"seed":"18446744073709551615"}})");
}

constexpr char kWithPaths[] = R"(data: {path: people.csv, limit: 5}
model:
  layers:
    - dense: {units: 2}
  pretrained: {path: runs/one}
)";

TEST(Paths, AreTakenFromTheFileAndAreNoPartOfTheSpec) {
  const auto file = ParseJobFile(kWithPaths, "job.yaml");
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->paths.data, "people.csv");
  EXPECT_EQ(file->paths.pretrained, "runs/one");
  EXPECT_THAT(file->spec.DebugString(), Not(AnyOf(HasSubstr("people"), HasSubstr("runs/one"))));
  EXPECT_EQ(file->spec.data().limit(), 5);
  EXPECT_TRUE(file->spec.model().has_pretrained());
}

TEST(Paths, ArePrintedWhereTheyStood) {
  const auto file = ParseJobFile(kWithPaths, "job.yaml");
  ASSERT_THAT(file, IsOk());
  const auto again = ParseJobFile(PrintJobFile(*file), "again.yaml");
  ASSERT_THAT(again, IsOk()) << PrintJobFile(*file);
  EXPECT_EQ(again->paths.data, "people.csv");
  EXPECT_EQ(again->paths.pretrained, "runs/one");
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(again->spec, file->spec));
}

TEST(Paths, OfTheClassifierOfDrawnPicturesIsOneOfThem) {
  const auto file = ParseJobFile(
      "image_generation: {evaluation: {path: runs/classifier, drawings: 500}}\n", "job.yaml");
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->paths.classifier, "runs/classifier");
  EXPECT_THAT(file->spec.DebugString(), Not(HasSubstr("runs/classifier")));
  EXPECT_EQ(file->spec.image_generation().evaluation().drawings(), 500);
  const auto again = ParseJobFile(PrintJobFile(*file), "again.yaml");
  ASSERT_THAT(again, IsOk()) << PrintJobFile(*file);
  EXPECT_EQ(again->paths.classifier, "runs/classifier");
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(again->spec, file->spec));
}

TEST(Paths, OfTheClassifierTakesThePlaceOfItsName) {
  const auto file =
      ParseJobFile("image_generation: {evaluation: {classifier: models/one}}\n", "job.yaml",
                   std::vector<std::string>{"image_generation.evaluation.path=runs/classifier"});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->paths.classifier, "runs/classifier");
  EXPECT_EQ(file->spec.image_generation().evaluation().classifier(), "");
}

TEST(Paths, OfTheClassifierGivesWayToANameOnTheCommandLine) {
  const auto file =
      ParseJobFile("image_generation: {evaluation: {path: runs/classifier}}\n", "job.yaml",
                   std::vector<std::string>{"image_generation.evaluation.classifier=models/one"});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->paths.classifier, "");
  EXPECT_EQ(file->spec.image_generation().evaluation().classifier(), "models/one");
}

TEST(Paths, OfTheClassifierBesideItsNameIsRefused) {
  EXPECT_THAT(
      ParseJobFile("image_generation: {evaluation: {path: runs/one, classifier: models/one}}\n",
                   "job.yaml")
          .status()
          .message(),
      HasSubstr("image_generation.evaluation: must have either `classifier` or `path`, got both"));
}

TEST(Paths, AreSetOnTheCommandLineInPlaceOfANameAndTheOtherWayRound) {
  const auto by_path = ParseJobFile(kJob, "job.yaml", std::vector<std::string>{"data.path=x.csv"});
  ASSERT_THAT(by_path, IsOk());
  EXPECT_EQ(by_path->paths.data, "x.csv");
  EXPECT_EQ(by_path->spec.data().dataset(), "");
  const auto by_name =
      ParseJobFile(kWithPaths, "job.yaml", std::vector<std::string>{"data.dataset=wine"});
  ASSERT_THAT(by_name, IsOk());
  EXPECT_EQ(by_name->paths.data, "");
  EXPECT_EQ(by_name->spec.data().dataset(), "wine");
}

TEST(Paths, AndNamesExcludeEachOther) {
  EXPECT_THAT(ErrorOf("data: {path: x.csv, dataset: wine}"),
              HasSubstr("data: must have either `dataset` or `path`, got both"));
  EXPECT_THAT(ErrorOf("model: {pretrained: {path: x, model: models/a}}"),
              HasSubstr("model.pretrained: must have either `model` or `path`, got both"));
}

TEST(Paths, AreOneValueEachAndKnownToTheHints) {
  EXPECT_THAT(ErrorOf("data: {path: [a, b]}"), HasSubstr("data.path: must be one value"));
  EXPECT_THAT(ErrorOf("data: {pth: a.csv}"), HasSubstr("did you mean `path`?"));
  EXPECT_THAT(ErrorOf("model: {path: a}"), HasSubstr("there is pretrained.path"));
}

TEST(JobFile, ASweepFileIsToldFromOneWithUnknownKeys) {
  EXPECT_THAT(ErrorOf("job: {}\naxes: []\n"), HasSubstr("job.yaml: is a sweep file"));
}

class JobFiles : public ::testing::TestWithParam<std::string> {};

TEST_P(JobFiles, AreReadWithoutErrors) {
  const auto file = LoadJobFile(std::string(HONE_SOURCE_DIR) + "/" + GetParam());
  ASSERT_THAT(file, IsOk());
  const v1::JobSpec* const spec = &file->spec;
  EXPECT_NE(spec->task_case(), v1::JobSpec::TASK_NOT_SET);
  EXPECT_GT(spec->model().ByteSizeLong(), 0);
  EXPECT_EQ(spec->display_name(), std::filesystem::path(GetParam()).stem());
}

std::vector<std::string> AllJobFiles() {
  std::vector<std::string> paths;
  for (const char* folder : {"client/examples", "tests/e2e/jobs"}) {
    for (const auto& entry :
         std::filesystem::directory_iterator(std::string(HONE_SOURCE_DIR) + "/" + folder)) {
      if (entry.path().extension() == ".yaml" &&
          !entry.path().stem().string().ends_with("-sweep")) {
        paths.push_back(std::string(folder) + "/" + entry.path().filename().string());
      }
    }
  }
  return paths;
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& job_file) {
  std::string name = std::filesystem::path(job_file.param).stem().string();
  for (char& c : name) {
    c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Shipped, JobFiles, ::testing::ValuesIn(AllJobFiles()), NameOf);

}  // namespace
}  // namespace hone::client::jobfile
