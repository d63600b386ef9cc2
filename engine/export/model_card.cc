#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/export/formats.h"
#include "engine/models/model_description.h"
#include "engine/tasks/table.h"

// README.md as huggingface.co shows it: a head in YAML, then Markdown.
namespace hone::engine::exports {
namespace {

const char* LibraryOf(Format format) {
  switch (format) {
    case Format::kHuggingFace:
    case Format::kMergedHuggingFace:
      return "transformers";
    case Format::kOnnx:
      return "onnx";
    case Format::kGguf:
      return "gguf";
    case Format::kPeft:
      return "peft";
  }
  return "";
}

// In a cell of a table.
std::string Cell(std::string text) {
  for (char& c : text) {
    c = c == '|' || c == '\n' ? ' ' : c;
  }
  return text;
}

std::string Net(const models::ModelDescription& model) {
  if (!model.preset.name.empty()) {
    return absl::StrCat("the preset `", model.preset.name, "` with `", model.preset.options, "`");
  }
  std::vector<std::string> layers;
  for (const models::LayerDescription& layer : model.layers) {
    layers.push_back(absl::StrCat("`", layer.name, "`"));
  }
  return absl::StrCat("the layers ", absl::StrJoin(layers, ", "));
}

std::string Examples(const data::Preprocessing& preprocessing) {
  using Input = data::Preprocessing::Input;
  if (preprocessing.input == Input::kImage) {
    return absl::StrCat("Pictures of ", preprocessing.image.ToString(),
                        " (channels, height, width), bytes.");
  }
  if (preprocessing.input == Input::kTable) {
    return absl::StrCat("Rows of a table with ", preprocessing.columns.size(), " columns.");
  }
  if (!preprocessing.text.has_value()) {
    return "An input of the task's own.";
  }
  const data::TextPreprocessing& text = *preprocessing.text;
  return absl::StrCat(
      text.pairs ? "Pairs of texts" : "Texts", ", as ", text.tokenizer->size(), " different tokens",
      text.max_tokens > 0 ? absl::StrCat(", cut off behind ", text.max_tokens, " of them") : "",
      ". Before that they are cleaned as `",
      text.ToJson().value("cleaning", nlohmann::json::object()).dump(), "` says.");
}

std::string Numbers(const data::Preprocessing& preprocessing) {
  if (!preprocessing.class_names.empty()) {
    return absl::StrCat("One logit for each of the classes ",
                        Cell(absl::StrJoin(preprocessing.class_names, ", ")), ".\n\n");
  }
  std::string lines;
  for (size_t i = 0; i < preprocessing.target_names.size(); ++i) {
    const bool scaled = i < preprocessing.target_std.size() && i < preprocessing.target_mean.size();
    absl::StrAppend(&lines, "- `", Cell(preprocessing.target_names[i]), "`: the model's number",
                    scaled ? absl::StrFormat(" · %.9g + %.9g", preprocessing.target_std[i],
                                             preprocessing.target_mean[i])
                           : "",
                    "\n");
  }
  return lines.empty() ? lines : lines + "\n";
}

}  // namespace

std::string ModelCard(const ExportOptions& options, const Source& source,
                      const ExportReport& report) {
  const tasks::ModelFile& file = source.file();
  int64_t parameters = 0;
  for (const std::string& name : source.values().names()) {
    parameters += source.values().shape(name).elements();
  }
  std::string card = absl::StrCat(
      "---\nlicense: unknown\nlibrary_name: ", LibraryOf(options.format),
      "\ntags:\n- hone\n---\n\n# ", Cell(file.display_name.empty() ? "A model" : file.display_name),
      "\n\nThe licence is for whoever gives the model away to say: that of the data "
      "and of the checkpoint it began with, if there was one, counts.\n\n## The model\n\n",
      "Made by Hone for `", tasks::MakeTask(file.task)->name(), "`: ", Net(file.model), "; ",
      parameters, " parameters.",
      options.format == Format::kPeft
          ? " These files are its adapters: they belong onto the checkpoint that it began with."
          : "",
      "\n\n## What it reads, what it gives\n\n", Examples(file.preprocessing), "\n\n",
      Numbers(file.preprocessing), "## Results\n\n");
  if (file.metrics.empty()) {
    absl::StrAppend(&card, "It was not judged here.\n");
  } else {
    absl::StrAppend(&card, "| Metric | Value |\n|---|---:|\n");
    for (const auto& [name, value] : file.metrics) {
      absl::StrAppend(&card, absl::StrFormat("| `%s` | %.6g |\n", Cell(name), value));
    }
  }
  absl::StrAppend(&card, "\n## Data and settings\n\n");
  if (options.job.empty()) {
    absl::StrAppend(&card, "The job that trained it was not at hand.\n");
  } else {
    absl::StrAppend(&card, "The job that trained it:\n\n```yaml\n", options.job,
                    options.job.ends_with('\n') ? "" : "\n", "```\n");
  }
  absl::StrAppend(
      &card, "\n## How these files were tried\n\n",
      absl::StrFormat("They were read again and asked %d questions beside the model itself. The "
                      "largest difference of an answer was %.2g of the largest answer.\n",
                      report.questions, report.difference));
  return card;
}

}  // namespace hone::engine::exports
