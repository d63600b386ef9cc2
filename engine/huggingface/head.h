#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hone::engine::huggingface {

// What config.json says of the head "classifier" that a checkpoint brings.
struct Head {
  enum class Kind {
    kClasses,         // of each text one class
    kSeveralClasses,  // `problem_type` "multi_label_classification"
    kValues,          // `problem_type` "regression"
    kTags,            // `architectures` has one ForTokenClassification
  };
  Kind kind = Kind::kClasses;
  std::vector<std::string>
      names;           // of its outputs, as `id2label` has them, else LABEL_0, LABEL_1, …
  bool named = false;  // `id2label` says them, and others than LABEL_0, …
};

// Of a head with so many outputs. What an adapter (adapter.h) brings says its names and kind before
// its base does: `id2label` of its adapter_config.json, then `id2label` and `problem_type` of a
// config.json beside it, then those of its base's; names of another number of outputs are not the
// head's, but in adapter_config.json, where they are an error. Its `task_type` TOKEN_CLS, or
// another one, says whether the head is of tokens.
//
// INVALID_ARGUMENT where `id2label` is no object that gives a string for each number from 0 on; of
// a name that is there twice; or where it has names for another number of outputs. Errors of
// ReadFile and BaseOf.
absl::StatusOr<Head> ReadHead(const std::string& directory, int64_t outputs);

}  // namespace hone::engine::huggingface
