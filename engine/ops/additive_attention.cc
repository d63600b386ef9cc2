#include "engine/ops/additive_attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/recurrent_decoder.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Inputs: q, keys, values, score_weight, offsets, key_offsets.
class AdditiveAttentionOp final : public Op {
 public:
  explicit AdditiveAttentionOp(int64_t longest) : longest_(longest) {}

  absl::string_view kind() const override { return "additive_attention"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the queries", in[0]));
    HONE_RETURN_IF_ERROR(CheckTokenRows("the keys", in[1]));
    HONE_RETURN_IF_ERROR(CheckTokenRows("the values", in[2]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[4]));
    const int64_t width = in[0].shape[1], key_rows = in[1].shape[0];
    if (in[1].shape[1] != width) {
      return WrongShape("the keys", absl::StrCat("[rows, ", width, "]"), in[1].shape);
    }
    if (in[2].shape[0] != key_rows) {
      return WrongShape("the values", absl::StrCat("[", key_rows, ", width]"), in[2].shape);
    }
    if (in[3].shape != Shape{width}) {
      return WrongShape("the score weight", Shape{width}.ToString(), in[3].shape);
    }
    if (in[5] != in[4]) {
      return absl::InvalidArgumentError(
          absl::StrCat("the keys' offsets must be ", in[4].ToString(), ", got ", in[5].ToString()));
    }
    std::vector<TensorType> types = {{Shape{in[0].shape[0], in[2].shape[1]}, DType::kF32}};
    if (longest_ > 0) {
      types.push_back({Shape{in[0].shape[0], longest_}, DType::kF32});
    }
    return types;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape[1], values = in[2]->shape[1];
    const DoubleTensor &offsets = *in[4], &key_offsets = *in[5];
    for (int64_t i = 0; i + 1 < offsets.shape[0]; ++i) {
      const auto begin = static_cast<int64_t>(key_offsets[i]);
      const auto end = static_cast<int64_t>(key_offsets[i + 1]);
      for (auto row = static_cast<int64_t>(offsets[i]); row < static_cast<int64_t>(offsets[i + 1]);
           ++row) {
        std::vector<double> weights;
        double sum = 0;
        for (int64_t s = begin; s < end; ++s) {
          double score = 0;
          for (int64_t j = 0; j < width; ++j) {
            score += (*in[3])[j] * std::tanh((*in[0])[row * width + j] + (*in[1])[s * width + j]);
          }
          weights.push_back(std::exp(score));
          sum += weights.back();
        }
        for (int64_t s = begin; s < end; ++s) {
          const double weight = weights[static_cast<size_t>(s - begin)] / sum;
          for (int64_t k = 0; k < values; ++k) {
            out[0][row * values + k] += weight * (*in[2])[s * values + k];
          }
          if (longest_ > 0) {
            out[1][row * longest_ + s - begin] = weight;
          }
        }
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    Slot in[4] = {};
    for (int i = 0; i < 4; ++i) {
      HONE_ASSIGN_OR_RETURN(in[i], l.PlainInput(i));
    }
    const Slot q = in[0], k = in[1], v = in[2], score = in[3];
    const Slot offsets = l.Input(4), key_offsets = l.Input(5);
    const int64_t rows = l.input_type(0).shape[0], key_rows = l.input_type(1).shape[0];
    const int64_t batch = l.input_type(4).shape[0] - 1;
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const Slot map =
        longest_ > 0 && l.wanted(1) ? l.Output(1, MemoryDesc::Plain(l.output_type(1))) : Slot{-1};
    const kernels::RecurrentDecoder decoder = {.keys = l.input_type(0).shape[1],
                                               .values = l.input_type(2).shape[1]};
    // tanh is some twenty multiplications.
    const int64_t work =
        SaturatingProduct(rows * (20 * decoder.keys + decoder.values), key_rows / batch + 1);
    const int threads = static_cast<int>(std::min<int64_t>(PartsFor(work, l.threads()), batch));
    const Slot scratch = l.Scratch(threads * key_rows * static_cast<int64_t>(sizeof(float)));
    l.Emit(kind(), [=, longest = longest_](const Memory& m, const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      const auto* key_begins = m.as<int32_t>(key_offsets);
      const auto count = static_cast<size_t>(batch) + 1;
      if (!AreOffsets({begins, count}, rows) || !AreOffsets({key_begins, count}, key_rows)) {
        return false;
      }
      float* const weights = map < 0 ? nullptr : m.as<float>(map);
      if (weights != nullptr) {
        for (int64_t i = 0; i < batch; ++i) {
          if (key_begins[i + 1] - key_begins[i] > longest) {
            return false;
          }
        }
        std::fill_n(weights, rows * longest, 0.0f);
      }
      auto* const to = m.as<float>(y);
      ClearRowsBehind(begins, batch, rows, decoder.values, to);
      std::atomic<int64_t> next = 0;
      RunTeam(threads, [&](int thread) {
        float* const own = m.as<float>(scratch) + thread * key_rows;
        for (int64_t i = next++; i < batch; i = next++) {
          const int64_t first = key_begins[i], keys = key_begins[i + 1] - first;
          for (int64_t row = begins[i]; row < begins[i + 1]; ++row) {
            kernels::AttendAdditive(decoder, m.as<float>(q) + row * decoder.keys,
                                    m.as<float>(k) + first * decoder.keys,
                                    m.as<float>(v) + first * decoder.values, m.as<float>(score),
                                    keys, to + row * decoder.values, own);
            if (weights != nullptr) {
              std::copy_n(own, keys, weights + row * longest);
            }
          }
        }
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  int64_t longest_;
};

}  // namespace

AttentionResult AdditiveAttention(Graph& graph, Value q, Value k, Value values, Value score_weight,
                                  Value offsets, Value key_offsets, int64_t longest) {
  const Value mixed = graph.Add(std::make_shared<AdditiveAttentionOp>(longest),
                                {q, k, values, score_weight, offsets, key_offsets});
  const bool has_weights = longest > 0 && graph.status().ok();
  return {mixed, has_weights ? Value{mixed.node, 1} : Value{}};
}

}  // namespace hone::engine
