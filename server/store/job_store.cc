#include "server/store/job_store.h"

#include "absl/strings/str_cat.h"
#include "server/jobs/reason.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {

absl::Status CheckSameRequest(const jobs::Job& known, const std::string& request_id,
                              const v1::JobSpec& spec, const std::string& request) {
  const bool same = Serialize(known.spec) == Serialize(spec) &&
                    (known.request.empty() || known.request == request);
  return same ? absl::OkStatus()
              : jobs::WithReason(absl::AlreadyExistsError(absl::StrCat("request_id: \"", request_id,
                                                                       "\" made jobs/", known.id,
                                                                       " from another request")),
                                 jobs::reason::kRequestIdReused);
}

}  // namespace hone::server::store
