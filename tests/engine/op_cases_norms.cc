#include "tests/engine/op_case.h"

namespace hone::engine {

std::vector<OpCase> NormalizationCases() { return {}; }

}  // namespace hone::engine
