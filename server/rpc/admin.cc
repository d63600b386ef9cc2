#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/backup/layout.h"
#include "server/jobs/job.h"
#include "server/rpc/calls.h"
#include "server/rpc/page_token.h"

namespace hone::server::rpc {
namespace {

constexpr size_t kMostFilter = 256;

// A backup has what all projects have.
absl::Status CheckIsOfAll(const access::Caller& caller) {
  return !caller.is_bound || caller.role == access::Role::kAdmin
             ? absl::OkStatus()
             : absl::PermissionDeniedError(absl::StrCat("backups are of all projects, and ",
                                                        caller.name, " is of one, ", caller.project,
                                                        ": it needs a token made with --project "
                                                        "'*', or the role admin"));
}

v1::AuditEntry EntryToProto(const store::AuditEntry& entry) {
  v1::AuditEntry proto;
  proto.set_number(entry.row);
  *proto.mutable_time() = jobs::ToTimestamp(entry.time);
  proto.set_caller(entry.caller);
  proto.set_role(entry.role);
  proto.set_project(entry.project);
  proto.set_peer(entry.peer);
  proto.set_rpc(entry.rpc);
  proto.set_resource(entry.resource);
  proto.set_request_id(entry.request_id);
  proto.set_code(entry.code);
  return proto;
}

}  // namespace

absl::StatusOr<v1::Backup> CreateBackup(const v1::CreateBackupRequest& request,
                                        const access::Caller& caller, Deps& deps) {
  HONE_RETURN_IF_ERROR(CheckIsOfAll(caller));
  return deps.backups.Begin(request.backup_id());
}

absl::StatusOr<v1::Backup> GetBackup(const v1::GetBackupRequest& request,
                                     const access::Caller& caller, Deps& deps) {
  HONE_RETURN_IF_ERROR(CheckIsOfAll(caller));
  HONE_ASSIGN_OR_RETURN(const std::string id, backup::BackupId(request.name()));
  return deps.backups.Get(id);
}

absl::StatusOr<v1::ListBackupsResponse> ListBackups(const v1::ListBackupsRequest&,
                                                    const access::Caller& caller, Deps& deps) {
  HONE_RETURN_IF_ERROR(CheckIsOfAll(caller));
  HONE_ASSIGN_OR_RETURN(const std::vector<v1::Backup> all, deps.backups.List());
  v1::ListBackupsResponse response;
  for (const v1::Backup& one : all) {
    *response.add_backups() = one;
  }
  return response;
}

absl::StatusOr<v1::ListAuditEntriesResponse> ListAuditEntries(
    const v1::ListAuditEntriesRequest& request, const access::Caller&, Deps& deps) {
  store::ListAudit what{.caller = request.caller(), .resource = request.resource()};
  for (const auto& [field, text] :
       {std::pair("caller", &what.caller), std::pair("resource", &what.resource)}) {
    if (text->size() > kMostFilter) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": must have at most ", kMostFilter, " bytes"));
    }
  }
  if (request.has_since()) {
    // Before 1970 there is nothing, and after 2262 no nanoseconds.
    what.since = absl::FromUnixSeconds(
        std::clamp<int64_t>(request.since().seconds(), 0, int64_t{9'000'000'000}));
  }
  HONE_ASSIGN_OR_RETURN(what.limit, PageSize(request.page_size()));
  HONE_ASSIGN_OR_RETURN(what.before_row, ParsePageToken(request.page_token()));
  HONE_ASSIGN_OR_RETURN(const store::Page<store::AuditEntry> page, deps.store.audit().List(what));
  v1::ListAuditEntriesResponse response;
  for (const store::AuditEntry& entry : page.items) {
    *response.add_entries() = EntryToProto(entry);
  }
  response.set_next_page_token(PageToken(page.next_row));
  return response;
}

}  // namespace hone::server::rpc
