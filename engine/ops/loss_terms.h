#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"

// What ops of losses share: those of one number an example, and those of a number for each class.
namespace hone::engine {

// What one example adds to a loss's sums, and the gradient with respect to its number.
struct LossTerm {
  double loss = 0;
  double gradient = 0;
  double correct = 0;
  double weight = 1;
};

// Lowers such a loss: outputs loss sum, weight and correct, and the gradient by example, if it is
// wanted. terms(memory) gives a function from the example's number to its term.
template <typename Terms>
void EmitLossTerms(Lowering& l, absl::string_view label, int64_t batch, Terms terms) {
  const onednn::MemoryDesc scalar = onednn::MemoryDesc::Plain(l.output_type(0));
  const Slot loss = l.Output(0, scalar), weight = l.Output(1, scalar);
  const Slot correct = l.Output(2, scalar);
  const Slot gradient =
      l.wanted(3) ? l.Output(3, onednn::MemoryDesc::Plain(l.output_type(3))) : Slot{-1};
  l.Emit(label, [=](const Memory& m) {
    const auto term_of = terms(m);
    float* dx = gradient < 0 ? nullptr : m.as<float>(gradient);
    LossTerm sum = {.weight = 0};
    for (int64_t i = 0; i < batch; ++i) {
      const LossTerm term = term_of(i);
      sum.loss += term.loss;
      sum.weight += term.weight;
      sum.correct += term.correct;
      if (dx != nullptr) {
        dx[i] = static_cast<float>(term.gradient);
      }
    }
    *m.as<float>(loss) = static_cast<float>(sum.loss);
    *m.as<float>(weight) = static_cast<float>(sum.weight);
    *m.as<float>(correct) = static_cast<float>(sum.correct);
  });
}

// log Σ exp(x), of at least one number; finite where they are.
inline double LogSumExp(std::span<const double> numbers) {
  const double top = *std::ranges::max_element(numbers);
  double sum = 0;
  for (const double x : numbers) {
    sum += std::exp(x - top);
  }
  return top + std::log(sum);
}

}  // namespace hone::engine
