#include "engine/huggingface/write_tensors.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/base/status.h"
#include "engine/huggingface/rule_names.h"
#include "engine/tensor/half.h"

namespace hone::engine::huggingface {
namespace {

using checkpoint::FileDType;

constexpr int64_t kMostBytes = int64_t{5'000'000'000};
constexpr size_t kMostShown = 10;

// Parts of checkpoints that stand beside the model, so that their names have no prefix.
constexpr absl::string_view kHeads[] = {"classifier",      "cls",
                                        "lm_head",         "pre_classifier",
                                        "score",           "vocab_layer_norm",
                                        "vocab_projector", "vocab_transform"};

// Classes of transformers: what those of a family begin with.
struct ClassNames {
  absl::string_view model_type;
  absl::string_view stem;
  absl::string_view next_token;  // what the language model's class ends with
};
constexpr ClassNames kClasses[] = {
    {"bert", "Bert", ""},
    {"distilbert", "DistilBert", ""},
    {"roberta", "Roberta", ""},
    {"gpt2", "GPT2", "LMHeadModel"},
    {"llama", "Llama", "ForCausalLM"},
    {"qwen2", "Qwen2", "ForCausalLM"},
    {"qwen3", "Qwen3", "ForCausalLM"},
};

// A tensor of theirs, put together of parameters.
struct Tensor {
  Shape shape;
  FileDType dtype = FileDType::kF32;
  struct Source {
    std::string ours;
    Part part = Part::kAll;
  };
  std::vector<Source> sources;
};

// The shape of the tensor that a parameter is this part of.
Shape WholeShape(const Shape& ours, Part part, const Sizes& sizes) {
  std::vector<int64_t> dims = ours.dims();
  if (part == Part::kPlaces) {
    dims[0] += sizes.at('O');
  } else if (part == Part::kTransposed) {
    std::swap(dims.front(), dims.back());
  } else if (part != Part::kAll) {
    dims.back() *= 3;
  }
  return Shape(std::move(dims));
}

// Puts a parameter's values where they belong in the whole tensor.
void Place(std::span<const float> from, const Shape& ours, Part part, const Shape& whole,
           std::span<float> to) {
  const int64_t columns = ours.back(), rows = ours.elements() / columns;
  if (part == Part::kTransposed) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) {
        to[static_cast<size_t>(column * rows + row)] =
            from[static_cast<size_t>(row * columns + column)];
      }
    }
    return;
  }
  int64_t first = 0;
  if (part == Part::kPlaces) {
    first = (whole[0] - ours[0]) * columns;
  } else if (part != Part::kAll) {
    first = columns * (static_cast<int64_t>(part) - static_cast<int64_t>(Part::kQuery));
  }
  for (int64_t row = 0; row < rows; ++row) {
    std::copy_n(from.begin() + row * columns, columns, to.begin() + first + row * whole.back());
  }
}

void Append(std::span<const float> values, FileDType dtype, std::vector<std::byte>& bytes) {
  const size_t begin = bytes.size(), size = static_cast<size_t>(checkpoint::SizeOf(dtype));
  bytes.resize(begin + values.size() * size);
  std::byte* to = bytes.data() + begin;
  for (const float value : values) {
    if (dtype == FileDType::kF32) {
      std::memcpy(to, &value, size);
    } else {
      const uint16_t half = dtype == FileDType::kBf16 ? ToBf16(value) : ToF16(value);
      std::memcpy(to, &half, size);
    }
    to += size;
  }
}

class Writer {
 public:
  Writer(const Config& config, const ModelValues& values) : config_(config), values_(values) {
    left_.insert(values.names().begin(), values.names().end());
  }

  absl::Status Gather() {
    prefixed_ = config_.family->preset == "gpt";
    for (const ModuleRule& rule : config_.family->modules) {
      prefixed_ = prefixed_ || (IsOfHead(rule.theirs) && (Has(rule.ours, kWeight) ||  //
                                                          Has(rule.ours, kBias)));
    }
    for (const ModuleRule& rule : config_.family->modules) {
      for (int64_t block = 0; block < BlocksOf(rule.theirs, config_.sizes); ++block) {
        HONE_RETURN_IF_ERROR(Add(rule, block, kWeight, rule.weight));
        HONE_RETURN_IF_ERROR(Add(rule, block, kBias, rule.bias));
      }
    }
    if (left_.empty()) {
      return absl::OkStatus();
    }
    const std::vector<std::string> shown(
        left_.begin(),
        std::next(left_.begin(), static_cast<std::ptrdiff_t>(std::min(left_.size(), kMostShown))));
    return absl::InvalidArgumentError(absl::StrCat(
        "a ", config_.family->model_type, " checkpoint has no tensors for ",
        absl::StrJoin(shown, ", "), left_.size() > kMostShown ? ", …" : "", " of this model"));
  }

  absl::StatusOr<checkpoint::WrittenFile> Write(const std::string& path) const {
    int64_t bytes = 0;
    for (const std::string& name : order_) {
      const Tensor& tensor = tensors_.at(name);
      bytes += tensor.shape.elements() * checkpoint::SizeOf(tensor.dtype);
    }
    if (bytes > kMostBytes) {
      return absl::UnimplementedError(
          absl::StrCat("the weights have ", bytes, " bytes; more than ", kMostBytes,
                       " belong into several files, which are not written"));
    }
    std::vector<std::vector<std::byte>> data(order_.size());
    std::vector<checkpoint::TensorToWrite> written;
    for (size_t i = 0; i < order_.size(); ++i) {
      const Tensor& tensor = tensors_.at(order_[i]);
      HONE_ASSIGN_OR_RETURN(const std::vector<float> whole, Whole(tensor));
      Append(whole, tensor.dtype, data[i]);
      written.push_back({.name = order_[i],
                         .shape = tensor.shape,
                         .data = data[i].data(),
                         .dtype = tensor.dtype});
    }
    return checkpoint::WriteSafetensors(path, written, {{"format", "pt"}});
  }

 private:
  bool Has(absl::string_view ours, absl::string_view kind) const {
    return left_.contains(absl::StrCat(OfBlock(ours, 0), ".", kind));
  }

  // Of rules for one parameter the first counts, or the one that the checkpoint's tensor is of.
  absl::Status Add(const ModuleRule& rule, int64_t block, absl::string_view kind,
                   absl::string_view shape) {
    const std::string ours = absl::StrCat(OfBlock(rule.ours, block), ".", kind);
    if (shape.empty() || !left_.contains(ours)) {
      return absl::OkStatus();
    }
    const std::string module = OfBlock(rule.theirs, block);
    std::string name = values_.TheirName(ours);
    if (name.empty()) {
      name = absl::StrCat(prefixed_ && !IsOfHead(module) ? config_.family->prefixes[0] : "", module,
                          ".", kind);
    } else if (!absl::StrContains(name, module)) {
      return absl::OkStatus();
    }
    left_.erase(ours);
    const Shape whole = WholeShape(values_.shape(ours), rule.part, config_.sizes);
    const auto [place, added] = tensors_.try_emplace(name);
    Tensor& tensor = place->second;
    if (added) {
      order_.push_back(name);
      tensor.shape = whole;
      tensor.dtype = values_.dtype(ours);
    } else if (tensor.shape != whole) {
      return absl::InvalidArgumentError(
          absl::StrCat(ours, ": its shape ", values_.shape(ours).ToString(), " does not fit into ",
                       name, " ", tensor.shape.ToString()));
    }
    if (tensor.dtype != values_.dtype(ours)) {
      tensor.dtype = FileDType::kF32;
    }
    tensor.sources.push_back({ours, rule.part});
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<float>> Whole(const Tensor& tensor) const {
    std::vector<float> whole(static_cast<size_t>(tensor.shape.elements()));
    for (const Tensor::Source& source : tensor.sources) {
      const Shape& ours = values_.shape(source.ours);
      if (source.part == Part::kPlaces && !values_.TheirName(source.ours).empty()) {
        HONE_RETURN_IF_ERROR(values_.ReadTheirs(source.ours, whole));
      }
      std::vector<float> part(static_cast<size_t>(ours.elements()));
      HONE_RETURN_IF_ERROR(values_.Read(source.ours, part));
      Place(part, ours, source.part, tensor.shape, whole);
    }
    return whole;
  }

  const Config& config_;
  const ModelValues& values_;
  bool prefixed_ = false;
  std::set<std::string> left_;  // parameters that are of no tensor yet
  std::map<std::string, Tensor> tensors_;
  std::vector<std::string> order_;
};

}  // namespace

absl::Status ModelValues::ReadTheirs(absl::string_view name, std::span<float>) const {
  return absl::InternalError(absl::StrCat(name, " is no tensor of a checkpoint"));
}

bool IsOfHead(absl::string_view theirs) {
  const std::vector<absl::string_view> parts = absl::StrSplit(theirs, '.');
  return std::ranges::find(kHeads, parts[0]) != std::end(kHeads);
}

absl::StatusOr<std::string> ArchitectureOf(const Family& family, WrittenHead head) {
  const auto found = std::ranges::find(kClasses, family.model_type, &ClassNames::model_type);
  if (found != std::end(kClasses)) {
    const bool writes = !found->next_token.empty();
    if (head == WrittenHead::kNextToken && writes) {
      return absl::StrCat(found->stem, found->next_token);
    }
    if (head == WrittenHead::kNone) {
      return absl::StrCat(found->stem, "Model");
    }
    if (!writes && head != WrittenHead::kNextToken) {
      return absl::StrCat(found->stem,
                          head == WrittenHead::kClassification ? "ForSequenceClassification"
                          : head == WrittenHead::kTokenClasses ? "ForTokenClassification"
                                                               : "ForMaskedLM");
    }
  }
  return absl::UnimplementedError(absl::StrCat("a checkpoint of the family ", family.model_type,
                                               " with this model's last layer is not written"));
}

absl::StatusOr<checkpoint::WrittenFile> WriteTensors(const Config& config,
                                                     const ModelValues& values,
                                                     const std::string& path) {
  Writer writer(config, values);
  HONE_RETURN_IF_ERROR(writer.Gather());
  return writer.Write(path);
}

}  // namespace hone::engine::huggingface
