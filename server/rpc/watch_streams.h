#pragma once

#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "hone/v1/training_service.pb.h"
#include "server/rpc/deps.h"
#include "server/rpc/watcher.h"

namespace hone::server::rpc {

class WatchStream;

// All open WatchJob streams: makes them, sends their heartbeats, says goodbye to them when the
// server goes. Any thread.
class WatchStreams {
 public:
  WatchStreams();
  // All streams are done by then (the gRPC server is shut down).
  ~WatchStreams();
  WatchStreams(const WatchStreams&) = delete;
  WatchStreams& operator=(const WatchStreams&) = delete;

  // RESOURCE_EXHAUSTED, UNAVAILABLE (shutting down) and the errors of JobWatch::Open end the stream
  // at once.
  grpc::ServerWriteReactor<v1::WatchJobResponse>* Open(const v1::WatchJobRequest& request,
                                                       access::Caller caller, Deps& deps);
  void Goodbye();
  size_t size() const;

  static constexpr size_t kMaxStreams = 1000;

 private:
  friend class WatchStream;

  void Loop();

  OpenWatches<WatchStream> open_{kMaxStreams};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread ticker_;
};

}  // namespace hone::server::rpc
