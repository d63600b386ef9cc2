#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Leaves the function with the status of `expr` unless it is OK.
#define HONE_RETURN_IF_ERROR(expr)                                \
  do {                                                            \
    if (::absl::Status hone_status = (expr); !hone_status.ok()) { \
      return hone_status;                                         \
    }                                                             \
  } while (false)

#define HONE_CONCAT_INNER_(a, b) a##b
#define HONE_CONCAT_(a, b) HONE_CONCAT_INNER_(a, b)

// HONE_ASSIGN_OR_RETURN(const File file, Open(path)): the value of a StatusOr, or leaves with its
// status.
#define HONE_ASSIGN_OR_RETURN(declaration, expr) \
  HONE_ASSIGN_OR_RETURN_(HONE_CONCAT_(hone_status_or_, __LINE__), declaration, expr)
#define HONE_ASSIGN_OR_RETURN_(status_or, declaration, expr) \
  auto status_or = (expr);                                   \
  if (!status_or.ok()) {                                     \
    return std::move(status_or).status();                    \
  }                                                          \
  declaration = std::move(status_or).value()

namespace hone {

// The same code and payloads with `context: ` put before the message: where it happened.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

}  // namespace hone
