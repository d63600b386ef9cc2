#include "engine/ops/token_windows.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/flat_memory.h"
#include "engine/kernels/arrays.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

struct Window {
  int64_t before;
  int64_t after;

  int64_t size() const { return before + 1 + after; }
  // place(slot, row that stands there) for the rows of [first, end) around `row`.
  template <typename Place>
  void ForRows(int64_t row, int64_t first, int64_t end, Place&& place) const {
    for (int64_t from = std::max(first, row - before); from < std::min(end, row + after + 1);
         ++from) {
      place(from - row + before, from);
    }
  }
};

// Inputs: dy, offsets.
class TokenWindowsGradientOp final : public Op {
 public:
  explicit TokenWindowsGradientOp(const Window& window) : window_(window) {}

  absl::string_view kind() const override { return "token_windows_gradient"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{
        {Shape{in[0].shape[0], in[0].shape[1] / window_.size()}, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = out[0].shape[1], wide = in[0]->shape[1];
    for (int64_t i = 0; i + 1 < in[1]->shape[0]; ++i) {
      const auto first = static_cast<int64_t>((*in[1])[i]);
      const auto end = static_cast<int64_t>((*in[1])[i + 1]);
      for (int64_t row = first; row < end; ++row) {
        window_.ForRows(row, first, end, [&](int64_t slot, int64_t from) {
          for (int64_t j = 0; j < width; ++j) {
            out[0][from * width + j] += (*in[0])[row * wide + slot * width + j];
          }
        });
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const int64_t width = l.output_type(0).shape[1], rows = l.output_type(0).shape[0];
    const int64_t batch = l.input_type(1).shape[0] - 1;
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.PlainInput(0));
    const Slot offsets = l.Input(1);
    const Slot dx = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const int parts = PartsFor(l.input_type(0).shape.elements(), l.threads());
    l.Emit(kind(), [=, window = window_](const Memory& m) {
      const auto* begins = m.as<int32_t>(offsets);
      const auto* from = m.as<float>(dy);
      auto* to = m.as<float>(dx);
      std::fill_n(to, rows * width, 0.0f);
      ForShares(batch, parts, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          for (int64_t row = begins[i]; row < begins[i + 1]; ++row) {
            window.ForRows(row, begins[i], begins[i + 1], [&](int64_t slot, int64_t at) {
              const float* part = from + (row * window.size() + slot) * width;
              kernels::AddArrays(DType::kF32, to + at * width, part, to + at * width, 0, width);
            });
          }
        }
      });
    });
    return absl::OkStatus();
  }

 private:
  Window window_;
};

// Inputs: x, offsets.
class TokenWindowsOp final : public Op {
 public:
  explicit TokenWindowsOp(const Window& window) : window_(window) {}

  absl::string_view kind() const override { return "token_windows"; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the input", in[0]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[1]));
    if (window_.before < 0 || window_.after < 0) {
      return absl::InvalidArgumentError(absl::StrCat("a window cannot reach ", window_.before,
                                                     " places back and ", window_.after,
                                                     " forward"));
    }
    return std::vector<TensorType>{
        {Shape{in[0].shape[0], SaturatingProduct(in[0].shape[1], window_.size())}, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      return g.graph().Add(std::make_shared<TokenWindowsGradientOp>(window_), {g.dy(), g.input(1)});
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape[1], wide = out[0].shape[1];
    for (int64_t i = 0; i + 1 < in[1]->shape[0]; ++i) {
      const auto first = static_cast<int64_t>((*in[1])[i]);
      const auto end = static_cast<int64_t>((*in[1])[i + 1]);
      for (int64_t row = first; row < end; ++row) {
        window_.ForRows(row, first, end, [&](int64_t slot, int64_t from) {
          std::copy_n(in[0]->values.begin() + from * width, width,
                      out[0].values.begin() + row * wide + slot * width);
        });
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    const int64_t rows = shape[0], width = shape[1], batch = l.input_type(1).shape[0] - 1;
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, MemoryDesc::Plain({shape, dtype})));
    const Slot offsets = l.Input(1);
    const Slot y = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, dtype}));
    const int parts = PartsFor(l.output_type(0).shape.elements(), l.threads());
    l.Emit(kind(), [=, window = window_](const Memory& m, const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      if (!AreOffsets({begins, static_cast<size_t>(batch) + 1}, rows)) {
        return false;
      }
      const int64_t row_bytes = width * SizeOf(dtype);
      const auto* from = m.as<char>(x);
      auto* to = m.as<char>(y);
      std::fill_n(to, rows * window.size() * row_bytes, char{0});
      ForShares(batch, parts, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          for (int64_t row = begins[i]; row < begins[i + 1]; ++row) {
            window.ForRows(row, begins[i], begins[i + 1], [&](int64_t slot, int64_t at) {
              std::copy_n(from + at * row_bytes, row_bytes,
                          to + (row * window.size() + slot) * row_bytes);
            });
          }
        }
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  Window window_;
};

}  // namespace

Value TokenWindows(Graph& graph, Value x, Value offsets, int64_t before, int64_t after) {
  return graph.Add(std::make_shared<TokenWindowsOp>(Window{before, after}), {x, offsets});
}

}  // namespace hone::engine
