#include "engine/environments/maze.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/rng.h"
#include "engine/base/utf8.h"

namespace hone::engine::environments {
namespace {

constexpr absl::string_view kCells =
    "'#' (wall), '.' or ' ' (free), 'S' (start), 'G' (goal), "
    "'T' (trap)";

std::string At(size_t line, size_t column) {
  return absl::StrCat("line ", line + 1, ", column ", column + 1, ": ");
}

std::string Shown(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c == '\t' ? "a tab"
         : byte < 0x20 || byte > 0x7e
             ? absl::StrCat("the byte 0x", absl::Hex(byte, absl::kZeroPad2))
             : absl::StrCat("'", std::string(1, c), "'");
}

absl::StatusOr<std::vector<absl::string_view>> Rows(absl::string_view text) {
  if (text.size() > size_t{kMostMazeBytes}) {
    return absl::InvalidArgumentError(absl::StrCat(
        "must have at most ", kMostMazeBytes, " bytes, got ", text.size(), "; a maze has at most ",
        kMostMazeSide, " lines of ", kMostMazeSide, " cells"));
  }
  absl::ConsumePrefix(&text, kByteOrderMark);
  std::vector<absl::string_view> rows = absl::StrSplit(text, '\n');
  for (absl::string_view& row : rows) {
    absl::ConsumeSuffix(&row, "\r");
  }
  while (!rows.empty() && rows.back().empty()) {
    rows.pop_back();
  }
  const auto count = static_cast<int64_t>(rows.size());
  if (count < kLeastMazeSide || count > kMostMazeSide) {
    return absl::InvalidArgumentError(absl::StrCat("must have ", kLeastMazeSide, " to ",
                                                   kMostMazeSide, " lines of cells, got ", count));
  }
  return rows;
}

absl::StatusOr<Maze> Parse(absl::string_view text) {
  const absl::StatusOr<std::vector<absl::string_view>> rows = Rows(text);
  if (!rows.ok()) {
    return rows.status();
  }
  Maze maze{.height = static_cast<int64_t>(rows->size()),
            .width = static_cast<int64_t>(rows->front().size()),
            .cells = {},
            .start = -1};
  bool has_goal = false;
  for (size_t line = 0; line < rows->size(); ++line) {
    const absl::string_view row = (*rows)[line];
    for (size_t column = 0; column < row.size(); ++column) {
      Cell cell = Cell::kFree;
      switch (row[column]) {
        case '#':
          cell = Cell::kWall;
          break;
        case '.':
        case ' ':
          break;
        case 'G':
          cell = Cell::kGoal;
          has_goal = true;
          break;
        case 'T':
          cell = Cell::kTrap;
          break;
        case 'S':
          if (maze.start >= 0) {
            return absl::InvalidArgumentError(absl::StrCat(
                At(line, column), "a second start; the first is at line ",
                maze.start / maze.width + 1, ", column ", maze.start % maze.width + 1));
          }
          maze.start = static_cast<int64_t>(maze.cells.size());
          break;
        default:
          return absl::InvalidArgumentError(absl::StrCat(At(line, column), "a cell must be one of ",
                                                         kCells, ", got ", Shown(row[column])));
      }
      maze.cells.push_back(cell);
    }
    const auto width = static_cast<int64_t>(row.size());
    if (width < kLeastMazeSide || width > kMostMazeSide) {
      return absl::InvalidArgumentError(absl::StrCat("line ", line + 1, ": must have ",
                                                     kLeastMazeSide, " to ", kMostMazeSide,
                                                     " cells, got ", width));
    }
    if (width != maze.width) {
      return absl::InvalidArgumentError(absl::StrCat(
          At(line, static_cast<size_t>(std::min(width, maze.width))), "each line must have ",
          maze.width, " cells as the first one, this has ", width));
    }
  }
  if (maze.start < 0) {
    return absl::InvalidArgumentError("lines 1 to " + absl::StrCat(maze.height) +
                                      ": there is no start: one cell must be 'S'");
  }
  if (!has_goal) {
    return absl::InvalidArgumentError("lines 1 to " + absl::StrCat(maze.height) +
                                      ": there is no goal: at least one cell must be 'G'");
  }
  if (DistancesToGoal(maze)[static_cast<size_t>(maze.start)] < 0) {
    return absl::InvalidArgumentError(absl::StrCat(At(static_cast<size_t>(maze.start / maze.width),
                                                      static_cast<size_t>(maze.start % maze.width)),
                                                   "there is no way from this start to a goal"));
  }
  return maze;
}

// Carves passages into a maze that is all wall.
class Carver {
 public:
  Carver(const MazeShape& shape, uint64_t seed) : shape_(shape), random_(seed, "maze") {
    maze_.height = shape.height;
    maze_.width = shape.width;
    maze_.cells.assign(static_cast<size_t>(maze_.size()), Cell::kWall);
  }

  Maze Carve() {
    Passages();
    Loops();
    FewerWalls();
    Goal();
    Traps();
    return std::move(maze_);
  }

 private:
  // The neighbour in a direction, or −1 outside.
  int64_t Beside(int64_t cell, int64_t move) const {
    const int64_t row = cell / maze_.width + (move == 2) - (move == 0);
    const int64_t column = cell % maze_.width + (move == 1) - (move == 3);
    const bool inside = row >= 0 && row < maze_.height && column >= 0 && column < maze_.width;
    return inside ? row * maze_.width + column : -1;
  }
  bool IsFree(int64_t cell) const { return cell >= 0 && maze_.at(cell) != Cell::kWall; }
  int FreeBeside(int64_t cell) const {
    int count = 0;
    for (int64_t move = 0; move < 4; ++move) {
      count += IsFree(Beside(cell, move));
    }
    return count;
  }
  void Set(int64_t cell, Cell kind) { maze_.cells[static_cast<size_t>(cell)] = kind; }
  std::vector<int64_t> Shuffled(std::vector<int64_t> cells) {
    for (size_t i = cells.size(); i > 1; --i) {
      std::swap(cells[i - 1], cells[random_.NextBelow(i)]);
    }
    return cells;
  }
  std::vector<int64_t> AllOf(Cell kind) const {
    std::vector<int64_t> cells;
    for (int64_t cell = 0; cell < maze_.size(); ++cell) {
      if (maze_.at(cell) == kind) {
        cells.push_back(cell);
      }
    }
    return cells;
  }

  // A tree that grows where it touches itself nowhere else, as by Prim's algorithm with random
  // weights.
  void Passages() {
    std::vector<int64_t> border = {
        static_cast<int64_t>(random_.NextBelow(static_cast<uint64_t>(maze_.size())))};
    bool first = true;
    while (!border.empty()) {
      const size_t i = random_.NextBelow(border.size());
      const int64_t cell = border[i];
      border[i] = border.back();
      border.pop_back();
      if (IsFree(cell) || FreeBeside(cell) != (first ? 0 : 1)) {
        continue;
      }
      first = false;
      Set(cell, Cell::kFree);
      for (int64_t move = 0; move < 4; ++move) {
        if (const int64_t next = Beside(cell, move); next >= 0 && !IsFree(next)) {
          border.push_back(next);
        }
      }
    }
  }

  void Loops() {
    for (const int64_t cell : Shuffled(AllOf(Cell::kWall))) {
      const bool parts = (IsFree(Beside(cell, 0)) && IsFree(Beside(cell, 2))) ||
                         (IsFree(Beside(cell, 1)) && IsFree(Beside(cell, 3)));
      if (parts && random_.NextUnit() < shape_.loops) {
        Set(cell, Cell::kFree);
      }
    }
  }

  void FewerWalls() {
    std::vector<int64_t> walls = Shuffled(AllOf(Cell::kWall));
    const auto most = static_cast<size_t>(shape_.walls * static_cast<double>(maze_.size()));
    while (walls.size() > most) {
      const auto next =
          std::ranges::find_if(walls, [this](int64_t cell) { return FreeBeside(cell) > 0; });
      Set(*next, Cell::kFree);
      walls.erase(next);
    }
  }

  void Goal() {
    const std::vector<int64_t> free = AllOf(Cell::kFree);
    Set(free[random_.NextBelow(free.size())], Cell::kGoal);
    const std::vector<int32_t> far = DistancesToGoal(maze_);
    maze_.start = std::ranges::max_element(far) - far.begin();
  }

  void Traps() {
    int64_t left = shape_.traps;
    for (const int64_t cell : Shuffled(AllOf(Cell::kFree))) {
      if (left == 0) {
        break;
      }
      Set(cell, Cell::kTrap);
      const std::vector<int32_t> far = DistancesToGoal(maze_);
      const bool cuts_off =
          cell == maze_.start || std::ranges::any_of(AllOf(Cell::kFree), [&](int64_t free) {
            return far[static_cast<size_t>(free)] < 0;
          });
      if (cuts_off) {
        Set(cell, Cell::kFree);
      } else {
        --left;
      }
    }
  }

  const MazeShape& shape_;
  RandomStream random_;
  Maze maze_;
};

}  // namespace

absl::StatusOr<Maze> ParseMaze(absl::string_view text, absl::string_view name) {
  absl::StatusOr<Maze> maze = Parse(text);
  if (!maze.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", maze.status().message()));
  }
  return maze;
}

std::string ToText(const Maze& maze) {
  std::string text;
  for (int64_t cell = 0; cell < maze.size(); ++cell) {
    text += cell == maze.start ? 'S' : ".#GT"[static_cast<size_t>(maze.at(cell))];
    if (cell % maze.width == maze.width - 1) {
      text += '\n';
    }
  }
  return text;
}

int64_t Move(const Maze& maze, int64_t cell, int64_t move) {
  const int64_t row = cell / maze.width + (move == 2) - (move == 0);
  const int64_t column = cell % maze.width + (move == 1) - (move == 3);
  const bool inside = row >= 0 && row < maze.height && column >= 0 && column < maze.width;
  const int64_t next = row * maze.width + column;
  return inside && maze.at(next) != Cell::kWall ? next : cell;
}

std::vector<int32_t> DistancesToGoal(const Maze& maze) {
  std::vector<int32_t> distances(static_cast<size_t>(maze.size()), -1);
  std::vector<int64_t> reached;
  for (int64_t cell = 0; cell < maze.size(); ++cell) {
    if (maze.at(cell) == Cell::kGoal) {
      distances[static_cast<size_t>(cell)] = 0;
      reached.push_back(cell);
    }
  }
  for (size_t i = 0; i < reached.size(); ++i) {
    for (int64_t move = 0; move < 4; ++move) {
      const int64_t next = Move(maze, reached[i], move);
      if (maze.at(next) == Cell::kFree && distances[static_cast<size_t>(next)] < 0) {
        distances[static_cast<size_t>(next)] = distances[static_cast<size_t>(reached[i])] + 1;
        reached.push_back(next);
      }
    }
  }
  return distances;
}

Maze GenerateMaze(const MazeShape& shape, uint64_t seed) { return Carver(shape, seed).Carve(); }

uint64_t HashOf(const Maze& maze) {
  std::string what = absl::StrCat(maze.height, "x", maze.width, ":");
  for (const Cell cell : maze.cells) {
    what += static_cast<char>('0' + static_cast<int>(cell));
  }
  return NameHash(what);
}

}  // namespace hone::engine::environments
