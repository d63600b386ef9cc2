#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/client.h"
#include "client/jobfile/local_paths.h"
#include "hone/v1/job.pb.h"
#include "hone/v1/model_service.pb.h"

namespace hone::client::cli {

// The folder on this machine that `model` names: a model's, or a run's with one; "": it is a name
// of the server's. NOT_FOUND: it is a path where nothing is. FAILED_PRECONDITION: a run without a
// model yet.
absl::StatusOr<std::string> FindModelFolder(const std::string& model);

// `models/<id>` of the server's model that a person names so: by that, by its id, or by its display
// name, of which the newest is meant. NOT_FOUND: there is none.
absl::StatusOr<std::string> FindServerModel(Client& client, const std::string& model);

// That model, with its layers.
absl::StatusOr<v1::Model> GetServerModel(Client& client, const std::string& model);

// As FindServerModel, for what cannot be undone: INVALID_ARGUMENT, with the names of all, where
// several models have that display name.
absl::StatusOr<std::string> FindOnlyServerModel(Client& client, const std::string& model);

// Puts `models/<id>` in the place of the names that the job gives its earlier model and its
// classifier. INVALID_ARGUMENT for a folder of this machine in one of their places. `before` is
// what stands before the job's own fields in an error: "job." in a sweep.
absl::Status NameModels(Client& client, const jobfile::LocalPaths& paths, absl::string_view before,
                        v1::JobSpec& spec);

}  // namespace hone::client::cli
