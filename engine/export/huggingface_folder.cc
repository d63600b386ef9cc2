#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/export/formats.h"
#include "engine/export/forward.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/huggingface/config.h"
#include "engine/huggingface/write_tensors.h"

namespace hone::engine::exports {
namespace {

using checkpoint::FileDType;
using huggingface::ModelValues;
using huggingface::WrittenHead;
using nlohmann::json;

constexpr char kConfig[] = "config.json";

// A model that is a checkpoint itself keeps its tensors' names.
bool IsCheckpoint(const ModelValues& values) {
  return !values.names().empty() && !values.TheirName(values.names()[0]).empty();
}

// The net must still be that of config.json.
absl::Status CheckNet(absl::string_view format, const huggingface::Config& config,
                      const tasks::ModelFile& file) {
  std::set<std::string> different;
  const json is = json::parse(file.model.preset.options);
  for (const auto& [a, b] : {std::pair{&config.options, &is}, std::pair{&is, &config.options}}) {
    for (const auto& [key, value] : a->items()) {
      if (!b->contains(key) || (*b)[key] != value) {
        different.insert(key);
      }
    }
  }
  if (config.family->preset == file.model.preset.name && different.empty()) {
    return absl::OkStatus();
  }
  return absl::UnimplementedError(absl::StrCat(
      "format ", format, ": the net is not that of the checkpoint's config.json any more: ",
      different.empty() ? "another preset" : absl::StrJoin(different, ", ")));
}

const char* TorchName(FileDType dtype) {
  return dtype == FileDType::kBf16 ? "bfloat16" : dtype == FileDType::kF16 ? "float16" : "float32";
}

// The checkpoint's config.json with what training has changed.
absl::StatusOr<std::string> NewConfig(const std::string& text, const huggingface::Config& config,
                                      const Source& source, WrittenHead head) {
  nlohmann::ordered_json out = nlohmann::ordered_json::parse(text);
  HONE_ASSIGN_OR_RETURN(const std::string architecture, ArchitectureOf(*config.family, head));
  out["architectures"] = nlohmann::ordered_json::array({architecture});
  const data::Preprocessing& preprocessing = source.file().preprocessing;
  const bool regression = std::holds_alternative<tasks::RegressionOptions>(source.file().task);
  if (head == WrittenHead::kClassification) {
    const std::vector<std::string>& names =
        regression ? preprocessing.target_names : preprocessing.class_names;
    nlohmann::ordered_json id2label, label2id;
    for (size_t i = 0; i < names.size(); ++i) {
      id2label[absl::StrCat(i)] = names[i];
      label2id[names[i]] = i;
    }
    out["id2label"] = id2label;
    out["label2id"] = label2id;
    out["problem_type"] = regression ? "regression" : "single_label_classification";
    out.erase("num_labels");  // follows from them
  }
  std::set<FileDType> types;
  for (const std::string& name : source.values().names()) {
    types.insert(source.values().dtype(name));
  }
  out[out.contains("torch_dtype") ? "torch_dtype" : "dtype"] =
      TorchName(types.size() == 1 ? *types.begin() : FileDType::kF32);
  return out.dump(2) + "\n";
}

// What sentence-transformers reads is of no model with a head of its own.
bool Belongs(absl::string_view name, WrittenHead head) {
  return head == WrittenHead::kNone ||
         !(name == "modules.json" || name == "1_Pooling/config.json" ||
           absl::StrContains(name, "sentence"));
}

absl::StatusOr<Questions> QuestionsByTheFolder(const std::string& directory,
                                               tasks::ModelFile& file) {
  HONE_ASSIGN_OR_RETURN(const data::TextPreprocessing tokens, huggingface::ReadTokens(directory));
  file.preprocessing.text->tokenizer = tokens.tokenizer;
  return MakeQuestions(file);
}

bool SameTokens(const Questions& a, const Questions& b) {
  return std::ranges::equal(a.texts, b.texts,
                            [](const auto& x, const auto& y) { return x.tokens == y.tokens; });
}

}  // namespace

absl::StatusOr<huggingface::Config> CheckpointConfig(absl::string_view format,
                                                     const tasks::ModelFile& file) {
  const auto text = file.checkpoint_files.find(kConfig);
  if (text == file.checkpoint_files.end()) {
    return absl::UnimplementedError(
        absl::StrCat("format ", format,
                     ": the model began with no checkpoint in that form (model.pretrained), so "
                     "that transformers has no class for it; format onnx may do"));
  }
  HONE_ASSIGN_OR_RETURN(huggingface::Config config, huggingface::ParseConfig(text->second));
  HONE_RETURN_IF_ERROR(CheckNet(format, config, file));
  return config;
}

absl::StatusOr<WrittenHead> HeadOf(absl::string_view format, const tasks::ModelFile& file) {
  if (const auto* classes = std::get_if<tasks::ClassificationOptions>(&file.task)) {
    if (classes->binary) {
      return absl::UnimplementedError(
          absl::StrCat("format ", format,
                       ": the model has one logit for two classes, transformers has one for each"));
    }
    return WrittenHead::kClassification;
  }
  if (std::holds_alternative<tasks::RegressionOptions>(file.task)) {
    return WrittenHead::kClassification;
  }
  if (std::holds_alternative<tasks::LanguageModelingOptions>(file.task)) {
    return WrittenHead::kNextToken;
  }
  if (std::holds_alternative<tasks::MaskedLanguageModelingOptions>(file.task)) {
    return WrittenHead::kMaskedTokens;
  }
  return absl::UnimplementedError(
      absl::StrCat("format ", format, ": a model of this task has no class in transformers"));
}

absl::Status CompareWithCheckpoint(const std::string& directory, const Source& source,
                                   ExportReport& report) {
  tasks::ModelFile again = source.file();
  HONE_ASSIGN_OR_RETURN(const models::ModelDescription model,
                        huggingface::DescribeModel(directory));
  again.model.preset = model.preset;
  again.model.lora = model.lora;
  HONE_ASSIGN_OR_RETURN(const auto values, OpenCheckpointValues(directory));
  HONE_ASSIGN_OR_RETURN(const Questions own, MakeQuestions(source.file()));
  HONE_ASSIGN_OR_RETURN(const Questions theirs, QuestionsByTheFolder(directory, again));
  if (!SameTokens(own, theirs)) {
    return absl::DataLossError("what was written makes other tokens of the same texts");
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<float> wanted,
                        Answers(source.adapted_file(), source.adapted_values(), own));
  HONE_ASSIGN_OR_RETURN(const std::vector<float> got, Answers(again, *values, theirs));
  report.questions = own.rows;
  report.difference = Difference(got, wanted);
  return CheckDifference(report);
}

absl::StatusOr<ExportReport> ExportHuggingFace(const ExportOptions& options, const Source& source) {
  constexpr absl::string_view kFormat = "hf";
  const tasks::ModelFile& file = source.file();
  HONE_ASSIGN_OR_RETURN(const huggingface::Config config, CheckpointConfig(kFormat, file));
  HONE_ASSIGN_OR_RETURN(const WrittenHead head, HeadOf(kFormat, file));
  ExportReport report;
  std::string written = file.checkpoint_files.at(kConfig);
  if (!IsCheckpoint(source.values())) {
    HONE_ASSIGN_OR_RETURN(written, NewConfig(written, config, source, head));
  }
  HONE_RETURN_IF_ERROR(WriteInto(options, kConfig, written, report));
  const absl::StatusOr<checkpoint::WrittenFile> weights = huggingface::WriteTensors(
      config, source.values(), absl::StrCat(options.directory, "/model.safetensors"));
  HONE_RETURN_IF_ERROR(Annotate(weights.status(), "format hf"));
  report.files.emplace_back("model.safetensors");
  HONE_RETURN_IF_ERROR(WriteTokenizer(options, source, report));
  for (const auto& [name, bytes] : file.checkpoint_files) {
    if (name != kConfig && Belongs(name, head)) {
      HONE_RETURN_IF_ERROR(WriteInto(options, name, bytes, report));
    }
  }
  HONE_RETURN_IF_ERROR(CompareWithCheckpoint(options.directory, source, report));
  return report;
}

absl::StatusOr<ExportReport> ExportMergedHuggingFace(const ExportOptions& options,
                                                     const Source& source) {
  if (!source.has_adapters()) {
    return absl::FailedPreconditionError(
        "format merged-hf: the model has no adapters that could be merged into its weights; format "
        "hf has these as they are");
  }
  return ExportHuggingFace(options, source);
}

}  // namespace hone::engine::exports
