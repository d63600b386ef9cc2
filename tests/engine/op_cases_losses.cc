#include "absl/strings/str_cat.h"
#include "engine/ops/cross_entropy.h"
#include "tests/engine/op_case.h"

namespace hone::engine {
namespace {

OpCase CrossEntropyCase(const std::string& name, int64_t batch, int64_t classes,
                        const CrossEntropyOptions& options, bool ignore_one = false) {
  return {.name = absl::StrCat("cross_entropy_", name), .build = [=](CaseBuilder& b) {
            const Loss loss = CrossEntropy(b.graph, b.Input(Shape{batch, classes}),
                                           b.Labels(batch, classes, ignore_one), options);
            return CaseOutputs{{loss.sum}, {loss.weight, loss.correct}};
          }};
}

}  // namespace

std::vector<OpCase> LossCases() {
  return {
      CrossEntropyCase("single", 1, 2, {}),
      CrossEntropyCase("10_classes", 5, 10, {}),
      CrossEntropyCase("17_classes", 3, 17, {}),
      CrossEntropyCase("100_classes", 33, 100, {}),
      CrossEntropyCase("smoothed", 5, 10, {.label_smoothing = 0.1f, .class_weights = {}}),
      CrossEntropyCase("weighted", 5, 3, {.class_weights = {0.5f, 1, 2}}),
      CrossEntropyCase("smoothed_and_weighted", 5, 3,
                       {.label_smoothing = 0.2f, .class_weights = {0.5f, 1, 2}}),
      CrossEntropyCase("with_an_ignored_example", 5, 10, {}, true),
  };
}

}  // namespace hone::engine
