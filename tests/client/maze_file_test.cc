#include "client/jobfile/maze_file.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>

#include <filesystem>
#include <fstream>

#include "client/jobfile/job_file.h"
#include "client/jobfile/print.h"
#include "client/jobfile/sweep_file.h"
#include "tests/support/status_matchers.h"

namespace hone::client::jobfile {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kMazeJob[] = R"(reinforcement_learning: {maze: {path: mine.txt, most_steps: 9}}
model: {layers: [{dense: {units: 4}}]}
training: {steps: 5}
)";

TEST(MazePath, IsPrintedWhereItStood) {
  const auto file = ParseJobFile(kMazeJob, "job.yaml");
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->paths.maze, "mine.txt");
  const auto again = ParseJobFile(PrintJobFile(*file), "again.yaml");
  ASSERT_THAT(again, IsOk()) << PrintJobFile(*file);
  EXPECT_EQ(again->paths.maze, "mine.txt");
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(again->spec, file->spec));
}

TEST(MazePath, AndTextExcludeEachOther) {
  EXPECT_THAT(
      ParseJobFile("reinforcement_learning: {maze: {path: a.txt, text: SG}}", "job.yaml"),
      StatusIs(
          absl::StatusCode::kInvalidArgument,
          HasSubstr("job.yaml: reinforcement_learning.maze: must have either `text` or `path`, "
                    "got both")));
}

TEST(MazePath, TakesThePlaceOfOneThatWouldBeMade) {
  const auto file = ParseJobFile(
      "reinforcement_learning: {maze: {height: 9, loops: 0.5, unseen: true, most_steps: 7}}",
      "job.yaml", std::vector<std::string>{"reinforcement_learning.maze.path=a.txt"});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->spec.reinforcement_learning().maze().ShortDebugString(), "most_steps: 7");
}

TEST(MazePath, TakesThePlaceOfItsTextOnTheCommandLineAndTheOtherWayRound) {
  const auto by_text = ParseJobFile(
      kMazeJob, "job.yaml", std::vector<std::string>{"reinforcement_learning.maze.text=SG"});
  ASSERT_THAT(by_text, IsOk());
  EXPECT_EQ(by_text->paths.maze, "");
  const auto by_path =
      ParseJobFile("reinforcement_learning: {maze: {text: SG}}", "job.yaml",
                   std::vector<std::string>{"reinforcement_learning.maze.path=a.txt"});
  ASSERT_THAT(by_path, IsOk());
  EXPECT_EQ(by_path->paths.maze, "a.txt");
  EXPECT_EQ(by_path->spec.reinforcement_learning().maze().text(), "");
}

// A job file and the maze that it names.
class MazeFiles : public ::testing::Test {
 protected:
  MazeFiles() : folder_(::testing::TempDir() + "/maze-files") {
    std::filesystem::create_directories(folder_);
  }
  ~MazeFiles() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<JobFile> Load(const std::string& maze) {
    std::ofstream(folder_ + "/mine.txt") << maze;
    std::ofstream(folder_ + "/job.yaml") << kMazeJob;
    return LoadJobFile(folder_ + "/job.yaml",
                       std::vector<std::string>{"reinforcement_learning.maze.path=" + Maze()});
  }
  std::string Maze() const { return folder_ + "/mine.txt"; }

  const std::string folder_;
};

TEST_F(MazeFiles, ArePutIntoTheJob) {
  const auto file = Load("S. \r\n.#G\r\n");
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->spec.reinforcement_learning().maze().text(), "S..\n.#G\n");
  EXPECT_EQ(file->spec.reinforcement_learning().maze().most_steps(), 9);
  EXPECT_EQ(file->paths.maze, "");
}

TEST_F(MazeFiles, ArePutIntoTheJobOfASweep) {
  ASSERT_THAT(Load("S.\n.G\n"), IsOk());
  std::ofstream(folder_ + "/sweep.yaml")
      << "job: {reinforcement_learning: {maze: {path: '" << Maze() << "'}}}\n"
      << "axes: [{field: training.seed, values: [1, 2]}]\n";
  const auto sweep = LoadSweepFile(folder_ + "/sweep.yaml");
  ASSERT_THAT(sweep, IsOk());
  EXPECT_EQ(sweep->spec.job().reinforcement_learning().maze().text(), "S.\n.G\n");
}

TEST_F(MazeFiles, AreNamedWithTheLineAndTheColumnThatAreWrong) {
  EXPECT_THAT(Load("S.\n\tG\n"), StatusIs(absl::StatusCode::kInvalidArgument,
                                          AllOf(HasSubstr("reinforcement_learning.maze.path: " +
                                                          Maze() + ": line 2, column 1"),
                                                HasSubstr("got a tab"))));
}

TEST_F(MazeFiles, OfTenMegabytesAreRefusedByTheirSize) {
  EXPECT_THAT(Load(std::string(10 << 20, '.')),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr(Maze()), HasSubstr("at most 32 lines of 32 cells"))));
}

TEST_F(MazeFiles, ThatAreNotThereAreNamed) {
  std::ofstream(folder_ + "/job.yaml") << kMazeJob;
  EXPECT_THAT(
      LoadJobFile(folder_ + "/job.yaml"),
      StatusIs(absl::StatusCode::kNotFound,
               AllOf(HasSubstr("reinforcement_learning.maze.path"), HasSubstr("mine.txt"))));
}

TEST_F(MazeFiles, AreNotReadForAnotherEnvironment) {
  std::ofstream(folder_ + "/job.yaml") << kMazeJob;
  const auto file = LoadJobFile(folder_ + "/job.yaml",
                                std::vector<std::string>{"reinforcement_learning.cart_pole={}"});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->paths.maze, "");
}

}  // namespace
}  // namespace hone::client::jobfile
