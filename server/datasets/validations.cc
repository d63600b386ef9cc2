#include "server/datasets/validations.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/datasets/datasets.h"
#include "server/datasets/inspect.h"
#include "server/jobs/job.h"
#include "server/jobs/reason.h"

namespace hone::server::datasets {
namespace {

constexpr absl::Duration kMostTimeToRead = absl::Hours(1);
constexpr size_t kMostEntries = 256;
constexpr int64_t kMostBytes = 16 << 20;

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

std::string Validations::KeyOf(const store::Dataset& dataset) {
  return absl::StrCat(dataset.name, "/", dataset.bytes.sha256);
}

std::shared_ptr<Validations::Entry> Validations::Find(const std::string& key) const {
  const auto found = std::ranges::find(entries_, key, [](const auto& entry) { return entry->key; });
  return found == entries_.end() ? nullptr : *found;
}

void Validations::Finish(Entry& entry, absl::StatusOr<v1::DatasetReport> report) {
  v1::DatasetValidation& validation = entry.validation;
  *validation.mutable_end_time() = jobs::ToTimestamp(absl::Now());
  if (report.ok()) {
    validation.set_state(v1::DatasetValidation::DONE);
    *validation.mutable_report() = *std::move(report);
  } else {
    validation.set_state(v1::DatasetValidation::FAILED);
    validation.set_message(std::string(report.status().message()));
    entry.refused = report.status();
  }
  MakeRoom();
}

// The oldest reports go; what is still being read stays, its number is bounded by WorkerCalls.
void Validations::MakeRoom() {
  int64_t bytes = 0;
  size_t count = 0;
  for (auto it = entries_.begin(); it != entries_.end();) {
    const v1::DatasetValidation& validation = (*it)->validation;
    bytes += static_cast<int64_t>(validation.ByteSizeLong());
    const bool full = ++count > kMostEntries || (bytes > kMostBytes && count > 1);
    it = full && validation.state() != v1::DatasetValidation::RUNNING ? entries_.erase(it)
                                                                      : std::next(it);
  }
}

absl::StatusOr<v1::DatasetValidation> Validations::Start(const store::Dataset& dataset,
                                                         const std::string& path, int rows,
                                                         scheduler::WorkerCalls& calls) {
  const std::string key = KeyOf(dataset);
  auto entry = std::make_shared<Entry>();
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = Find(key); known != nullptr) {
      if (known->validation.state() != v1::DatasetValidation::FAILED) {
        return WithRows(known->validation, rows);
      }
      std::erase(entries_, known);
    }
    entry->key = key;
    entry->validation.set_dataset(DatasetName(dataset.name));
    entry->validation.set_state(v1::DatasetValidation::RUNNING);
    *entry->validation.mutable_start_time() = jobs::ToTimestamp(absl::Now());
    entries_.push_front(entry);
  }
  Inspect(dataset.name, path, kRows, kMostTimeToRead, calls,
          [this, entry](absl::StatusOr<v1::DatasetReport> report) {
            const std::lock_guard lock(mutex_);
            Finish(*entry, std::move(report));
          });
  const std::lock_guard lock(mutex_);
  // Nobody comes back for what was refused at once.
  if (absl::IsResourceExhausted(entry->refused)) {
    std::erase(entries_, entry);
    return entry->refused;
  }
  return WithRows(entry->validation, rows);
}

absl::StatusOr<v1::DatasetValidation> Validations::Get(const store::Dataset& dataset, int rows) {
  const std::lock_guard lock(mutex_);
  const auto entry = Find(KeyOf(dataset));
  if (entry == nullptr) {
    return jobs::WithReason(
        absl::NotFoundError(absl::StrCat("nobody has had ", DatasetName(dataset.name),
                                         " validated since the server was started; start with "
                                         "ValidateDataset")),
        jobs::reason::kValidationNotFound);
  }
  return WithRows(entry->validation, rows);
}

}  // namespace hone::server::datasets
