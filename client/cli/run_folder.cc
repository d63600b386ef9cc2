#include "client/cli/run_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"

namespace hone::client::cli {
namespace {

// A folder name made of the job's: letters, digits, dot, dash, underscore.
std::string FolderName(const std::string& display_name) {
  std::string name;
  for (const char c : display_name) {
    name.push_back(absl::ascii_isalnum(c) || c == '.' || c == '_' ? c : '-');
  }
  return name.empty() || name[0] == '.' ? absl::StrCat("job", name) : name.substr(0, 100);
}

}  // namespace

absl::StatusOr<std::string> MakeRunDirectory(const std::string& display_name) {
  std::error_code error;
  std::filesystem::create_directories("hone-runs", error);
  for (int number = 1; number < 100'000; ++number) {
    const std::string path = absl::StrCat("hone-runs/", FolderName(display_name), "-", number);
    if (mkdir(path.c_str(), 0755) == 0) {
      return path;
    }
    if (errno != EEXIST) {
      return ErrnoStatus(errno, path);
    }
  }
  return absl::ResourceExhaustedError("hone-runs has no free number left; remove old runs");
}

absl::Status UseRunDirectory(const std::string& path, const std::string& kept) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return ErrnoStatus(error.value(), path);
  }
  if (std::filesystem::exists(absl::StrCat(path, "/", kept), error)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, " holds an earlier run; continue it with --resume ", path,
                     " or choose another folder"));
  }
  return absl::OkStatus();
}

}  // namespace hone::client::cli
