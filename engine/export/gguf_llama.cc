#include "engine/export/gguf_llama.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/base/status.h"
#include "engine/export/gguf_tokenizer.h"
#include "engine/tensor/half.h"

namespace hone::engine::exports {
namespace {

using huggingface::ModelValues;

// The net, by the options of its preset.
struct Net {
  int64_t layers, heads, kv_heads, width, hidden, longest, rows;
  float epsilon, rotary_base;
  bool tied, transposed;
};

absl::StatusOr<Net> ReadNet(const tasks::ModelFile& file) {
  const auto unknown = [](absl::string_view what) {
    return absl::UnimplementedError(
        absl::StrCat("format gguf: ", what,
                     "; it is for language models of Llama's type: the preset gpt with "
                     "rotary positions, RMS norms, gated SiLU and no biases"));
  };
  const auto* const writes = std::get_if<tasks::LanguageModelingOptions>(&file.task);
  if (writes == nullptr || file.model.preset.name != "gpt" ||
      !file.preprocessing.text.has_value()) {
    return unknown("the model is another one");
  }
  const auto options = nlohmann::json::parse(file.model.preset.options);
  for (const auto& [key, wanted] : {std::pair{"positions", "rotary"}, std::pair{"norm", "rms"},
                                    std::pair{"activation", "silu"}}) {
    if (const std::string value = options.value(key, std::string()); value != wanted) {
      return unknown(
          absl::StrCat("the model's `", key, "` is ", value.empty() ? "not given" : value));
    }
  }
  if (!options.value("gated", false) || options.value("use_bias", false)) {
    return unknown("the model has biases, or is not gated");
  }
  for (const char* key : {"query_bias", "output_bias", "feed_forward_bias", "head_norm"}) {
    if (options.value(key, false)) {
      return unknown(absl::StrCat("the model has `", key, "`"));
    }
  }
  if (options.value("head_width", int64_t{0}) != 0 ||
      options.value("rotary_scaling", "none") != "none") {
    return unknown("the model's heads have a width of their own, or its angles are stretched");
  }
  Net net = {.layers = options.value("layers", int64_t{4}),
             .heads = options.value("heads", int64_t{4}),
             .kv_heads = options.value("kv_heads", int64_t{0}),
             .width = options.value("width", int64_t{128}),
             .hidden = options.value("hidden", int64_t{0}),
             .longest = options.value("longest", int64_t{0}),
             .rows = options.value("table_rows", int64_t{0}),
             .epsilon = options.value("epsilon", 1e-5f),
             .rotary_base = options.value("rotary_base", 10000.0f),
             .tied = options.value("tied_embeddings", true),
             .transposed = options.value("transposed", false)};
  net.kv_heads = net.kv_heads == 0 ? net.heads : net.kv_heads;
  net.hidden = net.hidden == 0 ? 4 * net.width : net.hidden;
  net.longest = net.longest == 0 ? writes->window : net.longest;
  net.rows = std::max(net.rows, file.preprocessing.text->tokenizer->size());
  return net;
}

// A tensor of theirs and the parameter that it is; {i} and {n} as in huggingface/family.h.
struct Row {
  const char* theirs;
  const char* ours;
  enum class Kind { kVector, kTable, kProduct, kQuery, kKey } kind;
};
constexpr Row kOnce[] = {{"token_embd", "token_embedding", Row::Kind::kTable},
                         {"output_norm", "norm", Row::Kind::kVector},
                         {"output", "output", Row::Kind::kProduct}};
constexpr Row kOfBlock[] = {
    {"blk.{i}.attn_norm", "block_{n}.norm_1", Row::Kind::kVector},
    {"blk.{i}.attn_q", "block_{n}.attention.query", Row::Kind::kQuery},
    {"blk.{i}.attn_k", "block_{n}.attention.key", Row::Kind::kKey},
    {"blk.{i}.attn_v", "block_{n}.attention.value", Row::Kind::kProduct},
    {"blk.{i}.attn_output", "block_{n}.attention.output", Row::Kind::kProduct},
    {"blk.{i}.ffn_norm", "block_{n}.norm_2", Row::Kind::kVector},
    {"blk.{i}.ffn_gate", "block_{n}.feed_forward.gate", Row::Kind::kProduct},
    {"blk.{i}.ffn_up", "block_{n}.feed_forward.up", Row::Kind::kProduct},
    {"blk.{i}.ffn_down", "block_{n}.feed_forward.down", Row::Kind::kProduct},
};

struct Place {
  std::string theirs;
  std::string ours;
  Row::Kind kind;
};

std::vector<Place> PlacesOf(const Net& net) {
  std::vector<Place> places;
  const auto add = [&](const Row& row, int64_t block) {
    const auto name = [block](const char* of) {
      return absl::StrCat(
          absl::StrReplaceAll(of, {{"{i}", absl::StrCat(block)}, {"{n}", absl::StrCat(block + 1)}}),
          ".weight");
    };
    places.push_back({name(row.theirs), name(row.ours), row.kind});
  };
  for (const Row& row : kOnce) {
    if (row.ours != absl::string_view("output") || !net.tied) {
      add(row, 0);
    }
  }
  for (int64_t block = 0; block < net.layers; ++block) {
    for (const Row& row : kOfBlock) {
      add(row, block);
    }
  }
  return places;
}

// [columns, rows] of [rows, columns]
std::vector<float> Turned(const std::vector<float>& matrix, int64_t rows, int64_t columns) {
  std::vector<float> turned(matrix.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      turned[static_cast<size_t>(column * rows + row)] =
          matrix[static_cast<size_t>(row * columns + column)];
    }
  }
  return turned;
}

// Row 2i + j of each head is row j · dim / 2 + i of ours; `back`: the other way round.
std::vector<float> Paired(const std::vector<float>& matrix, int64_t heads, int64_t columns,
                          bool back) {
  const int64_t dim = static_cast<int64_t>(matrix.size()) / columns / heads;
  std::vector<float> paired(matrix.size());
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t row = 0; row < dim; ++row) {
      const int64_t ours = head * dim + row % 2 * (dim / 2) + row / 2;
      const int64_t theirs = head * dim + row;
      std::copy_n(matrix.begin() + (back ? theirs : ours) * columns, columns,
                  paired.begin() + (back ? ours : theirs) * columns);
    }
  }
  return paired;
}

// A parameter as it is there: [out, in], rows of queries and keys in pairs.
class Layout {
 public:
  Layout(const Net& net, const Place& place, const Shape& ours)
      : ours_(ours), paired_(place.kind == Row::Kind::kQuery || place.kind == Row::Kind::kKey) {
    heads_ = place.kind == Row::Kind::kKey ? net.kv_heads : net.heads;
    const bool product = paired_ || place.kind == Row::Kind::kProduct;
    turned_ = product && !net.transposed;
    columns_ = turned_ ? ours[0] : ours.back();
  }

  std::vector<uint64_t> extents() const {
    std::vector<uint64_t> extents = {static_cast<uint64_t>(columns_)};
    if (ours_.rank() == 2) {
      extents.push_back(static_cast<uint64_t>(ours_.elements() / columns_));
    }
    return extents;
  }
  std::vector<float> There(std::vector<float> values) const {
    values = turned_ ? Turned(values, ours_[0], ours_[1]) : std::move(values);
    return paired_ ? Paired(values, heads_, columns_, false) : values;
  }
  std::vector<float> Ours(std::vector<float> values) const {
    values = paired_ ? Paired(values, heads_, columns_, true) : std::move(values);
    return turned_ ? Turned(values, ours_[1], ours_[0]) : values;
  }
  GgufType TypeFor(GgufType wanted) const {
    if (ours_.rank() == 1) {
      return GgufType::kF32;
    }
    return wanted == GgufType::kQ8_0 && columns_ % kGgufBlock != 0 ? GgufType::kF16 : wanted;
  }

 private:
  const Shape& ours_;
  bool paired_, turned_;
  int64_t heads_, columns_;
};

absl::Status CheckNames(const std::vector<Place>& places, const ModelValues& values) {
  for (const Place& place : places) {
    if (std::ranges::find(values.names(), place.ours) == values.names().end()) {
      return absl::InvalidArgumentError(absl::StrCat("there are no values of ", place.ours));
    }
  }
  for (const std::string& name : values.names()) {
    if (std::ranges::find(places, name, &Place::ours) == places.end()) {
      return absl::UnimplementedError(
          absl::StrCat("format gguf: there is no place for ", name, " of this model"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> ReadThere(const Layout& layout, const std::string& ours,
                                             const ModelValues& values) {
  std::vector<float> read(static_cast<size_t>(values.shape(ours).elements()));
  HONE_RETURN_IF_ERROR(values.Read(ours, read));
  return layout.There(std::move(read));
}

void AddNet(const tasks::ModelFile& file, const Net& net, GgufType type, Gguf& gguf) {
  const auto add = [&](absl::string_view key, GgufValue value) {
    gguf.pairs.emplace_back(std::string(key), std::move(value));
  };
  const auto whole = [](int64_t value) { return GgufValue(static_cast<uint32_t>(value)); };
  add("general.architecture", std::string("llama"));
  add("general.name", file.display_name);
  add("general.alignment", whole(kGgufAlignment));
  add("general.file_type", whole(type == GgufType::kF32    ? 0
                                 : type == GgufType::kF16  ? 1
                                 : type == GgufType::kQ8_0 ? 7
                                                           : 32));
  add("general.quantization_version", whole(2));
  add("llama.vocab_size", whole(net.rows));
  add("llama.context_length", whole(net.longest));
  add("llama.embedding_length", whole(net.width));
  add("llama.block_count", whole(net.layers));
  add("llama.feed_forward_length", whole(net.hidden));
  add("llama.attention.head_count", whole(net.heads));
  add("llama.attention.head_count_kv", whole(net.kv_heads));
  add("llama.attention.layer_norm_rms_epsilon", net.epsilon);
  add("llama.rope.dimension_count", whole(net.width / net.heads));
  add("llama.rope.freq_base", net.rotary_base);
}

// How far number i may be from the model's own.
float Bound(const GgufTensor& tensor, size_t i, float own) {
  switch (tensor.type) {
    case GgufType::kF32:
      return 0;
    case GgufType::kF16:
      return std::abs(own) * 0x1p-11f + 0x1p-25f;
    case GgufType::kBf16:
      return std::abs(own) * 0x1p-8f;
    case GgufType::kQ8_0: {
      // The rounding of d itself, up to 127 times, is below a tenth of it where d is not tiny.
      uint16_t d = 0;
      std::memcpy(&d, tensor.data().data() + i / kGgufBlock * (2 + kGgufBlock), sizeof(d));
      return 0.6f * FromF16(d) + 127 * 0x1p-25f;
    }
  }
  return 0;
}

class GgufValues final : public ModelValues {
 public:
  GgufValues(const Net& net, const ModelValues& shapes) : net_(net), shapes_(shapes) {}

  const std::vector<std::string>& names() const override { return shapes_.names(); }
  const Shape& shape(absl::string_view name) const override { return shapes_.shape(name); }
  checkpoint::FileDType dtype(absl::string_view) const override {
    return checkpoint::FileDType::kF32;
  }
  absl::Status Read(absl::string_view name, std::span<float> out) const override {
    const auto& [place, tensor] = tensors_.find(std::string(name))->second;
    const Layout layout(net_, place, shapes_.shape(name));
    std::ranges::copy(layout.Ours(FromGgufBytes(tensor->type, tensor->data())), out.begin());
    return absl::OkStatus();
  }
  void Put(const Place& place, const GgufTensor* tensor) { tensors_[place.ours] = {place, tensor}; }

 private:
  const Net net_;
  const ModelValues& shapes_;
  std::map<std::string, std::pair<Place, const GgufTensor*>> tensors_;
};

}  // namespace

absl::StatusOr<Gguf> ToGguf(const tasks::ModelFile& file, const ModelValues& values,
                            GgufType type) {
  HONE_ASSIGN_OR_RETURN(const Net net, ReadNet(file));
  const std::vector<Place> places = PlacesOf(net);
  HONE_RETURN_IF_ERROR(CheckNames(places, values));
  Gguf gguf;
  AddNet(file, net, type, gguf);
  HONE_RETURN_IF_ERROR(AddTokenizer(file, net.rows, gguf));
  for (const Place& place : places) {
    const Layout layout(net, place, values.shape(place.ours));
    HONE_ASSIGN_OR_RETURN(const std::vector<float> there, ReadThere(layout, place.ours, values));
    const GgufType written = layout.TypeFor(type);
    gguf.tensors.push_back({.name = place.theirs,
                            .extents = layout.extents(),
                            .type = written,
                            .bytes = ToGgufBytes(written, there)});
  }
  return gguf;
}

absl::StatusOr<std::unique_ptr<const ModelValues>> FromGguf(const Gguf& gguf,
                                                            const tasks::ModelFile& file,
                                                            const ModelValues& values) {
  HONE_ASSIGN_OR_RETURN(const Net net, ReadNet(file));
  auto read = std::make_unique<GgufValues>(net, values);
  for (const Place& place : PlacesOf(net)) {
    const Layout layout(net, place, values.shape(place.ours));
    const GgufTensor* tensor = gguf.FindTensor(place.theirs);
    if (tensor == nullptr || tensor->extents != layout.extents()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the tensor ", place.theirs, " is missing, or has other extents"));
    }
    HONE_ASSIGN_OR_RETURN(const std::vector<float> own, ReadThere(layout, place.ours, values));
    const std::vector<float> there = FromGgufBytes(tensor->type, tensor->data());
    if (there.size() != own.size()) {
      return absl::InvalidArgumentError(absl::StrCat("the tensor ", place.theirs, " has ",
                                                     there.size(), " numbers, not ", own.size()));
    }
    for (size_t i = 0; i < own.size(); ++i) {
      if (!(std::abs(there[i] - own[i]) <= Bound(*tensor, i, own[i]))) {
        return absl::InvalidArgumentError(absl::StrCat(place.theirs, ": number ", i, " is ",
                                                       there[i], ", the model's own ", own[i],
                                                       ": further away than rounding brings it"));
      }
    }
    read->Put(place, tensor);
  }
  return read;
}

}  // namespace hone::engine::exports
