#include "engine/export/export.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/export/formats.h"
#include "engine/export/forward.h"
#include "engine/export/gguf_llama.h"
#include "engine/text/pretrained_tokenizer.h"

namespace hone::engine::exports {
namespace {

// The formats: one line for each.
struct FormatRow {
  absl::string_view name;
  Format format;
  absl::StatusOr<ExportReport> (*write)(const ExportOptions& options, const Source& source);
};
constexpr FormatRow kFormats[] = {
    {"hf", Format::kHuggingFace, ExportHuggingFace},
    {"onnx", Format::kOnnx, ExportOnnx},
    {"gguf", Format::kGguf, ExportGguf},
    {"merged-hf", Format::kMergedHuggingFace, ExportMergedHuggingFace},
    {"peft", Format::kPeft, ExportPeft},
};

struct TypeRow {
  absl::string_view name;
  GgufType type;
};
constexpr TypeRow kTypes[] = {{"f32", GgufType::kF32},
                              {"f16", GgufType::kF16},
                              {"bf16", GgufType::kBf16},
                              {"q8_0", GgufType::kQ8_0}};

template <typename Rows>
absl::StatusOr<decltype(std::begin(std::declval<const Rows&>()))> FindRow(const Rows& rows,
                                                                          absl::string_view what,
                                                                          absl::string_view name) {
  const auto found = std::find_if(std::begin(rows), std::end(rows),
                                  [&](const auto& row) { return row.name == name; });
  if (found != std::end(rows)) {
    return found;
  }
  std::string known;
  for (const auto& row : rows) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", row.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": must be one of ", known, ", got \"", name, "\""));
}

}  // namespace

absl::StatusOr<Format> FormatOf(absl::string_view name) {
  HONE_ASSIGN_OR_RETURN(const auto row, FindRow(kFormats, "format", name));
  return row->format;
}

absl::StatusOr<GgufType> GgufTypeOf(absl::string_view name) {
  HONE_ASSIGN_OR_RETURN(const auto row, FindRow(kTypes, "type", name));
  return row->type;
}

absl::Status WriteInto(const ExportOptions& options, const std::string& name,
                       absl::string_view bytes, ExportReport& report) {
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return absl::InvalidArgumentError(
          absl::StrCat("a file that is called \"", absl::CHexEscape(name),
                       "\" has no place below the folder that is written"));
    }
  }
  const std::filesystem::path path = std::filesystem::path(options.directory) / name;
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return ErrnoStatus(error.value(), path.parent_path().string());
  }
  HONE_RETURN_IF_ERROR(WriteFileDurably(path.string(), bytes));
  report.files.push_back(name);
  return absl::OkStatus();
}

absl::Status WriteTokenizer(const ExportOptions& options, const Source& source,
                            ExportReport& report) {
  const auto& text = source.file().preprocessing.text;
  const auto* const tokenizer =
      text.has_value() ? dynamic_cast<const text::PretrainedTokenizer*>(text->tokenizer.get())
                       : nullptr;
  if (tokenizer == nullptr) {
    return absl::OkStatus();
  }
  const nlohmann::json kept = tokenizer->ToJson();
  return WriteInto(options, "tokenizer.json",
                   kept.at("tokenizer_json").get_ref<const std::string&>(), report);
}

absl::Status CheckDifference(const ExportReport& report) {
  return report.difference <= kMostDifference
             ? absl::OkStatus()
             : absl::DataLossError(absl::StrCat(
                   "what was written answers differently: by ", report.difference,
                   " of the largest answer, at most ", kMostDifference, " is rounding"));
}

absl::StatusOr<ExportReport> ExportGguf(const ExportOptions& options, const Source& source) {
  HONE_ASSIGN_OR_RETURN(Gguf written, ToGguf(source.file(), source.values(), options.type));
  const std::string path = absl::StrCat(options.directory, "/model.gguf");
  HONE_RETURN_IF_ERROR(WriteGguf(path, written));
  written.tensors = {};  // from here on they are in the file alone
  HONE_ASSIGN_OR_RETURN(const Gguf read, ReadGguf(path));
  if (read.pairs != written.pairs) {
    return absl::DataLossError(absl::StrCat(path, ": its pairs are not those that were written"));
  }
  const auto values = FromGguf(read, source.file(), source.values());
  if (!values.ok()) {
    return absl::DataLossError(values.status().message());
  }
  ExportReport report = {.files = {"model.gguf"}};
  HONE_ASSIGN_OR_RETURN(const Questions questions, MakeQuestions(source.file()));
  HONE_ASSIGN_OR_RETURN(const std::vector<float> own,
                        Answers(source.file(), source.values(), questions));
  HONE_ASSIGN_OR_RETURN(const std::vector<float> theirs,
                        Answers(source.file(), **values, questions));
  report.questions = questions.rows;
  report.difference = Difference(theirs, own);
  return report;
}

absl::StatusOr<ExportReport> Export(const ExportOptions& options) {
  HONE_ASSIGN_OR_RETURN(const Source source, Source::Open(options.source));
  const auto row = std::ranges::find(kFormats, options.format, &FormatRow::format);
  HONE_ASSIGN_OR_RETURN(ExportReport report, row->write(options, source));
  HONE_RETURN_IF_ERROR(WriteInto(options, "README.md", ModelCard(options, source, report), report));
  HONE_RETURN_IF_ERROR(SyncDirectory(options.directory));
  return report;
}

}  // namespace hone::engine::exports
