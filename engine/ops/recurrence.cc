#include "engine/ops/recurrence.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/recurrence.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/full.h"
#include "engine/ops/implementation.h"
#include "engine/ops/matmul.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using kernels::Cell;
using kernels::Recurrence;
using onednn::MemoryDesc;

absl::string_view KindOf(Cell cell, bool gradient) {
  switch (cell) {
    case Cell::kLstm:
      return gradient ? "lstm_gradient" : "lstm";
    case Cell::kGru:
      return gradient ? "gru_gradient" : "gru";
    case Cell::kGruResetFirst:
      return gradient ? "gru_reset_first_gradient" : "gru_reset_first";
    default:
      return gradient ? "simple_rnn_gradient" : "simple_rnn";
  }
}

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// step(row of the token, row of the token before or −1, sequence) for each sequence's tokens in the
// order in which they are read, or backwards.
template <typename Step>
void ForTokens(const DoubleTensor& offsets, bool reverse, bool backwards, Step&& step) {
  for (int64_t i = 0; i + 1 < offsets.shape[0]; ++i) {
    const auto first = static_cast<int64_t>(offsets[i]);
    const int64_t count = static_cast<int64_t>(offsets[i + 1]) - first;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t t = backwards ? count - 1 - k : k;
      const int64_t row = first + (reverse ? count - 1 - t : t);
      step(row, t == 0 ? -1 : reverse ? row + 1 : row - 1, i);
    }
  }
}

// Unit j of what is before a token: of `states` in the row before, or of the sequence's `start`.
double BeforeOf(const DoubleTensor& states, const DoubleTensor* start, int64_t before,
                int64_t sequence, int64_t units, int64_t j) {
  if (before >= 0) {
    return states[before * units + j];
  }
  return start == nullptr ? 0 : (*start)[sequence * units + j];
}

// [batch, units] of what sequences begin with.
absl::Status CheckStart(absl::string_view what, const TensorType& start, const TensorType& offsets,
                        int64_t units) {
  const Shape wanted{offsets.shape[0] - 1, units};
  return start.shape == wanted ? absl::OkStatus()
                               : WrongShape(what, wanted.ToString(), start.shape);
}

double FlopsOfSteps(const Shape& gates, int64_t units) {
  return 2.0 * static_cast<double>(gates.elements()) * static_cast<double>(units);
}

// How a run shares the sequences out, and what memory it takes for that.
struct Team {
  int parts;
  int64_t batch, rows, floats;
  Slot order, scratch;

  Team(Lowering& l, const Recurrence& r, const Shape& y, int64_t sequences)
      : parts(static_cast<int>(std::min<int64_t>(
            PartsFor(SaturatingProduct(y.elements(), r.units), l.threads()), sequences))),
        batch(sequences),
        rows(y[0]),
        floats(kernels::RecurrenceScratch(r, (sequences + parts - 1) / parts)),
        order(l.Scratch(sequences * static_cast<int64_t>(sizeof(int32_t)))),
        scratch(l.Scratch(parts * floats * static_cast<int64_t>(sizeof(float)))) {}

  // body(part, its scratch memory) on each thread.
  template <typename Body>
  void Run(const Memory& m, const int32_t* offsets, Body&& body) const {
    const std::span<const int32_t> all(offsets, static_cast<size_t>(batch) + 1);
    const std::span<int32_t> sorted(m.as<int32_t>(order), static_cast<size_t>(batch));
    kernels::SortByLength(all, sorted);
    RunTeam(parts, [&](int k) {
      body(kernels::SequencePart{all, sorted, k, parts}, m.as<float>(scratch) + k * floats);
    });
  }
  // Zeros in the rows behind the last sequence; nothing where there is no such array.
  void ClearRest(const int32_t* offsets, DType dtype, void* data, int64_t width) const {
    if (data != nullptr) {
      ClearRowsBehind(offsets, batch, rows, width, dtype, data);
    }
  }
};

// How the recurrence is computed by this processor where its output 0 is as the plan says.
Recurrence Lowered(const Lowering& l, Recurrence r) {
  r.dtype = l.output_dtype(0);
  r.pairs = PairProductsBy(CpuInstructionSet(), r.dtype, r.units);
  return r;
}

// Input i, row major, in the arrays' element type.
absl::StatusOr<Slot> RowsIn(Lowering& l, int i, DType dtype) {
  return l.Input(i, MemoryDesc::Plain({l.input_type(i).shape, dtype}));
}

using Pack = void (*)(const Recurrence&, const float*, float*);

// The recurrent weight in the order of one of the passes.
absl::StatusOr<Slot> PackedWeight(Lowering& l, int input, const Recurrence& r,
                                  absl::string_view pass, int64_t floats, Pack pack) {
  return l.PackedInput(input,
                       absl::StrCat(KindOf(r.cell, false), "_", pass, "_",
                                    r.pairs != kernels::PairProducts::kNone
                                        ? "pairs"
                                        : absl::StrCat(kernels::RecurrenceLanes())),
                       floats * static_cast<int64_t>(sizeof(float)),
                       [r, pack](const float* values, void* packed) {
                         pack(r, values, static_cast<float*>(packed));
                       });
}

// Inputs: dy, y, weight, offsets, and but for kTanh what the forward pass has kept: the gates, and
// of kLstm the cells and, where it is known, what comes back to them; then what the forward pass
// began with, if it did with anything. Outputs: the gates' gradient;
// the state before each token; of kGru the gradient of h U + b, which of the others is the gates'.
class RecurrenceGradientOp final : public Op {
 public:
  RecurrenceGradientOp(const Recurrence& recurrence, bool of_cells, bool has_start)
      : r_(recurrence), of_cells_(of_cells), has_start_(has_start) {}

  absl::string_view kind() const override { return KindOf(r_.cell, true); }

  Precision precision(int) const override { return {Precision::Rule::kComputed}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const TensorType gates{Shape{in[0].shape[0], kernels::GatesOf(r_.cell) * r_.units},
                           DType::kF32};
    std::vector<TensorType> types = {gates, in[0]};
    if (r_.cell == Cell::kGru) {
      types.push_back(gates);
    }
    return types;
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = FlopsOfSteps(out[0].shape, r_.units);
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    if (r_.cell == Cell::kGruResetFirst) {
      return GruResetFirstReference(in, out);
    }
    const int64_t units = r_.units, columns = out[0].shape[1];
    const DoubleTensor& y = *in[1];
    const DoubleTensor& weight = *in[2];
    DoubleTensor& dproduct = out[r_.cell == Cell::kGru ? 2 : 0];
    const DoubleTensor* start = has_start_ ? in[StartInput()] : nullptr;
    const DoubleTensor* start_cells =
        has_start_ && r_.cell == Cell::kLstm ? in[StartInput() + 1] : nullptr;
    // What the step behind gives to the state, and to what else is carried from step to step.
    DoubleTensor dstate(Shape{in[0]->shape[0], units}), dcarry(Shape{in[0]->shape[0], units});
    ForTokens(*in[3], r_.reverse, /*backwards=*/true, [&](int64_t row, int64_t before, int64_t i) {
      for (int64_t j = 0; j < units; ++j) {
        const double dh = (*in[0])[row * units + j] + dstate[row * units + j];
        const double h = BeforeOf(y, start, before, i, units, j);
        out[1][row * units + j] = h;
        const auto kept = [&](int64_t block) { return (*in[4])[(row * 4 + block) * units + j]; };
        const auto gate = [&](DoubleTensor& of, int64_t block) -> double& {
          return of[row * columns + block * units + j];
        };
        double carry = 0;
        if (r_.cell == Cell::kTanh) {
          const double state = y[row * units + j];
          gate(out[0], 0) = dh * (1 - state * state);
        } else if (r_.cell == Cell::kLstm) {
          const double in_gate = kept(0), f = kept(1), g = kept(2), o = kept(3);
          const double tanh = std::tanh((*in[5])[row * units + j]);
          const double c = BeforeOf(*in[5], start_cells, before, i, units, j);
          const double of_cell = of_cells_ ? (*in[6])[row * units + j] : 0;
          const double dc = dh * o * (1 - tanh * tanh) + dcarry[row * units + j] + of_cell;
          gate(out[0], 0) = dc * g * in_gate * (1 - in_gate);
          gate(out[0], 1) = dc * c * f * (1 - f);
          gate(out[0], 2) = dc * in_gate * (1 - g * g);
          gate(out[0], 3) = dh * tanh * o * (1 - o);
          carry = dc * f;
        } else {
          const double r = kept(0), z = kept(1), n = kept(2), q = kept(3);
          const double dn = dh * (1 - z) * (1 - n * n);
          gate(out[0], 0) = gate(out[2], 0) = dn * q * r * (1 - r);
          gate(out[0], 1) = gate(out[2], 1) = dh * (h - n) * z * (1 - z);
          gate(out[0], 2) = dn;
          gate(out[2], 2) = dn * r;
          carry = dh * z;
        }
        if (before >= 0) {
          (r_.cell == Cell::kGru ? dstate : dcarry)[before * units + j] += carry;
        }
      }
      for (int64_t k = 0; before >= 0 && k < units; ++k) {
        for (int64_t column = 0; column < columns; ++column) {
          dstate[before * units + k] +=
              dproduct[row * columns + column] * weight[k * columns + column];
        }
      }
    });
  }

  absl::Status Lower(Lowering& l) const override {
    const bool keeps = r_.cell != Cell::kTanh, has_cells = r_.cell == Cell::kLstm;
    const Recurrence lowered = Lowered(l, r_);
    HONE_ASSIGN_OR_RETURN(const Slot dy, RowsIn(l, 0, lowered.dtype));
    HONE_ASSIGN_OR_RETURN(const Slot y, RowsIn(l, 1, lowered.dtype));
    HONE_ASSIGN_OR_RETURN(const Slot weight, PackedWeight(l, 2, lowered, "backward",
                                                          kernels::PackedBackwardFloats(lowered),
                                                          kernels::PackBackward));
    const Slot offsets = l.Input(3);
    HONE_ASSIGN_OR_RETURN(const Slot kept, keeps ? l.PlainInput(4) : Slot{-1});
    HONE_ASSIGN_OR_RETURN(const Slot cells, has_cells ? l.PlainInput(5) : Slot{-1});
    HONE_ASSIGN_OR_RETURN(const Slot dcells, of_cells_ ? l.PlainInput(6) : Slot{-1});
    const auto first_of_start = static_cast<int>(StartInput());
    HONE_ASSIGN_OR_RETURN(const Slot start, has_start_ ? l.PlainInput(first_of_start) : Slot{-1});
    HONE_ASSIGN_OR_RETURN(const Slot start_cells,
                          has_start_&& has_cells ? l.PlainInput(first_of_start + 1) : Slot{-1});
    const auto as = [&](int i) {
      return MemoryDesc::Plain({l.output_type(i).shape, lowered.dtype});
    };
    const MemoryDesc gates = as(0);
    // What is kept is f32.
    const bool in_place = has_cells && lowered.dtype == DType::kF32;
    const Slot dgates = in_place ? l.OutputInPlace(0, gates, 4) : l.Output(0, gates);
    const Slot before = l.wanted(1) ? l.Output(1, as(1)) : Slot{-1};
    const Slot dproduct = r_.cell == Cell::kGru ? l.Output(2, gates) : Slot{-1};
    const Team team(l, lowered, l.input_type(0).shape, l.input_type(3).shape[0] - 1);
    l.Emit(kind(), [=, r = lowered](const Memory& m) {
      const auto floats = [&](Slot slot) { return slot < 0 ? nullptr : m.as<float>(slot); };
      const kernels::RecurrenceGradientArrays arrays = {
          m[dy],          m[y],           floats(kept),       floats(cells),
          floats(dcells), floats(weight), floats(dgates),     floats(dproduct),
          floats(before), floats(start),  floats(start_cells)};
      const auto* begins = m.as<int32_t>(offsets);
      const int64_t columns = kernels::GatesOf(r.cell) * r.units;
      team.Run(m, begins, [&](const kernels::SequencePart& part, float* scratch) {
        kernels::RunRecurrenceGradient(r, part, arrays, scratch);
      });
      team.ClearRest(begins, r.dtype, arrays.dgates, columns);
      team.ClearRest(begins, r.dtype, arrays.dproduct, columns);
      team.ClearRest(begins, r.dtype, arrays.before, r.units);
    });
    return absl::OkStatus();
  }

 private:
  // The first input of what the forward pass began with.
  size_t StartInput() const {
    const size_t kept = r_.cell == Cell::kTanh ? 0 : r_.cell == Cell::kLstm ? 2 : 1;
    return 4 + kept + (of_cells_ ? 1 : 0);
  }
  void GruResetFirstReference(std::span<const DoubleTensor* const> in,
                              std::span<DoubleTensor> out) const {
    const int64_t units = r_.units, columns = 3 * units;
    const DoubleTensor &y = *in[1], &weight = *in[2];
    const DoubleTensor* start = has_start_ ? in[StartInput()] : nullptr;
    DoubleTensor dstate(Shape{in[0]->shape[0], units});  // that the step behind gives
    ForTokens(*in[3], r_.reverse, /*backwards=*/true, [&](int64_t row, int64_t before, int64_t i) {
      const auto state = [&](int64_t j) { return BeforeOf(y, start, before, i, units, j); };
      const auto kept = [&](int64_t block, int64_t j) {
        return (*in[4])[(row * 4 + block) * units + j];
      };
      const auto dgate = [&](int64_t block, int64_t j) -> double& {
        return out[0][row * columns + block * units + j];
      };
      for (int64_t j = 0; j < units; ++j) {
        const double dh = (*in[0])[row * units + j] + dstate[row * units + j];
        const double z = kept(1, j), n = kept(2, j);
        out[1][row * units + j] = state(j);
        dgate(1, j) = dh * (state(j) - n) * z * (1 - z);
        dgate(2, j) = dh * (1 - z) * (1 - n * n);
        if (before >= 0) {
          dstate[before * units + j] += dh * z;
        }
      }
      for (int64_t k = 0; k < units; ++k) {
        double dreset_state = 0;
        for (int64_t j = 0; j < units; ++j) {
          dreset_state += dgate(2, j) * weight[k * columns + 2 * units + j];
        }
        const double r = kept(0, k);
        dgate(0, k) = dreset_state * state(k) * r * (1 - r);
        if (before >= 0) {
          dstate[before * units + k] += dreset_state * r;
        }
      }
      for (int64_t k = 0; before >= 0 && k < units; ++k) {
        for (int64_t column = 0; column < 2 * units; ++column) {
          dstate[before * units + k] +=
              out[0][row * columns + column] * weight[k * columns + column];
        }
      }
    });
  }

  Recurrence r_;
  bool of_cells_;
  bool has_start_;
};

// Inputs: gates, weight, offsets, of kGru the bias; then, where there is any, what the sequences
// begin with: states, and of kLstm cells. Outputs: the states, and but for kTanh what the
// gradient needs: the gates' values, and of kLstm the cells.
class RecurrenceOp final : public Op {
 public:
  RecurrenceOp(const Recurrence& recurrence, bool has_start)
      : r_(recurrence), has_start_(has_start) {}

  absl::string_view kind() const override { return KindOf(r_.cell, false); }

  Precision precision(int output) const override {
    return {output == 0 ? Precision::Rule::kComputed : Precision::Rule::kF32};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the gates", in[0]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[2]));
    const Shape weight{r_.units, kernels::GatesOf(r_.cell) * r_.units};
    if (in[1].shape != weight) {
      return WrongShape("the recurrent weight", weight.ToString(), in[1].shape);
    }
    if (in[0].shape[1] != weight[1]) {
      return WrongShape("the gates", absl::StrCat("[rows, ", weight[1], "]"), in[0].shape);
    }
    if (r_.cell == Cell::kGru && in[3].shape != Shape{weight[1]}) {
      return WrongShape("the recurrent bias", Shape{weight[1]}.ToString(), in[3].shape);
    }
    if (has_start_) {
      HONE_RETURN_IF_ERROR(CheckStart("the first states", in[StartInput()], in[2], r_.units));
    }
    if (has_start_ && r_.cell == Cell::kLstm) {
      HONE_RETURN_IF_ERROR(CheckStart("the first cells", in[StartInput() + 1], in[2], r_.units));
    }
    const TensorType y{Shape{in[0].shape[0], r_.units}, DType::kF32};
    std::vector<TensorType> types = {y};
    if (const int64_t kept = kernels::KeptOf(r_.cell); kept > 0) {
      types.push_back({Shape{in[0].shape[0], kept * r_.units}, DType::kF32});
    }
    if (r_.cell == Cell::kLstm) {
      types.push_back(y);
    }
    return types;
  }

  void Differentiate(Gradient& g) const override {
    Graph& graph = g.graph();
    const bool has_cells = r_.cell == Cell::kLstm, of_cells = has_cells && g.dy(2).valid();
    if ((!g.dy(0).valid() && !of_cells) || (r_.cell != Cell::kTanh && g.dy(1).valid())) {
      graph.Fail(absl::UnimplementedError(
          absl::StrCat(kind(), ": what it keeps for its gradient has none itself")));
      return;
    }
    for (auto i = static_cast<int>(StartInput()); i < g.input_count(); ++i) {
      if (g.Needs(i)) {
        graph.Fail(absl::UnimplementedError(
            absl::StrCat(kind(), ": what its sequences begin with gets no gradient")));
        return;
      }
    }
    const Value dy = g.dy(0).valid() ? g.dy(0) : Full(graph, graph.shape(g.output(0)), 0);
    std::vector<Value> inputs = {dy, g.output(0), g.input(1), g.input(2)};
    for (int i = 1; i <= (r_.cell == Cell::kTanh ? 0 : r_.cell == Cell::kLstm ? 2 : 1); ++i) {
      inputs.push_back(g.output(i));
    }
    if (of_cells) {
      inputs.push_back(g.dy(2));
    }
    for (auto i = static_cast<int>(StartInput()); i < g.input_count(); ++i) {
      inputs.push_back(g.input(i));
    }
    const Value dgates = graph.Add(std::make_shared<RecurrenceGradientOp>(r_, of_cells, has_start_),
                                   std::move(inputs));
    const Value before{dgates.node, 1};
    const Value dproduct = r_.cell == Cell::kGru ? Value{dgates.node, 2} : dgates;
    g.Accumulate(0, [&] { return dgates; });
    g.Accumulate(1, [&] {
      if (r_.cell != Cell::kGruResetFirst) {
        return MatMul(graph, before, dproduct, {.transpose_a = true});
      }
      // What U multiplies is h, and of the candidate r h, which was kept.
      const int64_t units = r_.units;
      const Value reset_states = Slice(graph, g.output(1), 3 * units, 4 * units);
      const Value of_gates =
          MatMul(graph, before, Slice(graph, dgates, 0, 2 * units), {.transpose_a = true});
      const Value of_candidate = MatMul(
          graph, reset_states, Slice(graph, dgates, 2 * units, 3 * units), {.transpose_a = true});
      return Concat(graph, {of_gates, of_candidate});
    });
    if (r_.cell == Cell::kGru) {
      g.Accumulate(3, [&] { return SumTo(graph, dproduct, graph.shape(g.input(3))); });
    }
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = FlopsOfSteps(in[0].shape, r_.units);
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    if (r_.cell == Cell::kGruResetFirst) {
      return GruResetFirstReference(in, out);
    }
    const int64_t units = r_.units, columns = in[0]->shape[1];
    const DoubleTensor* start = has_start_ ? in[StartInput()] : nullptr;
    const DoubleTensor* start_cells =
        has_start_ && r_.cell == Cell::kLstm ? in[StartInput() + 1] : nullptr;
    ForTokens(*in[2], r_.reverse, /*backwards=*/false, [&](int64_t row, int64_t before, int64_t s) {
      for (int64_t j = 0; j < units; ++j) {
        const auto state = [&](int64_t k) { return BeforeOf(out[0], start, before, s, units, k); };
        // Of the gate's block: x, and h U + b.
        const auto x = [&](int64_t block) { return (*in[0])[row * columns + block * units + j]; };
        const auto product = [&](int64_t block) {
          const int64_t column = block * units + j;
          double sum = r_.cell == Cell::kGru ? (*in[3])[column] : 0;
          for (int64_t k = 0; k < units; ++k) {
            sum += state(k) * (*in[1])[k * columns + column];
          }
          return sum;
        };
        const auto keep = [&](int64_t block, double value) {
          out[1][(row * 4 + block) * units + j] = value;
          return value;
        };
        double& y = out[0][row * units + j];
        if (r_.cell == Cell::kTanh) {
          y = std::tanh(x(0) + product(0));
        } else if (r_.cell == Cell::kLstm) {
          const double i = keep(0, Sigmoid(x(0) + product(0)));
          const double f = keep(1, Sigmoid(x(1) + product(1)));
          const double g = keep(2, std::tanh(x(2) + product(2)));
          const double o = keep(3, Sigmoid(x(3) + product(3)));
          double& c = out[2][row * units + j];
          c = f * BeforeOf(out[2], start_cells, before, s, units, j) + i * g;
          y = o * std::tanh(c);
        } else {
          const double r = keep(0, Sigmoid(x(0) + product(0)));
          const double z = keep(1, Sigmoid(x(1) + product(1)));
          const double q = keep(3, product(2));
          const double n = keep(2, std::tanh(x(2) + r * q));
          y = (1 - z) * n + z * state(j);
        }
      }
    });
  }

  absl::Status Lower(Lowering& l) const override {
    const bool keeps = r_.cell != Cell::kTanh, has_cells = r_.cell == Cell::kLstm;
    const Recurrence lowered = Lowered(l, r_);
    HONE_ASSIGN_OR_RETURN(const Slot gates, RowsIn(l, 0, lowered.dtype));
    HONE_ASSIGN_OR_RETURN(const Slot weight, PackedWeight(l, 1, lowered, "forward",
                                                          kernels::PackedForwardFloats(lowered),
                                                          kernels::PackForward));
    const Slot offsets = l.Input(2);
    HONE_ASSIGN_OR_RETURN(const Slot bias, r_.cell == Cell::kGru ? l.PlainInput(3) : Slot{-1});
    const auto first_of_start = static_cast<int>(StartInput());
    HONE_ASSIGN_OR_RETURN(const Slot start, has_start_ ? l.PlainInput(first_of_start) : Slot{-1});
    HONE_ASSIGN_OR_RETURN(const Slot start_cells,
                          has_start_&& has_cells ? l.PlainInput(first_of_start + 1) : Slot{-1});
    const Slot y = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, lowered.dtype}));
    Slot kept = -1, cells = -1;
    if (keeps && l.wanted(1)) {
      const MemoryDesc desc = MemoryDesc::Plain(l.output_type(1));
      const bool in_place = has_cells && lowered.dtype == DType::kF32;
      kept = in_place ? l.OutputInPlace(1, desc, 0) : l.Output(1, desc);
    }
    if (has_cells && l.wanted(2)) {
      cells = l.Output(2, MemoryDesc::Plain(l.output_type(2)));
    }
    const Team team(l, lowered, l.output_type(0).shape, l.input_type(2).shape[0] - 1);
    l.Emit(kind(), [=, r = lowered](const Memory& m, const RunScalars&) {
      const auto floats = [&](Slot slot) { return slot < 0 ? nullptr : m.as<float>(slot); };
      const kernels::RecurrenceArrays arrays = {m[gates],      floats(weight),     floats(bias),
                                                m[y],          floats(kept),       floats(cells),
                                                floats(start), floats(start_cells)};
      const auto* begins = m.as<int32_t>(offsets);
      if (!AreOffsets({begins, static_cast<size_t>(team.batch) + 1}, team.rows)) {
        return false;
      }
      team.Run(m, begins, [&](const kernels::SequencePart& part, float* scratch) {
        kernels::RunRecurrence(r, part, arrays, scratch);
      });
      team.ClearRest(begins, r.dtype, arrays.y, r.units);
      if (r.cell == Cell::kGruResetFirst) {
        // A product of the backward pass reads it, whose other factor is 0 there.
        team.ClearRest(begins, DType::kF32, arrays.kept, kernels::KeptOf(r.cell) * r.units);
      }
      team.ClearRest(begins, DType::kF32, arrays.cell, r.units);
      return true;
    });
    return absl::OkStatus();
  }

 private:
  // The first input of what the sequences begin with.
  size_t StartInput() const { return r_.cell == Cell::kGru ? 4 : 3; }
  void GruResetFirstReference(std::span<const DoubleTensor* const> in,
                              std::span<DoubleTensor> out) const {
    const int64_t units = r_.units, columns = 3 * units;
    const DoubleTensor* start = has_start_ ? in[StartInput()] : nullptr;
    ForTokens(*in[2], r_.reverse, /*backwards=*/false, [&](int64_t row, int64_t before, int64_t s) {
      const auto state = [&](int64_t k) { return BeforeOf(out[0], start, before, s, units, k); };
      const auto kept = [&](int64_t block, int64_t j) -> double& {
        return out[1][(row * 4 + block) * units + j];
      };
      // x + v U of unit j of the gate's block.
      const auto sum = [&](int64_t block, int64_t j, const auto& v) {
        const int64_t column = block * units + j;
        double total = (*in[0])[row * columns + column];
        for (int64_t k = 0; k < units; ++k) {
          total += v(k) * (*in[1])[k * columns + column];
        }
        return total;
      };
      for (int64_t j = 0; j < units; ++j) {
        kept(0, j) = Sigmoid(sum(0, j, state));
        kept(1, j) = Sigmoid(sum(1, j, state));
        kept(3, j) = kept(0, j) * state(j);
      }
      for (int64_t j = 0; j < units; ++j) {
        kept(2, j) = std::tanh(sum(2, j, [&](int64_t k) { return kept(3, k); }));
        out[0][row * units + j] = (1 - kept(1, j)) * kept(2, j) + kept(1, j) * state(j);
      }
    });
  }

  Recurrence r_;
  bool has_start_;
};

Value Recur(Graph& graph, Cell cell, std::vector<Value> inputs, const RecurrenceOptions& options) {
  const Shape& weight = graph.shape(inputs[1]);
  if (weight.rank() != 2) {
    return graph.Fail(WrongShape(absl::StrCat(graph.scope(), ": the recurrent weight"),
                                 "[units, gates * units]", weight));
  }
  if (options.start.has_value()) {
    inputs.push_back(*options.start);
  }
  if (options.start_cells.has_value()) {
    inputs.push_back(*options.start_cells);
  }
  if (options.start_cells.has_value() != (options.start.has_value() && cell == Cell::kLstm)) {
    return graph.Fail(absl::InvalidArgumentError(absl::StrCat(
        graph.scope(), ": an LSTM begins with states and cells, others with states alone")));
  }
  return graph.Add(std::make_shared<RecurrenceOp>(Recurrence{cell, weight[0], options.reverse},
                                                  options.start.has_value()),
                   std::move(inputs));
}

}  // namespace

Value SimpleRnn(Graph& graph, Value gates, Value weight, Value offsets,
                const RecurrenceOptions& options) {
  return Recur(graph, Cell::kTanh, {gates, weight, offsets}, options);
}

Value Lstm(Graph& graph, Value gates, Value weight, Value offsets,
           const RecurrenceOptions& options) {
  return Recur(graph, Cell::kLstm, {gates, weight, offsets}, options);
}

Value CellsOfLstm(const Graph& graph, Value states) {
  return graph.status().ok() ? Value{states.node, 2} : states;
}

Value Gru(Graph& graph, Value gates, Value weight, Value bias, Value offsets,
          const RecurrenceOptions& options) {
  return Recur(graph, Cell::kGru, {gates, weight, offsets, bias}, options);
}

Value GruResetFirst(Graph& graph, Value gates, Value weight, Value offsets,
                    const RecurrenceOptions& options) {
  return Recur(graph, Cell::kGruResetFirst, {gates, weight, offsets}, options);
}

}  // namespace hone::engine
