#include "engine/ops/feeding_decoder.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/feeding_decoder.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/decoder_steps.h"
#include "engine/ops/feeding_decoder_gradient.h"
#include "engine/ops/matmul.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using decoder::Columns;
using decoder::Floats;
using decoder::IsLstm;
using decoder::Panels;
using decoder::Team;
using feeding_decoder::FlopsOf;
using feeding_decoder::GradientOutput;
using feeding_decoder::SharesOf;
using feeding_decoder::Width;
using enum feeding_decoder::GradientOutput;
using kernels::Cell;
using kernels::RecurrentDecoder;
using onednn::MemoryDesc;

// Inputs of the op: of kLstm the cells' start is where kGru has its bias.
enum Input : int {
  kGates,
  kWeight,
  kStart,
  kOffsets,
  kBiasOrCells,
  kValues,
  kQueryWeight,
  kCombineWeight,
  kCombineBias,
  kFeedWeight,
  kValueOffsets,
};
// Its outputs, beside the attentional vectors what the gradient needs; of kLstm the cells are one
// more, and the others stand behind.
constexpr int kVectors = 0, kKept = 1;
// The outputs seen, queries and log_sums.
int SeenOf(const RecurrentDecoder& d) { return IsLstm(d) ? 3 : 2; }

class FeedingDecoderOp final : public Op {
 public:
  explicit FeedingDecoderOp(const RecurrentDecoder& decoder) : d_(decoder) {}

  absl::string_view kind() const override {
    return IsLstm(d_) ? "lstm_feeding_decoder" : "gru_feeding_decoder";
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the gates", in[kGates]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[kOffsets]));
    HONE_RETURN_IF_ERROR(CheckTokenRows("the values", in[kValues]));
    const int64_t rows = in[kGates].shape[0], columns = Columns(d_), units = d_.units;
    const int64_t batch = in[kOffsets].shape[0] - 1;
    for (const auto& [what, input, wanted] :
         {std::tuple{"the recurrent weight", kWeight, Shape{units, columns}},
          {"the gates", kGates, Shape{rows, columns}},
          {"the start", kStart, Shape{batch, units}},
          {IsLstm(d_) ? "the cells' start" : "the recurrent bias", kBiasOrCells,
           IsLstm(d_) ? Shape{batch, units} : Shape{columns}},
          {"the query weight", kQueryWeight, Shape{units, d_.values}},
          {"the combining weight", kCombineWeight, Shape{Width(d_), units}},
          {"the combining bias", kCombineBias, Shape{units}},
          {"the feeding weight", kFeedWeight, Shape{units, columns}}}) {
      if (in[input].shape != wanted) {
        return WrongShape(what, wanted.ToString(), in[input].shape);
      }
    }
    if (in[kValueOffsets] != in[kOffsets]) {
      return absl::InvalidArgumentError(absl::StrCat("the values' offsets must be ",
                                                     in[kOffsets].ToString(), ", got ",
                                                     in[kValueOffsets].ToString()));
    }
    const TensorType y{Shape{rows, units}, DType::kF32};
    std::vector<TensorType> types = {y, {Shape{rows, 4 * units}, DType::kF32}};
    if (IsLstm(d_)) {
      types.push_back(y);
    }
    types.push_back({Shape{rows, Width(d_)}, DType::kF32});
    types.push_back({Shape{rows, d_.values}, DType::kF32});
    types.push_back({Shape{rows, 1}, DType::kF32});
    return types;
  }

  void Differentiate(Gradient& g) const override {
    Graph& graph = g.graph();
    const int seen = SeenOf(d_);
    bool known = g.dy(kVectors).valid();
    for (int i = 1; i < seen + 3; ++i) {
      known = known && !g.dy(i).valid();
    }
    if (!known) {
      graph.Fail(absl::UnimplementedError(
          absl::StrCat(kind(), ": what it keeps for its gradient has none itself")));
      return;
    }
    std::vector<Value> inputs = {g.dy(kVectors),   g.output(kVectors), g.output(kKept),
                                 g.input(kWeight), g.input(kStart),    g.input(kOffsets)};
    if (IsLstm(d_)) {
      inputs.push_back(g.output(2));
      inputs.push_back(g.input(kBiasOrCells));
    }
    for (const Input input : {kValues, kQueryWeight, kCombineWeight, kFeedWeight, kValueOffsets}) {
      inputs.push_back(g.input(input));
    }
    for (int i = seen; i < seen + 3; ++i) {
      inputs.push_back(g.output(i));
    }
    const int32_t node = graph.Add(feeding_decoder::MakeGradientOp(d_), std::move(inputs)).node;
    if (!graph.status().ok()) {
      return;
    }
    const auto of = [&](GradientOutput output) { return Value{node, output}; };
    const Value dproduct = of(IsLstm(d_) ? kDGates : kDProductOrCells);
    const auto weight_gradient = [&](Value x, Value dx) {
      return MatMul(graph, x, dx, {.transpose_a = true});
    };
    const auto bias_gradient = [&](Input bias, Value dx) {
      return SumTo(graph, dx, graph.shape(g.input(bias)));
    };
    g.Accumulate(kGates, [&] { return of(kDGates); });
    g.Accumulate(kWeight, [&] { return weight_gradient(of(kBefore), dproduct); });
    g.Accumulate(kStart, [&] { return of(kDStart); });
    g.Accumulate(kBiasOrCells, [&] {
      return IsLstm(d_) ? of(kDProductOrCells) : bias_gradient(kBiasOrCells, dproduct);
    });
    g.Accumulate(kValues, [&] { return of(kDValues); });
    g.Accumulate(kQueryWeight, [&] {
      return weight_gradient(Slice(graph, g.output(seen), 0, d_.units), of(kDQueries));
    });
    g.Accumulate(kCombineWeight, [&] { return weight_gradient(g.output(seen), of(kDCombined)); });
    g.Accumulate(kCombineBias, [&] { return bias_gradient(kCombineBias, of(kDCombined)); });
    g.Accumulate(kFeedWeight, [&] { return weight_gradient(of(kFed), of(kDGates)); });
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = FlopsOf(d_, in[kGates].shape[0]);
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const DoubleTensor& offsets = *in[kOffsets];
    for (int64_t i = 0; i + 1 < offsets.shape[0]; ++i) {
      const auto first = static_cast<int64_t>(offsets[i]);
      for (int64_t row = first; row < static_cast<int64_t>(offsets[i + 1]); ++row) {
        Step(in, out, i, row, row == first);
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot gates, l.PlainInput(kGates));
    HONE_ASSIGN_OR_RETURN(const Slot weight, Panels(l, kWeight, false));
    HONE_ASSIGN_OR_RETURN(const Slot start, l.PlainInput(kStart));
    const Slot offsets = l.Input(kOffsets);
    HONE_ASSIGN_OR_RETURN(const Slot further, l.PlainInput(kBiasOrCells));
    HONE_ASSIGN_OR_RETURN(const Slot values, l.PlainInput(kValues));
    HONE_ASSIGN_OR_RETURN(const Slot query, Panels(l, kQueryWeight, false));
    HONE_ASSIGN_OR_RETURN(const Slot combine, Panels(l, kCombineWeight, false));
    HONE_ASSIGN_OR_RETURN(const Slot combine_bias, l.PlainInput(kCombineBias));
    HONE_ASSIGN_OR_RETURN(const Slot feed, Panels(l, kFeedWeight, false));
    const Slot key_offsets = l.Input(kValueOffsets);
    const int seen = SeenOf(d_);
    const int64_t rows = l.input_type(kGates).shape[0];
    std::vector<Slot> to;
    for (int i = 0; i < seen + 3; ++i) {
      to.push_back(l.wanted(i) ? l.Output(i, MemoryDesc::Plain(l.output_type(i))) : Slot{-1});
    }
    // Vectors and states go somewhere, also where nobody reads them.
    for (const auto& [output, width] :
         {std::pair{kVectors, d_.units}, std::pair{seen, Width(d_)}}) {
      Slot& slot = to[static_cast<size_t>(output)];
      slot = slot >= 0 ? slot : l.Scratch(rows * width * static_cast<int64_t>(sizeof(float)));
    }
    const Team team(l, d_, rows, l.input_type(kOffsets).shape[0] - 1,
                    l.input_type(kValues).shape[0], kernels::FeedingDecoderScratch);
    l.Emit(kind(), [=, d = d_](const Memory& m, const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      const auto* key_begins = m.as<int32_t>(key_offsets);
      if (!team.Fit(begins, key_begins)) {
        return false;
      }
      const auto first = static_cast<size_t>(seen);
      const kernels::FeedingDecoderArrays arrays = {
          .gates = m.as<float>(gates),
          .weight = m.as<float>(weight),
          .bias = IsLstm(d) ? nullptr : m.as<float>(further),
          .start = m.as<float>(start),
          .start_cells = IsLstm(d) ? m.as<float>(further) : nullptr,
          .values = m.as<float>(values),
          .query = m.as<float>(query),
          .combine = m.as<float>(combine),
          .combine_bias = m.as<float>(combine_bias),
          .feed = m.as<float>(feed),
          .key_offsets = key_begins,
          .y = m.as<float>(to[kVectors]),
          .kept = Floats(m, to[kKept]),
          .cells = IsLstm(d) ? Floats(m, to[2]) : nullptr,
          .seen = m.as<float>(to[first]),
          .queries = Floats(m, to[first + 1]),
          .log_sums = Floats(m, to[first + 2]),
      };
      team.Run(m, begins, [&](const kernels::SequencePart& part, int, float* scratch) {
        kernels::RunFeedingDecoder(d, part, arrays, scratch);
      });
      const auto clear = [&](float* data, int64_t width) {
        if (data != nullptr) {
          ClearRowsBehind(begins, team.batch, team.rows, width, data);
        }
      };
      clear(arrays.y, d.units);
      clear(arrays.kept, 4 * d.units);
      clear(arrays.cells, d.units);
      clear(arrays.seen, Width(d));
      clear(arrays.queries, d.values);
      clear(arrays.log_sums, 1);
      return true;
    });
    return absl::OkStatus();
  }

 private:
  // One row of a sequence.
  void Step(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out, int64_t sequence,
            int64_t row, bool first) const {
    const int64_t units = d_.units, width = Width(d_), columns = Columns(d_), m = d_.values;
    const auto at = static_cast<size_t>(SeenOf(d_));
    DoubleTensor &seen = out[at], &query = out[at + 1];
    const auto state = [&](int64_t k) {
      return first ? (*in[kStart])[sequence * units + k] : seen[(row - 1) * width + k];
    };
    const auto cell = [&](int64_t j) {
      return first ? (*in[kBiasOrCells])[sequence * units + j] : out[2][(row - 1) * units + j];
    };
    // What the token gives, and what is fed; and h U + b.
    const auto x = [&](int64_t column) {
      double sum = (*in[kGates])[row * columns + column];
      for (int64_t k = 0; !first && k < units; ++k) {
        sum += out[kVectors][(row - 1) * units + k] * (*in[kFeedWeight])[k * columns + column];
      }
      return sum;
    };
    const auto product = [&](int64_t column) {
      double sum = IsLstm(d_) ? 0 : (*in[kBiasOrCells])[column];
      for (int64_t k = 0; k < units; ++k) {
        sum += state(k) * (*in[kWeight])[k * columns + column];
      }
      return sum;
    };
    decoder::CellByDefinition(
        d_, row, x, product, state, cell,
        [&](int64_t j) -> double& { return seen[row * width + j]; }, out[kKept],
        IsLstm(d_) ? &out[2] : nullptr);
    for (int64_t j = 0; j < m; ++j) {
      for (int64_t k = 0; k < units; ++k) {
        query[row * m + j] += seen[row * width + k] * (*in[kQueryWeight])[k * m + j];
      }
    }
    const auto begin = static_cast<int64_t>((*in[kValueOffsets])[sequence]);
    const auto count = static_cast<int64_t>((*in[kValueOffsets])[sequence + 1]) - begin;
    const std::vector<double> shares = SharesOf(
        d_, [&](int64_t j) { return query[row * m + j]; }, *in[kValues], begin, count,
        out[at + 2][row]);
    for (size_t k = 0; k < shares.size(); ++k) {
      for (int64_t j = 0; j < m; ++j) {
        seen[row * width + units + j] +=
            shares[k] * (*in[kValues])[(begin + static_cast<int64_t>(k)) * m + j];
      }
    }
    for (int64_t j = 0; j < units; ++j) {
      double sum = (*in[kCombineBias])[j];
      for (int64_t k = 0; k < width; ++k) {
        sum += seen[row * width + k] * (*in[kCombineWeight])[k * units + j];
      }
      out[kVectors][row * units + j] = std::tanh(sum);
    }
  }

  RecurrentDecoder d_;
};

Value Decode(Graph& graph, Cell cell, std::vector<Value> inputs,
             const FeedingAttention& attention) {
  if (const absl::Status status = CheckTokenRows("the values", graph.type(attention.values));
      !status.ok()) {
    return graph.Fail(Annotate(status, graph.scope()));
  }
  const int64_t values = graph.shape(attention.values)[1];
  const RecurrentDecoder decoder = {
      .cell = cell,
      .units = graph.shape(inputs[kWeight]).rank() == 2 ? graph.shape(inputs[kWeight])[0] : 0,
      .keys = values,
      .values = values};
  inputs.insert(inputs.end(), {attention.values, attention.query_weight, attention.combine_weight,
                               attention.combine_bias, attention.feed_weight, attention.offsets});
  return graph.Add(std::make_shared<FeedingDecoderOp>(decoder), std::move(inputs));
}

}  // namespace

Value GruFeedingDecoder(Graph& graph, Value gates, Value weight, Value bias, Value start,
                        Value offsets, const FeedingAttention& attention) {
  return Decode(graph, Cell::kGru, {gates, weight, start, offsets, bias}, attention);
}

Value LstmFeedingDecoder(Graph& graph, Value gates, Value weight, Value start, Value start_cells,
                         Value offsets, const FeedingAttention& attention) {
  return Decode(graph, Cell::kLstm, {gates, weight, start, offsets, start_cells}, attention);
}

}  // namespace hone::engine
