#include "engine/ops/write_at.h"

#include <cstring>

#include "engine/base/status.h"
#include "engine/graph/dims.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

class WriteAtOp final : public Op {
 public:
  explicit WriteAtOp(int axis) : axis_(axis) {}

  absl::string_view kind() const override { return "write_at"; }

  Precision precision(int) const override { return {Precision::Rule::kCopied}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape &state = in[0].shape, &part = in[1].shape;
    if (axis_ < 0 || axis_ >= state.rank()) {
      return absl::InvalidArgumentError(absl::StrCat("axis must be a dimension of the state ",
                                                     state.ToString(), ", got ", axis_));
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the part", part));
    Shape wanted = state;
    wanted[axis_] = part.rank() == state.rank() ? part[axis_] : 1;
    if (part != wanted || part[axis_] > state[axis_]) {
      return WrongShape(
          "the part",
          absl::StrCat("as ", state.ToString(), ", at most as large in dimension ", axis_), part);
    }
    if (in[2].dtype != DType::kS32 || in[2].shape.elements() != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("the position must be one s32, got ", in[2].ToString()));
    }
    return std::vector<TensorType>{{state, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    out[0].values = in[0]->values;
    const Blocks blocks(in[0]->shape, in[1]->shape, axis_);
    blocks.Write(in[1]->values.data(), static_cast<int64_t>((*in[2])[0]), out[0].values.data());
  }

  absl::Status Lower(Lowering& l) const override {
    const MemoryDesc desc = MemoryDesc::Plain(l.output_type(0));
    HONE_ASSIGN_OR_RETURN(const Slot state, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot part, l.PlainInput(1));
    const Slot position = l.Input(2);
    const Slot y = l.OutputInPlace(0, desc, 0);
    const Blocks blocks(l.input_type(0).shape, l.input_type(1).shape, axis_);
    const auto bytes = static_cast<size_t>(desc.bytes());
    l.Emit(kind(), [=](const Memory& m) -> absl::StatusOr<StepFunction> {
      return [=, old = m[state], from = m.as<float>(part), at = m.as<int32_t>(position),
              to = m.as<float>(y)](const RunScalars&) {
        if (!blocks.Fits(*at)) {
          return false;
        }
        if (old != to) {
          std::memcpy(to, old, bytes);
        }
        blocks.Write(from, *at, to);
        return true;
      };
    });
    return absl::OkStatus();
  }

 private:
  // What lies together of the part, for each index of the dimensions before the axis.
  struct Blocks {
    Blocks(const Shape& state, const Shape& part, int axis) : limit(state[axis] - part[axis]) {
      for (int i = 0; i < axis; ++i) {
        count *= state[i];
      }
      size = part.elements() / count;
      inner = size / part[axis];
      stride = state.elements() / count;
    }
    bool Fits(int64_t position) const { return position >= 0 && position <= limit; }
    template <typename T>
    void Write(const T* part, int64_t position, T* state) const {
      for (int64_t i = 0; i < count; ++i) {
        std::memcpy(state + i * stride + position * inner, part + i * size,
                    static_cast<size_t>(size) * sizeof(T));
      }
    }

    int64_t limit;
    int64_t count = 1;
    int64_t size, inner, stride;  // in elements
  };

  int axis_;
};

}  // namespace

Value WriteAt(Graph& graph, Value state, Value part, Value position, int axis) {
  return graph.Add(std::make_shared<WriteAtOp>(axis), {state, part, position});
}

}  // namespace hone::engine
