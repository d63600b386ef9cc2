#include "engine/huggingface/write_adapter.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/huggingface/adapter.h"
#include "engine/huggingface/rule_names.h"

namespace hone::engine::huggingface {
namespace {

using nlohmann::ordered_json;

constexpr absl::string_view kRoot = "base_model.model.";

// As peft calls what a model is for.
ordered_json TaskTypeFor(WrittenHead head) {
  switch (head) {
    case WrittenHead::kClassification:
      return "SEQ_CLS";
    case WrittenHead::kTokenClasses:
      return "TOKEN_CLS";
    case WrittenHead::kNextToken:
      return "CAUSAL_LM";
    case WrittenHead::kNone:
    case WrittenHead::kMaskedTokens:
      return nullptr;
  }
  return nullptr;
}

class AdapterWriter {
 public:
  AdapterWriter(const Config& base, const models::LoraDescription& lora, const ModelValues& values)
      : base_(base),
        lora_(lora),
        values_(values),
        names_(values.names().begin(), values.names().end()) {}

  absl::Status Gather() {
    for (const std::string& name : names_) {
      if (!models::ProductOfFactor(name).empty() ||
          std::ranges::find(lora_.whole, name) != lora_.whole.end()) {
        left_.insert(name);
      }
    }
    for (const ModuleRule& rule : base_.family->modules) {
      for (int64_t block = 0; block < BlocksOf(rule.theirs, base_.sizes); ++block) {
        HONE_RETURN_IF_ERROR(AddWhole(rule, block));
        AddPart(rule, block);
      }
    }
    if (!left_.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("an adapter of a ", base_.family->model_type,
                                                     " model has no place for ",
                                                     absl::StrJoin(left_, ", ")));
    }
    for (const auto& [module, parts] : parts_) {
      HONE_RETURN_IF_ERROR(AddFactors(module, parts));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<checkpoint::WrittenFile> Write(const std::string& path) const {
    std::vector<checkpoint::TensorToWrite> written;
    for (const auto& [name, tensor] : tensors_) {
      written.push_back({.name = name, .shape = tensor.shape, .data = tensor.values.data()});
    }
    return checkpoint::WriteSafetensors(path, written, {{"format", "pt"}});
  }

  ordered_json ConfigFor(WrittenHead head) const {
    return {{"peft_type", "LORA"},
            {"task_type", TaskTypeFor(head)},
            {"base_model_name_or_path", nullptr},
            {"inference_mode", true},
            {"r", lora_.rank},
            {"lora_alpha", lora_.alpha},
            {"lora_dropout", lora_.dropout},
            {"use_rslora", lora_.rslora},
            {"use_dora", false},
            {"bias", "none"},
            {"init_lora_weights", true},
            // The base's weights are [in, out].
            {"fan_in_fan_out", !base_.options.value("transposed", false)},
            {"target_modules", targets_},
            {"modules_to_save", saved_.empty() ? ordered_json() : ordered_json(saved_)},
            {"rank_pattern", ranks_},
            {"alpha_pattern", alphas_}};
  }

 private:
  struct Tensor {
    Shape shape;
    std::vector<float> values;
  };
  // A product of ours that is a module of theirs, or a part of one.
  struct Product {
    std::string ours;
    Part part = Part::kAll;
  };

  std::string NameOf(const ModuleRule& rule, int64_t block) const {
    const std::string module = OfBlock(rule.theirs, block);
    return absl::StrCat(IsOfHead(module) ? "" : base_.family->prefixes[0], module);
  }

  absl::StatusOr<std::vector<float>> ReadAll(const std::string& name) const {
    std::vector<float> values(static_cast<size_t>(values_.shape(name).elements()));
    HONE_RETURN_IF_ERROR(values_.Read(name, values));
    return values;
  }

  void AddTensor(const std::string& name, Shape shape, std::vector<float> values) {
    tensors_[absl::StrCat(kRoot, name)] = {std::move(shape), std::move(values)};
  }

  // Of rules for one product the first counts.
  void AddPart(const ModuleRule& rule, int64_t block) {
    const std::string ours = OfBlock(rule.ours, block);
    const std::string a = models::FactorA(ours), b = models::FactorB(ours);
    if (IsAdaptable(rule) && left_.contains(a) && left_.contains(b)) {
      left_.erase(a);
      left_.erase(b);
      parts_[NameOf(rule, block)].push_back({ours, rule.part});
    }
  }

  absl::Status AddFactors(const std::string& module, const std::vector<Product>& parts) {
    const models::LoraModule first = lora_.ModuleOf(parts.front().ours);
    const double scale = lora_.ScaleOf(first);
    const int64_t in = values_.shape(models::FactorA(parts.front().ours)).back();
    const int64_t units = values_.shape(models::FactorB(parts.front().ours))[0];
    const int64_t rows = parts.front().part == Part::kAll ? units : 3 * units;
    models::LoraModule whole;
    for (const Product& product : parts) {
      const int64_t rank = lora_.ModuleOf(product.ours).rank;
      for (const auto& [factor, wanted] :
           {std::pair(models::FactorA(product.ours), Shape{rank, in}),
            {models::FactorB(product.ours), Shape{units, rank}}}) {
        if (values_.shape(factor) != wanted) {
          return absl::InvalidArgumentError(absl::StrCat(
              factor, " must be ", wanted.ToString(), ", got ", values_.shape(factor).ToString()));
        }
      }
      whole.rank += rank;
    }
    const auto all = static_cast<double>(whole.rank);
    whole.alpha = parts.size() == 1 ? first.alpha : scale * (lora_.rslora ? std::sqrt(all) : all);
    // A is one below the other; B has each in its own rows and columns, and zeros elsewhere.
    std::vector<float> a, b(static_cast<size_t>(rows * whole.rank));
    int64_t column = 0;
    for (const Product& product : parts) {
      const models::LoraModule own = lora_.ModuleOf(product.ours);
      HONE_ASSIGN_OR_RETURN(const std::vector<float> of_a, ReadAll(models::FactorA(product.ours)));
      HONE_ASSIGN_OR_RETURN(const std::vector<float> of_b, ReadAll(models::FactorB(product.ours)));
      a.insert(a.end(), of_a.begin(), of_a.end());
      const auto times = static_cast<float>(lora_.ScaleOf(own) / scale);
      const int64_t third = product.part == Part::kAll ? 0
                                                       : static_cast<int64_t>(product.part) -
                                                             static_cast<int64_t>(Part::kQuery);
      for (int64_t unit = 0; unit < units; ++unit) {
        for (int64_t r = 0; r < own.rank; ++r) {
          b[static_cast<size_t>((third * units + unit) * whole.rank + column + r)] =
              times * of_b[static_cast<size_t>(unit * own.rank + r)];
        }
      }
      column += own.rank;
    }
    AddTensor(absl::StrCat(module, ".lora_A.weight"), {whole.rank, in}, std::move(a));
    AddTensor(absl::StrCat(module, ".lora_B.weight"), {rows, whole.rank}, std::move(b));
    targets_.push_back(module);
    if (whole.rank != lora_.rank) {
      ranks_[module] = whole.rank;
    }
    if (whole.alpha != lora_.alpha) {
      alphas_[module] = whole.alpha;
    }
    return absl::OkStatus();
  }

  // A module is saved with all that it has.
  absl::Status AddWhole(const ModuleRule& rule, int64_t block) {
    const std::string ours = OfBlock(rule.ours, block), module = NameOf(rule, block);
    std::vector<std::pair<std::string, absl::string_view>> kept;  // our names, kinds
    bool learned = false;
    for (const auto& [kind, shape] : {std::pair(kWeight, rule.weight), {kBias, rule.bias}}) {
      const std::string name = absl::StrCat(ours, ".", kind);
      if (!shape.empty() && names_.contains(name)) {
        kept.emplace_back(name, kind);
        learned = learned || left_.contains(name);
      }
    }
    if (!learned) {
      return absl::OkStatus();
    }
    if (rule.part != Part::kAll && rule.part != Part::kTransposed) {
      return absl::UnimplementedError(
          absl::StrCat(ours, " was learned as a whole and is a part of ", module,
                       ", which an adapter cannot replace; format merged-hf may do"));
    }
    for (const auto& [name, kind] : kept) {
      left_.erase(name);
      HONE_ASSIGN_OR_RETURN(std::vector<float> values, ReadAll(name));
      Shape shape = values_.shape(name);
      if (rule.part == Part::kTransposed && kind == kWeight) {
        const std::vector<float> from = std::exchange(values, std::vector<float>(values.size()));
        const int64_t rows = shape[0], columns = shape[1];
        for (int64_t i = 0; i < std::ssize(from); ++i) {
          values[static_cast<size_t>(i % columns * rows + i / columns)] =
              from[static_cast<size_t>(i)];
        }
        shape = {columns, rows};
      }
      AddTensor(absl::StrCat(module, ".", kind), std::move(shape), std::move(values));
    }
    saved_.push_back(module);
    return absl::OkStatus();
  }

  const Config& base_;
  const models::LoraDescription& lora_;
  const ModelValues& values_;
  const std::set<std::string> names_;
  std::set<std::string> left_;  // what has to be written and is of no module yet
  std::map<std::string, std::vector<Product>> parts_;  // by module
  std::map<std::string, Tensor> tensors_;
  std::vector<std::string> targets_, saved_;
  ordered_json ranks_ = ordered_json::object(), alphas_ = ordered_json::object();
};

}  // namespace

absl::StatusOr<WrittenAdapter> WriteAdapter(const Config& base, const models::LoraDescription& lora,
                                            const ModelValues& values, WrittenHead head,
                                            const std::string& path) {
  AdapterWriter writer(base, lora, values);
  HONE_RETURN_IF_ERROR(writer.Gather());
  HONE_ASSIGN_OR_RETURN(checkpoint::WrittenFile tensors, writer.Write(path));
  return WrittenAdapter{.config = writer.ConfigFor(head), .tensors = std::move(tensors)};
}

}  // namespace hone::engine::huggingface
