#include "engine/ops/conv2d.h"
#include "engine/ops/reshape.h"
#include "tests/engine/op_case.h"

namespace hone::engine {

std::vector<OpCase> ShapeCases() {
  return {
      {.name = "reshape",
       .build =
           [](CaseBuilder& b) {
             return CaseOutputs{{Reshape(b.graph, b.Input({3, 4, 5}), Shape{15, 4})}, {}};
           }},
      {.name = "flatten_of_a_convolution",
       .build =
           [](CaseBuilder& b) {
             const Value y =
                 Conv2d(b.graph, b.Input({2, 3, 5, 5}), b.Parameter({17, 3, 3, 3}), {}, {});
             return CaseOutputs{{Flatten(b.graph, y)}, {}};
           }},
  };
}

}  // namespace hone::engine
