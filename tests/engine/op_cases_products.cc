#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/ops/activation.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/embedding.h"
#include "engine/ops/linear.h"
#include "engine/ops/matmul.h"
#include "engine/ops/reshape.h"
#include "engine/ops/row_dot.h"
#include "tests/engine/op_case.h"

namespace hone::engine {
namespace {

struct ConvCase {
  std::string name;
  Shape x;
  int64_t filters;
  int64_t kernel_height, kernel_width;
  ConvGeometry geometry;
  bool bias = true;
};

OpCase Conv(const ConvCase& c) {
  return {.name = absl::StrCat("conv2d_", c.name), .build = [c](CaseBuilder& b) {
            const Value x = b.Input(c.x);
            const Value w = b.Parameter(
                Shape{c.filters, c.x[1] / c.geometry.groups, c.kernel_height, c.kernel_width});
            const std::optional<Value> bias =
                c.bias ? std::optional(b.Parameter(Shape{c.filters})) : std::nullopt;
            return CaseOutputs{{Conv2d(b.graph, x, w, bias, c.geometry)}, {}};
          }};
}

struct TransposedCase {
  std::string name;
  Shape x;
  int64_t filters;
  int64_t kernel;
  ConvGeometry geometry;
  int64_t output_padding = 0;
  bool bias = true;
};

OpCase Transposed(const TransposedCase& c) {
  return {.name = absl::StrCat("conv2d_transpose_", c.name), .build = [c](CaseBuilder& b) {
            const Value x = b.Input(c.x);
            const Value w =
                b.Parameter(Shape{c.x[1], c.filters / c.geometry.groups, c.kernel, c.kernel});
            const std::optional<Value> bias =
                c.bias ? std::optional(b.Parameter(Shape{c.filters})) : std::nullopt;
            return CaseOutputs{{Conv2dTranspose(b.graph, x, w, bias, c.geometry,
                                                {c.output_padding, c.output_padding})},
                               {}};
          }};
}

OpCase LinearCase(const std::string& name, const Shape& x, int64_t units, bool bias,
                  const LinearOptions& options = {}) {
  return {.name = absl::StrCat("linear_", name), .build = [=](CaseBuilder& b) {
            const Value in = b.Input(x);
            const Value w =
                b.Parameter(options.transposed ? Shape{units, x.back()} : Shape{x.back(), units});
            const std::optional<Value> shift =
                bias ? std::optional(b.Parameter(Shape{units})) : std::nullopt;
            return CaseOutputs{{Linear(b.graph, in, w, shift, options)}, {}};
          }};
}

OpCase MatMulCase(const std::string& name, const Shape& a, const Shape& b_shape,
                  const MatMulOptions& options) {
  return {.name = absl::StrCat("matmul_", name), .build = [=](CaseBuilder& b) {
            const Value x = b.Input(a);
            return CaseOutputs{{MatMul(b.graph, x, b.Input(b_shape), options)}, {}};
          }};
}

OpCase RowDotCase(const std::string& name, const Shape& shape) {
  return {.name = absl::StrCat("row_dot_", name), .build = [=](CaseBuilder& b) {
            const Value x = b.Input(shape);
            return CaseOutputs{{RowDot(b.graph, x, b.Parameter(shape))}, {}};
          }};
}

// A bias that is computed, in bfloat16 where products are.
OpCase ComputedBias(bool conv) {
  return {.name = absl::StrCat(conv ? "conv2d" : "linear", "_with_a_computed_bias"),
          .build =
              [=](CaseBuilder& b) {
                const Value row = Linear(b.graph, b.Input(Shape{1, 5}, Fill::kPowers),
                                         b.Parameter(Shape{5, 9}), std::nullopt);
                const Value bias = Reshape(b.graph, row, Shape{9});
                if (conv) {
                  return CaseOutputs{{Conv2d(b.graph, b.Input(Shape{2, 3, 6, 6}),
                                             b.Parameter(Shape{9, 3, 3, 3}), bias, {})},
                                     {}};
                }
                return CaseOutputs{
                    {Linear(b.graph, b.Input(Shape{3, 7}), b.Parameter(Shape{7, 9}), bias)}, {}};
              },
          .bf16_tolerance = 3e-2};
}

// An activation behind a product, which the plan fuses if it can.
OpCase Fused(ActivationKind kind, bool conv) {
  return {.name = absl::StrCat(conv ? "conv2d" : "linear", "_then_", NameOf(kind)),
          .build =
              [=](CaseBuilder& b) {
                Value y;
                if (conv) {
                  y = Conv2d(b.graph, b.Input(Shape{2, 3, 6, 6}), b.Parameter(Shape{17, 3, 3, 3}),
                             b.Parameter(Shape{17}), {});
                } else {
                  y = Linear(b.graph, b.Input(Shape{5, 7}), b.Parameter(Shape{7, 9}),
                             b.Parameter(Shape{9}));
                }
                return CaseOutputs{{Activation(b.graph, y, kind)}, {}};
              },
          .bf16_tolerance = 3e-2};
}

}  // namespace

std::vector<OpCase> ProductCases() {
  const ConvGeometry same = {.padding_before = {1, 1}, .padding_after = {1, 1}};
  std::vector<OpCase> cases = {
      Conv({"1x1_on_1x1", {1, 1, 1, 1}, 1, 1, 1, {}}),
      Conv({"grey", {3, 1, 7, 7}, 16, 3, 3, {}}),
      Conv({"colours", {1, 3, 7, 13}, 17, 3, 3, same}),
      Conv({"16_to_16", {5, 16, 7, 7}, 16, 3, 3, same}),
      Conv({"17_to_3_without_bias", {3, 17, 7, 7}, 3, 3, 3, {}, false}),
      Conv({"32_to_32", {2, 32, 5, 5}, 32, 3, 3, same}),
      Conv({"1x1", {2, 16, 7, 7}, 17, 1, 1, {}}),
      Conv({"stride_2", {1, 3, 13, 13}, 16, 3, 3, {.stride = 2}}),
      Conv({"stride_3_of_5x5", {2, 3, 13, 13}, 8, 5, 5, {.stride = 3}}),
      Conv({"dilated", {1, 3, 13, 13}, 4, 3, 3, {.dilation = 2}}),
      Conv({"grouped", {2, 8, 7, 7}, 16, 3, 3, {.groups = 4}}),
      Conv({"depthwise", {2, 16, 7, 7}, 16, 3, 3, {.groups = 16}}),
      Conv({"depthwise_17", {2, 17, 7, 7}, 17, 3, 3, {.groups = 17}}),
      Conv({"padded_on_one_side",
            {2, 3, 7, 7},
            5,
            2,
            2,
            {.stride = 2, .padding_before = {0, 0}, .padding_after = {1, 1}}}),
      Conv({"kernel_3x1", {2, 4, 7, 5}, 6, 3, 1, {}}),
      Transposed({"1x1_on_1x1", {1, 1, 1, 1}, 1, 1, {}}),
      Transposed({"3x3", {2, 5, 4, 4}, 7, 3, {}}),
      Transposed({"doubled",
                  {3, 16, 4, 4},
                  32,
                  4,
                  {.stride = 2, .padding_before = {1, 1}, .padding_after = {1, 1}}}),
      Transposed({"doubled_to_grey",
                  {2, 16, 5, 5},
                  1,
                  4,
                  {.stride = 2, .padding_before = {1, 1}, .padding_after = {1, 1}}}),
      Transposed({"to_17_without_bias", {1, 3, 5, 5}, 17, 3, {.stride = 3}, 0, false}),
      Transposed({"stride_above_the_kernel", {2, 3, 4, 3}, 5, 2, {.stride = 3}, 1}),
      Transposed({"padded_on_one_side",
                  {2, 3, 4, 4},
                  5,
                  3,
                  {.stride = 2, .padding_before = {0, 0}, .padding_after = {1, 1}},
                  1}),
      Transposed({"dilated", {1, 3, 6, 5}, 4, 3, {.dilation = 2}}),
      Transposed({"grouped", {2, 8, 5, 5}, 16, 3, {.groups = 4}}),
      Transposed({"depthwise", {2, 16, 4, 4}, 16, 4, {.stride = 2, .groups = 16}}),
      LinearCase("1_to_1", {1, 1}, 1, true),
      LinearCase("3_to_17", {5, 3}, 17, true),
      LinearCase("16_to_16_without_bias", {3, 16}, 16, false),
      LinearCase("of_a_large_batch", {130, 33}, 10, true),
      LinearCase("single_row", {1, 65}, 64, true),
      LinearCase("over_sequences", {3, 5, 7}, 11, true),
      LinearCase("of_few_actions", {13, 24}, 3, true),
      LinearCase("of_few_features", {37, 3}, 40, true),
      LinearCase("beyond_the_small_ones", {3, 300}, 220, true),
      LinearCase("transposed_of_a_large_batch", {81, 34}, 19, true, {.transposed = true}),
      LinearCase("to_columns_that_two_threads_shared", {480, 20}, 60, true),
      LinearCase("transposed_beyond_the_small_ones", {5, 300}, 220, true, {.transposed = true}),
      LinearCase("transposed_to_few", {9, 20}, 5, true, {.transposed = true}),
      LinearCase("transposed_3_to_17", {5, 3}, 17, true, {.transposed = true}),
      LinearCase("transposed_over_sequences", {3, 5, 7}, 11, false, {.transposed = true}),
      ComputedBias(false),
      ComputedBias(true),
      MatMulCase("1x1", {1, 1}, {1, 1}, {}),
      MatMulCase("row_by_column", {1, 7}, {7, 1}, {}),
      MatMulCase("column_by_row", {7, 1}, {1, 5}, {}),
      MatMulCase("3x17_by_17x5", {3, 17}, {17, 5}, {}),
      MatMulCase("first_transposed", {2, 17, 3}, {2, 17, 5}, {.transpose_a = true}),
      MatMulCase("second_transposed", {2, 3, 16, 8}, {2, 3, 13, 8}, {.transpose_b = true}),
      MatMulCase("both_transposed", {5, 7, 3}, {5, 4, 7}, {true, true}),
      MatMulCase("batches", {5, 13, 7}, {5, 7, 16}, {}),
      RowDotCase("of_one_number", {1, 1}),
      RowDotCase("of_17", {5, 17}),
      RowDotCase("of_a_large_batch", {300, 32}),
      RowDotCase("over_sequences", {3, 5, 7}),
  };
  for (int i = static_cast<int>(ActivationKind::kRelu);
       i <= static_cast<int>(ActivationKind::kSilu); ++i) {
    cases.push_back(Fused(static_cast<ActivationKind>(i), true));
    cases.push_back(Fused(static_cast<ActivationKind>(i), false));
  }
  // A generator's end: bias and ReLU in one pass, then tanh behind a grey plane.
  cases.push_back({.name = "conv2d_transpose_twice",
                   .build =
                       [](CaseBuilder& b) {
                         const ConvGeometry doubled = {
                             .stride = 2, .padding_before = {1, 1}, .padding_after = {1, 1}};
                         Value y = Conv2dTranspose(b.graph, b.Input(Shape{2, 5, 3, 3}),
                                                   b.Parameter(Shape{5, 17, 4, 4}),
                                                   b.Parameter(Shape{17}), doubled, {0, 0});
                         y = Activation(b.graph, y, ActivationKind::kRelu);
                         y = Conv2dTranspose(b.graph, y, b.Parameter(Shape{17, 1, 4, 4}),
                                             b.Parameter(Shape{1}), doubled, {0, 0});
                         return CaseOutputs{{Activation(b.graph, y, ActivationKind::kTanh)}, {}};
                       },
                   .bf16_tolerance = 6e-2});
  // Two layers: what lies between them stays blocked, with 17 channels padded.
  cases.push_back(
      {.name = "conv2d_twice", .build = [](CaseBuilder& b) {
         Value y = Conv2d(b.graph, b.Input(Shape{2, 3, 9, 9}), b.Parameter(Shape{17, 3, 3, 3}),
                          b.Parameter(Shape{17}), {});
         y = Conv2d(b.graph, y, b.Parameter(Shape{16, 17, 3, 3}), b.Parameter(Shape{16}), {});
         return CaseOutputs{{y}, {}};
       }});
  // The same weight at two places: its gradient is the sum.
  cases.push_back({.name = "linear_tied", .build = [](CaseBuilder& b) {
                     const Value w = b.Parameter(Shape{6, 6});
                     const Value y = Linear(b.graph, b.Input(Shape{4, 6}), w, std::nullopt);
                     return CaseOutputs{{Linear(b.graph, y, w, std::nullopt)}, {}};
                   }});
  // A square weight read both ways: in bf16 its two copies have one layout.
  cases.push_back(
      {.name = "linear_there_and_back",
       .build =
           [](CaseBuilder& b) {
             const Value w = b.Parameter(Shape{16, 16}, Fill::kPowers);
             const Value y = Linear(b.graph, b.Input(Shape{4, 16}), w, std::nullopt);
             return CaseOutputs{{Linear(b.graph, y, w, std::nullopt, {.transposed = true})}, {}};
           },
       .bf16_tolerance = 3e-2});
  // An output layer tied to the table of rows that comes in.
  cases.push_back({.name = "linear_tied_to_a_table",
                   .build =
                       [](CaseBuilder& b) {
                         const Value table = b.Parameter(Shape{11, 8}, Fill::kPowers);
                         const Value x = Embedding(b.graph, table, b.Labels(5, 11));
                         return CaseOutputs{
                             {Linear(b.graph, x, table, std::nullopt, {.transposed = true})}, {}};
                       },
                   .bf16_tolerance = 3e-2});
  return cases;
}

}  // namespace hone::engine
