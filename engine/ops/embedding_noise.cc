#include "engine/ops/embedding_noise.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/ops/random_key.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// The numbers of [−1, 1) that a key stands for, a block of Philox four of them.
class Uniform {
 public:
  explicit Uniform(uint64_t key) : key_(key) {}

  double operator()(uint64_t index) {
    if (const uint64_t block = index / 4; block != block_ || !there_) {
      block_ = block;
      there_ = true;
      words_ = Philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0},
                      {static_cast<uint32_t>(key_), static_cast<uint32_t>(key_ >> 32)});
    }
    return 2 * double{ToUnitFloat(words_[index % 4])} - 1;
  }

 private:
  uint64_t key_;
  uint64_t block_ = 0;
  bool there_ = false;
  std::array<uint32_t, 4> words_ = {};
};

// Inputs: x, offsets.
class EmbeddingNoiseOp final : public Op {
 public:
  EmbeddingNoiseOp(float alpha, uint64_t layer) : alpha_(alpha), layer_(layer) {}

  absl::string_view kind() const override { return "embedding_noise"; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the input", in[0]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[1]));
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return g.dy(); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars& scalars) const override {
    const int64_t width = out[0].shape[1];
    out[0].values = in[0]->values;
    Uniform uniform(RandomKey(scalars, layer_));
    for (int64_t i = 0; i + 1 < in[1]->shape[0]; ++i) {
      const auto begin = static_cast<int64_t>((*in[1])[i]);
      const auto end = static_cast<int64_t>((*in[1])[i + 1]);
      for (int64_t row = begin; row < end; ++row) {
        const uint64_t first = First(scalars, i, row - begin, width);
        for (int64_t column = 0; column < width; ++column) {
          out[0][row * width + column] +=
              double{Size(end - begin, width)} * uniform(first + static_cast<uint64_t>(column));
        }
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    const int64_t rows = shape[0], width = shape[1], batch = l.input_type(1).shape[0] - 1;
    const MemoryDesc desc = MemoryDesc::Plain({shape, dtype});
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, desc));
    const Slot offsets = l.Input(1);
    const Slot y = l.OutputInPlace(0, desc, 0);
    const int parts = PartsFor(shape.elements(), l.threads());
    l.Emit(kind(), [=, op = *this](const Memory& m, const RunScalars& scalars) {
      const auto* begins = m.as<int32_t>(offsets);
      if (!AreOffsets({begins, static_cast<size_t>(batch) + 1}, rows)) {
        return false;
      }
      const void* const from = m[x];
      void* const to = m[y];
      ForShares(rows, parts, [&](int64_t first, int64_t last) {
        Uniform uniform(RandomKey(scalars, op.layer_));
        for (int64_t row = first; row < last; ++row) {
          const auto* const next = std::upper_bound(begins, begins + batch + 1, row);
          const bool in_sequence = next != begins + batch + 1;
          const float size = in_sequence ? op.Size(*next - *(next - 1), width) : 0;
          const uint64_t number =
              in_sequence ? First(scalars, next - begins - 1, row - *(next - 1), width) : 0;
          for (int64_t column = 0; column < width; ++column) {
            const auto added = static_cast<float>(uniform(number + static_cast<uint64_t>(column)));
            Add(dtype, from, to, row * width + column, size * added);
          }
        }
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  // Of the noise of a sequence of so many tokens.
  float Size(int64_t tokens, int64_t width) const {
    return alpha_ / std::sqrt(static_cast<float>(tokens * width));
  }
  // The number of a token's first element, of the token at that place of this program's sequence.
  static uint64_t First(const RunScalars& scalars, int64_t sequence, int64_t place, int64_t width) {
    return (static_cast<uint64_t>(scalars.first_example + sequence) << 32) +
           static_cast<uint64_t>(place * width);
  }
  static void Add(DType dtype, const void* from, void* to, int64_t at, float added) {
    if (dtype == DType::kBf16) {
      static_cast<uint16_t*>(to)[at] =
          ToBf16(FromBf16(static_cast<const uint16_t*>(from)[at]) + added);
    } else {
      static_cast<float*>(to)[at] = static_cast<const float*>(from)[at] + added;
    }
  }

  float alpha_;
  uint64_t layer_;
};

}  // namespace

Value EmbeddingNoise(Graph& graph, Value x, Value offsets, float alpha) {
  if (!(alpha >= 0 && std::isfinite(alpha))) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat("embedding_noise ", graph.scope(), ": alpha must be 0 or more, got ", alpha)));
  }
  if (alpha == 0) {
    return x;
  }
  const uint64_t layer = RandomLayer(graph, "embedding_noise");
  return graph.Add(std::make_shared<EmbeddingNoiseOp>(alpha, layer), {x, offsets});
}

}  // namespace hone::engine
