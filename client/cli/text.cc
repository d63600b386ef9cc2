#include "client/cli/text.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace hone::client::cli {
namespace {

const char* Escape(Style style) {
  switch (style) {
    case Style::kBold:
      return "\x1b[1m";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kTrain:
      return "\x1b[36m";
    case Style::kValidation:
      return "\x1b[35m";
    case Style::kGood:
      return "\x1b[32m";
    case Style::kWarning:
      return "\x1b[33m";
    case Style::kBad:
      return "\x1b[31m";
    case Style::kPlain:
      break;
  }
  return "";
}

int Luminance(const Line::Pixel& p) { return (299 * p.red + 587 * p.green + 114 * p.blue) / 1000; }

// Of the 256 colours that terminals have in common: a ramp of 24 greys, or a cube of 6 x 6 x 6.
int PaletteOf(const Line::Pixel& p) {
  constexpr int kGreys = 24, kFirstGrey = 232, kSides = 6, kFirstOfCube = 16;
  if (p.red == p.green && p.green == p.blue) {
    return kFirstGrey + p.red * (kGreys - 1) / 255;
  }
  const auto side = [](int value) { return (value * (kSides - 1) + 127) / 255; };
  return kFirstOfCube + (side(p.red) * kSides + side(p.green)) * kSides + side(p.blue);
}

bool StartsCodePoint(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

// A value with three digits and the unit whose factor is nearest below.
std::string Scaled(double value, const std::array<const char*, 6>& units) {
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  const int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return absl::StrFormat("%.*f %s", digits, value, units[unit]);
}

}  // namespace

std::string Count(int64_t value) {
  std::string digits = absl::StrCat(value < 0 ? -value : value);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return value < 0 ? absl::StrCat("-", digits) : digits;
}

std::string Bytes(int64_t bytes) {
  return Scaled(static_cast<double>(bytes), {"B", "kB", "MB", "GB", "TB", "PB"});
}

std::string Flops(double flops) {
  return Scaled(flops, {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"});
}

std::string Duration(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) {
    return "–";
  }
  if (seconds < 10) {
    return absl::StrFormat("%.1f s", seconds);
  }
  const int64_t whole = std::llround(seconds);
  if (whole < 60) {
    return absl::StrCat(whole, " s");
  }
  return whole < 3600 ? absl::StrFormat("%d:%02d", whole / 60, whole % 60)
                      : absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string Percent(double share) { return absl::StrFormat("%.2f %%", 100 * share); }

std::string Significant(double value) {
  if (value == 0) {
    return "0";
  }
  const double size = std::abs(value);
  if (size >= 1e6 || size < 1e-4) {
    return absl::StrFormat("%.3g", value);
  }
  const int before = static_cast<int>(std::floor(std::log10(size))) + 1;
  return absl::StrFormat("%.*f", std::clamp(4 - before, 0, 7), value);
}

int Columns(absl::string_view utf8) {
  return static_cast<int>(std::count_if(utf8.begin(), utf8.end(), StartsCodePoint));
}

std::string Cut(absl::string_view utf8, int columns) {
  if (Columns(utf8) <= columns) {
    return std::string(utf8);
  }
  std::string kept;
  int seen = 0;
  for (const char c : utf8) {
    if (StartsCodePoint(c) && ++seen >= columns) {
      break;
    }
    kept.push_back(c);
  }
  return columns > 0 ? absl::StrCat(kept, "…") : "";
}

Line& Line::Add(absl::string_view text, Style style) {
  // What others wrote must not steer the terminal.
  std::string clean(text);
  std::replace_if(
      clean.begin(), clean.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  columns_ += Columns(clean);
  pieces_.push_back({.text = std::move(clean), .style = style});
  return *this;
}

Line& Line::AddPixels(const Pixel& upper, const Pixel& lower) {
  static constexpr const char* kBlocks[] = {" ", "▄", "▀", "█"};
  const size_t lit = (Luminance(upper) >= 128 ? 2 : 0) + (Luminance(lower) >= 128 ? 1 : 0);
  columns_ += 1;
  pieces_.push_back({.text = kBlocks[lit],
                     .colored = absl::StrCat("\x1b[38;5;", PaletteOf(upper), ";48;5;",
                                             PaletteOf(lower), "m▀\x1b[0m")});
  return *this;
}

Line& Line::PadTo(int column) {
  if (column > columns_) {
    Add(std::string(static_cast<size_t>(column - columns_), ' '));
  }
  return *this;
}

std::string Line::Render(int width, bool color) const {
  std::string out;
  int left = width;
  for (const Piece& piece : pieces_) {
    const std::string text = Cut(piece.text, left);
    left -= Columns(text);
    if (color && !piece.colored.empty()) {
      absl::StrAppend(&out, left >= 0 ? piece.colored : "");
      if (left <= 0) {
        break;
      }
      continue;
    }
    const char* escape = color ? Escape(piece.style) : "";
    absl::StrAppend(&out, escape, text, *escape != '\0' ? "\x1b[0m" : "");
    if (left <= 0) {
      break;
    }
  }
  if (!color) {
    out.erase(out.find_last_not_of(' ') + 1);
  }
  return out;
}

std::vector<Line> Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<int> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], Columns(row[i]) - (absl::StartsWith(row[i], ">") ? 1 : 0));
    }
  }
  std::vector<Line> lines;
  for (size_t r = 0; r < rows.size(); ++r) {
    Line line;
    int column = 1;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      const bool right = absl::StartsWith(rows[r][i], ">");
      const absl::string_view text = absl::string_view(rows[r][i]).substr(right ? 1 : 0);
      line.PadTo(right ? column + widths[i] - Columns(text) : column);
      line.Add(text, r == 0 ? Style::kDim : Style::kPlain);
      column += widths[i] + 2;
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace hone::client::cli
