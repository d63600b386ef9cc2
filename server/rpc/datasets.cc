#include "server/datasets/datasets.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/jobs/reason.h"
#include "server/rpc/calls.h"
#include "server/rpc/page_token.h"

namespace hone::server::rpc {
namespace {

template <typename Reply>
void OnExecutor(Deps& deps, const Done<Reply>& done, std::function<absl::StatusOr<Reply>()> work) {
  if (!deps.datasets.executor().Submit([done, work = std::move(work)] { done(work()); })) {
    done(absl::ResourceExhaustedError("too many uploads at a time; try again"));
  }
}

// The data set that a validation is asked of.
absl::StatusOr<store::Dataset> Named(const std::string& project, const std::string& name, int rows,
                                     const Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, datasets::DatasetId(name));
  if (rows < 0 || rows > datasets::Validations::kRows) {
    return absl::InvalidArgumentError(
        absl::StrCat("rows: must be between 0 and ", datasets::Validations::kRows, ", got ", rows));
  }
  return deps.store.datasets().Get(project, id);
}

}  // namespace

void BeginUpload(const v1::BeginUploadRequest& request, const access::Caller& caller, Deps& deps,
                 Done<v1::BeginUploadResponse> done) {
  OnExecutor<v1::BeginUploadResponse>(deps, done,
                                      [&deps, header = request.header(), project = caller.project] {
                                        return deps.datasets.Begin(header, project);
                                      });
}

absl::StatusOr<v1::Dataset> GetDataset(const v1::GetDatasetRequest& request,
                                       const access::Caller& caller, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, datasets::DatasetId(request.name()));
  HONE_ASSIGN_OR_RETURN(const store::Dataset dataset,
                        deps.store.datasets().Get(caller.project, id));
  return datasets::ToProto(dataset);
}

absl::StatusOr<v1::ListDatasetsResponse> ListDatasets(const v1::ListDatasetsRequest& request,
                                                      const access::Caller& caller, Deps& deps) {
  store::ListDatasets what{
      .project = caller.project, .name_prefix = request.name_prefix(), .sha256 = request.sha256()};
  if (request.name_prefix().size() > 64 || request.sha256().size() > 64) {
    return absl::InvalidArgumentError(
        "name_prefix, sha256: must be at most 64 characters, as names and SHA-256s are");
  }
  HONE_ASSIGN_OR_RETURN(what.limit, PageSize(request.page_size()));
  HONE_ASSIGN_OR_RETURN(what.before_row, ParsePageToken(request.page_token()));
  for (const int number : request.formats()) {
    if (number < v1::Dataset::CSV || number > v1::Dataset::TEXT_GZ) {
      return absl::InvalidArgumentError(absl::StrCat("formats: unknown format number ", number));
    }
    what.formats.push_back(static_cast<v1::Dataset::Format>(number));
  }
  HONE_ASSIGN_OR_RETURN(const store::Page<store::Dataset> page, deps.store.datasets().List(what));
  v1::ListDatasetsResponse response;
  for (const store::Dataset& dataset : page.items) {
    *response.add_datasets() = datasets::ToProto(dataset);
  }
  response.set_next_page_token(PageToken(page.next_row));
  return response;
}

void DeleteDataset(const v1::DeleteDatasetRequest& request, const access::Caller& caller,
                   Deps& deps, Done<v1::DeleteDatasetResponse> done) {
  OnExecutor<v1::DeleteDatasetResponse>(
      deps, done,
      [&deps, request, project = caller.project]() -> absl::StatusOr<v1::DeleteDatasetResponse> {
        HONE_ASSIGN_OR_RETURN(const std::string id, datasets::DatasetId(request.name()));
        HONE_RETURN_IF_ERROR(deps.datasets.Delete(project, id, request.force()));
        return v1::DeleteDatasetResponse();
      });
}

absl::StatusOr<v1::DatasetValidation> ValidateDataset(const v1::ValidateDatasetRequest& request,
                                                      const access::Caller& caller, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const store::Dataset dataset,
                        Named(caller.project, request.name(), request.rows(), deps));
  HONE_ASSIGN_OR_RETURN(const std::string path,
                        deps.datasets.PathOf(dataset.project, dataset.name));
  if (path.empty()) {
    return jobs::WithReason(
        absl::NotFoundError(absl::StrCat("there is no data set ", request.name(), " any more")),
        jobs::reason::kDatasetNotFound);
  }
  return deps.validations.Start(dataset, path, request.rows(), deps.inspections);
}

absl::StatusOr<v1::DatasetValidation> GetDatasetValidation(
    const v1::GetDatasetValidationRequest& request, const access::Caller& caller, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const store::Dataset dataset,
                        Named(caller.project, request.name(), request.rows(), deps));
  return deps.validations.Get(dataset, request.rows());
}

}  // namespace hone::server::rpc
