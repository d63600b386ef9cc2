#include "engine/ops/guessed_tokens.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/random_key.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Inputs of the op.
enum Input : int { kTokens, kLogits, kOffsets, kShare };

// Whether a token is guessed.
bool IsGuessed(uint64_t key, int64_t sequence, int64_t place, double share) {
  const auto words = Philox({static_cast<uint32_t>(place), static_cast<uint32_t>(sequence),
                             static_cast<uint32_t>(sequence >> 32), 0},
                            {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
  return ToUnitFloat(words[0]) < share;
}

class GuessedTokensOp final : public Op {
 public:
  explicit GuessedTokensOp(uint64_t layer) : layer_(layer) {}

  absl::string_view kind() const override { return "guessed_tokens"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the logits", in[kLogits]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[kOffsets]));
    const TensorType tokens{Shape{in[kLogits].shape[0]}, DType::kS32};
    if (in[kTokens] != tokens) {
      return absl::InvalidArgumentError(
          absl::StrCat("the tokens must be ", tokens.ToString(), ", got ", in[kTokens].ToString()));
    }
    if (in[kShare].shape != Shape{}) {
      return WrongShape("the share", Shape{}.ToString(), in[kShare].shape);
    }
    return std::vector<TensorType>{tokens};
  }

  void Differentiate(Gradient&) const override {}

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars& scalars) const override {
    const uint64_t key = RandomKey(scalars, layer_);
    const int64_t vocabulary = in[kLogits]->shape[1];
    out[0].values = in[kTokens]->values;
    for (int64_t i = 0; i + 1 < in[kOffsets]->shape[0]; ++i) {
      const auto first = static_cast<int64_t>((*in[kOffsets])[i]);
      const auto end = static_cast<int64_t>((*in[kOffsets])[i + 1]);
      for (int64_t row = first + 1; row < end; ++row) {
        if (IsGuessed(key, scalars.first_example + i, row - first, (*in[kShare])[0])) {
          int64_t best = 0;
          for (int64_t k = 1; k < vocabulary; ++k) {
            best = (*in[kLogits])[(row - 1) * vocabulary + k] >
                           (*in[kLogits])[(row - 1) * vocabulary + best]
                       ? k
                       : best;
          }
          out[0][row] = static_cast<double>(best);
        }
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Slot tokens = l.Input(kTokens), offsets = l.Input(kOffsets);
    HONE_ASSIGN_OR_RETURN(const Slot logits, l.PlainInput(kLogits));
    HONE_ASSIGN_OR_RETURN(const Slot share, l.PlainInput(kShare));
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const int64_t rows = l.input_type(kLogits).shape[0],
                  vocabulary = l.input_type(kLogits).shape[1];
    const int64_t batch = l.input_type(kOffsets).shape[0] - 1;
    const int parts = PartsFor(SaturatingProduct(rows, vocabulary), l.threads());
    l.Emit(kind(), [=, layer = layer_](const Memory& m, const RunScalars& scalars) {
      const auto* begins = m.as<int32_t>(offsets);
      if (!AreOffsets({begins, static_cast<size_t>(batch) + 1}, rows)) {
        return false;
      }
      const uint64_t key = RandomKey(scalars, layer);
      const double probability = *m.as<float>(share);
      const float* const numbers = m.as<float>(logits);
      auto* const to = m.as<int32_t>(y);
      std::copy_n(m.as<int32_t>(tokens), rows, to);
      ForShares(batch, parts, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          for (int64_t row = begins[i] + 1; row < begins[i + 1]; ++row) {
            if (IsGuessed(key, scalars.first_example + i, row - begins[i], probability)) {
              const float* const before = numbers + (row - 1) * vocabulary;
              to[row] =
                  static_cast<int32_t>(std::max_element(before, before + vocabulary) - before);
            }
          }
        }
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  uint64_t layer_;
};

}  // namespace

Value GuessedTokens(Graph& graph, Value tokens, Value logits, Value offsets, Value share) {
  const uint64_t layer = RandomLayer(graph, "guessed_tokens");
  return graph.Add(std::make_shared<GuessedTokensOp>(layer), {tokens, logits, offsets, share});
}

}  // namespace hone::engine
