#pragma once

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

// What options.cc and schedule.cc share: one visitor of several lambdas, and the message about a
// field.
namespace hone::engine::optim {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

// `field` with what it is in: "optimizer.learning_rate".
inline absl::Status RejectField(absl::string_view field, absl::string_view rule, double got) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": must be ", rule, ", got ", got));
}

}  // namespace hone::engine::optim
