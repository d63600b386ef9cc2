#include "engine/ops/recurrent_decoder_gradient.h"

#include <algorithm>
#include <span>

#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/kernels/recurrent_decoder.h"
#include "engine/ops/segments.h"

namespace hone::engine::recurrent_decoder {
namespace {

using decoder::Columns;
using decoder::Floats;
using decoder::IsLstm;
using decoder::Panels;
using decoder::Team;
using kernels::RecurrentDecoder;
using onednn::MemoryDesc;

// Inputs of the op.
enum GradientInput : int {
  kDy,
  kY,
  kGradientKept,
  kGradientWeight,
  kGradientStart,
  kGradientOffsets,
  kFirstFurther,  // of kLstm the cells and their start; then of attention:
};
enum AttentionInput : int { kK, kV, kQ, kS, kC, kKOffsets, kQueries, kLogSums };
int FirstOfAttention(const RecurrentDecoder& d) { return kFirstFurther + (IsLstm(d) ? 2 : 0); }

class RecurrentDecoderGradientOp final : public Op {
 public:
  explicit RecurrentDecoderGradientOp(const RecurrentDecoder& decoder) : d_(decoder) {}

  absl::string_view kind() const override {
    return IsLstm(d_) ? "lstm_decoder_gradient" : "gru_decoder_gradient";
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const TensorType gates{Shape{in[kDy].shape[0], Columns(d_)}, DType::kF32};
    std::vector<TensorType> types = {gates, in[kY], in[kGradientStart],
                                     IsLstm(d_) ? in[kGradientStart] : gates};
    if (Looks(d_)) {
      const auto attention = in.subspan(static_cast<size_t>(FirstOfAttention(d_)));
      types.push_back(attention[kQueries]);
      types.push_back(attention[kK]);
      types.push_back(attention[kV]);
      types.push_back(attention[kS]);
    }
    return types;
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
      const auto end = static_cast<int64_t>(offsets[i + 1]);
      const auto units = static_cast<size_t>(d_.units);
      std::vector<double> dstate(units), dcell(units);
      for (int64_t row = end - 1; row >= first; --row) {
        StepBack(in, out, i, row, row == first, dstate, dcell);
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
    Slot keys = -1, values = -1, query = -1, score = -1, context = -1, key_offsets = -1;
    Slot queries = -1, log_sums = -1;
    if (Looks(d_)) {
      HONE_ASSIGN_OR_RETURN(keys, l.PlainInput(base + kK));
      HONE_ASSIGN_OR_RETURN(values, l.PlainInput(base + kV));
      HONE_ASSIGN_OR_RETURN(query, Panels(l, base + kQ, true));
      HONE_ASSIGN_OR_RETURN(score, l.PlainInput(base + kS));
      HONE_ASSIGN_OR_RETURN(context, Panels(l, base + kC, true));
      key_offsets = l.Input(base + kKOffsets);
      HONE_ASSIGN_OR_RETURN(queries, l.PlainInput(base + kQueries));
      HONE_ASSIGN_OR_RETURN(log_sums, l.PlainInput(base + kLogSums));
    }
    std::vector<Slot> to;
    for (int i = 0; i < (Looks(d_) ? 8 : 4); ++i) {
      to.push_back(l.Output(i, MemoryDesc::Plain(l.output_type(i))));
    }
    to.resize(8, -1);
    const int64_t rows = l.input_type(kDy).shape[0];
    const int64_t key_rows = Looks(d_) ? l.input_type(base + kK).shape[0] : 0;
    const Team team(l, d_, rows, l.input_type(kGradientOffsets).shape[0] - 1, key_rows,
                    kernels::RecurrentDecoderScratch);
    // Of each part, which are added up.
    const Slot scores =
        l.Scratch(std::max<int64_t>(team.parts * d_.keys, 1) * static_cast<int64_t>(sizeof(float)));
    l.Emit(kind(), [=, d = d_](const Memory& m) {
      const bool lstm = IsLstm(d);
      const auto* begins = m.as<int32_t>(offsets);
      const auto* key_begins = Looks(d) ? m.as<int32_t>(key_offsets) : nullptr;
      float* const dproduct = lstm ? nullptr : m.as<float>(to[kDProductOrCells]);
      const kernels::RecurrentDecoderGradientArrays arrays = {
          .dy = m.as<float>(dy),
          .y = m.as<float>(y),
          .kept = m.as<float>(kept),
          .cells = Floats(m, cells),
          .queries = Floats(m, queries),
          .log_sums = Floats(m, log_sums),
          .start = m.as<float>(start),
          .start_cells = Floats(m, start_cells),
          .keys = Floats(m, keys),
          .values = Floats(m, values),
          .score = Floats(m, score),
          .key_offsets = key_begins,
          .weight = m.as<float>(weight),
          .query = Floats(m, query),
          .context = Floats(m, context),
          .dgates = m.as<float>(to[kDGates]),
          .dproduct = dproduct,
          .before = m.as<float>(to[kBefore]),
          .dstart = m.as<float>(to[kDStart]),
          .dstart_cells = lstm ? m.as<float>(to[kDProductOrCells]) : nullptr,
          .dqueries = Floats(m, to[kDQueries]),
          .dkeys = Floats(m, to[kDKeys]),
          .dvalues = Floats(m, to[kDValues]),
          .dscore = nullptr,
      };
      auto* const partial = m.as<float>(scores);
      team.Run(m, begins, [&](const kernels::SequencePart& part, int k, float* scratch) {
        kernels::RecurrentDecoderGradientArrays own = arrays;
        own.dscore = partial + k * d.keys;
        kernels::RunRecurrentDecoderGradient(d, part, own, scratch);
      });
      const auto clear = [&](float* data, int64_t width) {
        ClearRowsBehind(begins, team.batch, team.rows, width, data);
      };
      clear(arrays.dgates, Columns(d));
      clear(arrays.before, d.units);
      if (dproduct != nullptr) {
        clear(dproduct, Columns(d));
      }
      if (Looks(d)) {
        clear(arrays.dqueries, d.keys);
        ClearRowsBehind(key_begins, team.batch, team.key_rows, d.keys, arrays.dkeys);
        ClearRowsBehind(key_begins, team.batch, team.key_rows, d.values, arrays.dvalues);
        auto* const dscore = m.as<float>(to[kDScore]);
        std::copy_n(partial, d.keys, dscore);
        for (int64_t i = d.keys; i < team.parts * d.keys; ++i) {
          dscore[i % d.keys] += partial[i];
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  // One row of a sequence: dstate and dcell go from what it left to what it began with.
  void StepBack(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                int64_t sequence, int64_t row, bool first, std::vector<double>& dstate,
                std::vector<double>& dcell) const {
    const int64_t units = d_.units;
    const auto before = [&](int states, int start, int64_t j) {
      return first ? (*in[static_cast<size_t>(start)])[sequence * units + j]
                   : (*in[static_cast<size_t>(states)])[(row - 1) * units + j];
    };
    const auto state = [&](int64_t j) { return before(kY, kGradientStart, j); };
    for (int64_t j = 0; j < units; ++j) {
      dstate[static_cast<size_t>(j)] += (*in[kDy])[row * units + j];
      out[kBefore][row * units + j] = state(j);
    }
    decoder::CellBackByDefinition(
        d_, row, state, [&](int64_t j) { return before(kFirstFurther, kFirstFurther + 1, j); },
        *in[kGradientKept], IsLstm(d_) ? in[kFirstFurther] : nullptr, *in[kGradientWeight],
        out[kDGates], out[IsLstm(d_) ? kDGates : kDProductOrCells], dstate, dcell);
    if (Looks(d_)) {
      LookBack(in.subspan(static_cast<size_t>(FirstOfAttention(d_))), out, sequence, row, dstate);
    }
  }

  // `in` are the inputs of attention.
  void LookBack(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                int64_t sequence, int64_t row, std::vector<double>& dstate) const {
    const int64_t n = d_.keys, columns = Columns(d_);
    const auto begin = static_cast<int64_t>((*in[kKOffsets])[sequence]);
    const auto end = static_cast<int64_t>((*in[kKOffsets])[sequence + 1]);
    const auto query = [&](int64_t j) { return (*in[kQueries])[row * n + j]; };
    const LookOf look(d_, query, *in[kK], *in[kS], begin, end);
    std::vector<double> dcontext(static_cast<size_t>(d_.values));
    for (int64_t k = 0; k < d_.values; ++k) {
      for (int64_t column = 0; column < columns; ++column) {
        dcontext[static_cast<size_t>(k)] +=
            out[kDGates][row * columns + column] * (*in[kC])[k * columns + column];
      }
    }
    std::vector<double> dweights;
    double total = 0;
    for (int64_t s = begin; s < end; ++s) {
      const double weight = look.weights[static_cast<size_t>(s - begin)];
      double dweight = 0;
      for (int64_t k = 0; k < d_.values; ++k) {
        dweight += dcontext[static_cast<size_t>(k)] * (*in[kV])[s * d_.values + k];
        out[kDValues][s * d_.values + k] += weight * dcontext[static_cast<size_t>(k)];
      }
      dweights.push_back(dweight);
      total += weight * dweight;
    }
    for (int64_t s = begin; s < end; ++s) {
      const auto at = static_cast<size_t>(s - begin);
      const double dscore = look.weights[at] * (dweights[at] - total);
      for (int64_t j = 0; j < n; ++j) {
        const double tanh = std::tanh(query(j) + (*in[kK])[s * n + j]);
        const double dsum = dscore * (*in[kS])[j] * (1 - tanh * tanh);
        out[kDScore][j] += dscore * tanh;
        out[kDKeys][s * n + j] += dsum;
        out[kDQueries][row * n + j] += dsum;
      }
    }
    for (int64_t k = 0; k < d_.units; ++k) {
      for (int64_t j = 0; j < n; ++j) {
        dstate[static_cast<size_t>(k)] += out[kDQueries][row * n + j] * (*in[kQ])[k * n + j];
      }
    }
  }

  RecurrentDecoder d_;
};

}  // namespace

std::shared_ptr<const Op> MakeGradientOp(const RecurrentDecoder& decoder) {
  return std::make_shared<RecurrentDecoderGradientOp>(decoder);
}

}  // namespace hone::engine::recurrent_decoder
