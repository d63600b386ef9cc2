#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/jobs/job.h"
#include "server/rpc/calls.h"
#include "server/rpc/page_token.h"

namespace hone::server::rpc {
namespace {

constexpr int kMaxInputs = 256;

absl::Status CheckInputs(const v1::PredictRequest& request) {
  if (request.inputs_size() < 1 || request.inputs_size() > kMaxInputs) {
    return absl::InvalidArgumentError(
        absl::StrCat("inputs: must be 1 to ", kMaxInputs, ", got ", request.inputs_size()));
  }
  for (int i = 0; i < request.inputs_size(); ++i) {
    if (request.inputs(i).kind_case() == v1::PredictInput::KIND_NOT_SET) {
      return absl::InvalidArgumentError(absl::StrCat(
          "inputs[", i,
          "]: must be an image, a record, a user, a drawing, a maze, a text, a pair of texts, a "
          "series or a writing"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::ListModelsResponse> ListModels(const v1::ListModelsRequest& request,
                                                  const access::Caller& caller, Deps& deps) {
  store::ListModels what{
      .project = caller.project, .display_name = request.display_name(), .task = request.task()};
  HONE_ASSIGN_OR_RETURN(what.limit, PageSize(request.page_size()));
  HONE_ASSIGN_OR_RETURN(what.before_row, ParsePageToken(request.page_token()));
  HONE_RETURN_IF_ERROR(jobs::CheckTaskName(request.task()));
  if (!request.job().empty()) {
    HONE_ASSIGN_OR_RETURN(what.job_id, jobs::JobId(request.job()));
  }
  if (request.has_pinned()) {
    what.pinned = request.pinned();
  }
  HONE_ASSIGN_OR_RETURN(store::Page<v1::Model> page, deps.store.ListModels(what));
  v1::ListModelsResponse response;
  for (v1::Model& model : page.items) {
    *response.add_models() = std::move(model);
  }
  response.set_next_page_token(PageToken(page.next_row));
  return response;
}

absl::StatusOr<v1::Model> GetModel(const v1::GetModelRequest& request, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(request.name()));
  return deps.store.GetModel(id);
}

void DeleteModel(const v1::DeleteModelRequest& request, Deps& deps,
                 Done<v1::DeleteModelResponse> done) {
  const absl::StatusOr<std::string> id = jobs::ModelId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  deps.writer.Submit<std::string>(
      [id = *id](store::JobStore& store) -> absl::StatusOr<std::string> {
        HONE_RETURN_IF_ERROR(store.DeleteModel(id));
        return id;
      },
      [&deps, done = std::move(done)](absl::StatusOr<std::string> deleted) {
        if (!deleted.ok()) {
          return done(deleted.status());
        }
        deps.predictors.Drop(*deleted);
        deps.remover.Wake();
        done(v1::DeleteModelResponse());
      });
}

void ImportModel(const v1::ImportModelRequest& request, const access::Caller& caller, Deps& deps,
                 Done<v1::Model> done) {
  // It looks through models first.
  const bool taken = deps.lists.Submit([&deps, request, project = caller.project, done] {
    deps.imports.Import(request, project, done);
  });
  if (!taken) {
    done(absl::ResourceExhaustedError("too many calls of this kind at a time; try again"));
  }
}

void Predict(const v1::PredictRequest& request, absl::Duration timeout, Deps& deps,
             Done<v1::PredictResponse> done) {
  const absl::StatusOr<std::string> id = jobs::ModelId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  const absl::StatusOr<v1::Model> model = deps.store.GetModel(*id);
  if (!model.ok()) {
    return done(model.status());
  }
  if (const absl::Status status = CheckInputs(request); !status.ok()) {
    return done(status);
  }
  deps.predictors.Predict(*model, request, timeout, std::move(done));
}

}  // namespace hone::server::rpc
