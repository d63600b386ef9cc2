#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
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

// Puts `models/<id>` in the place of a name that the job's `model.pretrained.model` gives.
absl::Status NamePretrained(Client& client, v1::JobSpec& spec);

}  // namespace hone::client::cli
