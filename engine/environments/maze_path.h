#pragma once

#include <span>

#include "engine/environments/maze.h"
#include "engine/image/image.h"

namespace hone::engine::environments {

// The way through a maze that an agent would take, and what it thinks of each cell.
struct MazePath {
  Maze maze;
  std::vector<float> values;   // by cell: of its best move; 0 of walls, goals and traps
  std::vector<int64_t> moves;  // by cell: the best one; −1 of walls, goals and traps
  std::vector<int64_t> cells;  // from the start on
  bool solved = false;
  int64_t fewest = -1;  // moves from the start to a goal

  int64_t length() const { return static_cast<int64_t>(cells.size()) - 1; }
};

// The best moves by `action_values` [cells, moves], from the maze's start to a goal or a trap, or
// until a cell is met again: from there it would go round and round.
MazePath FollowBest(const Maze& maze, std::span<const float> action_values);

// Two columns for each cell, a line for each row: walls as blocks, the path as arrows.
std::string ToText(const MazePath& path);
// A picture in colour, `side` pixels for each cell: the brighter a cell, the more it is worth.
image::Image Paint(const MazePath& path, int64_t side = 24);

}  // namespace hone::engine::environments
