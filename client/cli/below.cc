#include "client/cli/below.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace hone::client::cli {

absl::Status CheckBelow(const std::string& path) {
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return absl::DataLossError(absl::StrCat("the server sent the file name `", path, "`"));
    }
  }
  return absl::OkStatus();
}

}  // namespace hone::client::cli
