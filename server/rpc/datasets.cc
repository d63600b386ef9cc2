#include "server/datasets/datasets.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/datasets/inspect.h"
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

void Inspect(const std::string& name, int rows, absl::Duration timeout, Deps& deps,
             Done<v1::DatasetReport> done) {
  const absl::StatusOr<std::string> id = datasets::DatasetId(name);
  if (!id.ok()) {
    return done(id.status());
  }
  const absl::StatusOr<std::string> path = deps.datasets.PathOf(*id);
  if (!path.ok()) {
    return done(path.status());
  }
  if (path->empty()) {
    return done(absl::NotFoundError(absl::StrCat("there is no data set ", name)));
  }
  datasets::Inspect(*id, *path, rows, timeout, deps.inspections, std::move(done));
}

}  // namespace

void BeginUpload(const v1::BeginUploadRequest& request, Deps& deps,
                 Done<v1::BeginUploadResponse> done) {
  OnExecutor<v1::BeginUploadResponse>(
      deps, done, [&deps, header = request.header()] { return deps.datasets.Begin(header); });
}

absl::StatusOr<v1::Dataset> GetDataset(const v1::GetDatasetRequest& request, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, datasets::DatasetId(request.name()));
  HONE_ASSIGN_OR_RETURN(const store::Dataset dataset, deps.store.datasets().Get(id));
  return datasets::ToProto(dataset);
}

absl::StatusOr<v1::ListDatasetsResponse> ListDatasets(const v1::ListDatasetsRequest& request,
                                                      Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const int limit, PageSize(request.page_size()));
  HONE_ASSIGN_OR_RETURN(const int64_t before, ParsePageToken(request.page_token()));
  HONE_ASSIGN_OR_RETURN(const store::Page<store::Dataset> page,
                        deps.store.datasets().List(limit, before));
  v1::ListDatasetsResponse response;
  for (const store::Dataset& dataset : page.items) {
    *response.add_datasets() = datasets::ToProto(dataset);
  }
  response.set_next_page_token(PageToken(page.next_row));
  return response;
}

void DeleteDataset(const v1::DeleteDatasetRequest& request, Deps& deps,
                   Done<v1::DeleteDatasetResponse> done) {
  OnExecutor<v1::DeleteDatasetResponse>(
      deps, done, [&deps, request]() -> absl::StatusOr<v1::DeleteDatasetResponse> {
        HONE_ASSIGN_OR_RETURN(const std::string id, datasets::DatasetId(request.name()));
        HONE_RETURN_IF_ERROR(deps.datasets.Delete(id, request.force()));
        return v1::DeleteDatasetResponse();
      });
}

void ValidateDataset(const v1::ValidateDatasetRequest& request, absl::Duration timeout, Deps& deps,
                     Done<v1::DatasetReport> done) {
  Inspect(request.name(), 0, timeout, deps, std::move(done));
}

void PreviewDataset(const v1::PreviewDatasetRequest& request, absl::Duration timeout, Deps& deps,
                    Done<v1::DatasetReport> done) {
  constexpr int kMostRows = 100;
  if (request.rows() < 0 || request.rows() > kMostRows) {
    return done(absl::InvalidArgumentError(
        absl::StrCat("rows: must be between 0 and ", kMostRows, ", got ", request.rows())));
  }
  Inspect(request.name(), request.rows() == 0 ? 5 : request.rows(), timeout, deps, std::move(done));
}

}  // namespace hone::server::rpc
