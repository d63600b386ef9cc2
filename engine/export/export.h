#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/export/gguf.h"

// Models in the forms of others: folders that transformers, onnxruntime and llama.cpp load.
namespace hone::engine::exports {

enum class Format {
  kHuggingFace,        // of a model that began with a checkpoint in that form; adapters are merged
  kOnnx,               // opset 17, for models of pictures, tables and texts
  kGguf,               // of language models of Llama's type
  kMergedHuggingFace,  // kHuggingFace of a model that has adapters
  kPeft,               // the adapters alone, and what was learned beside them, without their base
};
// "hf", "onnx", "gguf", "merged-hf", "peft". INVALID_ARGUMENT names those there are.
absl::StatusOr<Format> FormatOf(absl::string_view name);
// "f32", "f16", "bf16", "q8_0": of kGguf. INVALID_ARGUMENT likewise.
absl::StatusOr<GgufType> GgufTypeOf(absl::string_view name);

struct ExportOptions {
  std::string source;     // a published model's folder, or a checkpoint in Hugging Face's form
  std::string directory;  // an empty folder
  Format format = Format::kHuggingFace;
  GgufType type = GgufType::kF16;
  // How the model was trained, as a job file has it, for the model card. Empty: not known.
  std::string job = {};
};

struct ExportReport {
  std::vector<std::string> files;  // by their paths in the folder
  int64_t questions = 0;           // what model and export were both asked
  // The largest difference of their answers, as a share of the largest answer.
  double difference = 0;
};

// Writes the folder's files and a model card, README.md, reads them again and asks both forms the
// same questions (forward.h). What is written counts only where that is OK; else the folder is to
// be thrown away: DATA_LOSS where the answers differ by more than 1e-4 of the largest, of kGguf
// where a value is further from the model's than rounding brings it. UNIMPLEMENTED names what of
// the model the format has no place for; FAILED_PRECONDITION: a format of adapters, of which the
// model has none. Errors of Source::Open, and of files.
absl::StatusOr<ExportReport> Export(const ExportOptions& options);

}  // namespace hone::engine::exports
