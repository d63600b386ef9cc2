#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::engine::environments {

enum class Cell : uint8_t { kFree, kWall, kGoal, kTrap };

// A rectangle of cells; outside of it everything is wall. Cells are numbered row by row.
struct Maze {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<Cell> cells;
  int64_t start = 0;  // a free cell

  int64_t size() const { return height * width; }
  Cell at(int64_t cell) const { return cells[static_cast<size_t>(cell)]; }
  friend bool operator==(const Maze&, const Maze&) = default;
};

inline constexpr int64_t kLeastMazeSide = 2, kMostMazeSide = 32;
inline constexpr int64_t kMostMazeBytes = 16 << 10;  // of a text

// The moves, as an environment numbers its actions.
inline constexpr std::array<const char*, 4> kMoves = {"up", "right", "down", "left"};

// Reads a maze, a line for each row of cells: '#' wall, '.' or ' ' free, 'S' start, 'G' goal, 'T'
// trap. Exactly one cell is the start, and a way leads from it to a goal around the traps.
// INVALID_ARGUMENT names the line and the column, both from 1; `name` is put before.
absl::StatusOr<Maze> ParseMaze(absl::string_view text, absl::string_view name);
// What ParseMaze reads, with a line feed after each row.
std::string ToText(const Maze& maze);

// The cell that a move leads to: the same one where a wall is in the way.
int64_t Move(const Maze& maze, int64_t cell, int64_t move);
// For each cell the fewest moves to a goal, by breadth-first search; −1 from where there is no way.
// Nothing leads through a trap or on from a goal.
std::vector<int32_t> DistancesToGoal(const Maze& maze);

struct MazeShape {
  int64_t height = 8;
  int64_t width = 8;
  // Share of the walls between two passages that are opened: each makes a loop. 0: there is one way
  // from each cell to each other.
  double loops = 0.3;
  // Share of all cells that are walls at most: others are taken away at random.
  double walls = 1;
  int64_t traps = 0;  // at most: one that would cut off a cell is left out
};

// The maze of a seed: all free cells are connected, the goal is a random one, the start is the one
// that is farthest from it.
Maze GenerateMaze(const MazeShape& shape, uint64_t seed);
// A number for what is where, but for the start.
uint64_t HashOf(const Maze& maze);

}  // namespace hone::engine::environments
