#pragma once

#include <sqlite3.h>

#include "absl/status/status.h"

namespace hone::server::store {

// Lets this connection's SQL look into messages:
//   model_score(model)        its test accuracy, else how small its test loss is; NULL: neither
//   model_text(model, field)  a text of hone.v1.Model
//   resolved_spec(spec)       jobs::Resolve
// A message that cannot be parsed gives NULL, '' and an empty one.
absl::Status RegisterFunctions(sqlite3* connection);

}  // namespace hone::server::store
