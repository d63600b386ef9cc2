#include "engine/environments/maze.h"

#include <gmock/gmock.h>

#include <set>

#include "engine/environments/maze_environment.h"
#include "engine/environments/maze_path.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::environments {
namespace {

using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kSmall[] =
    "S.#G\n"
    "..T.\n"
    "....\n";

Maze Small() { return ParseMaze(kSmall, "small").value(); }

void ExpectRefused(absl::string_view text, const std::string& why) {
  EXPECT_THAT(ParseMaze(text, "m.txt"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("m.txt: " + why)));
}

TEST(ParseMaze, ReadsWhatItWrites) {
  EXPECT_EQ(ToText(Small()), kSmall);
  EXPECT_EQ(ParseMaze(ToText(Small()), "again").value(), Small());
}

TEST(ParseMaze, TakesTheLineEndsOfOtherSystemsAndEmptyLinesAtTheEnd) {
  EXPECT_EQ(ParseMaze("\xef\xbb\xbfS.#G\n..T.\n....\n", "m.txt").value(), Small());
  EXPECT_EQ(ParseMaze("S.#G\r\n..T.\r\n....\r\n\r\n\n", "m.txt").value(), Small());
}

TEST(ParseMaze, TakesSpacesForFreeCells) {
  EXPECT_EQ(ParseMaze("S #G\n  T \n    \n", "m.txt").value(), Small());
}

TEST(ParseMaze, NamesTheStartFromWhichThereIsNoWay) {
  ExpectRefused("#####\n#S#G#\n#####\n", "line 2, column 2: there is no way");
}

TEST(ParseMaze, CountsAWayThroughATrapAsNone) {
  ExpectRefused("STG\n###\n", "line 1, column 1: there is no way");
}

TEST(ParseMaze, RefusesAMazeWithoutAStart) {
  ExpectRefused("...\n..G\n", "lines 1 to 2: there is no start");
}

TEST(ParseMaze, RefusesAMazeWithTwoStarts) {
  ExpectRefused("S..\n.SG\n", "line 2, column 2: a second start; the first is at line 1, column 1");
}

TEST(ParseMaze, RefusesAMazeWithoutAGoal) {
  ExpectRefused("S..\n...\n", "lines 1 to 2: there is no goal");
}

TEST(ParseMaze, NamesTheColumnOfATab) {
  ExpectRefused("S..\n.\tG\n", "line 2, column 2: a cell must be one of '#' (wall)");
  EXPECT_THAT(ParseMaze("S\t\n.G\n", "m.txt").status().message(), HasSubstr("got a tab"));
}

TEST(ParseMaze, NamesTheLineThatIsShorterThanTheFirst) {
  ExpectRefused("S...\n..\n...G\n", "line 2, column 3: each line must have 4 cells");
}

TEST(ParseMaze, RefusesTenMegabytesByTheirSize) {
  ExpectRefused(std::string(10 << 20, '.'), "must have at most 16384 bytes, got 10485760");
}

TEST(ParseMaze, RefusesLinesThatAreTooLongAndTooMany) {
  ExpectRefused("S" + std::string(40, '.') + "G\n..\n", "line 1: must have 2 to 32 cells, got 42");
  std::string tall = "SG\n";
  for (int i = 0; i < 40; ++i) {
    tall += "..\n";
  }
  ExpectRefused(tall, "must have 2 to 32 lines of cells, got 41");
  ExpectRefused("", "must have 2 to 32 lines of cells, got 0");
}

TEST(DistancesToGoal, AreThoseOfBreadthFirstSearchAroundWallsAndTraps) {
  EXPECT_THAT(DistancesToGoal(Small()),
              ::testing::ElementsAre(7, 6, -1, 0, 6, 5, -1, 1, 5, 4, 3, 2));
}

TEST(GenerateMaze, IsTheSameForTheSameSeedAndAnotherForEachOther) {
  const MazeShape shape;
  std::set<uint64_t> hashes;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Maze maze = GenerateMaze(shape, seed);
    EXPECT_EQ(GenerateMaze(shape, seed), maze);
    hashes.insert(HashOf(maze));
  }
  EXPECT_EQ(hashes.size(), 50u);
}

TEST(GenerateMaze, LeavesNoFreeCellWithoutAWay) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Maze maze =
        GenerateMaze({.height = 7, .width = 9, .loops = 0.5, .walls = 0.3, .traps = 2}, seed);
    const std::vector<int32_t> far = DistancesToGoal(maze);
    for (int64_t cell = 0; cell < maze.size(); ++cell) {
      EXPECT_EQ(far[static_cast<size_t>(cell)] > 0, maze.at(cell) == Cell::kFree) << ToText(maze);
    }
    EXPECT_EQ(maze.at(maze.start), Cell::kFree);
    EXPECT_EQ(std::ranges::count(maze.cells, Cell::kTrap), 2);
    EXPECT_LE(std::ranges::count(maze.cells, Cell::kWall), 18);
  }
}

// In a graph without loops there is one edge less than there are cells.
int64_t Loops(const Maze& maze) {
  int64_t cells = 0, edges = 0;
  for (int64_t cell = 0; cell < maze.size(); ++cell) {
    if (maze.at(cell) != Cell::kWall) {
      ++cells;
      edges += Move(maze, cell, 1) != cell;
      edges += Move(maze, cell, 2) != cell;
    }
  }
  return edges - cells + 1;
}

TEST(GenerateMaze, HasLoopsWhereTheyAreAskedForAndElseNone) {
  EXPECT_EQ(Loops(GenerateMaze({.height = 12, .width = 12, .loops = 0}, 5)), 0);
  EXPECT_GT(Loops(GenerateMaze({.height = 12, .width = 12, .loops = 0.5}, 5)), 5);
}

TEST(GenerateMaze, WorksForTheSmallestOfAll) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Maze maze = GenerateMaze({.height = 2, .width = 2}, seed);
    EXPECT_GT(DistancesToGoal(maze)[static_cast<size_t>(maze.start)], 0);
  }
}

MazeOptions Own() {
  MazeOptions options;
  options.own = Small();
  options.any_start = false;
  return options;
}

TEST(MazeEnvironment, GivesTheGoalsRewardAndEndsTheEpisodeSolved) {
  const auto environment = MakeMazeEnvironment(Own());
  environment->Reset(1);
  EXPECT_EQ(environment->fewest_steps(), 7);
  for (const int64_t move : {2, 2, 1, 1, 1, 0}) {
    const Outcome outcome = environment->Step(move);
    EXPECT_EQ(outcome.reward, -0.01f);
    EXPECT_FALSE(outcome.terminated);
  }
  const Outcome outcome = environment->Step(0);
  EXPECT_EQ(outcome.reward, 1);
  EXPECT_TRUE(outcome.terminated);
  EXPECT_TRUE(outcome.solved);
}

TEST(MazeEnvironment, EndsInATrapUnsolved) {
  const auto environment = MakeMazeEnvironment(Own());
  environment->Reset(1);
  environment->Step(2);
  environment->Step(1);
  const Outcome outcome = environment->Step(1);
  EXPECT_EQ(outcome.reward, -1);
  EXPECT_TRUE(outcome.terminated);
  EXPECT_FALSE(outcome.solved);
}

TEST(MazeEnvironment, IsCutShortAfterItsMostSteps) {
  MazeOptions options = Own();
  options.most_steps = 3;
  const auto environment = MakeMazeEnvironment(options);
  environment->Reset(1);
  EXPECT_FALSE(environment->Step(0).truncated);
  EXPECT_FALSE(environment->Step(3).truncated);
  const Outcome outcome = environment->Step(0);
  EXPECT_TRUE(outcome.truncated);
  EXPECT_FALSE(outcome.terminated);
}

TEST(MazeEnvironment, EvaluatesEachStartOnce) {
  MazeOptions options = Own();
  options.any_start = true;
  const auto environment = MakeMazeEnvironment(options);
  ASSERT_EQ(environment->spec().evaluation_episodes, 9);
  std::multiset<int64_t> fewest;
  for (int64_t i = 0; i < 9; ++i) {
    environment->ResetForEvaluation(i);
    fewest.insert(environment->fewest_steps());
  }
  EXPECT_THAT(fewest, ::testing::ElementsAre(1, 2, 3, 4, 5, 5, 6, 6, 7));
}

std::vector<float> Seen(const Environment& environment) {
  std::vector<std::byte> record(static_cast<size_t>(environment.spec().record_bytes));
  std::vector<float> seen(static_cast<size_t>(environment.spec().observation_size()));
  environment.Record(record);
  environment.Observe(record, seen);
  return seen;
}

TEST(MazeEnvironment, ShowsTheCellAsOneOfAll) {
  const auto environment = MakeMazeEnvironment(Own());
  environment->Reset(1);
  environment->Step(2);
  std::vector<float> wanted(12);
  wanted[4] = 1;
  EXPECT_EQ(Seen(*environment), wanted);
}

TEST(MazeEnvironment, ShowsTheMapAsPlanes) {
  MazeOptions options = Own();
  options.view = MazeOptions::View::kPlanes;
  const auto environment = MakeMazeEnvironment(options);
  EXPECT_THAT(environment->spec().observation, ::testing::ElementsAre(4, 3, 4));
  environment->Reset(1);
  std::vector<float> wanted(48);
  wanted[2] = 1;       // the wall
  wanted[12 + 3] = 1;  // the goal
  wanted[24 + 6] = 1;  // the trap
  wanted[36] = 1;      // the agent
  EXPECT_EQ(Seen(*environment), wanted);
}

TEST(MazeEnvironment, NeverTrainsInAMazeThatItIsEvaluatedIn) {
  MazeOptions options;
  options.shape = {.height = 5, .width = 5};
  options.unseen = true;
  options.view = MazeOptions::View::kPlanes;
  const auto environment = MakeMazeEnvironment(options);
  std::set<std::vector<float>> trained, evaluated;
  const auto map = [&] {
    const std::vector<float> seen = Seen(*environment);
    return std::vector<float>(seen.begin(), seen.begin() + 75);  // without the agent
  };
  for (uint64_t i = 0; i < 2000; ++i) {
    environment->Reset(i);
    trained.insert(map());
  }
  for (int64_t i = 0; i < 200; ++i) {
    environment->ResetForEvaluation(i);
    evaluated.insert(map());
  }
  EXPECT_GT(trained.size(), 1000u);
  EXPECT_GT(evaluated.size(), 100u);
  for (const std::vector<float>& maze : evaluated) {
    EXPECT_FALSE(trained.contains(maze));
  }
}

TEST(MazeEnvironment, SavedAndRestoredGoesOnInTheSameMaze) {
  MazeOptions options;
  options.unseen = true;
  options.view = MazeOptions::View::kPlanes;
  const auto one = MakeMazeEnvironment(options), other = MakeMazeEnvironment(options);
  one->Reset(9);
  one->Step(1);
  one->Step(2);
  other->Reset(4);
  ASSERT_TRUE(other->Restore(one->Save()).ok());
  EXPECT_EQ(Seen(*one), Seen(*other));
  EXPECT_EQ(one->fewest_steps(), other->fewest_steps());
  EXPECT_FALSE(other->Restore("nonsense").ok());
}

TEST(FollowBest, TakesTheBestMoveOfEachCell) {
  const Maze maze = Small();
  const std::vector<int32_t> far = DistancesToGoal(maze);
  std::vector<float> values(48);
  for (int64_t cell = 0; cell < 12; ++cell) {
    for (int64_t move = 0; move < 4; ++move) {
      const int32_t next = far[static_cast<size_t>(Move(maze, cell, move))];
      values[static_cast<size_t>(4 * cell + move)] = next < 0 ? -1 : 1 - 0.1f * next;
    }
  }
  const MazePath path = FollowBest(maze, values);
  EXPECT_TRUE(path.solved);
  EXPECT_EQ(path.length(), 7);
  EXPECT_EQ(path.fewest, 7);
  EXPECT_EQ(path.values[7], 1);
  EXPECT_THAT(ToText(path), HasSubstr("██G "));
  EXPECT_EQ(Paint(path, 10).pixels.size(), 3u * 30 * 40);
}

TEST(FollowBest, StopsWhereItWouldGoRoundAndRound) {
  const Maze maze = Small();
  const std::vector<float> values(48);  // up, always: into the wall
  const MazePath path = FollowBest(maze, values);
  EXPECT_FALSE(path.solved);
  EXPECT_THAT(path.cells, ::testing::ElementsAre(0, 0));
}

}  // namespace
}  // namespace hone::engine::environments
