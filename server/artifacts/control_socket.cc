#include "server/artifacts/control_socket.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"

namespace hone::server::artifacts {
namespace {

constexpr char kControlFolder[] = "/control";

OwnedFd OpenFolder(const std::string& path) {
  return OwnedFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
}

}  // namespace

absl::StatusOr<ControlSocket> ControlSocket::Make(const std::string& root) {
  const std::string path = root + kControlFolder;
  if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("cannot create folder ", path));
  }
  OwnedFd folder = OpenFolder(path);
  // Also where it was copied from elsewhere.
  if (!folder.valid() || ::fchmod(folder.get(), S_IRWXU) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot use folder ", path));
  }
  return ControlSocket(std::move(folder));
}

absl::StatusOr<ControlSocket> ControlSocket::Open(const std::string& root) {
  OwnedFd folder = OpenFolder(root + kControlFolder);
  if (!folder.valid()) {
    return absl::UnavailableError(absl::StrCat(
        "the folder ", root,
        " is in use, and there is no server in it that can be asked: another version's, "
        "or another user's? Stop it, or become its user"));
  }
  return ControlSocket(std::move(folder));
}

std::string ControlSocket::address() const {
  return absl::StrCat("unix:/proc/self/fd/", folder_.get(), "/socket");
}

}  // namespace hone::server::artifacts
