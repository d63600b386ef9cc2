#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/ops/action_value_loss.h"
#include "engine/ops/adversarial_loss.h"
#include "engine/ops/binary_cross_entropy.h"
#include "engine/ops/clipped_policy_loss.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/linear.h"
#include "engine/ops/regression_loss.h"
#include "engine/ops/reshape.h"
#include "engine/ops/row_cross_entropy.h"
#include "engine/ops/token_cross_entropy.h"
#include "tests/engine/op_case.h"

namespace hone::engine {
namespace {

OpCase CrossEntropyCase(const std::string& name, int64_t batch, int64_t classes,
                        const CrossEntropyOptions& options, bool ignore_one = false,
                        Fill fill = Fill::kSpread) {
  return {.name = absl::StrCat("cross_entropy_", name), .build = [=](CaseBuilder& b) {
            const Loss loss = CrossEntropy(b.graph, b.Input(Shape{batch, classes}, fill),
                                           b.Labels(batch, classes, ignore_one), options);
            return CaseOutputs{{loss.sum}, {loss.weight, loss.correct}};
          }};
}

// Of logits that are made for so many numbers at a time.
OpCase TokenCrossEntropyCase(const std::string& name, int64_t rows, int64_t classes,
                             bool transposed, bool has_bias, const CrossEntropyOptions& options) {
  return {.name = absl::StrCat("token_cross_entropy_", name),
          .build =
              [=](CaseBuilder& b) {
                constexpr int64_t kWidth = 2;
                constexpr Fill kFill = Fill::kPowers;  // so that logits are exact in bfloat16
                const Value x = b.Input({rows, kWidth}, kFill);
                const Value weight = b.Parameter(
                    transposed ? Shape{classes, kWidth} : Shape{kWidth, classes}, kFill);
                const std::optional<Value> bias =
                    has_bias ? std::optional(b.Parameter({classes}, kFill)) : std::nullopt;
                const Value logits = Linear(b.graph, x, weight, bias, {.transposed = transposed});
                const Loss loss =
                    TokenCrossEntropy(b.graph, logits, b.Labels(rows, classes, true), options,
                                      {.most_logits = 0, .chunk_logits = 16 * classes});
                return CaseOutputs{{loss.sum}, {loss.weight, loss.correct}};
              },
          .bf16_tolerance = 4e-2};
}

// Gradients come to each row with a weight of its own.
OpCase RowCrossEntropyCase(const std::string& name, int64_t rows, int64_t classes,
                           Fill fill = Fill::kSpread) {
  return {.name = absl::StrCat("row_cross_entropy_", name), .build = [=](CaseBuilder& b) {
            return CaseOutputs{{RowCrossEntropy(b.graph, b.Input(Shape{rows, classes}, fill),
                                                b.Labels(rows, classes, true))},
                               {}};
          }};
}

// Of logits that are made for so many numbers at a time.
OpCase TokenLossesCase(const std::string& name, int64_t rows, int64_t classes, bool transposed,
                       bool has_bias) {
  return {.name = absl::StrCat("token_losses_", name),
          .build =
              [=](CaseBuilder& b) {
                constexpr int64_t kWidth = 2;
                constexpr Fill kFill = Fill::kPowers;  // so that logits are exact in bfloat16
                const Value x = b.Input({rows, kWidth}, kFill);
                const Value weight = b.Parameter(
                    transposed ? Shape{classes, kWidth} : Shape{kWidth, classes}, kFill);
                const std::optional<Value> bias =
                    has_bias ? std::optional(b.Parameter({classes}, kFill)) : std::nullopt;
                const Value logits = Linear(b.graph, x, weight, bias, {.transposed = transposed});
                return CaseOutputs{{TokenLosses(b.graph, logits, b.Labels(rows, classes, true),
                                                {.most_logits = 0, .chunk_logits = 16 * classes})},
                                   {}};
              },
          .bf16_tolerance = 4e-2};
}

// A label for each step of each sequence.
OpCase CrossEntropyOverTime(const std::string& name, int64_t batch, int64_t steps,
                            int64_t classes) {
  return {
      .name = absl::StrCat("cross_entropy_", name), .build = [=](CaseBuilder& b) {
        const Value labels =
            Reshape(b.graph, b.Labels(batch * steps, classes, true), {batch, steps});
        const Loss loss = CrossEntropy(b.graph, b.Input(Shape{batch, steps, classes}), labels, {});
        return CaseOutputs{{loss.sum}, {loss.weight, loss.correct}};
      }};
}

OpCase BinaryCase(const std::string& name, const Shape& logits, const CrossEntropyOptions& options,
                  bool ignore_one = false, Fill fill = Fill::kSpread) {
  return {.name = absl::StrCat("binary_cross_entropy_", name), .build = [=](CaseBuilder& b) {
            const Loss loss = BinaryCrossEntropy(b.graph, b.Input(logits, fill),
                                                 b.Labels(logits[0], 2, ignore_one), options);
            return CaseOutputs{{loss.sum}, {loss.weight, loss.correct}};
          }};
}

OpCase RegressionCase(const std::string& name, const Shape& shape, RegressionKind kind,
                      float delta = 1, Fill fill = Fill::kSpread) {
  return {.name = name, .build = [=](CaseBuilder& b) {
            // Two numbers of one fill would meet: |d| has a kink at 0.
            const Value x = b.Input(shape, fill);
            const Loss loss =
                RegressionLoss(b.graph, x, b.Buffer(shape, Fill::kPowers), kind, delta);
            return CaseOutputs{{loss.sum}, {loss.weight}};
          }};
}

OpCase Adversarial(const std::string& name, AdversarialKind kind, AdversarialSide side,
                   float label_smoothing = 0, Fill fill = Fill::kSpread) {
  return {.name = absl::StrCat("adversarial_loss_", name), .build = [=](CaseBuilder& b) {
            const Loss loss = AdversarialLoss(b.graph, b.Input(Shape{7, 1}, fill), side,
                                              {.kind = kind, .label_smoothing = label_smoothing});
            return CaseOutputs{{loss.sum}, {loss.weight, loss.correct}};
          }};
}

OpCase ActionValueCase(const std::string& name, const Shape& values, ActionValueError error,
                       float delta = 1) {
  return {.name = absl::StrCat("action_value_loss_", name), .build = [=](CaseBuilder& b) {
            const Shape rows = {values[0]};
            const Value x = b.Input(values);
            const ActionValueLossResult result = ActionValueLoss(
                b.graph, x, b.Labels(values[0], values[1]), b.Buffer(rows, Fill::kPowers),
                b.Buffer(rows, Fill::kPositive), error, delta);
            return CaseOutputs{{result.loss.sum}, {result.loss.weight, result.errors}};
          }};
}

OpCase ClippedPolicyCase(const std::string& name, const Shape& logits,
                         const ClippedPolicyOptions& options, Fill fill = Fill::kSpread) {
  return {.name = absl::StrCat("clipped_policy_loss_", name), .build = [=](CaseBuilder& b) {
            const Shape rows = {logits[0]};
            const Value x = b.Input(logits, fill);
            // Log probabilities above 0 are as good as others here: ratios on both sides of 1.
            const ClippedPolicyResult result = ClippedPolicyLoss(
                b.graph, x, b.Labels(logits[0], logits[1]), b.Buffer(rows, Fill::kSpread),
                b.Buffer(rows, Fill::kPowers), options);
            return CaseOutputs{
                {result.loss.sum},
                {result.loss.weight, result.entropy, result.divergence, result.clipped}};
          }};
}

}  // namespace

std::vector<OpCase> LossCases() {
  return {
      Adversarial("real", AdversarialKind::kNonSaturating, AdversarialSide::kReal),
      Adversarial("real_smoothed", AdversarialKind::kNonSaturating, AdversarialSide::kReal, 0.1f),
      Adversarial("drawn", AdversarialKind::kNonSaturating, AdversarialSide::kDrawn),
      Adversarial("fooling", AdversarialKind::kNonSaturating, AdversarialSide::kFooling),
      Adversarial("extreme", AdversarialKind::kNonSaturating, AdversarialSide::kReal, 0,
                  Fill::kExtreme),
      Adversarial("squares_real", AdversarialKind::kLeastSquares, AdversarialSide::kReal, 0.25f),
      Adversarial("squares_drawn", AdversarialKind::kLeastSquares, AdversarialSide::kDrawn),
      Adversarial("squares_fooling", AdversarialKind::kLeastSquares, AdversarialSide::kFooling),
      Adversarial("hinge_real", AdversarialKind::kHinge, AdversarialSide::kReal),
      Adversarial("hinge_drawn", AdversarialKind::kHinge, AdversarialSide::kDrawn),
      Adversarial("hinge_fooling", AdversarialKind::kHinge, AdversarialSide::kFooling),
      Adversarial("wasserstein_real", AdversarialKind::kWasserstein, AdversarialSide::kReal),
      Adversarial("wasserstein_drawn", AdversarialKind::kWasserstein, AdversarialSide::kDrawn),
      Adversarial("wasserstein_fooling", AdversarialKind::kWasserstein, AdversarialSide::kFooling),
      CrossEntropyCase("single", 1, 2, {}),
      CrossEntropyCase("10_classes", 5, 10, {}),
      CrossEntropyCase("17_classes", 3, 17, {}),
      CrossEntropyCase("100_classes", 33, 100, {}),
      CrossEntropyCase("smoothed", 5, 10, {.label_smoothing = 0.1f, .class_weights = {}}),
      CrossEntropyCase("weighted", 5, 3, {.class_weights = {0.5f, 1, 2}}),
      CrossEntropyCase("smoothed_and_weighted", 5, 3,
                       {.label_smoothing = 0.2f, .class_weights = {0.5f, 1, 2}}),
      RowCrossEntropyCase("of_rows", 6, 5),
      RowCrossEntropyCase("of_large_logits", 5, 4, Fill::kExtreme),
      TokenLossesCase("of_a_table", 48, 10, true, false),
      TokenLossesCase("with_a_bias", 32, 7, false, true),
      TokenCrossEntropyCase("of_a_table", 48, 10, true, false, {}),
      TokenCrossEntropyCase("with_a_bias_and_z", 32, 7, false, true,
                            {.label_smoothing = 0.1f, .class_weights = {}, .z_loss = 0.05f}),
      CrossEntropyCase("z", 5, 10, {.class_weights = {}, .z_loss = 0.1f}),
      CrossEntropyCase("z_of_a_weighted_and_smoothed", 5, 3,
                       {.label_smoothing = 0.2f, .class_weights = {0.5f, 1, 2}, .z_loss = 0.05f},
                       true),
      CrossEntropyCase("with_an_ignored_example", 5, 10, {}, true),
      CrossEntropyOverTime("over_time", 3, 5, 7),
      CrossEntropyOverTime("over_long_time", 5, 67, 65),
      CrossEntropyCase("extreme", 5, 10, {}, false, Fill::kExtreme),
      BinaryCase("single", {1}, {}),
      BinaryCase("batch", {17}, {}),
      BinaryCase("column", {5, 1}, {}),
      BinaryCase("smoothed", {5, 1}, {.label_smoothing = 0.1f, .class_weights = {}}),
      BinaryCase("weighted", {5}, {.class_weights = {0.5f, 2}}),
      BinaryCase("with_an_ignored_example", {5}, {}, true),
      BinaryCase("extreme", {17}, {}, false, Fill::kExtreme),
      RegressionCase("mean_squared_error", {5, 3}, RegressionKind::kMeanSquaredError),
      RegressionCase("mean_squared_error_of_batch", {17}, RegressionKind::kMeanSquaredError),
      RegressionCase("mean_absolute_error", {5, 3}, RegressionKind::kMeanAbsoluteError),
      RegressionCase("huber", {5, 7}, RegressionKind::kHuber),
      RegressionCase("huber_wide", {5, 7}, RegressionKind::kHuber, 1.4f),
      RegressionCase("huber_extreme", {5, 7}, RegressionKind::kHuber, 1.4f, Fill::kExtreme),
      ActionValueCase("squared", {5, 3}, ActionValueError::kSquared),
      ActionValueCase("huber", {17, 4}, ActionValueError::kHuber),
      ActionValueCase("huber_wide", {5, 2}, ActionValueError::kHuber, 1.4f),
      ActionValueCase("single", {1, 1}, ActionValueError::kHuber),
      ClippedPolicyCase("two_actions", {17, 2}, {.clip = 0.2f, .entropy = 0.01f}),
      ClippedPolicyCase("wide", {33, 5}, {.clip = 0.7f, .entropy = 0.1f}),
      ClippedPolicyCase("without_entropy", {17, 3}, {.clip = 0.2f, .entropy = 0}),
      ClippedPolicyCase("much_entropy", {5, 4}, {.clip = 0.2f, .entropy = 3}),
      ClippedPolicyCase("extreme", {5, 4}, {.clip = 0.2f, .entropy = 0.01f}, Fill::kExtreme),
      ClippedPolicyCase("single", {1, 1}, {.clip = 0.2f, .entropy = 0.01f}),
  };
}

}  // namespace hone::engine
