#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/text_rows.h"

namespace hone::engine::data {

// How texts stand in a file.
enum class TextLayout { kTable, kJsonLines, kLines, kWhole };

struct TextSource {
  TextLayout layout = TextLayout::kTable;
  Part part = Part::kTrain;
  std::string label = {};  // of all texts of the file; "": each has its own
};

// The files that are read of a path, by their names below it ("" for a path that is a file), and
// what they are: the layouts of text_rows.h.
struct TextFiles {
  std::string format;
  std::map<std::string, TextSource> sources;
  int64_t unlabelled = 0;  // files of texts that have no class
};

// The part that a file, or a folder, of this name (without extensions) is; nullopt: none.
std::optional<Part> PartOf(absl::string_view name);

// Where texts need no labels, a .txt file alone, or one that is called as a part is, has a text a
// line. NOT_FOUND: there is no such path. INVALID_ARGUMENT: it is in none of the layouts, or two
// files are the same part.
absl::StatusOr<TextFiles> FindTextFiles(const std::string& path, bool labelled = true);

}  // namespace hone::engine::data
