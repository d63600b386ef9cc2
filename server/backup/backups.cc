#include "server/backup/backups.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/artifacts/entries.h"
#include "server/backup/layout.h"
#include "server/backup/make.h"
#include "server/jobs/reason.h"
#include "server/jobs/validate.h"
#include "server/log/log.h"

namespace hone::server::backup {
namespace {

using metrics::Metric;

constexpr std::chrono::minutes kLookEvery(1);
// A scheduled one that failed is tried again after this.
constexpr absl::Duration kAgainAfter = absl::Hours(1);

google::protobuf::Timestamp Now() {
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(absl::Now()));
}

absl::Time TimeOf(const v1::Backup& backup) {
  return absl::FromUnixSeconds(backup.create_time().seconds());
}

std::string IdOfNow() {
  return absl::FormatTime("%Y%m%dT%H%M%SZ", absl::Now(), absl::UTCTimeZone());
}

}  // namespace

Backups::Backups(const Options& options, const artifacts::DataDirectory& directory,
                 metrics::Registry& registry)
    : options_(options), directory_(directory), registry_(registry) {
  for (const char* const outcome : {"succeeded", "failed"}) {
    registry_.Add(Metric::kBackups, {outcome}, 0);
  }
  registry_.Set(Metric::kBackupTime, {}, 0);
}

Backups::~Backups() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Backups::Start() {
  if (!options_.folder.empty()) {
    RemoveUnfinished(options_.folder);
    thread_ = std::thread([this] { Loop(); });
  }
}

std::vector<v1::Backup> Backups::WholeOnes() const {
  std::vector<v1::Backup> all;
  for (const std::string& name :
       artifacts::EntriesOf(options_.folder).value_or(std::vector<std::string>())) {
    if (jobs::IsDatasetName(name)) {
      absl::StatusOr<v1::Backup> header = ReadHeader(absl::StrCat(options_.folder, "/", name));
      if (header.ok()) {
        header->set_name(BackupName(name));  // also of one that was renamed
        all.push_back(*std::move(header));
      }
    }
  }
  std::ranges::sort(all, std::greater<>(), TimeOf);
  return all;
}

absl::StatusOr<v1::Backup> Backups::Begin(const std::string& id) {
  if (options_.folder.empty()) {
    return absl::FailedPreconditionError(
        "this server has no folder for backups; start it with --backup-dir");
  }
  const std::string wanted = id.empty() ? IdOfNow() : id;
  if (!jobs::IsDatasetName(wanted)) {
    return absl::InvalidArgumentError(
        "backup_id: must be 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-', the first not '.' or '-'");
  }
  if (ReadHeader(absl::StrCat(options_.folder, "/", wanted)).ok()) {
    return absl::AlreadyExistsError(absl::StrCat("there is a backup ", BackupName(wanted)));
  }
  const std::lock_guard lock(mutex_);
  if (stopping_) {
    return absl::UnavailableError("the server is shutting down");
  }
  if (now_.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat(now_->second.name(), " is under way; begin another one when it has ended"));
  }
  v1::Backup backup;
  backup.set_name(BackupName(wanted));
  backup.set_state(v1::Backup::RUNNING);
  backup.set_server_version(options_.server_version);
  *backup.mutable_create_time() = Now();
  now_.emplace(wanted, backup);
  wake_.notify_all();
  return backup;
}

absl::StatusOr<v1::Backup> Backups::Get(const std::string& id) const {
  {
    const std::lock_guard lock(mutex_);
    if (now_.has_value() && now_->first == id) {
      return now_->second;
    }
    if (failed_.has_value() && failed_->name() == BackupName(id)) {
      return *failed_;
    }
  }
  absl::StatusOr<v1::Backup> header =
      options_.folder.empty() ? absl::StatusOr<v1::Backup>(absl::NotFoundError("no folder"))
                              : ReadHeader(absl::StrCat(options_.folder, "/", id));
  if (absl::IsNotFound(header.status())) {
    return absl::NotFoundError(absl::StrCat("there is no backup ", BackupName(id)));
  }
  HONE_RETURN_IF_ERROR(header.status());
  header->set_name(BackupName(id));
  return header;
}

absl::StatusOr<std::vector<v1::Backup>> Backups::List() const {
  std::vector<v1::Backup> all;
  if (options_.folder.empty()) {
    return all;
  }
  HONE_RETURN_IF_ERROR(artifacts::EntriesOf(options_.folder).status());
  all = WholeOnes();
  const std::lock_guard lock(mutex_);
  if (failed_.has_value()) {
    all.insert(all.begin(), *failed_);
  }
  if (now_.has_value()) {
    all.insert(all.begin(), now_->second);
  }
  if (all.size() > kMostListed) {
    all.resize(kMostListed);
  }
  return all;
}

bool Backups::IsDue() const {
  if (options_.every == absl::InfiniteDuration() || SteadyNow() < not_before_) {
    return false;
  }
  const std::vector<v1::Backup> all = WholeOnes();
  // One of the future is of a clock that was wrong.
  return all.empty() || absl::Now() - TimeOf(all.front()) >= options_.every ||
         TimeOf(all.front()) > absl::Now() + kAgainAfter;
}

void Backups::Loop() {
  if (const std::vector<v1::Backup> all = WholeOnes(); !all.empty()) {
    registry_.Set(Metric::kBackupTime, {},
                  static_cast<double>(all.front().create_time().seconds()));
  }
  for (;;) {
    std::optional<std::pair<std::string, v1::Backup>> wanted;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) {
        return;
      }
      wanted = now_;
    }
    if (!wanted.has_value() && IsDue()) {
      not_before_ = SteadyNow() + std::min(kAgainAfter, options_.every);
      if (const auto begun = Begin(absl::StrCat("scheduled-", IdOfNow())); begun.ok()) {
        const std::lock_guard lock(mutex_);
        now_->second.set_scheduled(true);
        wanted = now_;
      }
    }
    if (wanted.has_value()) {
      Make(wanted->first, wanted->second);
      continue;
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kLookEvery, [this] { return stopping_ || now_.has_value(); });
  }
}

void Backups::Make(const std::string& id, v1::Backup backup) {
  const absl::Duration begin = SteadyNow();
  const MakeHooks hooks{.go_on =
                            [this](const Progress& progress) {
                              const std::lock_guard lock(mutex_);
                              now_->second.set_bytes(progress.bytes);
                              now_->second.set_bytes_done(progress.done);
                              return stopping_ ? absl::UnavailableError("the server was shut down")
                                               : absl::OkStatus();
                            },
                        .disk_floor_bytes = options_.disk_floor_bytes};
  const absl::StatusOr<v1::Backup> made =
      MakeBackup(directory_, options_.folder, id, backup, hooks);
  registry_.Add(Metric::kBackups, {made.ok() ? "succeeded" : "failed"}, 1);
  if (made.ok()) {
    registry_.Set(Metric::kBackupTime, {}, static_cast<double>(made->create_time().seconds()));
    log::Info("a backup was made", {{"backup", made->name()},
                                    {"files", made->files()},
                                    {"bytes", made->bytes()},
                                    {"seconds", absl::ToDoubleSeconds(SteadyNow() - begin)}});
  } else {
    log::Error("a backup was not made",
               {{"backup", backup.name()}, {"error", made.status().message()}});
    backup.set_state(v1::Backup::FAILED);
    backup.set_message(std::string(made.status().message()));
    *backup.mutable_end_time() = Now();
  }
  {
    const std::lock_guard lock(mutex_);
    now_.reset();
    if (made.ok()) {
      failed_.reset();
    } else {
      failed_ = std::move(backup);
    }
  }
  if (made.ok() && made->scheduled()) {
    RemoveOld();
  }
}

void Backups::RemoveOld() {
  int newer = 0;
  for (const v1::Backup& backup : WholeOnes()) {
    const absl::StatusOr<std::string> id = BackupId(backup.name());
    if (options_.keep > 0 && id.ok() && backup.scheduled() && ++newer > options_.keep) {
      const absl::Status removed = RemoveBackup(options_.folder, *id);
      log::Info("a scheduled backup beyond --backup-keep was removed",
                {{"backup", backup.name()}, {"error", removed.message()}});
    }
  }
}

}  // namespace hone::server::backup
