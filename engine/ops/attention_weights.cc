#include "engine/ops/attention_weights.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// The weights of one query of all heads to `keys` rows, added to `weights`.
template <typename Number>
void AddWeights(const Number* query, const Number* keys, int64_t count, int64_t heads, int64_t dim,
                Number scale, Number* scores, Number* weights) {
  for (int64_t head = 0; head < heads; ++head) {
    Number largest = 0, sum = 0;
    for (int64_t s = 0; s < count; ++s) {
      scores[s] = 0;
      for (int64_t d = head * dim; d < (head + 1) * dim; ++d) {
        scores[s] += scale * query[d] * keys[s * heads * dim + d];
      }
      largest = s == 0 ? scores[s] : std::max(largest, scores[s]);
    }
    for (int64_t s = 0; s < count; ++s) {
      scores[s] = std::exp(scores[s] - largest);
      sum += scores[s];
    }
    for (int64_t s = 0; s < count; ++s) {
      weights[s] += scores[s] / sum / static_cast<Number>(heads);
    }
  }
}

// Inputs: q, k, offsets, key_offsets.
class AttentionWeightsOp final : public Op {
 public:
  AttentionWeightsOp(int64_t longest, int64_t heads, float scale)
      : longest_(longest), heads_(heads), scale_(scale) {}

  absl::string_view kind() const override { return "attention_weights"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the queries", in[0]));
    HONE_RETURN_IF_ERROR(CheckTokenRows("the keys", in[1]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[2]));
    if (in[1].shape[1] != in[0].shape[1]) {
      return WrongShape("the keys", absl::StrCat("[rows, ", in[0].shape[1], "]"), in[1].shape);
    }
    if (in[3] != in[2]) {
      return absl::InvalidArgumentError(
          absl::StrCat("the keys' offsets must be ", in[2].ToString(), ", got ", in[3].ToString()));
    }
    return std::vector<TensorType>{{Shape{in[0].shape[0], longest_}, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape[1];
    const DoubleTensor &offsets = *in[2], &key_offsets = *in[3];
    std::vector<double> scores(static_cast<size_t>(in[1]->shape[0]));
    for (int64_t i = 0; i + 1 < offsets.shape[0]; ++i) {
      const auto first = static_cast<int64_t>(key_offsets[i]);
      const auto count = static_cast<int64_t>(key_offsets[i + 1]) - first;
      for (auto row = static_cast<int64_t>(offsets[i]); row < static_cast<int64_t>(offsets[i + 1]);
           ++row) {
        AddWeights(in[0]->values.data() + row * width, in[1]->values.data() + first * width, count,
                   heads_, width / heads_, double{scale_}, scores.data(),
                   out[0].values.data() + row * longest_);
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot q, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot k, l.PlainInput(1));
    const Slot offsets = l.Input(2), key_offsets = l.Input(3);
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const Slot scratch = l.Scratch(longest_ * static_cast<int64_t>(sizeof(float)));
    const int64_t rows = l.input_type(0).shape[0], width = l.input_type(0).shape[1];
    const int64_t key_rows = l.input_type(1).shape[0], batch = l.input_type(2).shape[0] - 1;
    l.Emit(kind(), [=, longest = longest_, heads = heads_, scale = scale_](const Memory& m,
                                                                           const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      const auto* key_begins = m.as<int32_t>(key_offsets);
      const auto count = static_cast<size_t>(batch) + 1;
      if (!AreOffsets({begins, count}, rows) || !AreOffsets({key_begins, count}, key_rows)) {
        return false;
      }
      auto* const to = m.as<float>(y);
      std::fill_n(to, rows * longest, 0.0f);
      for (int64_t i = 0; i < batch; ++i) {
        const int64_t first = key_begins[i], keys = key_begins[i + 1] - first;
        if (keys > longest) {
          return false;
        }
        for (int64_t row = begins[i]; row < begins[i + 1]; ++row) {
          AddWeights<float>(m.as<float>(q) + row * width, m.as<float>(k) + first * width, keys,
                            heads, width / heads, scale, m.as<float>(scratch), to + row * longest);
        }
      }
      return true;
    });
    return absl::OkStatus();
  }

 private:
  int64_t longest_, heads_;
  float scale_;
};

}  // namespace

Value AttentionWeights(Graph& graph, Value q, Value k, Value offsets, Value key_offsets,
                       int64_t longest, const AttentionOptions& options) {
  const Shape& shape = graph.shape(q);
  const bool grouped = options.kv_heads != 0 && options.kv_heads != options.heads;
  if (longest < 1 || options.causal || grouped || options.heads < 1 || shape.rank() != 2 ||
      shape[1] % options.heads != 0) {
    return graph.Fail(
        absl::InvalidArgumentError(absl::StrCat("attention_weights ", graph.scope(),
                                                ": weights are shown of attention that is neither "
                                                "causal nor has grouped heads, of at least "
                                                "1 token and heads that divide the queries ",
                                                shape.ToString())));
  }
  const float scale =
      options.scale != 0
          ? options.scale
          : 1 / std::sqrt(static_cast<float>(shape[1]) / static_cast<float>(options.heads));
  return graph.Add(std::make_shared<AttentionWeightsOp>(longest, options.heads, scale),
                   {q, k, offsets, key_offsets});
}

}  // namespace hone::engine
