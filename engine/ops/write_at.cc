#include "engine/ops/write_at.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/flat_memory.h"
#include "engine/graph/shape_checks.h"

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
    const bool for_each_row = axis_ > 0 && in[2].shape == Shape{state[0]};
    if (in[2].dtype != DType::kS32 || (in[2].shape.elements() != 1 && !for_each_row)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the position must be one s32, or one for each of the ", state[0],
          " rows of the batch where the axis is not the batch, got ", in[2].ToString()));
    }
    return std::vector<TensorType>{{state, in[0].dtype}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    out[0].values = in[0]->values;
    const Blocks blocks(in[0]->shape, in[1]->shape, in[2]->shape.elements(), axis_);
    for (int64_t i = 0; i < blocks.count; ++i) {
      const auto position = static_cast<int64_t>((*in[2])[blocks.PositionOf(i)]);
      std::copy_n(in[1]->values.begin() + i * blocks.size, blocks.size,
                  out[0].values.begin() + blocks.At(i, position));
    }
  }

  int changed_input() const override { return 0; }

  absl::Status Lower(Lowering& l) const override {
    const DType dtype = l.output_dtype(0);
    const MemoryDesc desc = MemoryDesc::Plain({l.output_type(0).shape, dtype});
    HONE_ASSIGN_OR_RETURN(const Slot state, l.Input(0, desc));
    HONE_ASSIGN_OR_RETURN(const Slot part,
                          l.Input(1, MemoryDesc::Plain({l.input_type(1).shape, dtype})));
    const Slot position = l.Input(2);
    const Slot y = l.OutputInPlace(0, desc, 0);
    const Blocks blocks(l.input_type(0).shape, l.input_type(1).shape,
                        l.input_type(2).shape.elements(), axis_);
    const auto bytes = static_cast<size_t>(desc.bytes());
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      void* old = m[state];
      void* from = m[part];
      auto* at = m.as<int32_t>(position);
      void* to = m[y];
      if (!blocks.Fit(at)) {
        return false;
      }
      if (old != to) {
        std::memcpy(to, old, bytes);
      }
      const auto size = static_cast<size_t>(blocks.size * SizeOf(dtype));
      for (int64_t i = 0; i < blocks.count; ++i) {
        std::memcpy(engine::At(to, dtype, blocks.At(i, at[blocks.PositionOf(i)])),
                    engine::At(from, dtype, i * blocks.size), size);
      }
      return true;
    });
    return absl::OkStatus();
  }

 private:
  // What lies together of the part, for each index of the dimensions before the axis, and which of
  // the positions it goes to.
  struct Blocks {
    Blocks(const Shape& state, const Shape& part, int64_t position_count, int axis)
        : positions(position_count), limit(state[axis] - part[axis]) {
      for (int i = 0; i < axis; ++i) {
        count *= state[i];
      }
      size = part.elements() / count;
      inner = size / part[axis];
      stride = state.elements() / count;
    }
    bool Fit(const int32_t* position) const {
      return std::all_of(position, position + positions,
                         [&](int32_t at) { return at >= 0 && at <= limit; });
    }
    int64_t PositionOf(int64_t block) const { return block / (count / positions); }
    // Where a block goes in the state.
    int64_t At(int64_t block, int64_t position) const { return block * stride + position * inner; }

    int64_t positions, limit;
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
