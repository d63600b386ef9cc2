#include "engine/ops/recurrent_decoder.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/recurrent_decoder.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/decoder_steps.h"
#include "engine/ops/matmul.h"
#include "engine/ops/recurrent_decoder_gradient.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using decoder::Columns;
using decoder::Floats;
using decoder::IsLstm;
using decoder::Panels;
using decoder::Team;
using kernels::Cell;
using kernels::RecurrentDecoder;
using onednn::MemoryDesc;
using recurrent_decoder::FlopsOf;
using recurrent_decoder::LookOf;
using recurrent_decoder::Looks;
using enum recurrent_decoder::GradientOutput;

// Inputs of the op: of kLstm the cells' start is where kGru has its bias. Those from kKeys on are
// there where there is attention.
enum Input : int {
  kGates,
  kWeight,
  kStart,
  kOffsets,
  kBiasOrCells,
  kKeys,
  kValues,
  kQueryWeight,
  kScore,
  kContextWeight,
  kKeyOffsets,
};
// Its outputs, beside the states what the gradient needs; `CellsOf` is one more of kLstm, and those
// of attention stand behind.
constexpr int kStates = 0, kKept = 1;

// The outputs contexts, queries and log_sums.
int ContextsOf(const RecurrentDecoder& d) { return IsLstm(d) ? 3 : 2; }

class RecurrentDecoderOp final : public Op {
 public:
  explicit RecurrentDecoderOp(const RecurrentDecoder& decoder) : d_(decoder) {}

  absl::string_view kind() const override { return IsLstm(d_) ? "lstm_decoder" : "gru_decoder"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the gates", in[kGates]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[kOffsets]));
    const int64_t rows = in[kGates].shape[0], columns = Columns(d_);
    const int64_t batch = in[kOffsets].shape[0] - 1;
    const auto check = [](absl::string_view what, const TensorType& got, const Shape& wanted) {
      return got.shape == wanted ? absl::OkStatus()
                                 : WrongShape(what, wanted.ToString(), got.shape);
    };
    HONE_RETURN_IF_ERROR(check("the recurrent weight", in[kWeight], {d_.units, columns}));
    HONE_RETURN_IF_ERROR(check("the gates", in[kGates], {rows, columns}));
    HONE_RETURN_IF_ERROR(check("the start", in[kStart], {batch, d_.units}));
    HONE_RETURN_IF_ERROR(IsLstm(d_) ? check("the cells' start", in[kBiasOrCells], {batch, d_.units})
                                    : check("the recurrent bias", in[kBiasOrCells], {columns}));
    const TensorType y{Shape{rows, d_.units}, DType::kF32};
    std::vector<TensorType> types = {y, {Shape{rows, 4 * d_.units}, DType::kF32}};
    if (IsLstm(d_)) {
      types.push_back(y);
    }
    if (Looks(d_)) {
      HONE_RETURN_IF_ERROR(CheckTokenRows("the keys", in[kKeys]));
      HONE_RETURN_IF_ERROR(CheckTokenRows("the values", in[kValues]));
      HONE_RETURN_IF_ERROR(
          check("the values", in[kValues], {in[kKeys].shape[0], in[kValues].shape[1]}));
      HONE_RETURN_IF_ERROR(check("the query weight", in[kQueryWeight], {d_.units, d_.keys}));
      HONE_RETURN_IF_ERROR(check("the score weight", in[kScore], {d_.keys}));
      HONE_RETURN_IF_ERROR(check("the context weight", in[kContextWeight], {d_.values, columns}));
      if (in[kKeyOffsets] != in[kOffsets]) {
        return absl::InvalidArgumentError(absl::StrCat("the keys' offsets must be ",
                                                       in[kOffsets].ToString(), ", got ",
                                                       in[kKeyOffsets].ToString()));
      }
      types.push_back({Shape{rows, d_.values}, DType::kF32});
      types.push_back({Shape{rows, d_.keys}, DType::kF32});
      types.push_back({Shape{rows, 1}, DType::kF32});
    }
    return types;
  }

  void Differentiate(Gradient& g) const override {
    Graph& graph = g.graph();
    bool known = g.dy(kStates).valid();
    for (int i = 1; i < ContextsOf(d_) + (Looks(d_) ? 3 : 0); ++i) {
      known = known && !g.dy(i).valid();
    }
    if (!known) {
      graph.Fail(absl::UnimplementedError(
          absl::StrCat(kind(), ": what it keeps for its gradient has none itself")));
      return;
    }
    std::vector<Value> inputs = {g.dy(kStates),    g.output(kStates), g.output(kKept),
                                 g.input(kWeight), g.input(kStart),   g.input(kOffsets)};
    if (IsLstm(d_)) {
      inputs.push_back(g.output(2));
      inputs.push_back(g.input(kBiasOrCells));
    }
    const int contexts = ContextsOf(d_);
    if (Looks(d_)) {
      for (int i = kKeys; i <= kKeyOffsets; ++i) {
        inputs.push_back(g.input(i));
      }
      inputs.push_back(g.output(contexts + 1));
      inputs.push_back(g.output(contexts + 2));
    }
    const int32_t node = graph.Add(recurrent_decoder::MakeGradientOp(d_), std::move(inputs)).node;
    if (!graph.status().ok()) {
      return;
    }
    const Value dgates{node, kDGates}, before{node, kBefore}, further{node, kDProductOrCells};
    const Value dproduct = IsLstm(d_) ? dgates : further;
    const auto weight_gradient = [&](Value x, Value dx) {
      return MatMul(graph, x, dx, {.transpose_a = true});
    };
    g.Accumulate(kGates, [&] { return dgates; });
    g.Accumulate(kWeight, [&] { return weight_gradient(before, dproduct); });
    g.Accumulate(kStart, [&] { return Value{node, kDStart}; });
    g.Accumulate(kBiasOrCells, [&] {
      return IsLstm(d_) ? further : SumTo(graph, dproduct, graph.shape(g.input(kBiasOrCells)));
    });
    if (Looks(d_)) {
      const Value dqueries{node, kDQueries};
      g.Accumulate(kKeys, [&] { return Value{node, kDKeys}; });
      g.Accumulate(kValues, [&] { return Value{node, kDValues}; });
      g.Accumulate(kQueryWeight, [&] { return weight_gradient(before, dqueries); });
      g.Accumulate(kScore, [&] { return Value{node, kDScore}; });
      g.Accumulate(kContextWeight, [&] { return weight_gradient(g.output(contexts), dgates); });
    }
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
    Slot keys = -1, values = -1, query = -1, score = -1, context = -1, key_offsets = -1;
    if (Looks(d_)) {
      HONE_ASSIGN_OR_RETURN(keys, l.PlainInput(kKeys));
      HONE_ASSIGN_OR_RETURN(values, l.PlainInput(kValues));
      HONE_ASSIGN_OR_RETURN(query, Panels(l, kQueryWeight, false));
      HONE_ASSIGN_OR_RETURN(score, l.PlainInput(kScore));
      HONE_ASSIGN_OR_RETURN(context, Panels(l, kContextWeight, false));
      key_offsets = l.Input(kKeyOffsets);
    }
    const int contexts = ContextsOf(d_);
    std::vector<Slot> to;
    for (int i = 0; i < contexts + (Looks(d_) ? 3 : 0); ++i) {
      to.push_back(l.wanted(i) ? l.Output(i, MemoryDesc::Plain(l.output_type(i))) : Slot{-1});
    }
    to.resize(static_cast<size_t>(contexts) + 3, -1);
    const int64_t rows = l.input_type(kGates).shape[0];
    const int64_t key_rows = Looks(d_) ? l.input_type(kKeys).shape[0] : 0;
    const Team team(l, d_, rows, l.input_type(kOffsets).shape[0] - 1, key_rows,
                    kernels::RecurrentDecoderScratch);
    // The states go somewhere, also where nobody reads them.
    const Slot states = to[kStates] >= 0
                            ? to[kStates]
                            : l.Scratch(rows * d_.units * static_cast<int64_t>(sizeof(float)));
    l.Emit(kind(), [=, d = d_](const Memory& m, const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      const auto* key_begins = Looks(d) ? m.as<int32_t>(key_offsets) : nullptr;
      if (!team.Fit(begins, key_begins)) {
        return false;
      }
      const auto first = static_cast<size_t>(contexts);
      const kernels::RecurrentDecoderArrays arrays = {
          .gates = m.as<float>(gates),
          .weight = m.as<float>(weight),
          .bias = IsLstm(d) ? nullptr : m.as<float>(further),
          .start = m.as<float>(start),
          .start_cells = IsLstm(d) ? m.as<float>(further) : nullptr,
          .keys = Floats(m, keys),
          .values = Floats(m, values),
          .query = Floats(m, query),
          .score = Floats(m, score),
          .context = Floats(m, context),
          .key_offsets = key_begins,
          .y = m.as<float>(states),
          .kept = Floats(m, to[kKept]),
          .cells = IsLstm(d) ? Floats(m, to[2]) : nullptr,
          .contexts = Floats(m, to[first]),
          .queries = Floats(m, to[first + 1]),
          .log_sums = Floats(m, to[first + 2]),
      };
      team.Run(m, begins, [&](const kernels::SequencePart& part, int, float* scratch) {
        kernels::RunRecurrentDecoder(d, part, arrays, scratch);
      });
      const auto clear = [&](float* data, int64_t width) {
        if (data != nullptr) {
          ClearRowsBehind(begins, team.batch, team.rows, width, data);
        }
      };
      clear(arrays.y, d.units);
      clear(arrays.kept, 4 * d.units);
      clear(arrays.cells, d.units);
      clear(arrays.contexts, d.values);
      clear(arrays.queries, d.keys);
      clear(arrays.log_sums, 1);
      return true;
    });
    return absl::OkStatus();
  }

 private:
  // One row of a sequence.
  void Step(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out, int64_t sequence,
            int64_t row, bool first) const {
    const int64_t units = d_.units, columns = Columns(d_);
    const auto state = [&](int64_t k) {
      return first ? (*in[kStart])[sequence * units + k] : out[kStates][(row - 1) * units + k];
    };
    const auto contexts = static_cast<size_t>(ContextsOf(d_));
    if (Looks(d_)) {
      DoubleTensor& query = out[contexts + 1];
      for (int64_t j = 0; j < d_.keys; ++j) {
        for (int64_t k = 0; k < units; ++k) {
          query[row * d_.keys + j] += state(k) * (*in[kQueryWeight])[k * d_.keys + j];
        }
      }
      const auto begin = static_cast<int64_t>((*in[kKeyOffsets])[sequence]);
      const auto end = static_cast<int64_t>((*in[kKeyOffsets])[sequence + 1]);
      const LookOf look(
          d_, [&](int64_t j) { return query[row * d_.keys + j]; }, *in[kKeys], *in[kScore], begin,
          end);
      for (int64_t s = begin; s < end; ++s) {
        for (int64_t k = 0; k < d_.values; ++k) {
          out[contexts][row * d_.values + k] +=
              look.weights[static_cast<size_t>(s - begin)] * (*in[kValues])[s * d_.values + k];
        }
      }
      out[contexts + 2][row] = look.log_sum;
    }
    // What the token and the context give, and h U + b.
    const auto x = [&](int64_t column) {
      double sum = (*in[kGates])[row * columns + column];
      for (int64_t k = 0; k < d_.values; ++k) {
        sum += out[contexts][row * d_.values + k] * (*in[kContextWeight])[k * columns + column];
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
    const auto cell = [&](int64_t j) {
      return first ? (*in[kBiasOrCells])[sequence * units + j] : out[2][(row - 1) * units + j];
    };
    decoder::CellByDefinition(
        d_, row, x, product, state, cell,
        [&](int64_t j) -> double& { return out[kStates][row * units + j]; }, out[kKept],
        IsLstm(d_) ? &out[2] : nullptr);
  }

  RecurrentDecoder d_;
};

Value Decode(Graph& graph, Cell cell, std::vector<Value> inputs,
             const std::optional<DecoderAttention>& attention) {
  RecurrentDecoder decoder = {
      .cell = cell,
      .units = graph.shape(inputs[kWeight]).rank() == 2 ? graph.shape(inputs[kWeight])[0] : 0};
  if (attention.has_value()) {
    for (const auto& [what, value] :
         {std::pair{"keys", attention->keys}, std::pair{"values", attention->values}}) {
      if (const absl::Status status = CheckTokenRows(what, graph.type(value)); !status.ok()) {
        return graph.Fail(Annotate(status, graph.scope()));
      }
    }
    decoder.keys = graph.shape(attention->keys)[1];
    decoder.values = graph.shape(attention->values)[1];
    inputs.insert(inputs.end(),
                  {attention->keys, attention->values, attention->query_weight,
                   attention->score_weight, attention->context_weight, attention->offsets});
  }
  return graph.Add(std::make_shared<RecurrentDecoderOp>(decoder), std::move(inputs));
}

}  // namespace

Value GruDecoder(Graph& graph, Value gates, Value weight, Value bias, Value start, Value offsets,
                 const std::optional<DecoderAttention>& attention) {
  return Decode(graph, Cell::kGru, {gates, weight, start, offsets, bias}, attention);
}

Value LstmDecoder(Graph& graph, Value gates, Value weight, Value start, Value start_cells,
                  Value offsets, const std::optional<DecoderAttention>& attention) {
  return Decode(graph, Cell::kLstm, {gates, weight, start, offsets, start_cells}, attention);
}

}  // namespace hone::engine
