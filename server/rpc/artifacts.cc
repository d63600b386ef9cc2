// What a job has left beside its model.
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "server/artifacts/job_artifacts.h"
#include "server/jobs/job.h"
#include "server/jobs/reason.h"
#include "server/rpc/calls.h"
#include "server/rpc/page_token.h"

namespace hone::server::rpc {
namespace {

constexpr char kPrefix[] = "path:";

absl::StatusOr<std::string> PathOfToken(const std::string& token) {
  std::string text;
  absl::string_view path;
  if (absl::WebSafeBase64Unescape(token, &text)) {
    path = text;
  }
  if (token.empty() || absl::ConsumePrefix(&path, kPrefix)) {
    return std::string(path);
  }
  return jobs::WithReason(
      absl::InvalidArgumentError(
          "page_token: must be the next_page_token of the previous answer, unchanged"),
      jobs::reason::kInvalidPageToken);
}

absl::StatusOr<v1::ListArtifactsResponse> List(const std::string& folder, const std::string& after,
                                               int limit) {
  HONE_ASSIGN_OR_RETURN(std::vector<v1::JobArtifact> found,
                        artifacts::ListArtifacts(folder, after, limit + 1));
  v1::ListArtifactsResponse response;
  const bool more = static_cast<int>(found.size()) > limit;
  found.resize(std::min(found.size(), static_cast<size_t>(limit)));
  if (more) {
    response.set_next_page_token(
        absl::WebSafeBase64Escape(absl::StrCat(kPrefix, found.back().path())));
  }
  response.mutable_artifacts()->Assign(found.begin(), found.end());
  return response;
}

}  // namespace

absl::StatusOr<std::string> ArtifactsFolder(const std::string& name, const Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, jobs::JobId(name));
  HONE_ASSIGN_OR_RETURN(const jobs::Job job, deps.store.Get(id));
  return deps.directory.ArtifactsDirectory(id, job.attempt);
}

void ListArtifacts(const v1::ListArtifactsRequest& request, Deps& deps,
                   Done<v1::ListArtifactsResponse> done) {
  const absl::StatusOr<int> limit = PageSize(request.page_size());
  const absl::StatusOr<std::string> after = PathOfToken(request.page_token());
  const absl::StatusOr<std::string> folder = ArtifactsFolder(request.name(), deps);
  for (const absl::Status& status : {folder.status(), limit.status(), after.status()}) {
    if (!status.ok()) {
      return done(status);
    }
  }
  if (!deps.reads.Submit([folder = *folder, after = *after, limit = *limit, done] {
        done(List(folder, after, limit));
      })) {
    done(absl::ResourceExhaustedError("too many files are being read; try again"));
  }
}

}  // namespace hone::server::rpc
