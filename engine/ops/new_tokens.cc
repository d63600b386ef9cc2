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

// Inputs: state, goes_on.
class CarriedStartOp final : public Op {
 public:
  absl::string_view kind() const override { return "carried_start"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the state", in[0]));
    if (in[1].dtype != DType::kS32 || in[1].shape.rank() != 1 || in[1].shape[0] < 1 ||
        in[1].shape[0] > in[0].shape[0]) {
      return absl::InvalidArgumentError(
          absl::StrCat("what goes on must be s32[1] to s32[", in[0].shape[0],
                       "], a row of the state for each, got ", in[1].ToString()));
    }
    return std::vector<TensorType>{{Shape{in[1].shape[0], in[0].shape[1]}, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape[1];
    for (int64_t i = 0; i < out[0].shape.elements(); ++i) {
      out[0][i] = (*in[1])[i / width] == 0 ? 0 : (*in[0])[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot state, l.PlainInput(0));
    const Slot goes_on = l.Input(1);
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const int64_t sequences = l.output_type(0).shape[0], width = l.output_type(0).shape[1];
    l.Emit(kind(), [=](const Memory& m) {
      for (int64_t r = 0; r < sequences; ++r) {
        float* to = m.as<float>(y) + r * width;
        if (m.as<int32_t>(goes_on)[r] == 0) {
          std::fill_n(to, width, 0.0f);
        } else {
          std::copy_n(m.as<float>(state) + r * width, width, to);
        }
      }
    });
    return absl::OkStatus();
  }
};

// Inputs: state, states, offsets.
class CarriedEndOp final : public Op {
 public:
  absl::string_view kind() const override { return "carried_end"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the states", in[1]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[2]));
    const Shape& state = in[0].shape;
    const int64_t sequences = in[2].shape[0] - 1, width = in[1].shape[1];
    if (state.rank() != 2 || state[0] < sequences || state[1] != width) {
      return WrongShape(
          "the state",
          absl::StrCat("[n, ", width, "] with a row for each of ", sequences, " sequences"), state);
    }
    return std::vector<TensorType>{{state, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    out[0].values = in[0]->values;
    const int64_t width = in[0]->shape[1];
    for (int64_t r = 0; r + 1 < in[2]->shape[0]; ++r) {
      const auto end = static_cast<int64_t>((*in[2])[r + 1]);
      for (int64_t k = 0; (*in[2])[r] < (*in[2])[r + 1] && k < width; ++k) {
        out[0][r * width + k] = (*in[1])[(end - 1) * width + k];
      }
    }
  }

  int changed_input() const override { return 0; }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot state, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot states, l.PlainInput(1));
    const Slot offsets = l.Input(2);
    const Slot y = l.OutputInPlace(0, MemoryDesc::Plain(l.output_type(0)), 0);
    const int64_t elements = l.output_type(0).shape.elements();
    const int64_t rows = l.input_type(1).shape[0], width = l.input_type(1).shape[1];
    const int64_t sequences = l.input_type(2).shape[0] - 1;
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      if (!AreOffsets({begins, static_cast<size_t>(sequences) + 1}, rows)) {
        return false;
      }
      float* to = Changed(m, state, y, elements);
      for (int64_t r = 0; r < sequences; ++r) {
        if (begins[r] < begins[r + 1]) {
          std::copy_n(m.as<float>(states) + (begins[r + 1] - 1) * width, width, to + r * width);
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

Value CarriedStart(Graph& graph, Value state, Value goes_on) {
  return graph.Add(std::make_shared<CarriedStartOp>(), {state, goes_on});
}

Value CarriedEnd(Graph& graph, Value state, Value states, Value offsets) {
  return graph.Add(std::make_shared<CarriedEndOp>(), {state, states, offsets});
}

}  // namespace hone::engine
