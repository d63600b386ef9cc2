#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/huggingface/config.h"

namespace hone::engine::huggingface {

// The values of a model, by the names and in the shapes of our parameters.
class ModelValues {
 public:
  virtual ~ModelValues() = default;

  virtual const std::vector<std::string>& names() const = 0;
  // The name is one of those; so in all below.
  virtual const Shape& shape(absl::string_view name) const = 0;
  // What its numbers are written as: F32, BF16 or F16.
  virtual checkpoint::FileDType dtype(absl::string_view name) const = 0;
  // As floats; out.size() == shape(name).elements().
  virtual absl::Status Read(absl::string_view name, std::span<float> out) const = 0;
  // Of a model that is a checkpoint itself: what the tensor is called there, and all of that, of
  // which the parameter may be a part. As they stand here: it is none.
  virtual std::string TheirName(absl::string_view) const { return ""; }
  virtual absl::Status ReadTheirs(absl::string_view name, std::span<float> out) const;
};

// What a model gives beside the rows of its last block.
enum class WrittenHead {
  kNone,            // nothing
  kClassification,  // numbers for each text
  kTokenClasses,    // numbers for each token
  kMaskedTokens,    // which token stands at a place
  kNextToken,       // which token comes next
};

// The module stands beside the model, so that its name has no prefix: "classifier", "lm_head".
bool IsOfHead(absl::string_view theirs);

// The class of transformers that such a checkpoint is one of: "BertForSequenceClassification".
// UNIMPLEMENTED: no class of the family has that head.
absl::StatusOr<std::string> ArchitectureOf(const Family& family, WrittenHead head);

// Writes all values into one file of safetensors, by the names of the family: those that a
// checkpoint's tensors had where they come from one. Rows of places that no token has here are
// those of the checkpoint, else zeros. INVALID_ARGUMENT names values that the family has no tensor
// for, such as those of adapters that are not merged, or a shape that does not fit; UNIMPLEMENTED
// for more than 5 GB, which transformers wants in several files.
absl::StatusOr<checkpoint::WrittenFile> WriteTensors(const Config& config,
                                                     const ModelValues& values,
                                                     const std::string& path);

}  // namespace hone::engine::huggingface
