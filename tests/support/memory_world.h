#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/train/world.h"

namespace hone::engine::testing {

// Ranks that are threads of one process and meet in its memory. Gradients are added up in the order
// of ranks, each rank's slabs in theirs.
class MemoryWorld {
 public:
  explicit MemoryWorld(int size)
      : reports_(static_cast<size_t>(size)), gradients_(static_cast<size_t>(size)) {
    for (int rank = 0; rank < size; ++rank) {
      seats_.push_back(std::make_unique<Seat>(*this, train::Place{.rank = rank, .size = size}));
    }
  }

  train::World& rank(int r) { return *seats_[static_cast<size_t>(r)]; }

  // Rank r calls nothing any more; whoever waits for it is told.
  void Leave(int r) {
    const std::lock_guard lock(mutex_);
    End(absl::UnavailableError(absl::StrCat("rank ", r, " is gone")));
  }

 private:
  class Seat final : public train::World {
   public:
    Seat(MemoryWorld& world, train::Place place) : world_(world), place_(place) {}
    train::Place place() const override { return place_; }
    absl::Status Exchange(train::StepReport& report) override {
      return world_.Exchange(place_.rank, report);
    }
    absl::Status Reduce(std::span<float* const> gradients,
                        std::span<const train::SlabRange> ranges) override {
      return world_.Reduce(place_.rank, gradients, ranges);
    }

   private:
    MemoryWorld& world_;
    train::Place place_;
  };

  absl::Status Exchange(int rank, train::StepReport& report) {
    std::unique_lock lock(mutex_);
    if (!report.failure.ok()) {
      End(Annotate(report.failure, absl::StrCat("rank ", rank)));
      return ended_;
    }
    reports_[static_cast<size_t>(rank)] = report;
    HONE_RETURN_IF_ERROR(Meet(lock, [&] {
      if (absl::Status status = train::Combine(reports_, combined_); !status.ok()) {
        End(status);
      }
    }));
    report = combined_;
    return ended_;
  }

  absl::Status Reduce(int rank, std::span<float* const> gradients,
                      std::span<const train::SlabRange> ranges) {
    std::unique_lock lock(mutex_);
    gradients_[static_cast<size_t>(rank)] = gradients;
    return Meet(lock, [&] {
      for (const train::SlabRange& range : ranges) {
        for (int64_t i = range.begin; i < range.end; ++i) {
          Add(i);
        }
      }
    });
  }

  void Add(int64_t i) {
    float sum = gradients_[0][0][i];
    for (size_t rank = 0; rank < gradients_.size(); ++rank) {
      for (size_t slab = rank == 0 ? 1 : 0; slab < gradients_[rank].size(); ++slab) {
        sum += gradients_[rank][slab][i];
      }
    }
    for (const std::span<float* const>& of_rank : gradients_) {
      of_rank[0][i] = sum;
    }
  }

  // The last to come does the work, for all who wait.
  absl::Status Meet(std::unique_lock<std::mutex>& lock, const std::function<void()>& work) {
    if (!ended_.ok()) {
      return ended_;
    }
    if (++arrived_ == seats_.size()) {
      work();
      arrived_ = 0;
      ++meeting_;
      changed_.notify_all();
      return absl::OkStatus();
    }
    const int64_t meeting = meeting_;
    changed_.wait(lock, [&] { return meeting_ != meeting || !ended_.ok(); });
    return meeting_ != meeting ? absl::OkStatus() : ended_;
  }

  void End(const absl::Status& status) {
    if (ended_.ok()) {
      ended_ = status;
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  size_t arrived_ = 0;
  int64_t meeting_ = 0;
  absl::Status ended_;
  std::vector<train::StepReport> reports_;
  train::StepReport combined_;
  std::vector<std::span<float* const>> gradients_;
  std::vector<std::unique_ptr<Seat>> seats_;
};

}  // namespace hone::engine::testing
