#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/export/export.h"
#include "engine/export/source.h"
#include "engine/huggingface/config.h"
#include "engine/huggingface/write_tensors.h"
#include "engine/tasks/model_file.h"

// The parts of Export, a file each.
namespace hone::engine::exports {

// What each format may differ from the model's own answers.
inline constexpr double kMostDifference = 1e-4;

// Each writes its files into options.directory and holds them against the model.
absl::StatusOr<ExportReport> ExportHuggingFace(const ExportOptions& options, const Source& source);
absl::StatusOr<ExportReport> ExportMergedHuggingFace(const ExportOptions& options,
                                                     const Source& source);
absl::StatusOr<ExportReport> ExportPeft(const ExportOptions& options, const Source& source);
absl::StatusOr<ExportReport> ExportOnnx(const ExportOptions& options, const Source& source);
absl::StatusOr<ExportReport> ExportGguf(const ExportOptions& options, const Source& source);

// Writes DIRECTORY/name, with the folders that the name has, and adds it to the report.
// INVALID_ARGUMENT of a name that is absolute, or has a part that is empty, "." or "..".
absl::Status WriteInto(const ExportOptions& options, const std::string& name,
                       absl::string_view bytes, ExportReport& report);
// tokenizer.json as it came, of a tokenizer of a checkpoint; nothing of another one.
absl::Status WriteTokenizer(const ExportOptions& options, const Source& source,
                            ExportReport& report);
// Of a model that began with a checkpoint in Hugging Face's form, whose net it still is: what that
// checkpoint's config.json says. UNIMPLEMENTED otherwise. HeadOf: what the model gives, where
// transformers has a class for it. Errors begin with the format's name.
absl::StatusOr<huggingface::Config> CheckpointConfig(absl::string_view format,
                                                     const tasks::ModelFile& file);
absl::StatusOr<huggingface::WrittenHead> HeadOf(absl::string_view format,
                                                const tasks::ModelFile& file);
// Reads the folder as a checkpoint in that form, from its files alone, and holds its answers
// against those of the model with its adapters; in the report. DATA_LOSS where they differ.
absl::Status CompareWithCheckpoint(const std::string& directory, const Source& source,
                                   ExportReport& report);
// DATA_LOSS unless the report's difference is small.
absl::Status CheckDifference(const ExportReport& report);

// The text of README.md.
std::string ModelCard(const ExportOptions& options, const Source& source,
                      const ExportReport& report);

}  // namespace hone::engine::exports
