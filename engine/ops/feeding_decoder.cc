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
#include "engine/ops/matmul.h"
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

// Inputs of the gradient's op.
enum GradientInput : int {
  kDy,
  kY,
  kGradientKept,
  kGradientWeight,
  kGradientStart,
  kGradientOffsets,
  kFirstFurther,  // of kLstm the cells and their start; then:
};
enum AttentionInput : int { kU, kQ, kC, kF, kUOffsets, kSeen, kQueries, kLogSums };
// Its outputs.
enum GradientOutput : int {
  kDGates,
  kBefore,
  kFed,
  kDStart,
  kDProductOrCells,  // of kGru the gradient of h U + b, of kLstm that of the cells' start
  kDCombined,
  kDQueries,
  kDValues,
  kGradientOutputs,
};
int FirstOfAttention(const RecurrentDecoder& d) { return kFirstFurther + (IsLstm(d) ? 2 : 0); }

int64_t Width(const RecurrentDecoder& d) { return d.units + d.values; }

// Of all steps' products with weights, forward.
double FlopsOf(const RecurrentDecoder& d, int64_t rows) {
  return 2.0 * static_cast<double>(rows) *
         static_cast<double>(d.units * (2 * Columns(d) + d.values + Width(d)));
}

// The shares that a query of the definition has in `count` rows of values from `begin` on. The
// logarithm of the sum comes to log_sum.
template <typename Query>
std::vector<double> SharesOf(const RecurrentDecoder& d, const Query& query,
                             const DoubleTensor& values, int64_t begin, int64_t count,
                             double& log_sum) {
  std::vector<double> shares;
  double sum = 0;
  for (int64_t s = begin; s < begin + count; ++s) {
    double score = 0;
    for (int64_t j = 0; j < d.values; ++j) {
      score += query(j) * values[s * d.values + j];
    }
    shares.push_back(std::exp(score));
    sum += shares.back();
  }
  log_sum = count > 0 ? std::log(sum) : 0;
  for (double& share : shares) {
    share /= sum;
  }
  return shares;
}

class FeedingDecoderGradientOp final : public Op {
 public:
  explicit FeedingDecoderGradientOp(const RecurrentDecoder& decoder) : d_(decoder) {}

  absl::string_view kind() const override {
    return IsLstm(d_) ? "lstm_feeding_decoder_gradient" : "gru_feeding_decoder_gradient";
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const TensorType gates{Shape{in[kDy].shape[0], Columns(d_)}, DType::kF32};
    const auto attention = in.subspan(static_cast<size_t>(FirstOfAttention(d_)));
    return std::vector<TensorType>{gates,
                                   in[kY],
                                   in[kY],
                                   in[kGradientStart],
                                   IsLstm(d_) ? in[kGradientStart] : gates,
                                   in[kY],
                                   attention[kQueries],
                                   attention[kU]};
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = FlopsOf(d_, in[kDy].shape[0]);
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const DoubleTensor& offsets = *in[kGradientOffsets];
    for (int64_t i = 0; i + 1 < offsets.shape[0]; ++i) {
      const auto first = static_cast<int64_t>(offsets[i]);
      const auto units = static_cast<size_t>(d_.units);
      std::vector<double> dstate(units), dcell(units), dfed(units);
      for (int64_t row = static_cast<int64_t>(offsets[i + 1]) - 1; row >= first; --row) {
        StepBack(in, out, i, row, row == first, dstate, dcell, dfed);
      }
      for (int64_t j = 0; j < d_.units; ++j) {
        out[kDStart][i * d_.units + j] = dstate[static_cast<size_t>(j)];
        if (IsLstm(d_)) {
          out[kDProductOrCells][i * d_.units + j] = dcell[static_cast<size_t>(j)];
        }
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const int base = FirstOfAttention(d_);
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.PlainInput(kDy));
    HONE_ASSIGN_OR_RETURN(const Slot y, l.PlainInput(kY));
    HONE_ASSIGN_OR_RETURN(const Slot kept, l.PlainInput(kGradientKept));
    HONE_ASSIGN_OR_RETURN(const Slot weight, Panels(l, kGradientWeight, true));
    HONE_ASSIGN_OR_RETURN(const Slot start, l.PlainInput(kGradientStart));
    const Slot offsets = l.Input(kGradientOffsets);
    Slot cells = -1, start_cells = -1;
    if (IsLstm(d_)) {
      HONE_ASSIGN_OR_RETURN(cells, l.PlainInput(kFirstFurther));
      HONE_ASSIGN_OR_RETURN(start_cells, l.PlainInput(kFirstFurther + 1));
    }
    HONE_ASSIGN_OR_RETURN(const Slot values, l.PlainInput(base + kU));
    HONE_ASSIGN_OR_RETURN(const Slot query, Panels(l, base + kQ, true));
    HONE_ASSIGN_OR_RETURN(const Slot combine, Panels(l, base + kC, true));
    HONE_ASSIGN_OR_RETURN(const Slot feed, Panels(l, base + kF, true));
    const Slot key_offsets = l.Input(base + kUOffsets);
    HONE_ASSIGN_OR_RETURN(const Slot seen, l.PlainInput(base + kSeen));
    HONE_ASSIGN_OR_RETURN(const Slot queries, l.PlainInput(base + kQueries));
    HONE_ASSIGN_OR_RETURN(const Slot log_sums, l.PlainInput(base + kLogSums));
    std::vector<Slot> to;
    for (int i = 0; i < kGradientOutputs; ++i) {
      to.push_back(l.Output(i, MemoryDesc::Plain(l.output_type(i))));
    }
    const Team team(l, d_, l.input_type(kDy).shape[0], l.input_type(kGradientOffsets).shape[0] - 1,
                    l.input_type(base + kU).shape[0], kernels::FeedingDecoderScratch);
    l.Emit(kind(), [=, d = d_](const Memory& m) {
      const bool lstm = IsLstm(d);
      const auto* begins = m.as<int32_t>(offsets);
      const auto* key_begins = m.as<int32_t>(key_offsets);
      const kernels::FeedingDecoderGradientArrays arrays = {
          .dy = m.as<float>(dy),
          .y = m.as<float>(y),
          .kept = m.as<float>(kept),
          .cells = Floats(m, cells),
          .seen = m.as<float>(seen),
          .queries = m.as<float>(queries),
          .log_sums = m.as<float>(log_sums),
          .start = m.as<float>(start),
          .start_cells = Floats(m, start_cells),
          .values = m.as<float>(values),
          .key_offsets = key_begins,
          .weight = m.as<float>(weight),
          .query = m.as<float>(query),
          .combine = m.as<float>(combine),
          .feed = m.as<float>(feed),
          .dgates = m.as<float>(to[kDGates]),
          .dproduct = lstm ? nullptr : m.as<float>(to[kDProductOrCells]),
          .before = m.as<float>(to[kBefore]),
          .fed = m.as<float>(to[kFed]),
          .dstart = m.as<float>(to[kDStart]),
          .dstart_cells = lstm ? m.as<float>(to[kDProductOrCells]) : nullptr,
          .dcombined = m.as<float>(to[kDCombined]),
          .dqueries = m.as<float>(to[kDQueries]),
          .dvalues = m.as<float>(to[kDValues]),
      };
      team.Run(m, begins, [&](const kernels::SequencePart& part, int, float* scratch) {
        kernels::RunFeedingDecoderGradient(d, part, arrays, scratch);
      });
      const auto clear = [&](float* data, int64_t width) {
        if (data != nullptr) {
          ClearRowsBehind(begins, team.batch, team.rows, width, data);
        }
      };
      clear(arrays.dgates, Columns(d));
      clear(arrays.dproduct, Columns(d));
      clear(arrays.before, d.units);
      clear(arrays.fed, d.units);
      clear(arrays.dcombined, d.units);
      clear(arrays.dqueries, d.values);
      ClearRowsBehind(key_begins, team.batch, team.key_rows, d.values, arrays.dvalues);
    });
    return absl::OkStatus();
  }

 private:
  // One row of a sequence: dstate, dcell and dfed go from what it left to what it began with.
  void StepBack(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                int64_t sequence, int64_t row, bool first, std::vector<double>& dstate,
                std::vector<double>& dcell, std::vector<double>& dfed) const {
    const auto attention = in.subspan(static_cast<size_t>(FirstOfAttention(d_)));
    const int64_t units = d_.units, width = Width(d_), columns = Columns(d_);
    const auto state = [&](int64_t j) {
      return first ? (*in[kGradientStart])[sequence * units + j]
                   : (*attention[kSeen])[(row - 1) * width + j];
    };
    const auto cell = [&](int64_t j) {
      return first ? (*in[kFirstFurther + 1])[sequence * units + j]
                   : (*in[kFirstFurther])[(row - 1) * units + j];
    };
    std::vector<double> dseen(static_cast<size_t>(width));
    for (int64_t j = 0; j < units; ++j) {
      const double y = (*in[kY])[row * units + j];
      const double dy = (*in[kDy])[row * units + j] + dfed[static_cast<size_t>(j)];
      const double dcombined = dy * (1 - y * y);
      out[kDCombined][row * units + j] = dcombined;
      out[kBefore][row * units + j] = state(j);
      out[kFed][row * units + j] = first ? 0 : (*in[kY])[(row - 1) * units + j];
      for (int64_t k = 0; k < width; ++k) {
        dseen[static_cast<size_t>(k)] += dcombined * (*attention[kC])[k * units + j];
      }
    }
    LookBack(attention, out, sequence, row,
             std::span<const double>(dseen).subspan(static_cast<size_t>(units)));
    for (int64_t k = 0; k < units; ++k) {
      double& to = dstate[static_cast<size_t>(k)];
      to += dseen[static_cast<size_t>(k)];
      for (int64_t j = 0; j < d_.values; ++j) {
        to += out[kDQueries][row * d_.values + j] * (*attention[kQ])[k * d_.values + j];
      }
    }
    decoder::CellBackByDefinition(d_, row, state, cell, *in[kGradientKept],
                                  IsLstm(d_) ? in[kFirstFurther] : nullptr, *in[kGradientWeight],
                                  out[kDGates], out[IsLstm(d_) ? kDGates : kDProductOrCells],
                                  dstate, dcell);
    for (int64_t k = 0; k < units; ++k) {
      double sum = 0;
      for (int64_t column = 0; column < columns; ++column) {
        sum += out[kDGates][row * columns + column] * (*attention[kF])[k * columns + column];
      }
      dfed[static_cast<size_t>(k)] = sum;
    }
  }

  // From the gradient of what a row saw to those of its query and of what it looked at.
  void LookBack(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                int64_t sequence, int64_t row, std::span<const double> dcontext) const {
    const int64_t m = d_.values;
    const auto begin = static_cast<int64_t>((*in[kUOffsets])[sequence]);
    const auto count = static_cast<int64_t>((*in[kUOffsets])[sequence + 1]) - begin;
    const DoubleTensor& values = *in[kU];
    const auto query = [&](int64_t j) { return (*in[kQueries])[row * m + j]; };
    double log_sum = 0;
    const std::vector<double> shares = SharesOf(d_, query, values, begin, count, log_sum);
    std::vector<double> dshares(shares.size());
    double total = 0;
    for (size_t k = 0; k < shares.size(); ++k) {
      for (int64_t j = 0; j < m; ++j) {
        dshares[k] +=
            dcontext[static_cast<size_t>(j)] * values[(begin + static_cast<int64_t>(k)) * m + j];
      }
      total += shares[k] * dshares[k];
    }
    for (size_t k = 0; k < shares.size(); ++k) {
      const double dscore = shares[k] * (dshares[k] - total);
      for (int64_t j = 0; j < m; ++j) {
        const int64_t at = (begin + static_cast<int64_t>(k)) * m + j;
        out[kDValues][at] += shares[k] * dcontext[static_cast<size_t>(j)] + dscore * query(j);
        out[kDQueries][row * m + j] += dscore * values[at];
      }
    }
  }

  RecurrentDecoder d_;
};

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
    const int32_t node =
        graph.Add(std::make_shared<FeedingDecoderGradientOp>(d_), std::move(inputs)).node;
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
