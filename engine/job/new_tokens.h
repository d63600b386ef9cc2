#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/params/parameter_store.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/parameter_rules.h"
#include "engine/tensor/tensor.h"

// Tokens that a job adds to those of an earlier model (tasks::PretrainedOptions::new_tokens), and
// the rows that stand for them in that model's tables.
namespace hone::engine::job {

struct Table {
  Shape shape;
  std::vector<float> values;
};

// What has been added.
class NewTokens {
 public:
  // Adds them to the model: to its tokenizer, with the ids behind the last, and where these are
  // more than its tables have rows, to `table_rows` of its preset. INVALID_ARGUMENT:
  // "model.pretrained.new_tokens: …" where the model has no tokenizer of a checkpoint, or is none
  // of the presets that have such tables; errors of text::WithNewTokens.
  static absl::StatusOr<NewTokens> Add(const std::vector<std::string>& tokens,
                                       tasks::ModelFile& model);

  // "the tokenizer has 2 new tokens, with the ids 40 to 41; the table of embeddings grew from 40
  // rows to 42", or that spare rows were enough.
  std::string Told() const;
  // A parameter that models::HasRowsOfTokens, as it was, with all rows that the model has now:
  // those of the new tokens begin as the mean of those that the tokenizer had, the others stay.
  // INVALID_ARGUMENT where it had another number of rows.
  absl::StatusOr<Table> WithRows(absl::string_view parameter, const Table& was) const;
  // Says so in config.json and tokenizer_config.json, where they are among the files that came
  // beside a checkpoint's weights.
  void Describe(std::map<std::string, std::string>& files) const;

 private:
  std::vector<std::string> tokens_;
  int64_t first_ = 0;             // their ids begin here: so many tokens there were
  int64_t rows_before_ = 0;       // of the tables
  int64_t rows_ = 0;              // never fewer
  bool output_has_rows_ = false;  // the last layer's weight is [rows, width], not [width, rows]
};

// INVALID_ARGUMENT names the rule that freezes one of the store's parameters that
// models::HasRowsOfTokens: rows of new tokens could not be learned.
absl::Status CheckTablesAreLearned(const std::vector<tasks::ParameterRule>& rules,
                                   const ParameterStore& store);

}  // namespace hone::engine::job
