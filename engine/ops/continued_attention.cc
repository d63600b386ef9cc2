#include "engine/ops/continued_attention.h"

#include <algorithm>
#include <atomic>
#include <memory>

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

// Up to so many tokens of a text read its keys where they lie; for more it pays to bring them into
// the order of a product first.
constexpr int64_t kFewTokens = 3;

// Texts and places as ContinuedAttention wants them.
bool AreNewTokens(const int32_t* offsets, const int32_t* places, int64_t texts, int64_t rows,
                  int64_t place_count) {
  if (!AreOffsets({offsets, static_cast<size_t>(texts) + 1}, rows)) {
    return false;
  }
  for (int64_t t = 0; t < texts; ++t) {
    for (int64_t row = offsets[t]; row < offsets[t + 1]; ++row) {
      const bool in_order = row == offsets[t] || places[row] == places[row - 1] + 1;
      if (!in_order || places[row] < 0 || places[row] >= place_count) {
        return false;
      }
    }
  }
  return true;
}

// Inputs: q, keys, values, offsets, places.
class ContinuedAttentionOp final : public Op {
 public:
  explicit ContinuedAttentionOp(const kernels::CachedAttention& attention) : a_(attention) {}

  absl::string_view kind() const override { return "continued_attention"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the queries", in[0]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[3]));
    const int64_t rows = in[0].shape[0], texts = in[3].shape[0] - 1, width = a_.kv_heads * a_.dim;
    const Shape& keys = in[1].shape;
    if (keys.rank() != 3 || keys[0] != texts || keys[1] < 1 || keys[2] != width) {
      return WrongShape("the keys", absl::StrCat("[", texts, ", places, ", width, "]"), keys);
    }
    if (in[2].shape != keys) {
      return WrongShape("the values", keys.ToString(), in[2].shape);
    }
    if (in[4] != TensorType{Shape{rows}, DType::kS32}) {
      return absl::InvalidArgumentError(
          absl::StrCat("the places must be s32[", rows, "], got ", in[4].ToString()));
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  // Of tokens that see half of the places.
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
    for (int64_t text = 0; text + 1 < in[3]->shape[0]; ++text) {
      for (auto row = static_cast<int64_t>((*in[3])[text]);
           row < static_cast<int64_t>((*in[3])[text + 1]); ++row) {
        AttendByDefinition(
            a_, *in[0], *in[1], *in[2], row, static_cast<int64_t>((*in[4])[row]),
            [&](int64_t) { return text; }, out[0]);
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot q, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot k, l.PlainInput(1));
    HONE_ASSIGN_OR_RETURN(const Slot v, l.PlainInput(2));
    const Slot offsets = l.Input(3), places = l.Input(4);
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const int64_t rows = l.input_type(0).shape[0], texts = l.input_type(3).shape[0] - 1;
    const int64_t place_count = l.input_type(1).shape[1];
    // One text may have all of the rows: its heads are what threads share.
    const int threads = static_cast<int>(std::min<int64_t>(
        PartsFor(SaturatingProduct(l.input_type(0).shape.elements(), place_count), l.threads()),
        std::min(texts, rows) * a_.kv_heads));
    const int64_t floats =
        std::max(kernels::AttentionScratch(Blocked(), place_count), a_.heads * place_count);
    const Slot scratch = l.Scratch(threads * floats * static_cast<int64_t>(sizeof(float)));
    const Slot log_sums = l.Scratch(rows * a_.heads * static_cast<int64_t>(sizeof(float)));
    l.Emit(kind(), [=, this_op = *this](const Memory& m, const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      const auto* at = m.as<int32_t>(places);
      if (!AreNewTokens(begins, at, texts, rows, place_count)) {
        return false;
      }
      const kernels::CachedAttention& a = this_op.a_;
      const kernels::CachedAttentionArrays arrays = {m.as<float>(q), m.as<float>(k), m.as<float>(v),
                                                     at, place_count};
      auto* to = m.as<float>(y);
      ClearRowsBehind(begins, texts, rows, a.heads * a.dim, to);
      std::atomic<int64_t> next = 0;
      RunTeam(threads, [&](int thread) {
        float* own = m.as<float>(scratch) + thread * floats;
        for (int64_t i = next++; i < texts * a.kv_heads; i = next++) {
          const int64_t text = i / a.kv_heads;
          const NewTokens tokens = {text, begins[text], begins[text + 1], i % a.kv_heads};
          if (tokens.end - tokens.begin <= kFewTokens) {
            this_op.AttendFew(tokens, arrays, to, own);
          } else {
            this_op.AttendMany(tokens, arrays, to, m.as<float>(log_sums), own);
          }
        }
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  // The rows of one text, and one of its kv heads.
  struct NewTokens {
    int64_t text;
    int64_t begin, end;
    int64_t kv_head;
  };

  kernels::Attention Blocked() const {
    return {.heads = a_.heads,
            .kv_heads = a_.kv_heads,
            .dim = a_.dim,
            .scale = a_.scale,
            .causal = true,
            .window = a_.window,
            .alibi = a_.alibi};
  }

  void AttendFew(const NewTokens& tokens, const kernels::CachedAttentionArrays& all, float* y,
                 float* scratch) const {
    const int64_t group = a_.heads / a_.kv_heads;
    const int64_t cache = tokens.text * all.place_count * a_.kv_heads * a_.dim;
    for (int64_t row = tokens.begin; row < tokens.end; ++row) {
      const int64_t query = row * a_.heads * a_.dim;
      const kernels::CachedAttentionArrays of_row = {all.q + query, all.k + cache, all.v + cache,
                                                     all.places + row, all.place_count};
      kernels::AttendCached(a_, of_row, y + query, scratch, tokens.kv_head * group,
                            (tokens.kv_head + 1) * group);
    }
  }

  void AttendMany(const NewTokens& tokens, const kernels::CachedAttentionArrays& all, float* y,
                  float* log_sums, float* scratch) const {
    const int64_t first_key = tokens.text * all.place_count;
    const int64_t keys = all.places[tokens.end - 1] + 1;
    kernels::Attend(Blocked(),
                    {tokens.begin, tokens.end, first_key, first_key + keys, tokens.kv_head},
                    {.q = all.q, .k = all.k, .v = all.v, .key = 0, .key_rows = all.place_count}, y,
                    log_sums, scratch);
  }

  kernels::CachedAttention a_;
};

}  // namespace

Value ContinuedAttention(Graph& graph, Value q, Value keys, Value values, Value offsets,
                         Value places, const CachedAttentionOptions& options) {
  const absl::StatusOr<kernels::CachedAttention> attention =
      CachedAttentionOf(options, graph.shape(q));
  if (!attention.ok()) {
    return graph.Fail(
        Annotate(attention.status(), absl::StrCat("continued_attention ", graph.scope())));
  }
  return graph.Add(std::make_shared<ContinuedAttentionOp>(*attention),
                   {q, keys, values, offsets, places});
}

}  // namespace hone::engine
