#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/jobfile/local_paths.h"
#include "client/jobfile/problems.h"
#include "hone/v1/job.pb.h"

// `reinforcement_learning.maze.path`: the text of a maze in a file of its own, at most
// environments::kMostMazeBytes.
namespace hone::client::jobfile {

// The text or the path that `setting`, a PATH=VALUE, gives takes the place of what the file says of
// its maze: the other one, or how one is made.
void MakeRoomForMaze(absl::string_view setting, v1::JobSpec& job, LocalPaths& paths);

// Adds a problem where the job has both. `before` is what stands before the job's own fields:
// "job." in a sweep.
void CheckOneMaze(const v1::JobSpec& job, const LocalPaths& paths, absl::string_view origin,
                  absl::string_view before, Problems& problems);

// Reads the file of `paths.maze`, if there is one, into `reinforcement_learning.maze.text`; the
// path is empty then. Nothing is read where the environment is no maze. NOT_FOUND, and
// INVALID_ARGUMENT, which names the file and, of a maze that is wrong, the line and the column.
absl::Status TakeMaze(LocalPaths& paths, v1::JobSpec& job);

}  // namespace hone::client::jobfile
