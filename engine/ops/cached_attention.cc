#include "engine/ops/cached_attention.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/cached_attention.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Inputs: q, keys, values, places and, if rows go on from others, ancestors.
class CachedAttentionOp final : public Op {
 public:
  CachedAttentionOp(const kernels::CachedAttention& attention, bool has_ancestors)
      : a_(attention), has_ancestors_(has_ancestors) {}

  absl::string_view kind() const override { return "cached_attention"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the queries", in[0]));
    const int64_t rows = in[0].shape[0], width = a_.kv_heads * a_.dim;
    const Shape& keys = in[1].shape;
    if (keys.rank() != 3 || keys[0] != rows || keys[1] < 1 || keys[2] != width) {
      return WrongShape("the keys", absl::StrCat("[", rows, ", places, ", width, "]"), keys);
    }
    if (in[2].shape != keys) {
      return WrongShape("the values", keys.ToString(), in[2].shape);
    }
    if (in[3] != TensorType{Shape{rows}, DType::kS32}) {
      return absl::InvalidArgumentError(
          absl::StrCat("the places must be s32[", rows, "], got ", in[3].ToString()));
    }
    if (const TensorType wanted{Shape{rows, keys[1]}, DType::kS32};
        in.size() > 4 && in[4] != wanted) {
      return absl::InvalidArgumentError(
          absl::StrCat("the ancestors must be ", wanted.ToString(), ", got ", in[4].ToString()));
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  // Of sequences that fill half of the cache.
  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    const double keys = static_cast<double>(in[1].shape[1]) / 2;
    cost.flops = 4 * static_cast<double>(in[0].shape.elements()) *
                 (a_.window > 0 ? std::min(keys, static_cast<double>(a_.window)) : keys);
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t place_count = in[1]->shape[1];
    for (int64_t row = 0; row < in[0]->shape[0]; ++row) {
      const auto last = static_cast<int64_t>((*in[3])[row]);
      AttendByDefinition(
          a_, *in[0], *in[1], *in[2], row, last,
          [&](int64_t place) {
            return in.size() > 4 && place != last
                       ? static_cast<int64_t>((*in[4])[row * place_count + place])
                       : row;
          },
          out[0]);
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot q, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot k, l.PlainInput(1));
    HONE_ASSIGN_OR_RETURN(const Slot v, l.PlainInput(2));
    const Slot places = l.Input(3);
    const Slot ancestors = has_ancestors_ ? l.Input(4) : Slot{-1};
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const int64_t rows = l.input_type(0).shape[0], place_count = l.input_type(1).shape[1];
    const int64_t heads = rows * a_.heads;
    const Slot scratch = l.Scratch(heads * place_count * static_cast<int64_t>(sizeof(float)));
    const int parts = static_cast<int>(std::min<int64_t>(
        PartsFor(SaturatingProduct(heads * a_.dim, place_count), l.threads()), heads));
    l.Emit(kind(), [=, a = a_](const Memory& m, const RunScalars&) {
      const auto* at = m.as<int32_t>(places);
      if (!std::all_of(at, at + rows,
                       [&](int32_t place) { return place >= 0 && place < place_count; })) {
        return false;
      }
      const int32_t* from = ancestors < 0 ? nullptr : m.as<int32_t>(ancestors);
      for (int64_t row = 0; from != nullptr && row < rows; ++row) {
        const int32_t* const of_row = from + row * place_count;
        if (!std::all_of(of_row, of_row + at[row],
                         [&](int32_t owner) { return owner >= 0 && owner < rows; })) {
          return false;
        }
      }
      const kernels::CachedAttentionArrays arrays = {
          m.as<float>(q), m.as<float>(k), m.as<float>(v), at, place_count, from};
      ForShares(heads, parts, [&](int64_t begin, int64_t end) {
        kernels::AttendCached(a, arrays, m.as<float>(y), m.as<float>(scratch), begin, end);
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  kernels::CachedAttention a_;
  bool has_ancestors_;
};

}  // namespace

absl::StatusOr<kernels::CachedAttention> CachedAttentionOf(const CachedAttentionOptions& options,
                                                           const Shape& queries) {
  const int64_t kv_heads = options.kv_heads == 0 ? options.heads : options.kv_heads;
  if (options.heads < 1 || kv_heads < 1 || options.heads % kv_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("heads must be at least 1 and a multiple of kv_heads, got ", options.heads,
                     " and ", kv_heads));
  }
  if (queries.rank() != 2 || queries[1] % options.heads != 0) {
    return WrongShape("the queries", absl::StrCat("[rows, ", options.heads, " * n]"), queries);
  }
  if (options.window < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("window must be at least 0, got ", options.window));
  }
  const int64_t dim = queries[1] / options.heads;
  const float scale = options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<float>(dim));
  return kernels::CachedAttention{options.heads, kv_heads,       dim,
                                  scale,         options.window, options.alibi};
}

void AttendByDefinition(const kernels::CachedAttention& a, const DoubleTensor& q,
                        const DoubleTensor& keys, const DoubleTensor& values, int64_t row,
                        int64_t last, absl::FunctionRef<int64_t(int64_t place)> row_of,
                        DoubleTensor& y) {
  const int64_t place_count = keys.shape[1], width = a.kv_heads * a.dim;
  const int64_t first = a.window > 0 ? std::max<int64_t>(last + 1 - a.window, 0) : 0;
  for (int64_t head = 0; head < a.heads; ++head) {
    const int64_t query = (row * a.heads + head) * a.dim;
    const auto key_at = [&](int64_t place) {
      return (row_of(place) * place_count + place) * width + head * a.kv_heads / a.heads * a.dim;
    };
    std::vector<double> weights;
    double sum = 0;
    for (int64_t place = first; place <= last; ++place) {
      double score = 0;
      for (int64_t d = 0; d < a.dim; ++d) {
        score += q[query + d] * keys[key_at(place) + d];
      }
      score *= a.scale;
      if (a.alibi) {
        score -= kernels::AlibiSlope(head, a.heads) * static_cast<double>(last - place);
      }
      weights.push_back(std::exp(score));
      sum += weights.back();
    }
    for (int64_t place = first; place <= last; ++place) {
      for (int64_t d = 0; d < a.dim; ++d) {
        y[query + d] +=
            weights[static_cast<size_t>(place - first)] / sum * values[key_at(place) + d];
      }
    }
  }
}

Value CachedAttention(Graph& graph, Value q, Value keys, Value values, Value places,
                      const CachedAttentionOptions& options, std::optional<Value> ancestors) {
  const absl::StatusOr<kernels::CachedAttention> attention =
      CachedAttentionOf(options, graph.shape(q));
  if (!attention.ok()) {
    return graph.Fail(
        Annotate(attention.status(), absl::StrCat("cached_attention ", graph.scope())));
  }
  std::vector<Value> inputs = {q, keys, values, places};
  if (ancestors.has_value()) {
    inputs.push_back(*ancestors);
  }
  return graph.Add(std::make_shared<CachedAttentionOp>(*attention, ancestors.has_value()),
                   std::move(inputs));
}

}  // namespace hone::engine
