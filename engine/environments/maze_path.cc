#include "engine/environments/maze_path.h"

#include <algorithm>
#include <array>

namespace hone::engine::environments {
namespace {

using Color = std::array<uint8_t, 3>;

constexpr Color kWallColor = {38, 38, 46}, kGoalColor = {64, 200, 96}, kTrapColor = {205, 60, 60};
constexpr Color kPathColor = {255, 255, 255}, kStartColor = {250, 170, 40};
constexpr Color kLow = {36, 60, 130}, kHigh = {240, 214, 120};

void Fill(image::Image& picture, int64_t top, int64_t left, int64_t height, int64_t width,
          const Color& color) {
  for (size_t c = 0; c < color.size(); ++c) {
    for (int64_t y = top; y < top + height; ++y) {
      const int64_t row = (static_cast<int64_t>(c) * picture.height + y) * picture.width;
      std::fill_n(picture.pixels.begin() + row + left, width, color[c]);
    }
  }
}

// Where it is between the least and the largest of the free cells, as a colour.
Color Shade(float value, float least, float most) {
  const float share = most > least ? (value - least) / (most - least) : 0;
  Color color;
  for (size_t c = 0; c < color.size(); ++c) {
    color[c] = static_cast<uint8_t>(static_cast<float>(kLow[c]) * (1 - share) +
                                    static_cast<float>(kHigh[c]) * share);
  }
  return color;
}

}  // namespace

MazePath FollowBest(const Maze& maze, std::span<const float> action_values) {
  MazePath path{.maze = maze,
                .values = std::vector<float>(static_cast<size_t>(maze.size())),
                .moves = std::vector<int64_t>(static_cast<size_t>(maze.size()), -1),
                .cells = {maze.start}};
  for (int64_t cell = 0; cell < maze.size(); ++cell) {
    if (maze.at(cell) == Cell::kFree) {
      const auto best =
          std::ranges::max_element(action_values.subspan(static_cast<size_t>(cell) * 4, 4));
      path.values[static_cast<size_t>(cell)] = *best;
      path.moves[static_cast<size_t>(cell)] = best - action_values.begin() - 4 * cell;
    }
  }
  path.fewest = DistancesToGoal(maze)[static_cast<size_t>(maze.start)];
  std::vector<bool> met(static_cast<size_t>(maze.size()));
  for (int64_t cell = maze.start;
       maze.at(cell) == Cell::kFree && !met[static_cast<size_t>(cell)];) {
    met[static_cast<size_t>(cell)] = true;
    cell = Move(maze, cell, path.moves[static_cast<size_t>(cell)]);
    path.cells.push_back(cell);
  }
  path.solved = maze.at(path.cells.back()) == Cell::kGoal;
  return path;
}

std::string ToText(const MazePath& path) {
  const Maze& maze = path.maze;
  std::string text;
  for (int64_t cell = 0; cell < maze.size(); ++cell) {
    const bool on_path = std::ranges::find(path.cells, cell) != path.cells.end();
    switch (maze.at(cell)) {
      case Cell::kWall:
        text += "██";
        break;
      case Cell::kGoal:
        text += "G ";
        break;
      case Cell::kTrap:
        text += "T ";
        break;
      case Cell::kFree:
        constexpr std::array<const char*, 4> kArrows = {"↑ ", "→ ", "↓ ", "← "};
        text += cell == maze.start ? "S "
                : on_path ? kArrows[static_cast<size_t>(path.moves[static_cast<size_t>(cell)])]
                          : "· ";
        break;
    }
    if (cell % maze.width == maze.width - 1) {
      text += '\n';
    }
  }
  return text;
}

image::Image Paint(const MazePath& path, int64_t side) {
  const Maze& maze = path.maze;
  image::Image picture{
      .channels = 3, .height = maze.height * side, .width = maze.width * side, .pixels = {}};
  picture.pixels.resize(static_cast<size_t>(3 * picture.height * picture.width));
  float least = 0, most = 0;
  bool any = false;
  for (int64_t cell = 0; cell < maze.size(); ++cell) {
    if (maze.at(cell) == Cell::kFree) {
      const float value = path.values[static_cast<size_t>(cell)];
      least = any ? std::min(least, value) : value;
      most = any ? std::max(most, value) : value;
      any = true;
    }
  }
  const auto square = [&](int64_t cell, int64_t inset, const Color& color) {
    Fill(picture, cell / maze.width * side + inset, cell % maze.width * side + inset,
         side - 2 * inset, side - 2 * inset, color);
  };
  for (int64_t cell = 0; cell < maze.size(); ++cell) {
    const Cell kind = maze.at(cell);
    square(cell, 0,
           kind == Cell::kWall   ? kWallColor
           : kind == Cell::kGoal ? kGoalColor
           : kind == Cell::kTrap ? kTrapColor
                                 : Shade(path.values[static_cast<size_t>(cell)], least, most));
  }
  // From the middle of each cell to that of the next.
  const int64_t line = std::max<int64_t>(2, side / 8);
  for (size_t i = 0; i + 1 < path.cells.size(); ++i) {
    const int64_t a = std::min(path.cells[i], path.cells[i + 1]);
    const int64_t b = std::max(path.cells[i], path.cells[i + 1]);
    const int64_t top = a / maze.width * side + (side - line) / 2;
    const int64_t left = a % maze.width * side + (side - line) / 2;
    const int64_t down = (b / maze.width - a / maze.width) * side;
    const int64_t right = (b % maze.width - a % maze.width) * side;
    Fill(picture, top, left, line + down, line + right, kPathColor);
  }
  square(maze.start, side / 3, kStartColor);
  return picture;
}

}  // namespace hone::engine::environments
