#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/dataset_store.h"
#include "server/store/project_store.h"
#include "server/store/sqlite.h"

namespace hone::server::store {

// Writes on `writer` and asks `projects`, which outlive it; reads on connections of its own to the
// same file.
absl::StatusOr<std::unique_ptr<DatasetStore>> OpenSqliteDatasets(sqlite3* writer,
                                                                 ProjectStore& projects,
                                                                 const std::string& path);

}  // namespace hone::server::store
