#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/export/formats.h"
#include "engine/huggingface/write_adapter.h"
#include "engine/models/lora.h"
#include "engine/models/presets.h"

// A folder as the Python package peft writes it: the adapters, and the modules that were learned as
// a whole.
namespace hone::engine::exports {
namespace {

using huggingface::ModelValues;

constexpr absl::string_view kFormat = "peft";
constexpr char kConfig[] = "config.json", kAdapterConfig[] = "adapter_config.json";
constexpr char kTensors[] = "adapter_model.safetensors", kBase[] = "base";
constexpr char kNameOfBase[] = "base_model_name_or_path";
// What says how the adapter's tokenizer is used.
constexpr const char* kOfTokens[] = {"tokenizer_config.json", "special_tokens_map.json",
                                     "chat_template.jinja"};

// The base, as far as the model knows it: zeros stand for what was learned as a whole, so that an
// adapter that does not bring it answers otherwise.
class BaseValues final : public ModelValues {
 public:
  // Both outlive this.
  BaseValues(const models::LoraDescription& lora, const ModelValues& whole)
      : lora_(lora), whole_(whole) {
    std::ranges::copy_if(whole.names(), std::back_inserter(names_), [](const std::string& name) {
      return models::ProductOfFactor(name).empty();
    });
  }

  const std::vector<std::string>& names() const override { return names_; }
  const Shape& shape(absl::string_view name) const override { return whole_.shape(name); }
  checkpoint::FileDType dtype(absl::string_view name) const override { return whole_.dtype(name); }
  absl::Status Read(absl::string_view name, std::span<float> out) const override {
    if (std::ranges::find(lora_.whole, name) != lora_.whole.end()) {
      std::ranges::fill(out, 0.0f);
      return absl::OkStatus();
    }
    return whole_.Read(name, out);
  }

 private:
  const models::LoraDescription& lora_;
  const ModelValues& whole_;
  std::vector<std::string> names_;
};

// The adapter on its base, which lies in the folder as long as this asks.
absl::Status Compare(const ExportOptions& options, const Source& source,
                     const huggingface::Config& config, ExportReport& report) {
  const tasks::ModelFile& file = source.adapted_file();
  const std::string base = absl::StrCat(options.directory, "/", kBase);
  std::error_code error;
  std::filesystem::create_directory(base, error);
  if (error) {
    return ErrnoStatus(error.value(), base);
  }
  HONE_RETURN_IF_ERROR(
      WriteFileDurably(absl::StrCat(base, "/", kConfig), file.checkpoint_files.at(kConfig)));
  const BaseValues values(*file.model.lora, source.adapted_values());
  HONE_RETURN_IF_ERROR(
      huggingface::WriteTensors(config, values, absl::StrCat(base, "/model.safetensors")).status());
  HONE_RETURN_IF_ERROR(CompareWithCheckpoint(options.directory, source, report));
  std::filesystem::remove_all(base, error);
  return error ? ErrnoStatus(error.value(), base) : absl::OkStatus();
}

// What the base's config.json calls itself; null where it does not say.
nlohmann::ordered_json NameOfBase(const std::string& config) {
  const nlohmann::json json = nlohmann::json::parse(config, nullptr, /*allow_exceptions=*/false);
  const auto name = json.is_object() ? json.find("_name_or_path") : json.end();
  return json.is_object() && name != json.end() && name->is_string() &&
                 !name->get_ref<const std::string&>().empty()
             ? nlohmann::ordered_json(name->get<std::string>())
             : nlohmann::ordered_json();
}

// peft takes no adapter whose tables of tokens are larger than the base's, and in a model whose
// last layer is its table it would replace one of the two alone.
absl::Status CheckTables(const models::LoraDescription& lora) {
  const auto table = std::ranges::find_if(lora.whole, models::HasRowsOfTokens);
  return table == lora.whole.end()
             ? absl::OkStatus()
             : absl::UnimplementedError(absl::StrCat(
                   "format ", kFormat, ": ", *table,
                   " was learned as a whole, as with model.pretrained.new_tokens, and peft would "
                   "not put it back as it is; format merged-hf has the whole model"));
}

}  // namespace

absl::StatusOr<ExportReport> ExportPeft(const ExportOptions& options, const Source& source) {
  if (!source.has_adapters()) {
    return absl::FailedPreconditionError(
        "format peft: the model has no adapters; format hf has the whole model");
  }
  const tasks::ModelFile& file = source.adapted_file();
  HONE_RETURN_IF_ERROR(CheckTables(*file.model.lora));
  HONE_ASSIGN_OR_RETURN(const huggingface::Config config, CheckpointConfig(kFormat, file));
  HONE_ASSIGN_OR_RETURN(const huggingface::WrittenHead head, HeadOf(kFormat, file));
  absl::StatusOr<huggingface::WrittenAdapter> adapter =
      huggingface::WriteAdapter(config, *file.model.lora, source.adapted_values(), head,
                                absl::StrCat(options.directory, "/", kTensors));
  HONE_RETURN_IF_ERROR(Annotate(adapter.status(), "format peft"));
  ExportReport report;
  report.files.emplace_back(kTensors);
  adapter->config[kNameOfBase] = kBase;
  HONE_RETURN_IF_ERROR(WriteInto(options, kAdapterConfig, adapter->config.dump(2) + "\n", report));
  HONE_RETURN_IF_ERROR(WriteTokenizer(options, source, report));
  for (const char* name : kOfTokens) {
    const auto bytes = file.checkpoint_files.find(name);
    if (bytes != file.checkpoint_files.end()) {
      HONE_RETURN_IF_ERROR(WriteInto(options, name, bytes->second, report));
    }
  }
  HONE_RETURN_IF_ERROR(Compare(options, source, config, report));
  adapter->config[kNameOfBase] = NameOfBase(file.checkpoint_files.at(kConfig));
  HONE_RETURN_IF_ERROR(WriteFileDurably(absl::StrCat(options.directory, "/", kAdapterConfig),
                                        adapter->config.dump(2) + "\n"));
  return report;
}

}  // namespace hone::engine::exports
