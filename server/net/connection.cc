#include "server/net/connection.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hone::server::net {
namespace {

int SizeFor(size_t size) {
  return static_cast<int>(std::min<size_t>(size, std::numeric_limits<int>::max()));
}

}  // namespace

Connection::Connection(OwnedFd fd, SSL_CTX* context) : fd_(std::move(fd)), awaited_(POLLIN) {
  if (context != nullptr) {
    tls_.reset(SSL_new(context));
    if (tls_ == nullptr || SSL_set_fd(tls_.get(), fd_.get()) != 1) {
      tls_.reset();
      fd_.Close();  // no memory: never plain text instead
      return;
    }
    SSL_set_accept_state(tls_.get());
  }
}

Connection::Result Connection::TlsResult(int returned, size_t& size) {
  if (returned > 0) {
    size = static_cast<size_t>(returned);
    return Result::kDone;
  }
  switch (SSL_get_error(tls_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
      awaited_ = POLLIN;
      return Result::kAgain;
    case SSL_ERROR_WANT_WRITE:
      awaited_ = POLLOUT;
      return Result::kAgain;
    default:
      return Result::kEnd;
  }
}

Connection::Result Connection::Read(char* to, size_t room, size_t& size) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    return TlsResult(SSL_read(tls_.get(), to, SizeFor(room)), size);
  }
  awaited_ = POLLIN;
  const ssize_t got = ::recv(fd_.get(), to, room, 0);
  if (got > 0) {
    size = static_cast<size_t>(got);
    return Result::kDone;
  }
  return got < 0 && (errno == EAGAIN || errno == EINTR) ? Result::kAgain : Result::kEnd;
}

Connection::Result Connection::Write(absl::string_view bytes, size_t& size) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    return TlsResult(SSL_write(tls_.get(), bytes.data(), SizeFor(bytes.size())), size);
  }
  awaited_ = POLLOUT;
  const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) {
    size = static_cast<size_t>(sent);
    return Result::kDone;
  }
  return sent < 0 && (errno == EAGAIN || errno == EINTR) ? Result::kAgain : Result::kEnd;
}

bool Connection::HasClientCertificate() const {
  return tls_ != nullptr && SSL_get0_peer_certificate(tls_.get()) != nullptr &&
         SSL_get_verify_result(tls_.get()) == X509_V_OK;
}

std::string Connection::ClientCertificateName() const {
  if (!HasClientCertificate()) {
    return "";
  }
  const X509_NAME* const subject = X509_get_subject_name(SSL_get0_peer_certificate(tls_.get()));
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  unsigned char* text = nullptr;
  const int size = at < 0 ? -1
                          : ASN1_STRING_to_UTF8(
                                &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  std::string name =
      size < 0 ? "" : std::string(reinterpret_cast<char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  return name;
}

std::string Connection::Peer() const {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  std::array<char, NI_MAXHOST> host;
  std::array<char, NI_MAXSERV> port;
  if (::getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host.data(), host.size(),
                    port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "";
  }
  return address.ss_family == AF_INET6 ? absl::StrCat("ipv6:[", host.data(), "]:", port.data())
                                       : absl::StrCat("ipv4:", host.data(), ":", port.data());
}

void Connection::End() {
  if (tls_ != nullptr && SSL_is_init_finished(tls_.get()) != 0) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());
  }
  if (fd_.valid()) {
    ::shutdown(fd_.get(), SHUT_RDWR);
  }
}

}  // namespace hone::server::net
