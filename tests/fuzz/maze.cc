// A maze as text: what is read must be written as it was read, and have a way.

#include "engine/environments/maze.h"

#include <cstdlib>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone::engine::environments;  // NOLINT
  const absl::StatusOr<Maze> maze = ParseMaze(hone::fuzz::Text(data, size), "maze");
  if (maze.ok()) {
    const absl::StatusOr<Maze> again = ParseMaze(ToText(*maze), "again");
    if (!again.ok() || *again != *maze ||
        DistancesToGoal(*maze)[static_cast<size_t>(maze->start)] < 1) {
      std::abort();
    }
  }
  return 0;
}
