#include "server/artifacts/entries.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"

namespace hone::server::artifacts {

absl::StatusOr<std::vector<std::string>> EntriesOf(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator it(folder, error);
  for (const std::filesystem::directory_iterator end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("cannot list ", folder));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace hone::server::artifacts
