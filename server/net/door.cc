#include "server/net/door.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/log/log.h"

namespace hone::server::net {
namespace {

// Connections taken between two looks at those that wait.
constexpr int kAtOnce = 64;
// Where there are no descriptors, and between attempts to listen again.
constexpr absl::Duration kPause = absl::Milliseconds(20);
constexpr absl::Duration kListenAgainEvery = absl::Milliseconds(500);
constexpr absl::Duration kWarnEvery = absl::Seconds(60);

struct Waiting {
  Connection connection;
  std::string said;
  absl::Duration until;  // SteadyNow()
};

OwnedFd Reserve() { return OwnedFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

enum class Accepted { kOne, kNone, kNoDescriptors, kBroken };

Accepted Accept(int listener, OwnedFd& fd) {
  fd = OwnedFd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd.valid()) {
    return Accepted::kOne;
  }
  switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return Accepted::kNoDescriptors;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
    case EFAULT:
      return Accepted::kBroken;
    default:  // nobody there, or somebody who has left already
      return Accepted::kNone;
  }
}

class PollingDoor final : public Door {
 public:
  explicit PollingDoor(DoorOptions options) : options_(std::move(options)) {}
  ~PollingDoor() override { End(); }
  void Close() override { End(); }

  absl::Status Begin() {
    HONE_ASSIGN_OR_RETURN(listeners_, options_.listen(options_.address));
    wake_ = OwnedFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    reserve_ = Reserve();
    if (!wake_.valid()) {
      return absl::UnavailableError("there are no file descriptors for a port");
    }
    port_ = listeners_.port;
    dialed_ = listeners_.dialed;
    const size_t colon = options_.address.rfind(':');
    options_.address = absl::StrCat(options_.address.substr(0, colon + 1), port_);
    thread_ = std::thread([this] { Loop(); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }
  const std::string& dialed() const override { return dialed_; }
  size_t waiting() const override { return waiting_count_; }

 private:
  void End() {
    stopping_ = true;
    if (thread_.joinable()) {
      ::eventfd_write(wake_.get(), 1);
      thread_.join();
    }
    listeners_.sockets.clear();
    waiting_.clear();
    waiting_count_ = 0;
  }

  void Loop() {
    while (!stopping_) {
      const absl::Duration now = SteadyNow();
      if (listeners_.sockets.empty() && !ListenAgain()) {
        return;
      }
      std::vector<pollfd> fds = Watched(now);
      ::poll(fds.data(), fds.size(), MillisecondsToWait(now));
      if (stopping_) {
        return;
      }
      // In the order of Watched; what is closed meanwhile moves none before it.
      size_t next = 1;
      std::deque<Waiting> still;
      for (Waiting& visitor : waiting_) {
        if (fds[next++].revents == 0 || Read(visitor)) {
          still.push_back(std::move(visitor));
        }
      }
      waiting_ = std::move(still);
      CloseOverdue(SteadyNow());
      for (; next < fds.size(); ++next) {
        if (fds[next].revents != 0 && !TakeFrom(fds[next].fd)) {
          listeners_.sockets.clear();
          broken_since_ = SteadyNow();
          log::Error("the port no longer takes connections; it is opened again",
                     {{"address", options_.address}});
          break;
        }
      }
      waiting_count_ = waiting_.size();
    }
  }

  std::vector<pollfd> Watched(absl::Duration now) const {
    std::vector<pollfd> fds = {{.fd = wake_.get(), .events = POLLIN, .revents = 0}};
    for (const Waiting& visitor : waiting_) {
      fds.push_back(
          {.fd = visitor.connection.fd(), .events = visitor.connection.awaited(), .revents = 0});
    }
    if (now >= pause_until_) {
      for (const OwnedFd& listener : listeners_.sockets) {
        fds.push_back({.fd = listener.get(), .events = POLLIN, .revents = 0});
      }
    }
    return fds;
  }

  int MillisecondsToWait(absl::Duration now) const {
    absl::Duration until = absl::InfiniteDuration();
    if (!waiting_.empty()) {
      until = waiting_.front().until;  // all wait equally long
    }
    if (now < pause_until_) {
      until = std::min(until, pause_until_);
    }
    return until == absl::InfiniteDuration()
               ? -1
               : static_cast<int>(
                     absl::ToInt64Milliseconds(std::max(until - now, absl::Duration())) + 1);
  }

  // True: it waits on. Reads all there is: what TLS has taken from the socket is not waited for.
  bool Read(Waiting& visitor) {
    std::array<char, 4096> buffer;
    for (;;) {
      const size_t room = std::min(buffer.size(), options_.most_said - visitor.said.size());
      size_t got = 0;
      switch (visitor.connection.Read(buffer.data(), room, got)) {
        case Connection::Result::kAgain:
          return true;
        case Connection::Result::kEnd:
          return false;  // it has left
        case Connection::Result::kDone:
          break;
      }
      visitor.said.append(buffer.data(), got);
      const Look look = options_.look(visitor.said);
      if (look == Look::kEnter) {
        options_.enter(std::move(visitor.connection), std::move(visitor.said));
        return false;
      }
      if (look == Look::kClose || visitor.said.size() >= options_.most_said) {
        options_.turned_away();
        return false;
      }
    }
  }

  void CloseOldest() {
    waiting_.pop_front();
    options_.turned_away();
  }

  void CloseOverdue(absl::Duration now) {
    while (!waiting_.empty() && waiting_.front().until <= now) {
      CloseOldest();
    }
  }

  void Welcome(OwnedFd fd) {
    Connection connection(std::move(fd), options_.tls == nullptr ? nullptr : options_.tls().get());
    if (!connection.valid()) {
      return options_.turned_away();
    }
    waiting_.push_back({.connection = std::move(connection),
                        .said = "",
                        .until = SteadyNow() + options_.patience});
  }

  // False: the socket is broken.
  bool TakeFrom(int listener) {
    for (int taken = 0; taken < kAtOnce; ++taken) {
      OwnedFd fd;
      switch (Accept(listener, fd)) {
        case Accepted::kOne:
          Welcome(std::move(fd));
          if (waiting_.size() > options_.most_waiting) {
            CloseOldest();
          }
          break;
        case Accepted::kNone:
          return true;
        case Accepted::kNoDescriptors:
          MakeRoom(listener);
          return true;
        case Accepted::kBroken:
          return false;
      }
    }
    return true;
  }

  // One who waits leaves for the next; if nobody does, the next is sent away by the descriptor that
  // is kept for this.
  void MakeRoom(int listener) {
    const absl::Duration now = SteadyNow();
    if (now >= warn_at_) {
      warn_at_ = now + kWarnEvery;
      log::Warning("no file descriptors or memory for new connections",
                   {{"address", options_.address}});
    }
    pause_until_ = now + kPause;
    if (!waiting_.empty()) {
      return CloseOldest();
    }
    reserve_.Close();
    OwnedFd fd;
    if (Accept(listener, fd) == Accepted::kOne) {
      options_.turned_away();
    }
    fd.Close();
    reserve_ = Reserve();
  }

  // False: the address cannot be bound again, or the door is closing.
  bool ListenAgain() {
    while (!stopping_) {
      absl::StatusOr<Listeners> again = options_.listen(options_.address);
      if (again.ok()) {
        listeners_ = *std::move(again);
        return true;
      }
      if (SteadyNow() - broken_since_ >= options_.give_up_after) {
        options_.lost(again.status());
        return false;
      }
      pollfd wake = {.fd = wake_.get(), .events = POLLIN, .revents = 0};
      ::poll(&wake, 1, static_cast<int>(absl::ToInt64Milliseconds(kListenAgainEvery)));
    }
    return false;
  }

  DoorOptions options_;
  int port_ = 0;
  std::string dialed_;
  OwnedFd wake_;
  std::atomic<bool> stopping_ = false;
  std::atomic<size_t> waiting_count_ = 0;
  // The thread's:
  Listeners listeners_;
  OwnedFd reserve_;
  std::deque<Waiting> waiting_;  // the oldest first
  absl::Duration pause_until_;   // SteadyNow(); nobody is taken before
  absl::Duration warn_at_;       // the same
  absl::Duration broken_since_;  // the same
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Door>> Door::Open(DoorOptions options) {
  auto door = std::make_unique<PollingDoor>(std::move(options));
  HONE_RETURN_IF_ERROR(door->Begin());
  return door;
}

}  // namespace hone::server::net
