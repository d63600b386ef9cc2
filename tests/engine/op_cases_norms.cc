#include "absl/strings/str_cat.h"
#include "engine/ops/activation.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/dropout.h"
#include "engine/ops/layer_norm.h"
#include "engine/ops/linear.h"
#include "engine/ops/moving_average.h"
#include "engine/ops/rms_norm.h"
#include "engine/ops/softmax.h"
#include "tests/engine/op_case.h"

namespace hone::engine {
namespace {

// What the running statistics become is an output like any other.
CaseOutputs NormOfBatch(CaseBuilder& b, Value x, int64_t channels) {
  const Shape shape{channels};
  const Value scale = b.Parameter(shape), shift = b.Parameter(shape);
  const Value mean = b.Buffer(shape), variance = b.Buffer(shape, Fill::kPositive);
  const Value y = BatchNormOfBatch(b.graph, x, scale, shift, mean, variance, {.momentum = 0.75});
  std::vector<Value> statistics;
  for (const auto& [buffer, value] : b.graph.updates()) {
    statistics.push_back(value);
  }
  return {{y}, statistics};
}

CaseOutputs NormWith(CaseBuilder& b, Value x, int64_t channels) {
  const Shape shape{channels};
  const Value scale = b.Parameter(shape), shift = b.Parameter(shape);
  const Value mean = b.Buffer(shape), variance = b.Buffer(shape, Fill::kPositive);
  return {{BatchNormWith(b.graph, x, scale, shift, mean, variance, {})}, {}};
}

OpCase BatchNormCase(const std::string& name, const Shape& x, bool of_batch) {
  return {.name = absl::StrCat(of_batch ? "batch_norm_" : "batch_norm_with_", name),
          .build =
              [=](CaseBuilder& b) {
                const Value in = b.Input(x);
                return of_batch ? NormOfBatch(b, in, x[1]) : NormWith(b, in, x[1]);
              },
          .f32_tolerance = 2e-5};
}

// Works on the convolution's layout, padded where channels are not a multiple of the block.
OpCase BatchNormOfConvolution(int64_t channels, bool of_batch) {
  return {.name = absl::StrCat("batch_norm_", of_batch ? "" : "with_", "of_convolution_", channels),
          .build =
              [=](CaseBuilder& b) {
                const Value x = b.Input(Shape{3, 3, 7, 7});
                const Value w = b.Parameter(Shape{channels, 3, 3, 3});
                const Value y = Conv2d(b.graph, x, w, std::nullopt, {});
                return of_batch ? NormOfBatch(b, y, channels) : NormWith(b, y, channels);
              },
          .f32_tolerance = 2e-5,
          .bf16_tolerance = 3e-2};
}

// With the ReLU behind it in the same pass.
OpCase BatchNormWithRelu(int64_t channels) {
  return {.name = absl::StrCat("batch_norm_relu_of_convolution_", channels),
          .build =
              [=](CaseBuilder& b) {
                const Value x = b.Input(Shape{3, 3, 7, 7});
                const Value w = b.Parameter(Shape{channels, 3, 3, 3});
                CaseOutputs outputs =
                    NormOfBatch(b, Conv2d(b.graph, x, w, std::nullopt, {}), channels);
                outputs.outputs[0] = Activation(b.graph, outputs.outputs[0], ActivationKind::kRelu);
                return outputs;
              },
          .f32_tolerance = 2e-5,
          .bf16_tolerance = 3e-2};
}

OpCase RmsNormCase(const std::string& name, const Shape& x) {
  return {.name = absl::StrCat("rms_norm_", name),
          .build =
              [=](CaseBuilder& b) {
                const Value in = b.Input(x);
                return CaseOutputs{{RmsNorm(b.graph, in, b.Parameter(Shape{x.back()}))}, {}};
              },
          .f32_tolerance = 2e-5};
}

OpCase LayerNormCase(const std::string& name, const Shape& x) {
  return {.name = absl::StrCat("layer_norm_", name),
          .build =
              [=](CaseBuilder& b) {
                const Value in = b.Input(x);
                const Shape features{x.back()};
                return CaseOutputs{
                    {LayerNorm(b.graph, in, b.Parameter(features), b.Parameter(features))}, {}};
              },
          .f32_tolerance = 2e-5};
}

OpCase SoftmaxCase(const std::string& name, const Shape& x, Fill fill = Fill::kSpread) {
  return {.name = absl::StrCat("softmax_", name), .build = [=](CaseBuilder& b) {
            return CaseOutputs{{Softmax(b.graph, b.Input(x, fill))}, {}};
          }};
}

OpCase DropoutCase(const std::string& name, const Shape& x, float rate,
                   const ExampleLayout& layout = {}) {
  return {.name = absl::StrCat("dropout_", name), .build = [=](CaseBuilder& b) {
            return CaseOutputs{{Dropout(b.graph, b.Input(x), rate, layout)}, {}};
          }};
}

}  // namespace

std::vector<OpCase> NormalizationCases() {
  std::vector<OpCase> cases;
  for (const bool of_batch : {true, false}) {
    cases.push_back(BatchNormCase("single_channel", {3, 1, 7, 7}, of_batch));
    cases.push_back(BatchNormCase("16_channels", {5, 16, 3, 3}, of_batch));
    cases.push_back(BatchNormCase("17_channels", {3, 17, 7, 5}, of_batch));
    cases.push_back(BatchNormCase("of_features", {33, 17}, of_batch));
    cases.push_back(BatchNormCase("of_a_large_picture", {2, 3, 33, 65}, of_batch));
    cases.push_back(BatchNormOfConvolution(16, of_batch));
    cases.push_back(BatchNormOfConvolution(17, of_batch));
  }
  cases.push_back(BatchNormWithRelu(16));
  cases.push_back(BatchNormWithRelu(17));
  cases.push_back(
      {.name = "moving_average", .build = [](CaseBuilder& b) {
         return CaseOutputs{
             {}, {MovingAverage(b.graph, b.Buffer(Shape{17}), b.Buffer(Shape{17}), 0.9, 1.5)}};
       }});
  cases.push_back(LayerNormCase("3_features", {5, 3}));
  cases.push_back(LayerNormCase("16_features", {3, 16}));
  cases.push_back(LayerNormCase("17_features", {1, 17}));
  cases.push_back(LayerNormCase("of_sequences", {3, 7, 65}));
  cases.push_back(LayerNormCase("of_many_rows", {129, 3, 67}));
  cases.push_back(
      {.name = "layer_norm_of_linear",
       .build =
           [](CaseBuilder& b) {
             const Value x =
                 Linear(b.graph, b.Input(Shape{5, 7}), b.Parameter(Shape{7, 33}), std::nullopt);
             return CaseOutputs{
                 {LayerNorm(b.graph, x, b.Parameter(Shape{33}), b.Parameter(Shape{33}))}, {}};
           },
       .f32_tolerance = 2e-5});
  cases.push_back(RmsNormCase("3_features", {5, 3}));
  cases.push_back(RmsNormCase("17_features", {1, 17}));
  cases.push_back(RmsNormCase("of_sequences", {3, 7, 65}));
  cases.push_back(RmsNormCase("of_many_rows", {129, 3, 67}));
  cases.push_back(SoftmaxCase("1_class", {3, 1}));
  cases.push_back(SoftmaxCase("10_classes", {5, 10}));
  cases.push_back(SoftmaxCase("of_scores", {2, 3, 7, 17}));
  cases.push_back(SoftmaxCase("of_many_rows", {129, 130}));
  cases.push_back(SoftmaxCase("extreme", {5, 3}, Fill::kExtreme));
  cases.push_back(DropoutCase("half", {5, 17}, 0.5f));
  cases.push_back(DropoutCase("tenth_of_pictures", {3, 5, 7, 7}, 0.1f));
  cases.push_back(DropoutCase("of_many_rows", {129, 130}, 0.3f));
  cases.push_back(DropoutCase("of_heads", {6, 5, 7}, 0.3f, {.axis = 0, .per_example = 3}));
  cases.push_back(DropoutCase("over_time", {4, 3, 5}, 0.3f, {.axis = 1}));
  cases.push_back(DropoutCase("over_long_time", {67, 4, 33}, 0.3f, {.axis = 1, .per_example = 2}));
  cases.push_back({.name = "dropout_of_a_convolution_twice", .build = [](CaseBuilder& b) {
                     const Value x = Conv2d(b.graph, b.Input(Shape{2, 3, 5, 5}),
                                            b.Parameter(Shape{17, 3, 3, 3}), std::nullopt, {});
                     return CaseOutputs{{Dropout(b.graph, Dropout(b.graph, x, 0.25f), 0.25f)}, {}};
                   }});
  return cases;
}

}  // namespace hone::engine
