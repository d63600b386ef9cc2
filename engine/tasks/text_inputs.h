#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/texts.h"
#include "engine/models/build.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/inputs.h"

// Texts as a program's inputs "tokens" and "offsets" (tensor/token_rows.h); the bucket of a batch
// is its planned count of rows.
namespace hone::engine::tasks {

// The job's field that cuts texts.
inline constexpr absl::string_view kMaxTokensField = "data.text.max_tokens";

// Of pairs "segments" is one of them.
std::vector<models::NamedValue> TextInputs(Graph& graph, const BatchShape& shape,
                                           bool pairs = false);

// Fills them with texts, one after another, whose tokens the program has room for: INTERNAL
// otherwise. Rows behind them are 0. Allocates nothing.
class TextFiller {
 public:
  // `separator` ends the texts of a pair (data::Texts::separator).
  static absl::StatusOr<TextFiller> Begin(const Inputs& inputs, int32_t separator = -1);
  absl::Status Add(std::span<const int32_t> tokens);
  // One of at most `most` tokens: `write` writes them into as much room and returns how many they
  // are.
  absl::Status Add(size_t most, absl::FunctionRef<int64_t(std::span<int32_t> room)> write);
  // When all texts of the batch were added.
  absl::Status Finish();

 private:
  TextFiller(std::span<int32_t> tokens, std::span<int32_t> offsets, std::span<int32_t> segments,
             int32_t separator)
      : tokens_(tokens), offsets_(offsets), segments_(segments), separator_(separator) {}

  std::span<int32_t> tokens_;
  std::span<int32_t> offsets_;
  std::span<int32_t> segments_;  // empty: nobody reads them
  int32_t separator_;
  size_t texts_ = 0;
};

// The model with a row for each token of the vocabulary in its tables of tokens, and two in those
// of segments. INVALID_ARGUMENT names a layer that asks for fewer tokens.
absl::StatusOr<models::ModelDescription> WithVocabulary(const models::ModelDescription& model,
                                                        const data::Preprocessing& preprocessing);

// OK where the model gives `rows` rows with a number for each token of the vocabulary; else
// INVALID_ARGUMENT, which calls what a row too few stands for `each`.
absl::Status CheckTokenLogits(const Graph& graph, const models::BuiltModel& model, int64_t rows,
                              int64_t vocabulary, absl::string_view each);

}  // namespace hone::engine::tasks
