#pragma once

#include <openssl/ssl.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/tls/files.h"

namespace hone::server::tls {

// What the files had in them: it fits together, and is not changed any more.
struct Identity {
  std::string certificate, key, client_ca;  // PEM
  std::string subject;                      // of the certificate, for people
  absl::Time valid_until;
  std::shared_ptr<SSL_CTX> context;  // of new connections that OpenSSL serves: TLS 1.2 and up
  int64_t version = 0;               // another one for another identity; from 1
};

// Reads and checks. INVALID_ARGUMENT: names the file and what is wrong with it; errors of ReadFile.
absl::StatusOr<Identity> Load(const Files& files);

// The identity that a server shows, read anew when its files change. What cannot be used is refused
// and logged, and the one before goes on. Any thread.
class Certificates {
 public:
  // Looks at the files `every` so often. Errors of Load. A certificate that is past its time is
  // only warned of: a server that is started again must go on with its jobs.
  static absl::StatusOr<std::unique_ptr<Certificates>> Open(
      Files files, absl::Duration every = absl::Milliseconds(500));
  ~Certificates();

  std::shared_ptr<const Identity> Now() const;

  // One look. Files are read when they are as they were at the look before: two files are rarely
  // replaced at the same moment. True: there is a new identity.
  bool Look();

 private:
  Certificates(Files files, Identity identity, std::string state);

  const Files files_;
  std::string read_;  // the state of the files that were read last; Look's
  std::string seen_;  // at the last look; Look's
  mutable std::mutex mutex_;
  std::shared_ptr<const Identity> identity_;  // guarded by mutex_
  bool stopping_ = false;                     // guarded by mutex_
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace hone::server::tls
