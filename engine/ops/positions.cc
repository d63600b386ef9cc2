#include "engine/ops/positions.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/kernels/positions.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

double Angle(double place, int64_t i, float base, int64_t dim) {
  return place * std::pow(double{base}, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
}

absl::Status CheckPlaces(const TensorType& places, int64_t rows) {
  if (places != TensorType{Shape{rows}, DType::kS32}) {
    return WrongShape("the places", TensorType{Shape{rows}, DType::kS32}.ToString(), places.shape);
  }
  return absl::OkStatus();
}

class TokenPlacesOp final : public Op {
 public:
  explicit TokenPlacesOp(int64_t rows) : rows_(rows) {}

  absl::string_view kind() const override { return "token_places"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckOffsets(in[0]));
    return std::vector<TensorType>{{Shape{rows_}, DType::kS32}};
  }

  void Differentiate(Gradient&) const override {}

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (int64_t i = 0; i + 1 < in[0]->shape[0]; ++i) {
      const auto first = static_cast<int64_t>((*in[0])[i]);
      for (int64_t row = first; row < static_cast<int64_t>((*in[0])[i + 1]); ++row) {
        out[0][row] = static_cast<double>(row - first);
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const int64_t batch = l.input_type(0).shape[0] - 1;
    const Slot offsets = l.Input(0);
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    l.Emit(kind(), [=, rows = rows_](const Memory& m, const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      auto* places = m.as<int32_t>(y);
      if (!AreOffsets({begins, static_cast<size_t>(batch) + 1}, rows)) {
        return false;
      }
      for (int64_t i = 0; i < batch; ++i) {
        for (int32_t row = begins[i]; row < begins[i + 1]; ++row) {
          places[row] = row - begins[i];
        }
      }
      std::fill(places + begins[batch], places + rows, 0);
      return true;
    });
    return absl::OkStatus();
  }

 private:
  int64_t rows_;
};

class SinusoidsOp final : public Op {
 public:
  SinusoidsOp(int64_t width, float base) : width_(width), base_(base) {}

  absl::string_view kind() const override { return "sinusoids"; }

  OpAttributes attributes() const override {
    return {{"width", {static_cast<double>(width_)}}, {"base", {base_}}};
  }

  Precision precision(int) const override { return {Precision::Rule::kForProducts}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (in[0].shape.rank() != 1 || width_ < 1) {
      return WrongShape("the places", "[rows]", in[0].shape);
    }
    HONE_RETURN_IF_ERROR(CheckPlaces(in[0], in[0].shape[0]));
    return std::vector<TensorType>{{Shape{in[0].shape[0], width_}, DType::kF32}};
  }

  void Differentiate(Gradient&) const override {}

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (int64_t at = 0; at < out[0].shape.elements(); ++at) {
      const int64_t k = at % width_;
      const double angle = Angle((*in[0])[at / width_], k / 2, base_, width_);
      out[0][at] = k % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const int64_t rows = l.input_type(0).shape[0];
    const Slot places = l.Input(0);
    const DType dtype = l.output_dtype(0);
    const Slot y = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, dtype}));
    const int parts = PartsFor(SaturatingProduct(rows, width_ * 16), l.threads());
    l.Emit(kind(), [=, width = width_, base = base_](const Memory& m) {
      ForShares(rows, parts, [&](int64_t begin, int64_t end) {
        kernels::Sinusoids(dtype, m.as<int32_t>(places), width, base, m[y], begin, end);
      });
    });
    return absl::OkStatus();
  }

 private:
  int64_t width_;
  float base_;
};

// Its gradient is the rotation back of dy.
class RotaryOp final : public Op {
 public:
  RotaryOp(int64_t heads, float base, const RotaryScaling& scaling, bool back)
      : heads_(heads), base_(base), scaling_(scaling), back_(back) {}

  absl::string_view kind() const override { return back_ ? "rotary_gradient" : "rotary"; }

  OpAttributes attributes() const override {
    return {{"heads", {static_cast<double>(heads_)}},
            {"base", {base_}},
            {"scaling",
             {static_cast<double>(scaling_.kind), scaling_.factor, scaling_.low, scaling_.high,
              scaling_.original}}};
  }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the input", in[0]));
    HONE_RETURN_IF_ERROR(CheckPlaces(in[1], in[0].shape[0]));
    if (heads_ < 1 || in[0].shape[1] % (2 * heads_) != 0) {
      return WrongShape("the input", absl::StrCat("[rows, ", heads_, " * an even number]"),
                        in[0].shape);
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      return g.graph().Add(std::make_shared<RotaryOp>(heads_, base_, scaling_, !back_),
                           {g.dy(), g.input(1)});
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape[1], dim = width / heads_, half = dim / 2;
    for (int64_t at = 0; at < in[0]->shape.elements(); ++at) {
      const int64_t k = at % dim;
      const double place = (*in[1])[at / width] * (back_ ? -1 : 1);
      const double angle = place * RotaryFrequency(k % half, dim, base_, scaling_);
      out[0][at] = k < half
                       ? (*in[0])[at] * std::cos(angle) - (*in[0])[at + half] * std::sin(angle)
                       : (*in[0])[at] * std::cos(angle) + (*in[0])[at - half] * std::sin(angle);
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, MemoryDesc::Plain({shape, dtype})));
    const Slot places = l.Input(1);
    const Slot y = l.Output(0, MemoryDesc::Plain({shape, dtype}));
    const int64_t dim = shape[1] / heads_;
    const auto frequencies = std::make_shared<std::vector<float>>();
    for (int64_t i = 0; i < dim / 2 && scaling_.kind != RotaryScaling::Kind::kNone; ++i) {
      frequencies->push_back(static_cast<float>(RotaryFrequency(i, dim, base_, scaling_)));
    }
    const int parts = PartsFor(shape.elements() * 4, l.threads());
    l.Emit(kind(), [=, heads = heads_, base = base_, back = back_](const Memory& m) {
      const kernels::Rotation rotation = {heads, dim, base, back,
                                          frequencies->empty() ? nullptr : frequencies->data()};
      ForShares(shape[0], parts, [&](int64_t begin, int64_t end) {
        kernels::Rotate(dtype, rotation, m.as<int32_t>(places), m[x], m[y], begin, end);
      });
    });
    return absl::OkStatus();
  }

 private:
  int64_t heads_;
  float base_;
  RotaryScaling scaling_;
  bool back_;
};

}  // namespace

Value TokenPlaces(Graph& graph, Value offsets, int64_t rows) {
  return graph.Add(std::make_shared<TokenPlacesOp>(rows), {offsets});
}

Value Sinusoids(Graph& graph, Value places, int64_t width, float base) {
  return graph.Add(std::make_shared<SinusoidsOp>(width, base), {places});
}

double RotaryFrequency(int64_t i, int64_t dim, float base, const RotaryScaling& scaling) {
  using Kind = RotaryScaling::Kind;
  const double f = Angle(1, i, base, dim);
  if (scaling.kind == Kind::kNone) {
    return f;
  }
  if (scaling.kind == Kind::kLinear) {
    return f / scaling.factor;
  }
  const double waves = scaling.original * f / (2 * std::numbers::pi);  // in so many places
  const double share = std::clamp((waves - scaling.low) / (scaling.high - scaling.low), 0.0, 1.0);
  return (1 - share) * f / scaling.factor + share * f;
}

Value Rotary(Graph& graph, Value x, Value places, int64_t heads, float base,
             const RotaryScaling& scaling) {
  return graph.Add(std::make_shared<RotaryOp>(heads, base, scaling, false), {x, places});
}

}  // namespace hone::engine
