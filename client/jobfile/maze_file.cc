#include "client/jobfile/maze_file.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/environments/maze.h"

namespace hone::client::jobfile {

namespace environments = ::hone::engine::environments;

namespace {

constexpr absl::string_view kMaze = "reinforcement_learning.maze";

}  // namespace

void MakeRoomForMaze(absl::string_view setting, v1::JobSpec& job, LocalPaths& paths) {
  if (!absl::StartsWith(setting, absl::StrCat(kMaze, ".text=")) &&
      !absl::StartsWith(setting, absl::StrCat(kMaze, ".path="))) {
    return;
  }
  paths.maze.clear();
  if (job.reinforcement_learning().has_maze()) {
    v1::MazeWorld& maze = *job.mutable_reinforcement_learning()->mutable_maze();
    maze.clear_text();
    maze.clear_height();
    maze.clear_width();
    maze.clear_loops();
    maze.clear_walls();
    maze.clear_traps();
    maze.clear_unseen();
  }
}

void CheckOneMaze(const v1::JobSpec& job, const LocalPaths& paths, absl::string_view origin,
                  absl::string_view before, Problems& problems) {
  if (!job.reinforcement_learning().maze().text().empty() && !paths.maze.empty()) {
    problems.Add({.where = std::string(origin),
                  .field = absl::StrCat(before, kMaze),
                  .what = "must have either `text` or `path`, got both"});
  }
}

absl::Status TakeMaze(LocalPaths& paths, v1::JobSpec& job) {
  const std::string path = std::exchange(paths.maze, "");
  if (path.empty() || !job.reinforcement_learning().has_maze()) {
    return absl::OkStatus();
  }
  const std::string field = absl::StrCat(kMaze, ".path: ");
  const absl::StatusOr<std::string> text = ReadFile(path, environments::kMostMazeBytes);
  if (absl::IsInvalidArgument(text.status())) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, text.status().message(), "; a maze has at most ", environments::kMostMazeSide,
        " lines of ", environments::kMostMazeSide, " cells"));
  }
  if (!text.ok()) {
    const std::string what = absl::StrCat(field, text.status().message());
    return absl::IsNotFound(text.status()) ? absl::NotFoundError(what)
                                           : absl::InvalidArgumentError(what);
  }
  HONE_ASSIGN_OR_RETURN(const environments::Maze maze,
                        environments::ParseMaze(*text, absl::StrCat(field, path)));
  job.mutable_reinforcement_learning()->mutable_maze()->set_text(environments::ToText(maze));
  return absl::OkStatus();
}

}  // namespace hone::client::jobfile
