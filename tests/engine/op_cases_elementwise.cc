#include "absl/strings/str_cat.h"
#include "engine/graph/sum.h"
#include "engine/ops/activation.h"
#include "engine/ops/cast.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/linear.h"
#include "engine/ops/matmul.h"
#include "engine/ops/mul.h"
#include "engine/ops/normalize.h"
#include "engine/ops/random_normal.h"
#include "engine/ops/scale.h"
#include "tests/engine/op_case.h"

namespace hone::engine {
namespace {

OpCase ActivationCase(ActivationKind kind, const Shape& x, Fill fill = Fill::kSpread) {
  std::string shape;
  for (const int64_t extent : x.dims()) {
    absl::StrAppend(&shape, "_", extent);
  }
  return {.name = absl::StrCat("activation_", NameOf(kind), shape,
                               fill == Fill::kExtreme ? "_extreme" : ""),
          .build = [=](CaseBuilder& b) {
            return CaseOutputs{{Activation(b.graph, b.Input(x, fill), kind)}, {}};
          }};
}

// Two convolutions of one input: blocked memory with 17 channels, and a diamond on the way back.
OpCase AddOfConvolutions() {
  return {.name = "add_of_convolutions", .build = [](CaseBuilder& b) {
            const Value x = b.Input(Shape{2, 3, 5, 5});
            const Value u =
                Conv2d(b.graph, x, b.Parameter(Shape{17, 3, 3, 3}), b.Parameter(Shape{17}), {});
            const Value v =
                Conv2d(b.graph, x, b.Parameter(Shape{17, 3, 3, 3}), b.Parameter(Shape{17}), {});
            return CaseOutputs{{Sum(b.graph, u, v)}, {}};
          }};
}

// A residual stream of a declared type: x + f(x), then f(y) + y.
OpCase ResidualStream(DType dtype) {
  return {.name = absl::StrCat("residual_stream_in_", NameOf(dtype)),
          .build =
              [=](CaseBuilder& b) {
                Value x = Cast(b.graph, b.Input(Shape{5, 7}), dtype);
                const Value w = b.Parameter(Shape{7, 7}, Fill::kPowers);
                x = Sum(b.graph, x, Linear(b.graph, x, w, std::nullopt));
                const Value v = b.Parameter(Shape{7, 7}, Fill::kPowers);
                return CaseOutputs{{Sum(b.graph, Linear(b.graph, x, v, std::nullopt), x)}, {}};
              },
          .bf16_tolerance = 3e-2};
}

}  // namespace

std::vector<OpCase> ElementwiseCases() {
  std::vector<OpCase> cases;
  for (int i = static_cast<int>(ActivationKind::kRelu);
       i <= static_cast<int>(ActivationKind::kSilu); ++i) {
    const auto kind = static_cast<ActivationKind>(i);
    cases.push_back(ActivationCase(kind, Shape{1}));
    cases.push_back(ActivationCase(kind, Shape{3, 7, 13}));
    cases.push_back(ActivationCase(kind, Shape{37}, Fill::kExtreme));
  }
  cases.push_back(ActivationCase(ActivationKind::kGelu, Shape{129, 130}));
  cases.push_back(
      {.name = "add", .build = [](CaseBuilder& b) {
         return CaseOutputs{{Sum(b.graph, b.Input(Shape{5, 17}), b.Parameter(Shape{5, 17}))}, {}};
       }});
  cases.push_back({.name = "add_to_itself", .build = [](CaseBuilder& b) {
                     const Value x = b.Input(Shape{5, 17});
                     return CaseOutputs{{Sum(b.graph, x, x)}, {}};
                   }});
  cases.push_back(
      {.name = "mul", .build = [](CaseBuilder& b) {
         return CaseOutputs{{Mul(b.graph, b.Input(Shape{5, 17}), b.Parameter(Shape{5, 17}))}, {}};
       }});
  cases.push_back({.name = "mul_by_itself", .build = [](CaseBuilder& b) {
                     const Value x = b.Input(Shape{3, 7});
                     return CaseOutputs{{Mul(b.graph, x, x)}, {}};
                   }});
  for (const Shape& shape : {Shape{3, 7}, Shape{5, 3, 4, 4}, Shape{1, 1}}) {
    cases.push_back(
        {.name = absl::StrCat("random_normal_of_", shape.elements()), .build = [=](CaseBuilder& b) {
           const Value noise = RandomNormal(b.graph, shape, 0.5f);
           return CaseOutputs{{Sum(b.graph, b.Input(shape), noise)}, {}};
         }});
  }
  cases.push_back(AddOfConvolutions());
  cases.push_back(ResidualStream(DType::kF32));
  cases.push_back(ResidualStream(DType::kBf16));
  // A product of parameters, whose gradients stay f32 though products give bf16.
  cases.push_back({.name = "mul_of_products_of_parameters", .build = [](CaseBuilder& b) {
                     const Value u = MatMul(b.graph, b.Parameter(Shape{5, 7}, Fill::kPowers),
                                            b.Parameter(Shape{7, 6}, Fill::kPowers));
                     return CaseOutputs{{Mul(b.graph, u, b.Parameter(Shape{5, 6}))}, {}};
                   }});
  cases.push_back(
      {.name = "scale", .build = [](CaseBuilder& b) {
         return CaseOutputs{{ScaleBy(b.graph, b.Input(Shape{3, 7}), b.graph.Constant(-0.75))}, {}};
       }});
  cases.push_back(
      {.name = "scale_by_1_is_no_node", .build = [](CaseBuilder& b) {
         return CaseOutputs{{ScaleBy(b.graph, b.Input(Shape{3, 7}), b.graph.Constant(1))}, {}};
       }});
  cases.push_back({.name = "normalize_pixels", .build = [](CaseBuilder& b) {
                     return CaseOutputs{{}, {NormalizePixels(b.graph, b.Bytes({3, 1, 7, 7}), {})}};
                   }});
  cases.push_back({.name = "normalize_pixels_by_channel", .build = [](CaseBuilder& b) {
                     return CaseOutputs{
                         {},
                         {NormalizePixels(b.graph, b.Bytes({5, 3, 13, 7}),
                                          {.mean = {0.5f, 0.4f, 0.3f}, .std = {0.25f, 0.2f, 1}})}};
                   }});
  return cases;
}

}  // namespace hone::engine
