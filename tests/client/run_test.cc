// `hone run`, `hone sweep --here`, `hone plan` and `hone predict` with a worker that plays a
// script.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/cpu.h"
#include "engine/base/file_lock.h"
#include "engine/base/files.h"
#include "tests/client/process.h"

namespace hone::client::cli {
namespace {

using ::hone::testing::Process;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kExample[] = HONE_SOURCE_DIR "/client/examples/mnist-cnn.yaml";

class RunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "hone-run-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    setenv("HONE_WORKER", HONE_FAKE_WORKER, 1);
    Script("finished { end_reason: 'COMPLETED' }\n");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Script(const std::string& text) {
    const std::string path = folder_ + "/script";
    std::ofstream(path) << text;
    setenv("HONE_FAKE_SCRIPT", path.c_str(), 1);
  }

  // The worker keeps the request that it gets, then plays the script.
  void ScriptThatKeepsTheRequest(const std::string& text) {
    Script("!keep request " + folder_ + "/request.txt\n" + text);
  }
  std::string Request() const { return ReadFile(folder_ + "/request.txt").value_or(""); }

  std::unique_ptr<Process> Start(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), HONE_BINARY);
    return std::make_unique<Process>(std::move(arguments), folder_);
  }

  // Runs to the end; the output goes to output_.
  int Hone(std::vector<std::string> arguments) {
    const auto process = Start(std::move(arguments));
    const int code = process->Wait();
    output_ = process->output();
    return code;
  }

  nlohmann::json LastLine() const {
    const std::vector<std::string> lines = absl::StrSplit(output_, '\n', absl::SkipEmpty());
    return lines.empty() ? nlohmann::json() : nlohmann::json::parse(lines.back(), nullptr, false);
  }

  std::string folder_;
  std::string output_;
};

TEST_F(RunTest, TrainsAndEndsWithZero) {
  setenv("HONE_FAKE_SCRIPT", HONE_SOURCE_DIR "/tests/client/recordings/mnist-cnn.frames", 1);
  EXPECT_EQ(Hone({"run", kExample}), 0) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("mnist-cnn is trained"), HasSubstr("99.12 %"),
                             HasSubstr("hone predict hone-runs/mnist-cnn-1/model")));
}

TEST_F(RunTest, LeavesItsCurvesForTensorBoard) {
  setenv("HONE_FAKE_SCRIPT", HONE_SOURCE_DIR "/tests/client/recordings/mnist-cnn.frames", 1);
  EXPECT_EQ(Hone({"run", kExample}), 0) << output_;
  const std::string folder = folder_ + "/hone-runs/mnist-cnn-1/tensorboard";
  ASSERT_TRUE(std::filesystem::is_directory(folder));
  const std::filesystem::directory_iterator files(folder);
  ASSERT_NE(files, std::filesystem::directory_iterator());
  EXPECT_THAT(
      *ReadFile(files->path().string()),
      AllOf(HasSubstr("brain.Event:2"), HasSubstr("validation_loss"), HasSubstr("test_accuracy")));
}

TEST_F(RunTest, SaysThatThereAreNoCurvesAndGoesOn) {
  Script("event { started { } }\nfinished { end_reason: 'COMPLETED' }\n");
  std::filesystem::create_directories(folder_ + "/out");
  std::ofstream(folder_ + "/out/tensorboard") << "a file, not a folder";
  EXPECT_EQ(Hone({"run", kExample, "--run-dir", "out"}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("no curves for TensorBoard"));
}

TEST_F(RunTest, TellsTheWorkerTheFileThatTheJobFileNames) {
  ScriptThatKeepsTheRequest("finished { end_reason: 'COMPLETED' }\n");
  EXPECT_EQ(Hone({"run", kExample, "--set", "data.path=people.csv"}), 0) << output_;
  EXPECT_THAT(Request(), AllOf(HasSubstr("dataset_path: \"people.csv\""),
                               Not(HasSubstr("dataset: \"mnist\""))));
}

TEST_F(RunTest, ResumeFindsTheFileThatTheJobFileNamed) {
  Hone({"run", kExample, "--set", "data.path=people.csv", "--run-dir", "out"});
  ScriptThatKeepsTheRequest("finished { end_reason: 'COMPLETED' }\n");
  EXPECT_EQ(Hone({"run", "--resume", "out"}), 0) << output_;
  EXPECT_THAT(Request(), HasSubstr("dataset_path: \"people.csv\""));
}

TEST_F(RunTest, ResumeKnowsTheMazeThoughItsFileIsGone) {
  std::ofstream(folder_ + "/mine.txt") << "S.\n.G\n";
  EXPECT_EQ(Hone({"run", HONE_SOURCE_DIR "/client/examples/maze-dqn.yaml", "--set",
                  "reinforcement_learning.maze.path=mine.txt", "--run-dir", "out"}),
            0)
      << output_;
  std::filesystem::remove(folder_ + "/mine.txt");
  ScriptThatKeepsTheRequest("finished { end_reason: 'COMPLETED' }\n");
  EXPECT_EQ(Hone({"run", "--resume", "out"}), 0) << output_;
  EXPECT_THAT(Request(), HasSubstr("text: \"S.\\n.G\\n\""));
}

TEST_F(RunTest, CountsTheRunsOfOneJob) {
  Hone({"run", kExample});
  Hone({"run", kExample});
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/hone-runs/mnist-cnn-2/job.yaml"));
}

TEST_F(RunTest, LastJsonLineIsTheJobWithItsFinalMetrics) {
  setenv("HONE_FAKE_SCRIPT", HONE_SOURCE_DIR "/tests/client/recordings/mnist-cnn.frames", 1);
  EXPECT_EQ(Hone({"run", kExample, "--output", "json"}), 0);
  const nlohmann::json job = LastLine();
  EXPECT_EQ(job["state"], "SUCCEEDED");
  EXPECT_EQ(job["end_reason"], "COMPLETED");
  EXPECT_EQ(job["metrics"]["test_accuracy"], 0.9912);
  EXPECT_EQ(job["metrics"]["peak_memory_bytes"], 139500000.0);
  EXPECT_EQ(job["model"], "hone-runs/mnist-cnn-1/model");
  EXPECT_EQ(job["plan"]["parameters"], 121930);
}

TEST_F(RunTest, EveryJsonLineIsAnObjectAndEventsAreNumberedWithoutGaps) {
  setenv("HONE_FAKE_SCRIPT", HONE_SOURCE_DIR "/tests/client/recordings/mnist-cnn.frames", 1);
  Hone({"run", kExample, "--output", "json"});
  std::vector<std::string> lines = absl::StrSplit(output_, '\n', absl::SkipEmpty());
  lines.pop_back();
  for (size_t i = 0; i < lines.size(); ++i) {
    const nlohmann::json event = nlohmann::json::parse(lines[i], nullptr, false);
    ASSERT_EQ(event["sequence"], i + 1) << lines[i];
    ASSERT_TRUE(event.contains("time")) << lines[i];
  }
}

TEST_F(RunTest, HandsTheJobWithItsOverridesToTheWorker) {
  Script("!show request\nfinished { end_reason: 'COMPLETED' }\n");
  setenv("HONE_DATA_DIR", "/the/mirror", 1);
  Hone({"run", kExample, "--set", "training.epochs=7", "--threads", "3", "--profile"});
  unsetenv("HONE_DATA_DIR");
  EXPECT_THAT(output_,
              AllOf(HasSubstr("epochs: 7"), HasSubstr("threads: 3"), HasSubstr("profile: true"),
                    HasSubstr("mode: TRAIN"), HasSubstr("data_mirror: \"/the/mirror\"")));
}

TEST_F(RunTest, AFailureEndsWithOneAndSaysWhy) {
  Script(
      "failure { end_reason: 'NON_FINITE' message: 'the loss is not finite' step: 7 }\n!exit 1\n");
  EXPECT_EQ(Hone({"run", kExample}), 1);
  EXPECT_THAT(output_,
              AllOf(HasSubstr("failed: non finite"), HasSubstr("the loss is not finite (step 7)")));
}

TEST_F(RunTest, ADataSetThatNobodyKnowsEndsWithTwo) {
  Script("failure { end_reason: 'INVALID_SPEC' message: 'no data set minst' code: 5 }\n!exit 1\n");
  EXPECT_EQ(Hone({"run", kExample}), 2);
  EXPECT_THAT(output_, HasSubstr("no data set minst"));
}

TEST_F(RunTest, ACrashEndsWithOneAndNamesTheSignal) {
  Script("!abort\n");
  EXPECT_EQ(Hone({"run", kExample, "--output", "json"}), 1);
  EXPECT_EQ(LastLine()["end_reason"], "CRASHED");
  EXPECT_THAT(std::string(LastLine()["message"]), HasSubstr("SIGABRT"));
}

TEST_F(RunTest, GarbageFromTheWorkerFailsTheJob) {
  Script("!raw ~~~~~~~~\n!sleep 60000\n");
  EXPECT_EQ(Hone({"run", kExample, "--output", "json"}), 1);
  EXPECT_EQ(LastLine()["end_reason"], "CRASHED");
}

TEST_F(RunTest, CtrlCAsksForACheckpointAndEndsWithFour) {
  Script("progress { phase: 'loading' }\n!await SIGTERM\nfinished { end_reason: 'CANCELLED' }\n");
  const auto process = Start({"run", kExample});
  ASSERT_TRUE(process->AwaitOutput("loading"));
  process->Signal(SIGINT);
  EXPECT_EQ(process->Wait(), 4);
  EXPECT_THAT(process->output(), AllOf(HasSubstr("was cancelled"),
                                       HasSubstr("hone run --resume hone-runs/mnist-cnn-1")));
}

TEST_F(RunTest, ASecondCtrlCKills) {
  Script("!ignore SIGTERM\nprogress { phase: 'loading' }\n!sleep 60000\n");
  const auto process = Start({"run", kExample});
  ASSERT_TRUE(process->AwaitOutput("loading"));
  process->Signal(SIGINT);
  ASSERT_TRUE(process->AwaitOutput("Ctrl-C again"));
  process->Signal(SIGINT);
  EXPECT_EQ(process->Wait(), 4);
}

TEST_F(RunTest, ResumeGoesOnWithTheJobOfTheFolder) {
  Hone({"run", kExample, "--set", "training.epochs=9", "--run-dir", "mine"});
  Script("!show request\nfinished { end_reason: 'COMPLETED' }\n");
  EXPECT_EQ(Hone({"run", "--resume", "mine"}), 0) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("epochs: 9"), HasSubstr("resume: true"),
                             HasSubstr("run_directory: \"mine\"")));
}

TEST_F(RunTest, AResumedRunHasTheThreadsItBeganWith) {
  Hone({"run", kExample, "--threads", "3", "--run-dir", "mine"});
  Script("!show request\nfinished { end_reason: 'COMPLETED' }\n");
  EXPECT_EQ(Hone({"run", "--resume", "mine"}), 0) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("threads: 3"), Not(HasSubstr("threads: 1"))));
}

TEST_F(RunTest, ThreadsThatNobodyGaveAreStoredAsThoseThatWereThere) {
  Hone({"run", kExample, "--run-dir", "mine"});
  const auto job = ReadFile(folder_ + "/mine/job.yaml");
  ASSERT_TRUE(job.ok());
  EXPECT_THAT(*job, HasSubstr(absl::StrCat("threads: ", AvailableThreads())));
}

TEST_F(RunTest, ARunThatGoesOnIsNotResumedASecondTime) {
  Hone({"run", kExample, "--run-dir", "mine"});
  const auto lock = FileLock::Take(folder_ + "/mine/lock", [] { return false; });
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(Hone({"run", "--resume", "mine"}), 2);
  EXPECT_THAT(output_, HasSubstr("mine is in use"));
}

TEST_F(RunTest, AResumedRunTakesNoOtherJobAndItsFolderStaysAsItWas) {
  Hone({"run", kExample, "--run-dir", "mine"});
  const std::string job = *ReadFile(folder_ + "/mine/job.yaml");
  EXPECT_EQ(Hone({"run", "--resume", "mine", "--set", "training.epochs=99"}), 2);
  EXPECT_EQ(Hone({"run", kExample, "--resume", "mine"}), 2);
  EXPECT_THAT(output_, HasSubstr("no job file and no --set"));
  EXPECT_EQ(*ReadFile(folder_ + "/mine/job.yaml"), job);
}

TEST_F(RunTest, ASweepWaitsForADiskThatIsFullAndGoesOnWithTheSameTrial) {
  const std::string sweep = HONE_SOURCE_DIR "/client/examples/mlp-sweep.yaml";
  Script("failure { end_reason: 'STORAGE_FULL' message: 'No space left on device' code: 8 }\n");
  EXPECT_EQ(Hone({"sweep", sweep, "--here", "--run-dir", "out"}), 1);
  EXPECT_THAT(output_, AllOf(HasSubstr("trial 1 cannot go on: No space left on device"),
                             HasSubstr("hone sweep --resume out")));
  Script(
      "event { evaluation { metrics { key: 'validation_accuracy' value: 0.9 } } }\n"
      "finished { end_reason: 'COMPLETED' }\n");
  EXPECT_EQ(Hone({"sweep", "--resume", "out"}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("27 of 27 trials have ended"));
}

TEST_F(RunTest, DoesNotOverwriteAnEarlierRun) {
  Hone({"run", kExample, "--run-dir", "mine"});
  EXPECT_EQ(Hone({"run", kExample, "--run-dir", "mine"}), 2);
  EXPECT_THAT(output_, HasSubstr("--resume mine"));
}

TEST_F(RunTest, ABadJobFileEndsWithTwo) {
  EXPECT_EQ(Hone({"run", kExample, "--set", "training.epochs=many"}), 2);
  EXPECT_THAT(output_, HasSubstr("--set training.epochs: must be a whole number"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/hone-runs"));
}

TEST_F(RunTest, WrongCommandLinesEndWithTwo) {
  EXPECT_EQ(Hone({}), 2);
  EXPECT_EQ(Hone({"run"}), 2);
  EXPECT_EQ(Hone({"run", "/nowhere.yaml"}), 2);
  EXPECT_EQ(Hone({"train", kExample}), 2);
  EXPECT_EQ(Hone({"run", kExample, "--output", "xml"}), 2);
  EXPECT_EQ(Hone({"--help"}), 0);
}

TEST_F(RunTest, AnErrorInJsonIsAnObjectToo) {
  EXPECT_EQ(Hone({"run", "/nowhere.yaml", "--output", "json"}), 2);
  EXPECT_EQ(LastLine()["error"]["code"], "NOT_FOUND");
}

TEST_F(RunTest, PlanShowsEveryLayerAndTheTotals) {
  Script(
      "plan { display_name: 'x' depth: 2 parameters: 970 layers { name: 'input' kind: 'input' "
      "role: INPUT "
      "output_shape: [1, 28, 28] } layers { name: 'conv2d_1' kind: 'conv2d' role: HIDDEN "
      "output_shape: "
      "[32, 26, 26] weights: 288 biases: 32 trainable: true share: 0.33 } layers { name: 'dense_1' "
      "kind: "
      "'dense' role: OUTPUT output_shape: 10 weights: 640 biases: 10 trainable: false share: 0.67 "
      "} }\n");
  EXPECT_EQ(Hone({"plan", kExample}), 0);
  EXPECT_THAT(output_,
              AllOf(HasSubstr("1×28×28"), HasSubstr("conv2d_1"), HasSubstr("32×26×26"),
                    HasSubstr("frozen"), HasSubstr("67.0 %"), HasSubstr("2 layers with weights")));
}

TEST_F(RunTest, PlanShowsSeveralFilesSideBySide) {
  Script("plan { parameters: 970 }\n");
  EXPECT_EQ(Hone({"plan", kExample, HONE_SOURCE_DIR "/client/examples/mnist-mlp.yaml"}), 0);
  EXPECT_THAT(output_, ContainsRegex("mnist-cnn +mnist-mlp"));
}

TEST_F(RunTest, PlanAsksForMeasuredTimes) {
  ScriptThatKeepsTheRequest("plan { parameters: 970 }\n");
  EXPECT_EQ(Hone({"plan", kExample}), 0) << output_;
  EXPECT_THAT(Request(), AllOf(HasSubstr("mode: PLAN"), HasSubstr("measure: true")));
}

TEST_F(RunTest, PlanNamesTheFileThatDoesNotFit) {
  Script("failure { message: 'layers do not fit' code: 3 }\n");
  EXPECT_EQ(Hone({"plan", kExample}), 2);
  EXPECT_THAT(output_, HasSubstr("mnist-cnn.yaml: layers do not fit"));
}

TEST_F(RunTest, PredictShowsTheClassesAsBars) {
  Script(
      "predictions { predictions { classification { "
      "classes { name: 'seven' probability: 0.75 } classes { name: 'one' probability: 0.25 } } } "
      "}\n");
  std::filesystem::create_directories(folder_ + "/run/model");
  std::ofstream(folder_ + "/a.png") << "picture";
  EXPECT_EQ(Hone({"predict", "run", "a.png"}), 0) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("a.png"), HasSubstr("seven  ━━━"), HasSubstr("75.00 %")));
}

TEST_F(RunTest, PredictReadsRowsByColumnName) {
  ScriptThatKeepsTheRequest("predictions { predictions { regression { values: 3.5 } } }\n");
  std::filesystem::create_directories(folder_ + "/model");
  std::ofstream(folder_ + "/rows.csv") << "rooms,sea\n4,\"near, very\"\n";
  EXPECT_EQ(Hone({"predict", "model", "--csv", "rows.csv"}), 0) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("row 1"), HasSubstr("3.500")));
  EXPECT_THAT(Request(), AllOf(ContainsRegex("key: \"rooms\"\\s+value: \"4\""),
                               ContainsRegex("key: \"sea\"\\s+value: \"near, very\"")));
}

TEST_F(RunTest, PredictCountsTheColumnsOfATableWithoutAHead) {
  ScriptThatKeepsTheRequest("predictions { predictions { regression { values: 3.5 } } }\n");
  std::filesystem::create_directories(folder_ + "/model");
  std::ofstream(folder_ + "/rows.csv") << "4,near\n";
  EXPECT_EQ(Hone({"predict", "model", "--csv", "rows.csv"}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("row 1"));
  EXPECT_THAT(Request(), AllOf(ContainsRegex("key: \"column_1\"\\s+value: \"4\""),
                               ContainsRegex("key: \"column_2\"\\s+value: \"near\"")));
}

TEST_F(RunTest, PredictNamesTheLineOfABrokenRow) {
  std::filesystem::create_directories(folder_ + "/model");
  std::ofstream(folder_ + "/rows.csv") << "a,b\n1,2\n3\n";
  EXPECT_EQ(Hone({"predict", "model", "--csv", "rows.csv"}), 2);
  EXPECT_THAT(output_,
              HasSubstr("rows.csv: 1 error: broken row: line 3 has 1 cells, the header has 2"));
}

}  // namespace
}  // namespace hone::client::cli
