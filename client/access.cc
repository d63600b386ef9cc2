#include "client/access.h"

#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/loopback.h"
#include "engine/base/status.h"

namespace hone::client {
namespace {

constexpr int64_t kMostBytes = 4096;

bool IsGraphic(const std::string& text) {
  return std::ranges::all_of(
      text, [](unsigned char character) { return absl::ascii_isgraph(character); });
}

absl::Status CheckToken(const std::string& token) {
  return IsGraphic(token)
             ? absl::OkStatus()
             : absl::InvalidArgumentError(
                   "the token must be printable ASCII characters without spaces, as `honed "
                   "token create` has printed it");
}

}  // namespace

absl::Status Check(const Access& access) {
  if (access.certificate_file.empty() != access.key_file.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(access.key_file.empty() ? "--tls-key" : "--tls-cert",
                     ": must be given, too: a certificate and its key belong together"));
  }
  if (!IsGraphic(access.project) || access.project.size() > 64) {
    return absl::InvalidArgumentError(
        "--project: must be 1 to 64 letters, digits, '-', '_' or '.'");
  }
  if (access.token.empty()) {
    return absl::OkStatus();
  }
  if (!access.tls && !IsLoopback(access.address)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a token is not sent to ", access.address,
                     " in plain text, where others could read it: say --tls, or do without"));
  }
  return CheckToken(access.token);
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  struct stat file {};
  if (::stat(path.c_str(), &file) == 0 && (file.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": others may read this file; say `chmod 600 ", path, "`"));
  }
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostBytes));
  std::string token(absl::StripAsciiWhitespace(text));
  if (token.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": must have a token in it"));
  }
  HONE_RETURN_IF_ERROR(Annotate(CheckToken(token), path));
  return token;
}

}  // namespace hone::client
