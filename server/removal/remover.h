#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "server/artifacts/data_directory.h"
#include "server/store/writer.h"

namespace hone::server::removal {

// Removes the folders of what the store has forgotten: the store keeps a list of them, so that what
// a kill interrupts is gone on with at the next start. On a thread of its own, since trees may be
// large. The arguments of the constructor outlive this. Any thread.
class Remover {
 public:
  Remover(const store::JobStore& store, store::Writer& writer,
          const artifacts::DataDirectory& directory);
  // What is not removed by then is removed after the next start.
  ~Remover();
  Remover(const Remover&) = delete;
  Remover& operator=(const Remover&) = delete;

  // Removes the models that the server before this one was about to publish, and begins with what
  // it left. To be called before anything is published.
  absl::Status Start();
  // The store has forgotten something.
  void Wake();
  // Removes all that there is to remove, now, and waits for it.
  absl::Status RemoveAll();

 private:
  void Loop();
  bool Stopping();
  absl::Status Remove(const std::vector<store::Folder>& folders);

  const store::JobStore& store_;
  store::Writer& writer_;
  const artifacts::DataDirectory& directory_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;     // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace hone::server::removal
