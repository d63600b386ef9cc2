// Adversarial losses against numbers. The op's kernel and its reference share one formula, so that
// the comparison of the two cannot show a wrong one. Each number here follows by hand from what
// the papers write, with D = σ(x):
//   Goodfellow et al. 2014, "Generative adversarial nets", equation 1 and section 3: the
//     discriminator minimises −log D on real pictures and −log (1 − D) on drawn ones, the generator
//     −log D; with one-sided label smoothing (Salimans et al. 2016, section 3.4) the former is
//     −(1 − ε) log D − ε log (1 − D)
//   Mao et al. 2017, "Least squares generative adversarial networks", equation 9 (a = 0, b = c = 1)
//   Lim and Ye 2017, "Geometric GAN", equations 9 and 10
//   Arjovsky, Chintala and Bottou 2017, "Wasserstein GAN", algorithm 1, of which the discriminator
//     climbs, so that here its sign is turned
// The logarithms are those of double.
#include "engine/ops/adversarial_loss.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <ostream>
#include <vector>

#include "engine/graph/reference.h"
#include "tests/support/status_matchers.h"

namespace hone::engine {
namespace {

using ::hone::testing::IsOk;
using enum AdversarialKind;
using enum AdversarialSide;

struct Known {
  const char* name;
  AdversarialKind kind;
  AdversarialSide side;
  float label_smoothing;
  double x;
  double loss;
  double gradient;  // with respect to x
  bool correct;
};

void PrintTo(const Known& known, std::ostream* out) { *out << known.name; }

class AdversarialLossNumbers : public ::testing::TestWithParam<Known> {
 protected:
  // Loss sum, weight, correct and the gradient of the sum, of one output of the discriminator.
  absl::StatusOr<std::vector<DoubleTensor>> Compute() {
    Graph graph;
    const Value x = graph.Input("x", {{1, 1}, DType::kF32});
    const Loss loss =
        AdversarialLoss(graph, x, GetParam().side,
                        {.kind = GetParam().kind, .label_smoothing = GetParam().label_smoothing});
    const std::vector<Value> gradients = Differentiate(graph, loss.sum, {x});
    return Interpret(graph, {loss.sum, loss.weight, loss.correct, gradients[0]},
                     [](const Graph::Node& node) {
                       DoubleTensor tensor(node.types[0].shape);
                       tensor[0] = GetParam().x;
                       return tensor;
                     });
  }
};

TEST_P(AdversarialLossNumbers, AreThoseOfThePapers) {
  const auto values = Compute();
  ASSERT_THAT(values, IsOk());
  EXPECT_NEAR((*values)[0][0], GetParam().loss, 1e-7);  // 0.1f is not 0.1
  EXPECT_EQ((*values)[1][0], 1);
  EXPECT_EQ((*values)[2][0], GetParam().correct ? 1 : 0);
  EXPECT_NEAR((*values)[3][0], GetParam().gradient, 1e-7);
}

// In the columns: output, loss, gradient, and whether the discriminator is right about it.
INSTANTIATE_TEST_SUITE_P(
    All, AdversarialLossNumbers,
    ::testing::Values(
        Known{"NonSaturatingRealBelow", kNonSaturating, kReal, 0, -2, 2.1269280110, -0.8807970780,
              false},
        Known{"NonSaturatingRealAbove", kNonSaturating, kReal, 0, 3, 0.0485873516, -0.0474258732,
              true},
        Known{"NonSaturatingRealSmoothedBelow", kNonSaturating, kReal, 0.1f, -2, 1.9269280110,
              -0.7807970780, false},
        // Surer than the smoothed label: the gradient draws it back.
        Known{"NonSaturatingRealSmoothedAbove", kNonSaturating, kReal, 0.1f, 3, 0.3485873516,
              0.0525741268, true},
        Known{"NonSaturatingDrawnBelow", kNonSaturating, kDrawn, 0, -2, 0.1269280110, 0.1192029220,
              true},
        Known{"NonSaturatingDrawnAbove", kNonSaturating, kDrawn, 0, 0.25, 0.8259394199,
              0.5621765009, false},
        Known{"NonSaturatingDrawnIsNotSmoothed", kNonSaturating, kDrawn, 0.1f, 3, 3.0485873516,
              0.9525741268, false},
        Known{"NonSaturatingFoolingBelow", kNonSaturating, kFooling, 0, -2, 2.1269280110,
              -0.8807970780, true},
        Known{"NonSaturatingFoolingIsNotSmoothed", kNonSaturating, kFooling, 0.1f, 0.25,
              0.5759394199, -0.4378234991, false},
        Known{"LeastSquaresRealBelow", kLeastSquares, kReal, 0, -2, 4.5, -3, false},
        Known{"LeastSquaresRealBetween", kLeastSquares, kReal, 0, 0.25, 0.28125, -0.75, false},
        Known{"LeastSquaresRealAbove", kLeastSquares, kReal, 0, 3, 2, 2, true},
        Known{"LeastSquaresRealSmoothed", kLeastSquares, kReal, 0.25f, 3, 2.53125, 2.25, true},
        Known{"LeastSquaresDrawnBelow", kLeastSquares, kDrawn, 0, -2, 2, -2, true},
        Known{"LeastSquaresDrawnBetween", kLeastSquares, kDrawn, 0, 0.25, 0.03125, 0.25, true},
        Known{"LeastSquaresDrawnIsNotSmoothed", kLeastSquares, kDrawn, 0.25f, 3, 4.5, 3, false},
        Known{"LeastSquaresFooling", kLeastSquares, kFooling, 0, 0.25, 0.28125, -0.75, true},
        Known{"LeastSquaresFoolingIsNotSmoothed", kLeastSquares, kFooling, 0.25f, 3, 2, 2, false},
        Known{"HingeRealBelow", kHinge, kReal, 0, -2, 3, -1, false},
        Known{"HingeRealWithin", kHinge, kReal, 0, 0.25, 0.75, -1, true},
        Known{"HingeRealBeyond", kHinge, kReal, 0, 3, 0, 0, true},
        Known{"HingeDrawnBeyond", kHinge, kDrawn, 0, -2, 0, 0, true},
        Known{"HingeDrawnWithin", kHinge, kDrawn, 0, -0.25, 0.75, 1, true},
        Known{"HingeDrawnAbove", kHinge, kDrawn, 0, 3, 4, 1, false},
        // The generator's side has no hinge.
        Known{"HingeFoolingBelow", kHinge, kFooling, 0, -2, 2, -1, true},
        Known{"HingeFoolingAbove", kHinge, kFooling, 0, 3, -3, -1, false},
        Known{"WassersteinRealBelow", kWasserstein, kReal, 0, -2, 2, -1, false},
        Known{"WassersteinRealAbove", kWasserstein, kReal, 0, 3, -3, -1, true},
        Known{"WassersteinDrawnBelow", kWasserstein, kDrawn, 0, -2, -2, 1, true},
        Known{"WassersteinDrawnAbove", kWasserstein, kDrawn, 0, 3, 3, 1, false},
        Known{"WassersteinFoolingBelow", kWasserstein, kFooling, 0, -2, 2, -1, true},
        Known{"WassersteinFoolingAbove", kWasserstein, kFooling, 0, 3, -3, -1, false}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hone::engine
