// What a server is kept by: `hone admin` and `hone audit`.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/text.h"
#include "client/cli/write_text.h"

namespace hone::client::cli {
namespace {

constexpr absl::Duration kAskEvery = absl::Milliseconds(500);

std::string BackupTime(const google::protobuf::Timestamp& time) {
  return time.seconds() == 0
             ? ""
             : absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(time.seconds()),
                                absl::LocalTimeZone());
}

std::string Megabytes(int64_t bytes) {
  return absl::StrFormat("%.1f MB", static_cast<double>(bytes) / 1e6);
}

int ShowBackup(const v1::Backup& backup, const Globals& globals) {
  if (globals.json) {
    PrintJsonLine(backup);
  } else if (backup.state() == v1::Backup::SUCCEEDED) {
    std::printf("%s is whole: %lld files, %s\n", backup.name().c_str(),
                static_cast<long long>(backup.files()), Megabytes(backup.bytes()).c_str());
  } else {
    std::fprintf(stderr, "hone: %s was not made: %s\n", backup.name().c_str(),
                 backup.message().c_str());
  }
  return backup.state() == v1::Backup::SUCCEEDED ? kSuccess : kJobFailed;
}

// Begins one and says how far it is until it is whole.
int MakeBackup(const std::string& id, bool wait, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  v1::CreateBackupRequest request;
  request.set_backup_id(id);
  absl::StatusOr<v1::Backup> backup = client->CreateBackup(request);
  if (!backup.ok()) {
    return Fail(backup.status(), globals);
  }
  if (!wait) {
    globals.json ? PrintJsonLine(*backup)
                 : static_cast<void>(std::printf("%s has begun\n", backup->name().c_str()));
    return kSuccess;
  }
  const std::string name = backup->name();
  int64_t told = -1;
  while (backup.ok() && backup->state() == v1::Backup::RUNNING) {
    if (!globals.json && backup->bytes_done() / 1'000'000 != told) {
      told = backup->bytes_done() / 1'000'000;
      std::fprintf(stderr, "%s: %s of %s\n", name.c_str(), Megabytes(backup->bytes_done()).c_str(),
                   Megabytes(backup->bytes()).c_str());
    }
    client->Wait(kAskEvery);
    backup = client->GetBackup(name);
  }
  return backup.ok() ? ShowBackup(*backup, globals) : Fail(backup.status(), globals);
}

int ListBackups(const Globals& globals) {
  const absl::StatusOr<v1::ListBackupsResponse> all = globals.Connect()->ListBackups();
  if (!all.ok()) {
    return Fail(all.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*all);
    return kSuccess;
  }
  if (all->backups().empty()) {
    std::printf("no backups\n");
    return kSuccess;
  }
  std::vector<std::vector<std::string>> rows = {
      {"backup", "state", "of", ">files", ">size", "what went wrong"}};
  for (const v1::Backup& backup : all->backups()) {
    rows.push_back({backup.name(), absl::AsciiStrToLower(v1::Backup::State_Name(backup.state())),
                    BackupTime(backup.create_time()), absl::StrCat(">", backup.files()),
                    absl::StrCat(">", Megabytes(backup.bytes())), backup.message()});
  }
  PrintLines(Table(rows));
  return kSuccess;
}

struct AuditOptions {
  std::string since, caller, resource;
  int limit = 50;
};

// A time ago, such as 24h, or a time of day in the form of RFC 3339.
std::string CheckSince(const std::string& text) {
  absl::Duration ago;
  absl::Time time;
  std::string error;
  return absl::ParseDuration(text, &ago) || absl::ParseTime(absl::RFC3339_full, text, &time, &error)
             ? ""
             : "must be a time ago such as 24h, or a time such as 2026-01-31T12:00:00Z";
}

int ListAudit(const AuditOptions& options, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  v1::ListAuditEntriesRequest request;
  request.set_caller(options.caller);
  request.set_resource(options.resource);
  if (!options.since.empty()) {
    absl::Duration ago;
    absl::Time time;
    std::string error;
    if (absl::ParseDuration(options.since, &ago)) {
      time = absl::Now() - ago;
    } else {
      absl::ParseTime(absl::RFC3339_full, options.since, &time, &error);
    }
    request.mutable_since()->set_seconds(absl::ToUnixSeconds(time));
  }
  v1::ListAuditEntriesResponse all;
  do {
    request.set_page_size(std::min(options.limit - all.entries_size(), 1000));
    const absl::StatusOr<v1::ListAuditEntriesResponse> page = client->ListAuditEntries(request);
    if (!page.ok()) {
      return Fail(page.status(), globals);
    }
    all.mutable_entries()->MergeFrom(page->entries());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && all.entries_size() < options.limit);
  all.set_next_page_token(request.page_token());
  if (globals.json) {
    PrintJsonLine(all);
    return kSuccess;
  }
  std::vector<std::vector<std::string>> rows = {
      {"time", "caller", "role", "call", "of", "answer", "from"}};
  for (const v1::AuditEntry& entry : all.entries()) {
    rows.push_back({BackupTime(entry.time()), entry.caller().empty() ? "-" : entry.caller(),
                    entry.role(), entry.rpc(), entry.resource(), entry.code(), entry.peer()});
  }
  if (all.entries().empty()) {
    std::printf("no entries\n");
  } else {
    PrintLines(Table(rows));
  }
  return kSuccess;
}

}  // namespace

void AddAdmin(CLI::App& app, Globals& globals) {
  CLI::App* admin = app.add_subcommand("admin", "Backups of the server.");
  admin->require_subcommand(1);
  admin->fallthrough();
  const auto id = std::make_shared<std::string>();
  const auto no_wait = std::make_shared<bool>(false);
  CLI::App* backup = AddCommand(
      *admin, globals, "backup",
      "Make a backup in the server's --backup-dir while it goes on, and wait until it is whole.",
      [id, no_wait, &globals] { return MakeBackup(*id, !*no_wait, globals); });
  backup->add_option("NAME", *id, "what it is called; default: the time");
  backup->add_flag("--no-wait", *no_wait, "only begin it");
  AddCommand(*admin, globals, "backups", "The backups there are, the newest first.",
             [&globals] { return ListBackups(globals); });
}

void AddAudit(CLI::App& app, Globals& globals) {
  CLI::App* audit = app.add_subcommand("audit", "Who did what on the server.");
  audit->require_subcommand(1);
  audit->fallthrough();
  const auto options = std::make_shared<AuditOptions>();
  CLI::App* list = AddCommand(*audit, globals, "list",
                              "Calls that changed something or were refused, the newest first.",
                              [options, &globals] { return ListAudit(*options, globals); });
  list->add_option("--since", options->since, "a time ago such as 24h, or a time")
      ->check(CheckSince);
  list->add_option("--caller", options->caller, "only of this caller: owner, token:NAME, …");
  list->add_option("--resource", options->resource, "only of this: jobs/ID, tokens/NAME, …");
  list->add_option("--limit", options->limit, "at most so many")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
}

}  // namespace hone::client::cli
