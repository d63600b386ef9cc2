#include "absl/strings/str_cat.h"
#include "engine/ops/activation.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/pool2d.h"
#include "engine/ops/upsample2d.h"
#include "tests/engine/op_case.h"

namespace hone::engine {
namespace {

OpCase Pool(bool max, const std::string& name, const Shape& x, const PoolGeometry& geometry) {
  return {.name = absl::StrCat(max ? "max" : "average", "_pool2d_", name),
          .build = [=](CaseBuilder& b) {
            const Value in = b.Input(x);
            return CaseOutputs{
                {max ? MaxPool2d(b.graph, in, geometry) : AveragePool2d(b.graph, in, geometry)},
                {}};
          }};
}

// Convolution, activation, pool: the pool works on the convolution's layout, and the activation's
// gradient may move behind it. The products are exact in bfloat16, so that rounding cannot choose
// another of a window's values; behind a rounded activation it may, which tolerance allows for.
OpCase Block(bool max, ActivationKind kind, int64_t filters) {
  return {
      .name = absl::StrCat("conv2d_", NameOf(kind), max ? "_max" : "_average", "_pool2d_", filters),
      .build =
          [=](CaseBuilder& b) {
            Value y = Conv2d(b.graph, b.Input(Shape{2, 1, 9, 9}),
                             b.Parameter(Shape{filters, 1, 1, 1}, Fill::kPowers), {}, {});
            y = Activation(b.graph, y, kind);
            y = max ? MaxPool2d(b.graph, y, {}) : AveragePool2d(b.graph, y, {});
            return CaseOutputs{{y}, {}};
          },
      .bf16_tolerance = max && kind != ActivationKind::kRelu ? 5e-1 : 2e-2};
}

}  // namespace

std::vector<OpCase> PoolCases() {
  std::vector<OpCase> cases;
  for (const bool max : {true, false}) {
    cases.push_back(Pool(max, "2x2", {3, 3, 6, 6}, {}));
    cases.push_back(Pool(max, "16_channels", {2, 16, 6, 6}, {}));
    cases.push_back(Pool(max, "17_channels_rest_left_over", {1, 17, 7, 7}, {}));
    cases.push_back(Pool(max, "overlapping", {2, 5, 7, 7}, {.kernel = {3, 3}, .stride = 2}));
    cases.push_back(
        Pool(max, "same", {1, 3, 7, 7},
             {.kernel = {3, 3}, .stride = 2, .padding_before = {1, 1}, .padding_after = {1, 1}}));
    cases.push_back(Pool(max, "same_on_one_side", {5, 1, 7, 7},
                         {.kernel = {2, 2}, .stride = 2, .padding_after = {1, 1}}));
    cases.push_back(Pool(max, "whole_picture", {2, 4, 5, 5}, {.kernel = {5, 5}, .stride = 5}));
    cases.push_back(Pool(max, "1x1", {1, 1, 1, 1}, {.kernel = {1, 1}, .stride = 1}));
    cases.push_back(Block(max, ActivationKind::kRelu, 16));
    cases.push_back(Block(max, ActivationKind::kRelu, 17));
    cases.push_back(Block(max, ActivationKind::kTanh, 17));
    cases.push_back(Block(max, ActivationKind::kSilu, 17));
  }
  for (const auto& [name, shape] :
       {std::pair{"square", Shape{3, 17, 5, 5}}, std::pair{"high", Shape{2, 16, 5, 3}},
        std::pair{"wide", Shape{2, 5, 2, 7}}}) {
    cases.push_back({.name = absl::StrCat("global_average_pool2d_", name),
                     .build = [shape = shape](CaseBuilder& b) {
                       return CaseOutputs{{GlobalAveragePool2d(b.graph, b.Input(shape))}, {}};
                     }});
    cases.push_back({.name = absl::StrCat("global_max_pool2d_", name),
                     .build = [shape = shape](CaseBuilder& b) {
                       return CaseOutputs{{GlobalMaxPool2d(b.graph, b.Input(shape))}, {}};
                     }});
  }
  for (const auto& [name, shape, factor] :
       {std::tuple{"doubled", Shape{3, 3, 4, 5}, int64_t{2}},
        std::tuple{"tripled_1x1", Shape{1, 1, 1, 1}, int64_t{3}},
        std::tuple{"as_it_is", Shape{2, 5, 3, 3}, int64_t{1}}}) {
    cases.push_back({.name = absl::StrCat("upsample2d_", name),
                     .build = [shape = shape, factor = factor](CaseBuilder& b) {
                       return CaseOutputs{{Upsample2d(b.graph, b.Input(shape), factor)}, {}};
                     }});
  }
  // Behind a convolution, whose layout stays.
  for (const int64_t filters : {16, 17}) {
    cases.push_back({.name = absl::StrCat("conv2d_upsample2d_", filters),
                     .build =
                         [=](CaseBuilder& b) {
                           const Value y =
                               Conv2d(b.graph, b.Input(Shape{2, 1, 5, 5}),
                                      b.Parameter(Shape{filters, 1, 1, 1}, Fill::kPowers), {}, {});
                           return CaseOutputs{{Upsample2d(b.graph, y, 2)}, {}};
                         },
                     .bf16_tolerance = 2e-2});
  }
  return cases;
}

}  // namespace hone::engine
