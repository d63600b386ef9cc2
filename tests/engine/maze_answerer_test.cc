#include "engine/tasks/maze_answerer.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"

namespace hone::engine::tasks {
namespace {

using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kText[] =
    "S.#G\n"
    "..T.\n"
    "....\n";

environments::MazeOptions Known() {
  environments::MazeOptions options;
  options.own = environments::ParseMaze(kText, "known").value();
  return options;
}

// Stands for a network that has learned the maze by heart: for the cell that it is given, moves by
// how near to the goal they lead.
absl::StatusOr<std::vector<std::vector<float>>> Learned(std::span<const Example> examples) {
  const environments::Maze maze = *Known().own;
  const std::vector<int32_t> far = environments::DistancesToGoal(maze);
  std::vector<std::vector<float>> outputs;
  for (const Example& example : examples) {
    const auto& seen = std::get<std::vector<float>>(example.at("features"));
    const int64_t cell = std::ranges::find(seen, 1.0f) - seen.begin();
    std::vector<float>& output = outputs.emplace_back();
    for (int64_t move = 0; move < 4; ++move) {
      const int32_t next = far[static_cast<size_t>(environments::Move(maze, cell, move))];
      output.push_back(next < 0 ? -1 : 1 - 0.1f * static_cast<float>(next));
    }
  }
  return outputs;
}

TEST(MazeAnswerer, AnswersWithThePathAndTheValueOfEachCell) {
  const MazeAnswerer answerer(Known());
  const auto example = answerer.Read(MazeQuestion{kText}, "maze");
  ASSERT_TRUE(example.ok()) << example.status();
  const auto answers = answerer.Answer({&*example, 1}, Learned);
  ASSERT_TRUE(answers.ok()) << answers.status();
  ASSERT_EQ(answers->size(), 1u);
  const environments::MazePath& path = *answers->front().path;
  EXPECT_TRUE(path.solved);
  EXPECT_EQ(path.length(), 7);
  EXPECT_EQ(path.values[7], 1);
  EXPECT_EQ(path.moves[7], 0);
}

TEST(MazeAnswerer, TakesItsMazeWithAnotherStart) {
  const MazeAnswerer answerer(Known());
  const auto example = answerer.Read(MazeQuestion{"..#G\n..TS\n....\n"}, "maze");
  ASSERT_TRUE(example.ok()) << example.status();
  EXPECT_EQ(answerer.Answer({&*example, 1}, Learned)->front().path->length(), 1);
}

TEST(MazeAnswerer, NamesTheCellInWhichAMazeIsAnother) {
  EXPECT_THAT(MazeAnswerer(Known()).Read(MazeQuestion{"S.#G\n....\n....\n"}, "inputs[0]"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("inputs[0]: line 2, column 3: is another cell")));
}

TEST(MazeAnswerer, TakesAnyMazeOfItsSizeWhereItHasLearnedMany) {
  environments::MazeOptions options;
  options.shape = {.height = 3, .width = 4};
  options.unseen = true;
  options.view = environments::MazeOptions::View::kPlanes;
  const MazeAnswerer answerer(options);
  EXPECT_TRUE(answerer.Read(MazeQuestion{"S..G\n....\n....\n"}, "maze").ok());
  EXPECT_THAT(
      answerer.Read(MazeQuestion{"S..G\n....\n"}, "maze"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must have 3 lines of 4 cells")));
}

TEST(MazeAnswerer, RefusesAPicture) {
  EXPECT_THAT(MazeAnswerer(Known()).Read(PictureQuestion{"bytes"}, "inputs[0]"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("inputs[0]: the model takes mazes, this is a picture")));
}

TEST(MazeAnswerer, RefusesANetworkOfOtherActions) {
  EXPECT_FALSE(MazeAnswerer(Known()).CheckOutputs(3).ok());
}

}  // namespace
}  // namespace hone::engine::tasks
