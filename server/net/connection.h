#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/base/owned_fd.h"

namespace hone::server::net {

// The end of a TCP connection that a client began; it does not block. It may be TLS.
class Connection {
 public:
  Connection() = default;  // none
  // Plain text; with `context`, TLS as a server: its handshake is made by the first reads.
  explicit Connection(OwnedFd fd, SSL_CTX* context = nullptr);

  bool valid() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  // Of plain text only: the descriptor, for somebody else to keep.
  OwnedFd Release() { return std::move(fd_); }

  enum class Result { kDone, kAgain, kEnd };
  // kDone: `size` bytes, 1 at least. kAgain: first there must be what awaited() says. kEnd: it has
  // ended or failed.
  Result Read(char* to, size_t room, size_t& size);
  Result Write(absl::string_view bytes, size_t& size);
  // POLLIN or POLLOUT.
  short awaited() const { return awaited_; }  // NOLINT(google-runtime-int)

  // After a read, of TLS: the client has shown a certificate of an authority that `context` knows.
  bool HasClientCertificate() const;
  // Its common name; "" where there is none.
  std::string ClientCertificateName() const;

  // Its address, as gRPC writes it: ipv4:127.0.0.1:5000.
  std::string Peer() const;

  // Tells the client that nothing more comes.
  void End();

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  Result TlsResult(int returned, size_t& size);

  OwnedFd fd_;
  std::unique_ptr<SSL, Free> tls_;
  short awaited_ = 0;
};

}  // namespace hone::server::net
