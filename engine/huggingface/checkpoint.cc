#include "engine/huggingface/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/checkpoint/safetensors_header.h"
#include "engine/huggingface/config.h"
#include "engine/huggingface/rule_names.h"
#include "engine/tensor/token_rows.h"
#include "engine/text/chat_template.h"
#include "engine/text/pretrained_tokenizer.h"

namespace hone::engine::huggingface {
namespace {

using checkpoint::FileDType;
using checkpoint::Shown;

constexpr size_t kMostComplaints = 20;

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// Layer norms had other names in files of 2019.
std::string ModernName(absl::string_view name) {
  if (absl::ConsumeSuffix(&name, "LayerNorm.gamma")) {
    return absl::StrCat(name, "LayerNorm.weight");
  }
  if (absl::ConsumeSuffix(&name, "LayerNorm.beta")) {
    return absl::StrCat(name, "LayerNorm.bias");
  }
  return std::string(name);
}

}  // namespace

// Finds the tensor of each parameter and gathers what is wrong.
class Weights::Matcher {
 public:
  Matcher(const Config& config, Weights& out) : config_(config), out_(out) {}

  absl::Status Match() {
    NameAll();
    for (const ModuleRule& rule : config_.family->modules) {
      for (int64_t block = 0; block < BlocksOf(rule.theirs, config_.sizes); ++block) {
        Take(rule, block, kWeight, rule.weight);
        if (rule.biased_if.empty() || config_.options.value(std::string(rule.biased_if), false)) {
          Take(rule, block, kBias, rule.bias);
        }
      }
    }
    for (const absl::string_view name : config_.family->unread) {
      for (int64_t block = 0; block < BlocksOf(name, config_.sizes); ++block) {
        read_.insert(OfBlock(name, block));
      }
    }
    for (const auto& [name, place] : by_name_) {
      if (!read_.contains(name)) {
        Complain(Shown(place->tensor.name), " is of no part of a ", config_.family->model_type,
                 " model that is known here");
      }
    }
    return Told();
  }

 private:
  template <typename... Words>
  void Complain(const Words&... words) {
    if (++complaints_ <= kMostComplaints) {
      first_.push_back(absl::StrCat(words...));
    }
  }

  absl::Status Told() const {
    if (complaints_ == 0) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "the tensors are not those that config.json describes: ", absl::StrJoin(first_, "; "),
        complaints_ > first_.size() ? absl::StrCat("; and ", complaints_ - first_.size(), " more")
                                    : ""));
  }

  // The files' tensors by their names without prefix.
  void NameAll() {
    for (const auto& [theirs, place] : out_.files_.tensors()) {
      absl::string_view name = theirs;
      for (const absl::string_view prefix : config_.family->prefixes) {
        if (absl::ConsumePrefix(&name, prefix)) {
          break;
        }
      }
      const auto [known, added] = by_name_.try_emplace(ModernName(name), &place);
      if (!added) {
        Complain(Shown(theirs), " and ", Shown(known->second->tensor.name), " are the same tensor");
      }
    }
  }

  void Take(const ModuleRule& rule, int64_t block, absl::string_view kind,
            absl::string_view shape) {
    if (shape.empty()) {
      return;
    }
    const std::string theirs = absl::StrCat(OfBlock(rule.theirs, block), ".", kind);
    const std::string ours = absl::StrCat(OfBlock(rule.ours, block), ".", kind);
    const Shape wanted = WantedShape(shape, config_.sizes);
    const auto found = by_name_.find(theirs);
    if (rule.untied && config_.options.value("tied_embeddings", true)) {
      read_.insert(theirs);
      return;
    }
    if (found == by_name_.end()) {
      if (!rule.optional) {
        Complain(theirs, " ", Extents(wanted), " is missing");
      }
      return;
    }
    read_.insert(theirs);
    const checkpoint::FileTensor& tensor = found->second->tensor;
    if (out_.parameters_.contains(ours)) {
      return;
    }
    if (tensor.dtype != FileDType::kF32 && tensor.dtype != FileDType::kBf16 &&
        tensor.dtype != FileDType::kF16) {
      return Complain(Shown(tensor.name), " must be of F32, BF16 or F16, got ",
                      NameOf(tensor.dtype));
    }
    if (!Fits(tensor.shape, wanted)) {
      return Complain(Shown(tensor.name), " must be ", Extents(wanted), ", got ",
                      tensor.shape.ToString());
    }
    out_.names_.push_back(ours);
    out_.parameters_.emplace(ours, BlockOf(rule.part, *found->second));
  }

  Parameter BlockOf(Part part, const TensorFiles::Place& place) const {
    const Shape& whole = place.tensor.shape;
    Parameter result = {.theirs = place.tensor.name,
                        .file = place.file,
                        .tensor = place.tensor,
                        .shape = whole,
                        .stride = whole.back()};
    if (part == Part::kPlaces) {
      const int64_t before = config_.sizes.at('O');
      result.shape[0] -= before;
      result.first = before * whole.back();
    } else if (part == Part::kTransposed) {
      result.shape = {whole[1], whole[0]};
      result.transposed = true;
    } else if (part != Part::kAll) {
      const int64_t third = whole.back() / 3;
      result.shape[whole.rank() - 1] = third;
      result.first = third * (static_cast<int64_t>(part) - static_cast<int64_t>(Part::kQuery));
    }
    return result;
  }

  const Config& config_;
  Weights& out_;
  std::map<std::string, const TensorFiles::Place*> by_name_;
  std::set<std::string> read_;
  std::vector<std::string> first_;
  size_t complaints_ = 0;
};

bool IsCheckpoint(const std::string& directory) {
  return (Exists(absl::StrCat(directory, "/config.json")) || IsAdapter(directory)) &&
         !Exists(absl::StrCat(directory, "/model.json"));
}

absl::StatusOr<models::ModelDescription> DescribeModel(const std::string& directory) {
  HONE_ASSIGN_OR_RETURN(const std::string base, FolderOfNet(directory));
  HONE_ASSIGN_OR_RETURN(const Config config, ReadConfig(base));
  models::ModelDescription model;
  model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
  model.preset = {.name = std::string(config.family->preset), .options = config.options.dump()};
  if (IsAdapter(directory)) {
    HONE_ASSIGN_OR_RETURN(const Adapter adapter, ReadAdapter(directory, config));
    model.lora = adapter.lora;
  }
  return model;
}

absl::StatusOr<data::TextPreprocessing> ReadTokens(const std::string& directory,
                                                   std::vector<std::string>* notes) {
  HONE_ASSIGN_OR_RETURN(const std::string base, FolderOfNet(directory));
  HONE_ASSIGN_OR_RETURN(const Config config, ReadConfig(base));
  const bool has_own = Exists(absl::StrCat(directory, "/tokenizer.json"));
  absl::StatusOr<text::ReadTokenizer> read =
      text::ReadPretrainedTokenizer(has_own ? directory : base);
  HONE_RETURN_IF_ERROR(Annotate(read.status(), directory));
  const int64_t rows = config.sizes.at('V'), tokens = read->tokenizer->size();
  if (tokens > rows) {
    return absl::InvalidArgumentError(absl::StrCat(
        directory, ": ", read->file, " has ", tokens, " tokens, config.json's `vocab_size` is ",
        rows, ": some tokens have no row in the table of embeddings"));
  }
  if (notes != nullptr) {
    notes->insert(notes->end(), read->overridden.begin(), read->overridden.end());
  }
  data::TextPreprocessing how = {.tokenizer = read->tokenizer,
                                 .max_tokens = config.options.value("length", int64_t{0}),
                                 .in_template = true,
                                 .chat_template = read->chat_template};
  // One that is not known matters to who wants to chat alone, and is told them.
  if (const auto chat = text::RecogniseChatTemplate(how.chat_template); chat.ok()) {
    how.chat = *chat;
  }
  return how;
}

absl::StatusOr<Weights> Weights::Open(const std::string& directory) {
  HONE_ASSIGN_OR_RETURN(const std::string base, FolderOfNet(directory));
  HONE_ASSIGN_OR_RETURN(const Config config, ReadConfig(base));
  HONE_ASSIGN_OR_RETURN(TensorFiles files, TensorFiles::Open(base));
  Weights weights(std::move(files));
  HONE_RETURN_IF_ERROR(Annotate(Matcher(config, weights).Match(), base));
  if (IsAdapter(directory)) {
    HONE_ASSIGN_OR_RETURN(Adapter adapter, ReadAdapter(directory, config));
    HONE_RETURN_IF_ERROR(weights.Add(std::move(adapter)));
  }
  return weights;
}

absl::Status Weights::Add(Adapter adapter) {
  const size_t file = files_.files();
  HONE_RETURN_IF_ERROR(files_.Add(std::move(adapter.file)));
  mapped_.resize(files_.files());
  for (AdapterParameter& added : adapter.parameters) {
    if (!Holds(added.ours)) {
      names_.push_back(added.ours);
    }
    parameters_[added.ours] = {.theirs = added.tensor.name,
                               .file = file,
                               .tensor = std::move(added.tensor),
                               .shape = std::move(added.shape),
                               .first = added.first,
                               .stride = added.stride,
                               .transposed = added.transposed};
  }
  return absl::OkStatus();
}

int64_t Weights::bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, place] : files_.tensors()) {
    bytes += place.tensor.bytes;
  }
  return bytes;
}

absl::StatusOr<std::optional<BorrowedValues>> Weights::InPlace(absl::string_view name) const {
  return Borrowed(name, /*named=*/true);
}

absl::StatusOr<std::optional<BorrowedValues>> Weights::Borrowed(absl::string_view name,
                                                                bool named) const {
  const Parameter& parameter = At(name);
  const checkpoint::FileTensor& tensor = parameter.tensor;
  const int64_t size = checkpoint::SizeOf(tensor.dtype);
  const bool rows_touch = parameter.shape.rank() < 2 || parameter.stride == parameter.shape.back();
  if (parameter.transposed || tensor.dtype == FileDType::kF16 || tensor.begin % size != 0 ||
      !rows_touch) {
    return std::nullopt;
  }
  const checkpoint::SafetensorsFile& file = files_.file(parameter.file);
  std::optional<MappedFile>& mapped = mapped_[parameter.file];
  if (!mapped.has_value()) {
    HONE_ASSIGN_OR_RETURN(std::shared_ptr<const std::byte> memory, file.Map());
    mapped = MappedFile{.memory = std::move(memory), .sha256 = ""};
  }
  if (named && mapped->sha256.empty()) {
    const checkpoint::FileTensor& last = file.tensors().back();
    const auto* const bytes = reinterpret_cast<const char*>(mapped->memory.get());
    mapped->sha256 = Sha256({bytes, static_cast<size_t>(last.begin + last.bytes)});
  }
  return BorrowedValues{.dtype = tensor.dtype == FileDType::kBf16 ? DType::kBf16 : DType::kF32,
                        .data = mapped->memory.get() + tensor.begin + parameter.first * size,
                        .memory = mapped->memory,
                        .sha256 = mapped->sha256,
                        .path = file.path()};
}

absl::Status Weights::LendTo(ParameterStore& store) const {
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ParameterSpec& spec = store.spec(id);
    if (spec.role != ParameterRole::kFrozen || !Holds(spec.name) ||
        shape(spec.name) != spec.shape) {
      continue;
    }
    HONE_ASSIGN_OR_RETURN(std::optional<BorrowedValues> values,
                          Borrowed(spec.name, /*named=*/false));
    if (values.has_value()) {
      HONE_RETURN_IF_ERROR(store.Borrow(id, *std::move(values)));
    }
  }
  return absl::OkStatus();
}

absl::Status Weights::Read(absl::string_view name, std::span<float> out) const {
  const Parameter& parameter = At(name);
  const checkpoint::SafetensorsFile& file = files_.file(parameter.file);
  if (!parameter.transposed && parameter.shape == parameter.tensor.shape) {
    return file.Read(parameter.tensor, out);
  }
  std::vector<float> whole(static_cast<size_t>(parameter.tensor.shape.elements()));
  HONE_RETURN_IF_ERROR(file.Read(parameter.tensor, whole));
  const int64_t columns = parameter.shape.back();
  if (parameter.transposed) {
    for (size_t i = 0; i < whole.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i) / columns;
      const int64_t column = static_cast<int64_t>(i) % columns;
      out[i] = whole[static_cast<size_t>(column * parameter.stride + row)];
    }
    return absl::OkStatus();
  }
  for (int64_t row = 0; row * columns < static_cast<int64_t>(out.size()); ++row) {
    const auto* const from = whole.data() + parameter.first + row * parameter.stride;
    std::copy_n(from, columns, out.data() + row * columns);
  }
  return absl::OkStatus();
}

absl::Status Weights::ReadTheirs(absl::string_view name, std::span<float> out) const {
  const Parameter& parameter = At(name);
  return files_.file(parameter.file).Read(parameter.tensor, out);
}

absl::Status Weights::ReadInto(ParameterStore& store, ParameterId id) const {
  const std::string& name = store.spec(id).name;
  const ParameterView values = store.mutable_values(id);
  if (shape(name) != values.shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": the checkpoint's ", TheirName(name), " has the shape ", shape(name).ToString(),
        ", this job needs ", values.shape.ToString(), "; `parameters` can name all but this one"));
  }
  if (values.dtype == DType::kF32) {
    return Read(name, values.f32());
  }
  std::vector<float> wide(static_cast<size_t>(values.shape.elements()));
  HONE_RETURN_IF_ERROR(Read(name, wide));
  values.CopyFrom(wide);
  return absl::OkStatus();
}

}  // namespace hone::engine::huggingface
