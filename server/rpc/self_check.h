#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "server/tls/certificates.h"

namespace hone::server::rpc {

// Whether a new client is answered: every few seconds it connects to the server's own port and asks
// gRPC's health service, waiting for a few seconds at most.
class SelfCheck {
 public:
  // `dialed` is HOST:PORT; `certificates`: TLS is spoken there, with these; null: plain text. They
  // outlive this. Returns when the first check is done.
  SelfCheck(std::string dialed, const tls::Certificates* certificates);
  ~SelfCheck() { Stop(); }
  // No more checks; the last answer stays.
  void Stop();

  // As of the last check; any thread.
  bool answered() const { return answered_; }

 private:
  void Loop();
  void Check();

  const std::string dialed_;
  const tls::Certificates* const certificates_;  // may be null
  std::atomic<bool> answered_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace hone::server::rpc
