#include "engine/ops/attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/dropout.h"
#include "engine/ops/implementation.h"
#include "engine/ops/random_key.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using kernels::AttentionPart;
using onednn::MemoryDesc;

struct Settings {
  kernels::Attention attention;
  uint64_t layer = 0;  // of dropout's numbers
};

// Of the two products with keys and values, for sequences that are all as long as their mean.
double FlopsOf(const kernels::Attention& a, const Shape& q, const Shape& k, const Shape& offsets) {
  const double keys = static_cast<double>(k[0]) / static_cast<double>(offsets[0] - 1);
  const double seen = a.causal ? keys / 2 : keys;
  return 4 * static_cast<double>(q.elements()) *
         (a.window > 0 ? std::min(seen, static_cast<double>(a.window)) : seen);
}

// The sequences and heads of a run, shared out among the threads as they come: each part writes
// rows of its own.
struct Parts {
  kernels::Attention attention;
  DType dtype;  // of queries, keys, values, results and their gradients
  kernels::PairProducts pairs;
  int64_t batch, rows, key_rows, floats;
  int threads;
  Slot scratch;

  Parts(Lowering& l, const kernels::Attention& a, int q, int k, int offsets)
      : attention(a),
        dtype(l.output_dtype(0)),
        pairs(PairProductsBy(CpuInstructionSet(), dtype, a.dim)),
        batch(l.input_type(offsets).shape[0] - 1),
        rows(l.input_type(q).shape[0]),
        key_rows(l.input_type(k).shape[0]),
        floats(kernels::AttentionScratch(a, key_rows)),
        threads(static_cast<int>(std::min<int64_t>(
            PartsFor(SaturatingProduct(l.input_type(q).shape.elements(), 64), l.threads()),
            batch * a.kv_heads))),
        scratch(l.Scratch(threads * floats * static_cast<int64_t>(sizeof(float)))) {}

  kernels::AttentionArrays Arrays(const Memory& m, Slot q, Slot k, Slot v, uint64_t key) const {
    return {m[q], m[k], m[v], key, key_rows, dtype, pairs};
  }

  // body(part, scratch memory)
  template <typename Body>
  void Run(const Memory& m, const int32_t* offsets, const int32_t* key_offsets, Body&& body) const {
    std::atomic<int64_t> next = 0;
    RunTeam(threads, [&](int thread) {
      for (int64_t i = next++; i < batch * attention.kv_heads; i = next++) {
        const int64_t sequence = i / attention.kv_heads;
        body(AttentionPart{offsets[sequence], offsets[sequence + 1], key_offsets[sequence],
                           key_offsets[sequence + 1], i % attention.kv_heads},
             m.as<float>(scratch) + thread * floats);
      }
    });
  }
};

// What the definition goes by, in double.
class Definition {
 public:
  Definition(const Settings& settings, std::span<const DoubleTensor* const> in, int offsets,
             const RunScalars& scalars)
      : a_(settings.attention),
        in_(in),
        offsets_(*in[static_cast<size_t>(offsets)]),
        key_offsets_(*in[static_cast<size_t>(offsets) + 1]),
        key_(RandomKey(scalars, settings.layer)) {}

  // query(its row, head, first key's row, the keys [begin, end) that it sees, its own place among
  // the keys)
  template <typename Query>
  void ForQueries(Query&& query) const {
    for (int64_t s = 0; s + 1 < offsets_.shape[0]; ++s) {
      const auto first = static_cast<int64_t>(offsets_[s]);
      const auto count = static_cast<int64_t>(offsets_[s + 1]) - first;
      const auto first_key = static_cast<int64_t>(key_offsets_[s]);
      const auto keys = static_cast<int64_t>(key_offsets_[s + 1]) - first_key;
      for (int64_t i = 0; i < count; ++i) {
        int64_t begin = 0, end = keys;
        if (a_.causal) {
          end = std::clamp<int64_t>(i + keys - count + 1, 0, keys);
          begin = a_.window > 0 ? std::max<int64_t>(end - a_.window, 0) : 0;
        }
        for (int64_t head = 0; head < a_.heads; ++head) {
          query(first + i, head, first_key, begin, end, i + keys - count);
        }
      }
    }
  }
  int64_t QueryAt(int64_t row, int64_t head) const { return (row * a_.heads + head) * a_.dim; }
  int64_t KeyAt(int64_t row, int64_t head) const {
    return (row * a_.kv_heads + head * a_.kv_heads / a_.heads) * a_.dim;
  }
  double Dot(const DoubleTensor& a, int64_t at, const DoubleTensor& b, int64_t b_at) const {
    double sum = 0;
    for (int64_t d = 0; d < a_.dim; ++d) {
      sum += a[at + d] * b[b_at + d];
    }
    return sum;
  }
  // Of the key j behind the first one's row.
  double Score(int64_t row, int64_t head, int64_t first, int64_t j, int64_t own) const {
    const double distance = static_cast<double>(std::abs(own - j));
    return a_.scale * Dot(*in_[0], QueryAt(row, head), *in_[1], KeyAt(first + j, head)) -
           (a_.alibi ? kernels::AlibiSlope(head, a_.heads) * distance : 0);
  }
  // By what dropout multiplies a query's weight of its sequence's key j.
  double Kept(int64_t row, int64_t head, int64_t j) const {
    constexpr int64_t kBlock = kernels::kDropoutBlock;
    const int64_t stride = (in_[1]->shape[0] + kBlock - 1) / kBlock * kBlock;
    const auto index = static_cast<uint64_t>((row * a_.heads + head) * stride + j);
    return a_.dropout == 0                                  ? 1
           : kernels::DropoutKeeps(a_.dropout, key_, index) ? 1 / (1 - double{a_.dropout})
                                                            : 0;
  }

 private:
  const kernels::Attention& a_;
  std::span<const DoubleTensor* const> in_;
  const DoubleTensor& offsets_;
  const DoubleTensor& key_offsets_;
  uint64_t key_;
};

// Inputs: q, k, v, dy, log_sums, offsets, key_offsets. Outputs: the gradients of q, k and v.
class AttentionGradientOp final : public Op {
 public:
  explicit AttentionGradientOp(const Settings& settings) : settings_(settings) {}

  absl::string_view kind() const override { return "attention_gradient"; }

  Precision precision(int) const override { return {Precision::Rule::kComputed}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{in[0], in[1], in[2]};
  }

  // The scores once more, the gradient of the weights, and those of q, k and v.
  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = 2.5 * FlopsOf(settings_.attention, in[0].shape, in[1].shape, in[5].shape);
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars& scalars) const override {
    const kernels::Attention& a = settings_.attention;
    const Definition definition(settings_, in, 5, scalars);
    definition.ForQueries([&](int64_t row, int64_t head, int64_t first, int64_t begin, int64_t end,
                              int64_t own) {
      const int64_t query = definition.QueryAt(row, head);
      // Softmax's gradient: p (dp − Σ p dp).
      std::vector<double> weights, dweights;
      double total = 0;
      for (int64_t j = begin; j < end; ++j) {
        const int64_t key = definition.KeyAt(first + j, head);
        weights.push_back(
            std::exp(definition.Score(row, head, first, j, own) - (*in[4])[row * a.heads + head]));
        const double kept = definition.Kept(row, head, j);
        dweights.push_back(kept * definition.Dot(*in[3], query, *in[2], key));
        total += weights.back() * dweights.back();
        for (int64_t d = 0; d < a.dim; ++d) {
          out[2][key + d] += kept * weights.back() * (*in[3])[query + d];
        }
      }
      for (int64_t j = begin; j < end; ++j) {
        const int64_t key = definition.KeyAt(first + j, head);
        const auto i = static_cast<size_t>(j - begin);
        const double dscore = a.scale * weights[i] * (dweights[i] - total);
        for (int64_t d = 0; d < a.dim; ++d) {
          out[0][query + d] += dscore * (*in[1])[key + d];
          out[1][key + d] += dscore * (*in[0])[query + d];
        }
      }
    });
  }

  absl::Status Lower(Lowering& l) const override {
    const DType dtype = l.output_dtype(0);
    Slot in[4] = {}, out[3] = {};
    for (int i = 0; i < 4; ++i) {
      HONE_ASSIGN_OR_RETURN(in[i], l.Input(i, MemoryDesc::Plain({l.input_type(i).shape, dtype})));
    }
    HONE_ASSIGN_OR_RETURN(const Slot log_sums, l.PlainInput(4));
    const Slot q = in[0], k = in[1], v = in[2], dy = in[3];
    const Slot offsets = l.Input(5), key_offsets = l.Input(6);
    for (int i = 0; i < 3; ++i) {
      out[i] = l.Output(i, MemoryDesc::Plain({l.output_type(i).shape, dtype}));
    }
    const Slot dq = out[0], dk = out[1], dv = out[2];
    const Parts parts(l, settings_.attention, 0, 1, 5);
    l.Emit(kind(), [=, settings = settings_](const Memory& m, const RunScalars& scalars) {
      const kernels::Attention& a = settings.attention;
      const auto* begins = m.as<int32_t>(offsets);
      const auto* key_begins = m.as<int32_t>(key_offsets);
      const kernels::AttentionArrays arrays =
          parts.Arrays(m, q, k, v, RandomKey(scalars, settings.layer));
      const kernels::AttentionGradientArrays gradient = {m[dy], m.as<float>(log_sums), m[dq], m[dk],
                                                         m[dv]};
      const int64_t width = a.heads * a.dim, kv_width = a.kv_heads * a.dim;
      ClearRowsBehind(begins, parts.batch, parts.rows, width, parts.dtype, gradient.dq);
      ClearRowsBehind(key_begins, parts.batch, parts.key_rows, kv_width, parts.dtype, gradient.dk);
      ClearRowsBehind(key_begins, parts.batch, parts.key_rows, kv_width, parts.dtype, gradient.dv);
      parts.Run(m, begins, key_begins, [&](const AttentionPart& part, float* scratch) {
        kernels::AttendGradient(a, part, arrays, gradient, scratch);
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  Settings settings_;
};

// Inputs: q, k, v, offsets, key_offsets. Outputs: y, and of each query and head the logarithm of
// the sum of exponentials, which the gradient needs.
class AttentionOp final : public Op {
 public:
  explicit AttentionOp(const Settings& settings) : settings_(settings) {}

  absl::string_view kind() const override { return "attention"; }

  OpAttributes attributes() const override {
    const kernels::Attention& a = settings_.attention;
    return {
        {"heads", {static_cast<double>(a.heads)}}, {"kv_heads", {static_cast<double>(a.kv_heads)}},
        {"dim", {static_cast<double>(a.dim)}},     {"scale", {a.scale}},
        {"causal", {a.causal ? 1.0 : 0.0}},        {"window", {static_cast<double>(a.window)}},
        {"alibi", {a.alibi ? 1.0 : 0.0}}};
  }

  Precision precision(int output) const override {
    return {output == 0 ? Precision::Rule::kComputed : Precision::Rule::kF32};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const kernels::Attention& a = settings_.attention;
    HONE_RETURN_IF_ERROR(CheckTokenRows("the queries", in[0]));
    HONE_RETURN_IF_ERROR(CheckTokenRows("the keys", in[1]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[3]));
    if (in[1].shape[1] != a.kv_heads * a.dim) {
      return WrongShape("the keys", absl::StrCat("[rows, ", a.kv_heads * a.dim, "]"), in[1].shape);
    }
    if (in[2].shape != in[1].shape) {
      return WrongShape("the values", in[1].shape.ToString(), in[2].shape);
    }
    if (in[4] != in[3]) {
      return absl::InvalidArgumentError(
          absl::StrCat("the keys' offsets must be ", in[3].ToString(), ", got ", in[4].ToString()));
    }
    return std::vector<TensorType>{in[0], {Shape{in[0].shape[0], a.heads}, DType::kF32}};
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = FlopsOf(settings_.attention, in[0].shape, in[1].shape, in[3].shape);
    return cost;
  }

  void Differentiate(Gradient& g) const override {
    if (!g.dy(0).valid()) {
      g.graph().Fail(
          absl::UnimplementedError("attention: its sums of exponentials have no gradient"));
      return;
    }
    const Value dq = g.graph().Add(
        std::make_shared<AttentionGradientOp>(settings_),
        {g.input(0), g.input(1), g.input(2), g.dy(0), g.output(1), g.input(3), g.input(4)});
    for (int i = 0; i < 3; ++i) {
      g.Accumulate(i, [&] { return Value{dq.node, i}; });
    }
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars& scalars) const override {
    const kernels::Attention& a = settings_.attention;
    const Definition definition(settings_, in, 3, scalars);
    definition.ForQueries(
        [&](int64_t row, int64_t head, int64_t first, int64_t begin, int64_t end, int64_t own) {
          const int64_t query = definition.QueryAt(row, head);
          double sum = 0;
          for (int64_t j = begin; j < end; ++j) {
            sum += std::exp(definition.Score(row, head, first, j, own));
          }
          double& log_sum = out[1][row * a.heads + head];
          log_sum = begin < end ? std::log(sum) : 0;
          for (int64_t j = begin; j < end; ++j) {
            const int64_t key = definition.KeyAt(first + j, head);
            const double weight = std::exp(definition.Score(row, head, first, j, own) - log_sum) *
                                  definition.Kept(row, head, j);
            for (int64_t d = 0; d < a.dim; ++d) {
              out[0][query + d] += weight * (*in[2])[key + d];
            }
          }
        });
  }

  absl::Status Lower(Lowering& l) const override {
    const DType dtype = l.output_dtype(0);
    Slot in[3] = {};
    for (int i = 0; i < 3; ++i) {
      HONE_ASSIGN_OR_RETURN(in[i], l.Input(i, MemoryDesc::Plain({l.input_type(i).shape, dtype})));
    }
    const Slot q = in[0], k = in[1], v = in[2];
    const Slot offsets = l.Input(3), key_offsets = l.Input(4);
    const Slot y = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, dtype}));
    const Slot log_sums = l.Output(1, MemoryDesc::Plain(l.output_type(1)));
    const Parts parts(l, settings_.attention, 0, 1, 3);
    l.Emit(kind(), [=, settings = settings_](const Memory& m, const RunScalars& scalars) {
      const kernels::Attention& a = settings.attention;
      const auto* begins = m.as<int32_t>(offsets);
      const auto* key_begins = m.as<int32_t>(key_offsets);
      const auto count = static_cast<size_t>(parts.batch) + 1;
      if (!AreOffsets({begins, count}, parts.rows) ||
          !AreOffsets({key_begins, count}, parts.key_rows)) {
        return false;
      }
      const kernels::AttentionArrays arrays =
          parts.Arrays(m, q, k, v, RandomKey(scalars, settings.layer));
      void* to = m[y];
      auto* sums = m.as<float>(log_sums);
      ClearRowsBehind(begins, parts.batch, parts.rows, a.heads * a.dim, parts.dtype, to);
      ClearRowsBehind(begins, parts.batch, parts.rows, a.heads, DType::kF32, sums);
      parts.Run(m, begins, key_begins, [&](const AttentionPart& part, float* scratch) {
        kernels::Attend(a, part, arrays, to, sums, scratch);
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  Settings settings_;
};

absl::Status Check(const AttentionOptions& options, int64_t kv_heads, const Shape& q) {
  if (options.heads < 1 || kv_heads < 1 || options.heads % kv_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("kv_heads must divide heads, got ", kv_heads, " and ", options.heads));
  }
  if (q.rank() != 2 || q[1] % options.heads != 0) {
    return WrongShape("the queries", absl::StrCat("[rows, ", options.heads, " * n]"), q);
  }
  if (options.window < 0 || (options.window > 0 && !options.causal)) {
    return absl::InvalidArgumentError(
        absl::StrCat("window must be at least 0, and 0 where the attention is not causal, got ",
                     options.window));
  }
  if (!(options.dropout >= 0 && options.dropout < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("dropout must be at least 0 and below 1, got ", options.dropout));
  }
  return absl::OkStatus();
}

}  // namespace

Value Attention(Graph& graph, Value q, Value k, Value v, Value offsets, Value key_offsets,
                const AttentionOptions& options) {
  const int64_t kv_heads = options.kv_heads == 0 ? options.heads : options.kv_heads;
  const Shape& shape = graph.shape(q);
  if (const absl::Status status = Check(options, kv_heads, shape); !status.ok()) {
    return graph.Fail(Annotate(status, absl::StrCat("attention ", graph.scope())));
  }
  const int64_t dim = shape[1] / options.heads;
  const float scale = options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<float>(dim));
  return graph.Add(
      std::make_shared<AttentionOp>(Settings{{options.heads, kv_heads, dim, scale, options.causal,
                                              options.window, options.dropout, options.alibi},
                                             RandomLayer(graph, "attention")}),
      {q, k, v, offsets, key_offsets});
}

}  // namespace hone::engine
