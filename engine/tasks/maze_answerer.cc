#include "engine/tasks/maze_answerer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::tasks {
namespace {

using environments::Maze;

// A maze on its way from Read to Answer: the start, then what each cell is.
constexpr char kMaze[] = "maze";

std::vector<int32_t> ToNumbers(const Maze& maze) {
  std::vector<int32_t> numbers = {static_cast<int32_t>(maze.start)};
  for (const environments::Cell cell : maze.cells) {
    numbers.push_back(static_cast<int32_t>(cell));
  }
  return numbers;
}

}  // namespace

MazeAnswerer::MazeAnswerer(const environments::MazeOptions& options)
    : options_(options),
      known_(environments::MazeOf(options)),
      sight_(options.view, known_.height, known_.width) {}

absl::Status MazeAnswerer::CheckOutputs(int64_t outputs) const {
  const auto moves = static_cast<int64_t>(environments::kMoves.size());
  return outputs == moves ? absl::OkStatus()
                          : absl::InvalidArgumentError(absl::StrCat(
                                "the model has ", outputs, " outputs for ", moves, " moves"));
}

absl::StatusOr<Example> MazeAnswerer::Read(const Question& question, absl::string_view name) const {
  const auto* asked = std::get_if<MazeQuestion>(&question);
  if (asked == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": the model takes mazes, this is ", NameOf(question)));
  }
  HONE_ASSIGN_OR_RETURN(const Maze maze, environments::ParseMaze(asked->text, name));
  if (maze.height != known_.height || maze.width != known_.width) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": must have ", known_.height, " lines of ", known_.width,
        " cells, as what the model was trained on; got ", maze.height, " of ", maze.width));
  }
  for (int64_t cell = 0; !options_.unseen && cell < maze.size(); ++cell) {
    if (maze.at(cell) != known_.at(cell)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": line ", cell / maze.width + 1, ", column ", cell % maze.width + 1,
                       ": is another cell than in the maze that the model was trained on; it knows "
                       "no other:\n",
                       absl::StripSuffix(environments::ToText(known_), "\n")));
    }
  }
  return Example{{kMaze, ToNumbers(maze)}};
}

std::vector<Example> MazeAnswerer::CellsOf(const Maze& maze) const {
  std::vector<Example> examples;
  std::vector<std::byte> record(static_cast<size_t>(sight_.record_bytes()));
  for (int64_t cell = 0; cell < maze.size(); ++cell) {
    std::vector<float> seen(static_cast<size_t>(sight_.observation_size()));
    sight_.Record(maze, cell, record);
    sight_.Observe(record, seen);
    examples.push_back({{kFeaturesInput, std::move(seen)}});
  }
  return examples;
}

absl::StatusOr<std::vector<Prediction>> MazeAnswerer::Answer(std::span<const Example> examples,
                                                             RunExamples run) const {
  std::vector<Prediction> predictions;
  for (const Example& example : examples) {
    const auto& numbers = std::get<std::vector<int32_t>>(example.at(kMaze));
    Maze maze{.height = known_.height, .width = known_.width, .cells = {}, .start = numbers[0]};
    for (size_t i = 1; i < numbers.size(); ++i) {
      maze.cells.push_back(static_cast<environments::Cell>(numbers[i]));
    }
    HONE_ASSIGN_OR_RETURN(const std::vector<std::vector<float>> outputs, run(CellsOf(maze)));
    std::vector<float> values;
    for (const std::vector<float>& output : outputs) {
      values.insert(values.end(), output.begin(), output.end());
    }
    predictions.emplace_back().path = environments::FollowBest(maze, values);
  }
  return predictions;
}

}  // namespace hone::engine::tasks
