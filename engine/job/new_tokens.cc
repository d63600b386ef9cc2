#include "engine/job/new_tokens.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/models/presets.h"
#include "engine/text/pretrained_tokenizer.h"

namespace hone::engine::job {
namespace {

constexpr char kField[] = "model.pretrained.new_tokens";
constexpr absl::string_view kOutput = "output.weight";
// Those that take `table_rows`.
constexpr absl::string_view kPresets[] = {"gpt", "transformer_encoder"};
constexpr char kRows[] = "table_rows";

// The file's text where it is an object; else null.
nlohmann::ordered_json ObjectIn(const std::map<std::string, std::string>& files,
                                const std::string& name) {
  const auto file = files.find(name);
  nlohmann::ordered_json json =
      file == files.end()
          ? nlohmann::ordered_json()
          : nlohmann::ordered_json::parse(file->second, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : nlohmann::ordered_json();
}

}  // namespace

absl::StatusOr<NewTokens> NewTokens::Add(const std::vector<std::string>& tokens,
                                         tasks::ModelFile& model) {
  models::PresetDescription& preset = model.model.preset;
  std::optional<data::TextPreprocessing>& text = model.preprocessing.text;
  const auto* const tokenizer =
      text.has_value() ? dynamic_cast<const text::PretrainedTokenizer*>(text->tokenizer.get())
                       : nullptr;
  if (tokenizer == nullptr || std::ranges::find(kPresets, preset.name) == std::end(kPresets)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kField,
                     ": must be empty: the earlier model has no tokenizer that came with a "
                     "checkpoint of texts, which alone takes further tokens"));
  }
  absl::StatusOr<std::unique_ptr<const text::PretrainedTokenizer>> grown =
      text::WithNewTokens(*tokenizer, tokens);
  if (!grown.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(kField, grown.status().message()));
  }
  nlohmann::json options = nlohmann::json::parse(preset.options);
  NewTokens added;
  added.tokens_ = tokens;
  added.first_ = tokenizer->size();
  added.rows_before_ = std::max(options.value(kRows, int64_t{0}), added.first_);
  added.rows_ = std::max(added.rows_before_, (*grown)->size());
  added.output_has_rows_ = options.value("transposed", false);
  if (added.rows_ > added.rows_before_) {
    options[kRows] = added.rows_;
    preset.options = options.dump();
  }
  text->tokenizer = *std::move(grown);
  return added;
}

std::string NewTokens::Told() const {
  const auto count = std::ssize(tokens_);
  std::string told = count == 1
                         ? absl::StrCat("the tokenizer has a new token, with the id ", first_)
                         : absl::StrCat("the tokenizer has ", count, " new tokens, with the ids ",
                                        first_, " to ", first_ + count - 1);
  const int64_t spare = rows_before_ - first_;
  if (rows_ == rows_before_) {
    absl::StrAppend(&told, "; of the ", spare, " spare rows of the table of embeddings ", count,
                    count == 1 ? " is" : " are", " used");
  } else {
    absl::StrAppend(&told, spare == 0 ? "" : absl::StrCat("; its ", spare, " spare rows are used"),
                    "; the table of embeddings grew from ", rows_before_, " rows to ", rows_);
  }
  return told;
}

absl::StatusOr<Table> NewTokens::WithRows(absl::string_view parameter, const Table& was) const {
  // [width, rows] is a table of rows of one number for each of the width.
  const bool columns = parameter == kOutput && !output_has_rows_;
  const int axis = columns ? 1 : 0;
  if (was.shape.rank() <= axis || was.shape[axis] != rows_before_) {
    return absl::InvalidArgumentError(absl::StrCat(parameter, ": must have ", rows_before_,
                                                   " rows of tokens, got the shape ",
                                                   was.shape.ToString()));
  }
  Table is = {.shape = was.shape, .values = {}};
  is.shape[axis] = rows_;
  is.values.resize(static_cast<size_t>(is.shape.elements()));
  const int64_t tables = columns ? was.shape[0] : 1;
  const int64_t width = was.shape.elements() / rows_before_ / tables;
  std::vector<double> mean(static_cast<size_t>(width));
  for (int64_t table = 0; table < tables; ++table) {
    const float* const from = was.values.data() + table * rows_before_ * width;
    float* const to = is.values.data() + table * rows_ * width;
    std::copy_n(from, rows_before_ * width, to);
    std::ranges::fill(mean, 0.0);
    for (int64_t row = 0; row < first_; ++row) {
      for (int64_t i = 0; i < width; ++i) {
        mean[static_cast<size_t>(i)] += from[row * width + i];
      }
    }
    for (int64_t row = first_; row < first_ + std::ssize(tokens_); ++row) {
      std::ranges::transform(mean, to + row * width, [&](double sum) {
        return static_cast<float>(sum / static_cast<double>(first_));
      });
    }
  }
  return is;
}

void NewTokens::Describe(std::map<std::string, std::string>& files) const {
  const auto write = [&](const char* name, const nlohmann::ordered_json& json) {
    files[name] = json.dump(2) + "\n";
  };
  constexpr char kConfig[] = "config.json", kTokens[] = "tokenizer_config.json";
  if (nlohmann::ordered_json config = ObjectIn(files, kConfig);
      !config.is_null() && rows_ > rows_before_) {
    config["vocab_size"] = rows_;
    write(kConfig, config);
  }
  nlohmann::ordered_json of_tokens = ObjectIn(files, kTokens);
  constexpr char kAdded[] = "added_tokens_decoder";
  if (of_tokens.is_null() || !of_tokens.contains(kAdded) || !of_tokens[kAdded].is_object()) {
    return;  // tokenizer.json alone says which tokens there are
  }
  for (size_t i = 0; i < tokens_.size(); ++i) {
    of_tokens[kAdded][absl::StrCat(first_ + static_cast<int64_t>(i))] = {
        {"content", tokens_[i]}, {"lstrip", false},      {"normalized", true},
        {"rstrip", false},       {"single_word", false}, {"special", false}};
  }
  write(kTokens, of_tokens);
}

absl::Status CheckTablesAreLearned(const std::vector<tasks::ParameterRule>& rules,
                                   const ParameterStore& store) {
  for (ParameterId id = 0; id < store.size(); ++id) {
    const std::string& table = store.spec(id).name;
    if (!models::HasRowsOfTokens(table) || !tasks::Freezes(rules, table)) {
      continue;
    }
    const auto rule = std::find_if(rules.rbegin(), rules.rend(), [&](const auto& one) {
      return one.freeze.has_value() && tasks::RuleNames(one, table);
    });
    return absl::InvalidArgumentError(
        absl::StrCat(rule->field, " (", rule->parameters, "): must not freeze ", table,
                     ", in which the rows of model.pretrained.new_tokens are learned"));
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::job
