#include "server/datasets/validations.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "server/datasets/datasets.h"
#include "server/datasets/inspect.h"
#include "server/jobs/job.h"
#include "server/jobs/reason.h"

namespace hone::server::datasets {
namespace {

constexpr absl::Duration kMostTimeToRead = absl::Hours(1);

// With no more of the table's rows than that.
v1::DatasetValidation WithRows(v1::DatasetValidation validation, int rows) {
  auto& all = *validation.mutable_report()->mutable_rows();
  if (all.size() > rows) {
    all.DeleteSubrange(rows, all.size() - rows);
  }
  if (validation.state() != v1::DatasetValidation::DONE) {
    validation.clear_report();
  }
  return validation;
}

}  // namespace

std::shared_ptr<Validations::Entry> Validations::Find(const store::Dataset& dataset) const {
  const auto found = std::ranges::find_if(entries_, [&](const auto& entry) {
    return entry->dataset.project == dataset.project && entry->dataset.name == dataset.name &&
           entry->dataset.bytes.sha256 == dataset.bytes.sha256;
  });
  return found == entries_.end() ? nullptr : *found;
}

absl::StatusOr<std::optional<v1::DatasetValidation>> Validations::FindKnown(
    const store::Dataset& dataset) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto entry = Find(dataset); entry != nullptr) {
      return entry->validation;
    }
  }
  // What leaves the list is in the store before.
  return store_.FindValidation(dataset);
}

void Validations::Finish(const std::shared_ptr<Entry>& entry,
                         absl::StatusOr<v1::DatasetReport> report) {
  v1::DatasetValidation ended;
  {
    const std::lock_guard lock(mutex_);
    v1::DatasetValidation& validation = entry->validation;
    *validation.mutable_end_time() = jobs::ToTimestamp(absl::Now());
    if (report.ok()) {
      validation.set_state(v1::DatasetValidation::DONE);
      *validation.mutable_report() = *std::move(report);
    } else {
      validation.set_state(v1::DatasetValidation::FAILED);
      validation.set_message(std::string(report.status().message()));
      if (entry->starting && absl::IsResourceExhausted(report.status())) {
        entry->refused = report.status();
        return;
      }
    }
    ended = validation;
    MakeRoom();
  }
  // What cannot be stored stays in memory while there is room.
  writer_.Submit<bool>(
      [dataset = entry->dataset,
       ended = std::move(ended)](store::JobStore& store) -> absl::StatusOr<bool> {
        HONE_RETURN_IF_ERROR(store.datasets().SaveValidation(dataset, ended));
        return true;
      },
      [this, entry](const absl::StatusOr<bool>& stored) {
        if (stored.ok()) {
          const std::lock_guard lock(mutex_);
          std::erase(entries_, entry);
        }
      });
}

// The oldest reports go; what is still being read stays, its number is bounded by WorkerCalls.
void Validations::MakeRoom() {
  int64_t bytes = 0;
  int count = 0;
  for (auto it = entries_.begin(); it != entries_.end();) {
    const v1::DatasetValidation& validation = (*it)->validation;
    bytes += static_cast<int64_t>(validation.ByteSizeLong());
    const bool full = ++count > store::DatasetStore::kMostValidations ||
                      (bytes > store::DatasetStore::kMostValidationBytes && count > 1);
    it = full && validation.state() != v1::DatasetValidation::RUNNING ? entries_.erase(it)
                                                                      : std::next(it);
  }
}

absl::StatusOr<v1::DatasetValidation> Validations::Start(const store::Dataset& dataset,
                                                         const std::string& path, int rows,
                                                         scheduler::WorkerCalls& calls) {
  HONE_ASSIGN_OR_RETURN(const std::optional<v1::DatasetValidation> known, FindKnown(dataset));
  if (known.has_value() && known->state() != v1::DatasetValidation::FAILED) {
    return WithRows(*known, rows);
  }
  auto entry = std::make_shared<Entry>();
  entry->dataset = dataset;
  entry->validation.set_dataset(DatasetName(dataset.name));
  entry->validation.set_state(v1::DatasetValidation::RUNNING);
  *entry->validation.mutable_start_time() = jobs::ToTimestamp(absl::Now());
  {
    const std::lock_guard lock(mutex_);
    const auto other = Find(dataset);
    if (other != nullptr && other->validation.state() != v1::DatasetValidation::FAILED) {
      return WithRows(other->validation, rows);  // somebody was faster
    }
    std::erase(entries_, other);
    entries_.push_front(entry);
  }
  Inspect(dataset.name, path, kRows, kMostTimeToRead, calls,
          [this, entry, &calls](absl::StatusOr<v1::DatasetReport> report) {
            if (report.ok() || !calls.stopping()) {
              Finish(entry, std::move(report));
            }
          });
  const std::lock_guard lock(mutex_);
  entry->starting = false;
  // Nobody comes back for what was refused at once.
  if (!entry->refused.ok()) {
    std::erase(entries_, entry);
    return entry->refused;
  }
  return WithRows(entry->validation, rows);
}

absl::StatusOr<v1::DatasetValidation> Validations::Get(const store::Dataset& dataset, int rows) {
  HONE_ASSIGN_OR_RETURN(const std::optional<v1::DatasetValidation> known, FindKnown(dataset));
  if (!known.has_value()) {
    return jobs::WithReason(absl::NotFoundError(absl::StrCat(
                                "there is no validation of ", DatasetName(dataset.name),
                                ": nobody has started one, or it is long ago, or the server ended "
                                "meanwhile; start with ValidateDataset")),
                            jobs::reason::kValidationNotFound);
  }
  return WithRows(*known, rows);
}

}  // namespace hone::server::datasets
