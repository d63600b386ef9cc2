#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace hone::client::cli {

// Numbers as a person reads them.
std::string Count(int64_t value);       // 121,930
std::string Bytes(int64_t bytes);       // 142 MB; decimal units
std::string Duration(double seconds);   // 0.8 s, 12 s, 3:05, 1:02:07
std::string Percent(double share);      // 99.12 %
std::string Significant(double value);  // four digits: 0.05341, 12.35, 1.2e-07
std::string Flops(double flops);        // 4.86 MFLOP

// How text is set; Plain where colours are off.
enum class Style { kPlain, kBold, kDim, kTrain, kValidation, kGood, kWarning, kBad };

// One line made of styled pieces, measured in columns (a code point is one column).
class Line {
 public:
  Line& Add(absl::string_view text, Style style = Style::kPlain);
  // One column with two pixels, the upper and the lower half of it; without colours bright ones are
  // blocks.
  struct Pixel {
    uint8_t red, green, blue;
  };
  Line& AddPixels(const Pixel& upper, const Pixel& lower);
  // Spaces up to this column.
  Line& PadTo(int column);
  int columns() const { return columns_; }
  // Cut to `width` columns; escape sequences only with `color`.
  std::string Render(int width, bool color) const;

 private:
  struct Piece {
    std::string text;
    Style style = Style::kPlain;
    std::string colored = {};  // instead of the text, where there are colours; "": the text
  };
  std::vector<Piece> pieces_;
  int columns_ = 0;
};

int Columns(absl::string_view utf8);
// The first `columns` columns, the last one an ellipsis when something was cut.
std::string Cut(absl::string_view utf8, int columns);

// Rows of cells in columns that are as wide as they need to be. Cells that start with '>' are set
// to the right, without it. The first row is the head.
std::vector<Line> Table(const std::vector<std::vector<std::string>>& rows);

}  // namespace hone::client::cli
