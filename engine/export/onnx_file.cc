#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/export/formats.h"
#include "engine/export/forward.h"
#include "engine/export/onnx_evaluate.h"
#include "engine/export/onnx_graph.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::exports {
namespace {

constexpr char kFile[] = "model.onnx";
constexpr tasks::BatchShape kShape = {.batch = 2, .bucket = 16};

// Encoders that know which of two texts a token is of are asked for it in ONNX, pairs or not, as
// everybody's tokenizers tell it.
tasks::ModelFile WithSegments(tasks::ModelFile file) {
  const bool of_text = std::holds_alternative<tasks::ClassificationOptions>(file.task) ||
                       std::holds_alternative<tasks::RegressionOptions>(file.task);
  if (!of_text || file.model.preset.name != "transformer_encoder") {
    return file;
  }
  const auto options = nlohmann::json::parse(file.model.preset.options);
  std::vector<std::string>& inputs = file.model.inputs;
  if (options.value("token_types", int64_t{0}) > 1 &&
      std::ranges::find(inputs, kSegmentsInput) == inputs.end()) {
    inputs.emplace_back(kSegmentsInput);
    file.preprocessing.text->pairs = true;
  }
  return file;
}

// The questions as ONNX's inputs: texts in a rectangle, padded with token 0.
std::map<std::string, OnnxArray> Inputs(const Questions& questions, const onnx::Graph& graph) {
  std::map<std::string, OnnxArray> inputs;
  size_t longest = 0;
  for (const Questions::Text& text : questions.texts) {
    longest = std::max(longest, text.tokens.size());
  }
  for (const onnx::ValueInfo& info : graph.input()) {
    OnnxArray array;
    if (info.name() == "pixels" || info.name() == "features") {
      for (const onnx::Dimension& dim : info.type().tensor_type().shape().dim()) {
        array.dims.push_back(array.dims.empty() ? questions.rows : dim.dim_value());
      }
      array.is_float = info.name() == "features";
      if (array.is_float) {
        array.floats = questions.features;
      } else {
        array.wholes.assign(questions.features.begin(), questions.features.end());
      }
    } else {
      array.is_float = false;
      array.dims = {questions.rows, static_cast<int64_t>(longest)};
      for (const Questions::Text& text : questions.texts) {
        for (size_t i = 0; i < longest; ++i) {
          const bool there = i < text.tokens.size();
          array.wholes.push_back(!there                            ? 0
                                 : info.name() == "attention_mask" ? 1
                                 : info.name() == "token_type_ids" ? text.segments[i]
                                                                   : text.tokens[i]);
        }
      }
    }
    inputs.emplace(info.name(), std::move(array));
  }
  return inputs;
}

// The rows that were asked for, where there is one for each token.
std::vector<float> Asked(const OnnxArray& logits, const Questions& questions) {
  if (questions.texts.empty() || logits.dims.size() < 3) {
    return logits.floats;
  }
  const int64_t length = logits.dims[1], width = logits.elements() / (logits.dims[0] * length);
  std::vector<float> rows;
  for (size_t i = 0; i < questions.texts.size(); ++i) {
    const int64_t row = static_cast<int64_t>(i) * length + questions.texts[i].asked;
    const auto begin = logits.floats.begin() + row * width;
    rows.insert(rows.end(), begin, begin + width);
  }
  return rows;
}

void AddProperties(const tasks::ModelFile& file, onnx::Model& model) {
  const auto add = [&](const char* key, std::string value) {
    onnx::Entry& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(std::move(value));
  };
  add("name", file.display_name);
  if (!file.preprocessing.class_names.empty()) {
    add("classes", nlohmann::json(file.preprocessing.class_names).dump());
  }
  if (!file.preprocessing.target_names.empty()) {
    add("targets", nlohmann::json(file.preprocessing.target_names).dump());
    add("target_mean", nlohmann::json(file.preprocessing.target_mean).dump());
    add("target_std", nlohmann::json(file.preprocessing.target_std).dump());
  }
}

}  // namespace

absl::StatusOr<ExportReport> ExportOnnx(const ExportOptions& options, const Source& source) {
  const tasks::ModelFile file = WithSegments(source.file());
  HONE_ASSIGN_OR_RETURN(const Questions questions, MakeQuestions(source.file()));
  HONE_ASSIGN_OR_RETURN(const tasks::TaskGraph forward, BuildForward(file, kShape));
  ExportReport report;
  {
    onnx::Model model;
    const absl::Status converted =
        ToOnnx(*forward.built.graph, forward.model.output, source.values(), model);
    HONE_RETURN_IF_ERROR(Annotate(converted, "format onnx"));
    AddProperties(file, model);
    std::string bytes;
    if (!model.SerializeToString(&bytes)) {
      return absl::UnimplementedError("format onnx: the model has more than 2 GB");
    }
    HONE_RETURN_IF_ERROR(WriteInto(options, kFile, bytes, report));
  }
  HONE_RETURN_IF_ERROR(WriteTokenizer(options, source, report));
  HONE_RETURN_IF_ERROR(WriteInto(options, "preprocessing.json",
                                 source.file().preprocessing.ToJson().dump(2) + "\n", report));
  HONE_ASSIGN_OR_RETURN(const std::vector<float> wanted, Answers(file, source.values(), questions));
  HONE_ASSIGN_OR_RETURN(const std::string read,
                        ReadFile(absl::StrCat(options.directory, "/", kFile)));
  onnx::Model again;
  if (!again.ParseFromString(read)) {
    return absl::DataLossError(absl::StrCat(kFile, ": cannot be read again"));
  }
  std::map<std::string, OnnxArray> inputs = Inputs(questions, again.graph());
  const absl::StatusOr<OnnxArray> logits =
      EvaluateOnnx(std::move(again), std::move(inputs), "logits");
  if (!logits.ok()) {
    return absl::DataLossError(absl::StrCat(kFile, ": ", logits.status().message()));
  }
  report.questions = questions.rows;
  report.difference = Difference(Asked(*logits, questions), wanted);
  HONE_RETURN_IF_ERROR(CheckDifference(report));
  return report;
}

}  // namespace hone::engine::exports
