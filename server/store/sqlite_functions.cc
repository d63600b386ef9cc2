#include "server/store/sqlite_functions.h"

#include <string>
#include <utility>

#include "engine/base/status.h"
#include "hone/v1/model_service.pb.h"
#include "server/jobs/resolve.h"
#include "server/store/sqlite.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {
namespace {

template <typename Message>
bool Parse(sqlite3_value* value, Message& message) {
  const void* const bytes = sqlite3_value_blob(value);
  const int size = sqlite3_value_bytes(value);
  return size == 0 || (bytes != nullptr && message.ParseFromArray(bytes, size));
}

void ModelScore(sqlite3_context* context, int, sqlite3_value** arguments) {
  v1::Model model;
  if (!Parse(arguments[0], model)) {
    return sqlite3_result_null(context);
  }
  const auto& metrics = model.evaluation().metrics();
  if (const auto accuracy = metrics.find("test_accuracy"); accuracy != metrics.end()) {
    sqlite3_result_double(context, accuracy->second);
  } else if (const auto loss = metrics.find("test_loss"); loss != metrics.end()) {
    sqlite3_result_double(context, -loss->second);
  } else {
    sqlite3_result_null(context);
  }
}

void ModelText(sqlite3_context* context, int, sqlite3_value** arguments) {
  v1::Model model;
  const std::string name(reinterpret_cast<const char*>(sqlite3_value_text(arguments[1])));
  const auto* const field = v1::Model::descriptor()->FindFieldByName(name);
  const std::string text = Parse(arguments[0], model) && field != nullptr
                               ? v1::Model::GetReflection()->GetString(model, field)
                               : "";
  sqlite3_result_text(context, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
}

void PlanMemory(sqlite3_context* context, int, sqlite3_value** arguments) {
  v1::Plan plan;
  sqlite3_result_int64(context, Parse(arguments[0], plan) ? plan.peak_memory_bytes() : 0);
}

void ResolvedSpec(sqlite3_context* context, int, sqlite3_value** arguments) {
  v1::JobSpec spec;
  std::string bytes;
  if (Parse(arguments[0], spec)) {
    bytes = Serialize(jobs::Resolve(spec));
  }
  sqlite3_result_blob(context, bytes.data(), static_cast<int>(bytes.size()), SQLITE_TRANSIENT);
}

}  // namespace

absl::Status RegisterFunctions(sqlite3* connection) {
  using Function = void (*)(sqlite3_context*, int, sqlite3_value**);
  struct Named {
    const char* name;
    int arguments;
    Function function;
  };
  for (const Named& named :
       {Named{"model_score", 1, &ModelScore}, Named{"model_text", 2, &ModelText},
        Named{"plan_memory", 1, &PlanMemory}, Named{"resolved_spec", 1, &ResolvedSpec}}) {
    const int made = sqlite3_create_function(connection, named.name, named.arguments,
                                             SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr,
                                             named.function, nullptr, nullptr);
    if (made != SQLITE_OK) {
      return SqliteStatus(made, named.name, sqlite3_errmsg(connection));
    }
  }
  return absl::OkStatus();
}

}  // namespace hone::server::store
