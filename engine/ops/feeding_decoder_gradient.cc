#include "engine/ops/feeding_decoder_gradient.h"

#include <span>

#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/kernels/feeding_decoder.h"
#include "engine/ops/segments.h"

namespace hone::engine::feeding_decoder {
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
  kFirstFurther,  // of kLstm the cells and their start; then:
};
enum AttentionInput : int { kU, kQ, kC, kF, kUOffsets, kSeen, kQueries, kLogSums };
int FirstOfAttention(const RecurrentDecoder& d) { return kFirstFurther + (IsLstm(d) ? 2 : 0); }

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

}  // namespace

std::shared_ptr<const Op> MakeGradientOp(const RecurrentDecoder& decoder) {
  return std::make_shared<FeedingDecoderGradientOp>(decoder);
}

}  // namespace hone::engine::feeding_decoder
