#include "engine/ops/new_tokens.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// The memory of a state that is given back with rows of it written: in place, but where the plan
// keeps the old one.
float* Changed(const Memory& m, Slot state, Slot y, int64_t elements) {
  const auto* old = m.as<float>(state);
  auto* to = m.as<float>(y);
  if (old != to) {
    std::copy_n(old, elements, to);
  }
  return to;
}

// Inputs: state, part, offsets, places.
class WriteTokensOp final : public Op {
 public:
  absl::string_view kind() const override { return "write_tokens"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the part", in[1]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[2]));
    const Shape& state = in[0].shape;
    const int64_t sequences = in[2].shape[0] - 1, width = in[1].shape[1];
    if (state.rank() != 3 || state[0] != sequences || state[1] < 1 || state[2] != width) {
      return WrongShape("the state", absl::StrCat("[", sequences, ", places, ", width, "]"), state);
    }
    if (in[3] != TensorType{Shape{in[1].shape[0]}, DType::kS32}) {
      return absl::InvalidArgumentError(
          absl::StrCat("the places must be s32[", in[1].shape[0], "], got ", in[3].ToString()));
    }
    return std::vector<TensorType>{{state, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    out[0].values = in[0]->values;
    const int64_t place_count = in[0]->shape[1], width = in[1]->shape[1];
    for (int64_t r = 0; r + 1 < in[2]->shape[0]; ++r) {
      for (auto i = static_cast<int64_t>((*in[2])[r]); i < static_cast<int64_t>((*in[2])[r + 1]);
           ++i) {
        const auto place = static_cast<int64_t>((*in[3])[i]);
        for (int64_t k = 0; k < width; ++k) {
          out[0][(r * place_count + place) * width + k] = (*in[1])[i * width + k];
        }
      }
    }
  }

  int changed_input() const override { return 0; }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot state, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot part, l.PlainInput(1));
    const Slot offsets = l.Input(2), places = l.Input(3);
    const Slot y = l.OutputInPlace(0, MemoryDesc::Plain(l.output_type(0)), 0);
    const Shape shape = l.input_type(0).shape;
    const int64_t rows = l.input_type(1).shape[0];
    l.Emit(kind(), [=, elements = shape.elements(), sequences = shape[0], place_count = shape[1],
                    width = shape[2]](const Memory& m, const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      const auto* at = m.as<int32_t>(places);
      if (!AreOffsets({begins, static_cast<size_t>(sequences) + 1}, rows) ||
          !std::all_of(at, at + begins[sequences],
                       [&](int32_t place) { return place >= 0 && place < place_count; })) {
        return false;
      }
      float* to = Changed(m, state, y, elements);
      for (int64_t r = 0; r < sequences; ++r) {
        for (int64_t i = begins[r]; i < begins[r + 1]; ++i) {
          std::copy_n(m.as<float>(part) + i * width, width, to + (r * place_count + at[i]) * width);
        }
      }
      return true;
    });
    return absl::OkStatus();
  }
};

int64_t RowOf(int32_t state_row) { return state_row < 0 ? ~state_row : state_row; }

bool AreStateRows(const int32_t* rows, int64_t sequences, int64_t count) {
  return std::all_of(rows, rows + sequences, [&](int32_t row) { return RowOf(row) < count; });
}

absl::Status CheckStateRows(const TensorType& rows, int64_t sequences) {
  return rows == TensorType{Shape{sequences}, DType::kS32}
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat("the rows of the state must be s32[",
                                                       sequences, "], got ", rows.ToString()));
}

// Inputs: state, rows.
class CarriedStartOp final : public Op {
 public:
  absl::string_view kind() const override { return "carried_start"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the state", in[0]));
    const int64_t sequences = in[1].shape.elements();
    HONE_RETURN_IF_ERROR(CheckStateRows(in[1], sequences));
    return std::vector<TensorType>{{Shape{sequences, in[0].shape[1]}, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape[1];
    for (int64_t i = 0; i < out[0].shape.elements(); ++i) {
      const auto row = static_cast<int64_t>((*in[1])[i / width]);
      out[0][i] = row < 0 ? 0 : (*in[0])[row * width + i % width];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot state, l.PlainInput(0));
    const Slot rows = l.Input(1);
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const int64_t count = l.input_type(0).shape[0], width = l.input_type(0).shape[1];
    const int64_t sequences = l.output_type(0).shape[0];
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      const auto* of = m.as<int32_t>(rows);
      if (!AreStateRows(of, sequences, count)) {
        return false;
      }
      for (int64_t i = 0; i < sequences; ++i) {
        float* to = m.as<float>(y) + i * width;
        if (of[i] < 0) {
          std::fill_n(to, width, 0.0f);
        } else {
          std::copy_n(m.as<float>(state) + of[i] * width, width, to);
        }
      }
      return true;
    });
    return absl::OkStatus();
  }
};

// Inputs: state, states, offsets, rows.
class CarriedEndOp final : public Op {
 public:
  absl::string_view kind() const override { return "carried_end"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the states", in[1]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[2]));
    HONE_RETURN_IF_ERROR(CheckStateRows(in[3], in[2].shape[0] - 1));
    const Shape& state = in[0].shape;
    if (state.rank() != 2 || state[0] < 1 || state[1] != in[1].shape[1]) {
      return WrongShape("the state", absl::StrCat("[n, ", in[1].shape[1], "]"), state);
    }
    return std::vector<TensorType>{{state, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    out[0].values = in[0]->values;
    const int64_t width = in[0]->shape[1];
    for (int64_t i = 0; i + 1 < in[2]->shape[0]; ++i) {
      const auto end = static_cast<int64_t>((*in[2])[i + 1]);
      const int64_t row = RowOf(static_cast<int32_t>((*in[3])[i]));
      for (int64_t k = 0; (*in[2])[i] < (*in[2])[i + 1] && k < width; ++k) {
        out[0][row * width + k] = (*in[1])[(end - 1) * width + k];
      }
    }
  }

  int changed_input() const override { return 0; }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot state, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot states, l.PlainInput(1));
    const Slot offsets = l.Input(2), rows = l.Input(3);
    const Slot y = l.OutputInPlace(0, MemoryDesc::Plain(l.output_type(0)), 0);
    const int64_t count = l.output_type(0).shape[0], width = l.output_type(0).shape[1];
    const int64_t tokens = l.input_type(1).shape[0], sequences = l.input_type(2).shape[0] - 1;
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      const auto* of = m.as<int32_t>(rows);
      if (!AreOffsets({begins, static_cast<size_t>(sequences) + 1}, tokens) ||
          !AreStateRows(of, sequences, count)) {
        return false;
      }
      float* to = Changed(m, state, y, count * width);
      for (int64_t i = 0; i < sequences; ++i) {
        if (begins[i] < begins[i + 1]) {
          std::copy_n(m.as<float>(states) + (begins[i + 1] - 1) * width, width,
                      to + RowOf(of[i]) * width);
        }
      }
      return true;
    });
    return absl::OkStatus();
  }
};

}  // namespace

Value WriteTokens(Graph& graph, Value state, Value part, Value offsets, Value places) {
  return graph.Add(std::make_shared<WriteTokensOp>(), {state, part, offsets, places});
}

Value CarriedStart(Graph& graph, Value state, Value rows) {
  return graph.Add(std::make_shared<CarriedStartOp>(), {state, rows});
}

Value CarriedEnd(Graph& graph, Value state, Value states, Value offsets, Value rows) {
  return graph.Add(std::make_shared<CarriedEndOp>(), {state, states, offsets, rows});
}

}  // namespace hone::engine
