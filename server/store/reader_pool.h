#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/status.h"

namespace hone::server::store {

// A few readers of one file, each on a connection of its own, so that one call that is slow holds
// up no other. Any thread.
template <typename Reader>
class ReaderPool {
 public:
  static absl::StatusOr<std::unique_ptr<ReaderPool>> Open(const std::string& path, int readers) {
    std::unique_ptr<ReaderPool> pool(new ReaderPool());
    for (int i = 0; i < readers; ++i) {
      HONE_ASSIGN_OR_RETURN(std::unique_ptr<Reader> reader, Reader::Open(path));
      pool->free_.push_back(std::move(reader));
    }
    return pool;
  }

  // A reader that the caller has to itself until the end of this, which the pool outlives.
  class Lease {
   public:
    Lease(ReaderPool& pool, std::unique_ptr<Reader> reader)
        : pool_(pool), reader_(std::move(reader)) {}
    ~Lease() { pool_.GiveBack(std::move(reader_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Reader* operator->() const { return reader_.get(); }

   private:
    ReaderPool& pool_;
    std::unique_ptr<Reader> reader_;
  };

  // Waits where all are taken.
  Lease Take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !free_.empty(); });
    std::unique_ptr<Reader> reader = std::move(free_.back());
    free_.pop_back();
    return Lease(*this, std::move(reader));
  }

 private:
  ReaderPool() = default;

  void GiveBack(std::unique_ptr<Reader> reader) {
    {
      const std::lock_guard lock(mutex_);
      free_.push_back(std::move(reader));
    }
    changed_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Reader>> free_;  // guarded by mutex_; the one used last is last
};

}  // namespace hone::server::store
