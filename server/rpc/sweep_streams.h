#pragma once

#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "hone/v1/sweep.pb.h"
#include "server/rpc/deps.h"
#include "server/rpc/watcher.h"

namespace hone::server::rpc {

class SweepStream;

// All open WatchSweep streams. A thread of its own looks at the sweeps that are watched, once for
// all watchers of one, when it is woken and once a second, which is when the steps of running
// trials are told. Any thread.
class SweepStreams {
 public:
  // `deps` outlives it.
  explicit SweepStreams(Deps& deps);
  // All streams are done by then (the gRPC server is shut down).
  ~SweepStreams();
  SweepStreams(const SweepStreams&) = delete;
  SweepStreams& operator=(const SweepStreams&) = delete;

  // INVALID_ARGUMENT, RESOURCE_EXHAUSTED and UNAVAILABLE (shutting down) end the stream at once;
  // NOT_FOUND when the sweep was looked for.
  grpc::ServerWriteReactor<v1::WatchSweepResponse>* Open(const v1::WatchSweepRequest& request,
                                                         access::Caller caller);
  // Something about a sweep may have changed.
  void Wake();
  void Goodbye();
  size_t size() const;

  static constexpr size_t kMaxStreams = 200;

 private:
  friend class SweepStream;

  void Loop();
  void LookAtAll();

  Deps& deps_;
  OpenWatches<SweepStream> open_{kMaxStreams};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;     // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace hone::server::rpc
