#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/cli/text.h"

namespace hone::client::cli {

// A PNG or JPEG file as blocks of text, two pixels in a character, made as small as it must be for
// so many columns and lines. Of a picture that is too high for its width only the upper part is
// shown, as with a grid of which some rows tell enough. Empty: no picture, or no room.
std::vector<Line> RenderPicture(absl::string_view file, int columns, int lines);

}  // namespace hone::client::cli
