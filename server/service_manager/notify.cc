#include "server/service_manager/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace hone::server::service_manager {

absl::Status Notify(absl::string_view state) {
  const char* const variable = std::getenv("NOTIFY_SOCKET");
  const absl::string_view name = variable == nullptr ? "" : variable;
  if (name.empty()) {
    return absl::OkStatus();
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if ((name[0] != '/' && name[0] != '@') || name.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("NOTIFY_SOCKET: must be an absolute path or @NAME of at most ",
                     sizeof(address.sun_path) - 1, " bytes, got ", name));
  }
  std::memcpy(address.sun_path, name.data(), name.size());
  if (name[0] == '@') {
    address.sun_path[0] = '\0';  // of the namespace that is in no file system
  }
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) {
    return absl::UnavailableError(absl::StrCat("NOTIFY_SOCKET: ", std::strerror(errno)));
  }
  const ssize_t sent = ::sendto(
      socket, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size()));
  const int error = errno;
  ::close(socket);
  return sent == static_cast<ssize_t>(state.size())
             ? absl::OkStatus()
             : absl::UnavailableError(absl::StrCat(name, ": ", std::strerror(error)));
}

}  // namespace hone::server::service_manager
