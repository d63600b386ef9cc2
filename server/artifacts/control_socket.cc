#include "server/artifacts/control_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::server::artifacts {
namespace {

constexpr char kControlFolder[] = "/control";
constexpr char kSocketName[] = "/socket";

OwnedFd OpenFolder(const std::string& path) {
  return OwnedFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
}

std::string FolderPath(const OwnedFd& folder) {
  return absl::StrCat("/proc/self/fd/", folder.get());
}

}  // namespace

absl::StatusOr<ControlSocket> ControlSocket::Make(const std::string& root) {
  const std::string path = root + kControlFolder;
  if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("cannot create folder ", path));
  }
  OwnedFd folder = OpenFolder(path);
  // Also where it was copied from elsewhere.
  struct stat made {};
  if (!folder.valid() || ::fchmod(folder.get(), S_IRWXU) != 0 ||
      ::fstat(folder.get(), &made) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot use folder ", path));
  }
  // Whoever gets in is an admin: somebody may have made it first, and some file systems let
  // everybody in whatever they are told.
  if (made.st_uid != ::geteuid() || (made.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the folder ", path, " must belong to the user that runs honed, and be for nobody else"));
  }
  ControlSocket socket(std::move(folder));
  HONE_RETURN_IF_ERROR(socket.TryToBind());
  return socket;
}

absl::Status ControlSocket::TryToBind() const {
  const std::string path = absl::StrCat(FolderPath(folder_), kSocketName);
  ::unlink(path.c_str());  // of a server that was killed
  const OwnedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  absl::SNPrintF(name.sun_path, sizeof(name.sun_path), "%s", path);
  const bool bound =
      fd.valid() && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0;
  const int error = errno;
  ::unlink(path.c_str());
  return bound ? absl::OkStatus()
               : ErrnoStatus(error, "cannot make a socket in the data directory");
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
  return absl::StrCat("unix:", FolderPath(folder_), kSocketName);
}

}  // namespace hone::server::artifacts
