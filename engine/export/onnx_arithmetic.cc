#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/export/onnx_array.h"

namespace hone::engine::exports {
namespace {

// Extents of two arrays that are repeated to each other's, aligned at the last; empty, and false,
// where they do not fit.
bool Broadcast(const std::vector<int64_t>& a, const std::vector<int64_t>& b,
               std::vector<int64_t>& both) {
  both.assign(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < both.size(); ++i) {
    const int64_t of_a = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t of_b = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (of_a != of_b && of_a != 1 && of_b != 1) {
      return false;
    }
    both[both.size() - 1 - i] = of_a == 1 ? of_b : of_a;
  }
  return true;
}

// The index into an array of extents `dims` of element i of what it is repeated to.
int64_t Repeated(int64_t i, const std::vector<int64_t>& to, const std::vector<int64_t>& dims) {
  int64_t index = 0, stride = 1;
  for (size_t d = 0; d < dims.size(); ++d) {
    const int64_t extent = to[to.size() - 1 - d], own = dims[dims.size() - 1 - d];
    index += own == 1 ? 0 : i % extent * stride;
    stride *= own;
    i /= extent;
  }
  return index;
}

template <typename Function>
absl::StatusOr<OnnxArray> OfTwo(const OnnxCall& call, Function&& function) {
  const OnnxArray &a = call[0], &b = call[1];
  OnnxArray out = {.dims = {}, .floats = {}, .wholes = {}, .is_float = a.is_float};
  if (a.is_float != b.is_float || !Broadcast(a.dims, b.dims, out.dims)) {
    return call.Wrong("has inputs whose types or extents do not fit");
  }
  const int64_t count = out.elements();
  for (int64_t i = 0; i < count; ++i) {
    const auto from_a = static_cast<size_t>(a.dims == out.dims ? i : Repeated(i, out.dims, a.dims));
    const auto from_b = static_cast<size_t>(b.dims == out.dims ? i : Repeated(i, out.dims, b.dims));
    if (a.is_float) {
      out.floats.push_back(static_cast<float>(function(a.floats[from_a], b.floats[from_b])));
    } else {
      out.wholes.push_back(static_cast<int64_t>(function(a.wholes[from_a], b.wholes[from_b])));
    }
  }
  return out;
}

absl::StatusOr<OnnxArray> Add(const OnnxCall& call) {
  return OfTwo(call, [](auto a, auto b) { return a + b; });
}
absl::StatusOr<OnnxArray> Sub(const OnnxCall& call) {
  return OfTwo(call, [](auto a, auto b) { return a - b; });
}
absl::StatusOr<OnnxArray> Mul(const OnnxCall& call) {
  return OfTwo(call, [](auto a, auto b) { return a * b; });
}
absl::StatusOr<OnnxArray> Div(const OnnxCall& call) {
  if (!call[0].is_float) {
    return call.Wrong("divides whole numbers, which is not known here");
  }
  return OfTwo(call, [](auto a, auto b) {
    return b == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(a / b);
  });
}
absl::StatusOr<OnnxArray> LessOrEqual(const OnnxCall& call) {
  if (call[0].is_float) {
    return call.Wrong("compares numbers that are not whole, which is not known here");
  }
  return OfTwo(call, [](auto a, auto b) { return a <= b ? 1 : 0; });
}

template <typename Function>
absl::StatusOr<OnnxArray> OfOne(const OnnxCall& call, Function&& function) {
  OnnxArray out = call[0];
  if (!out.is_float) {
    return call.Wrong("must have floats");
  }
  for (float& value : out.floats) {
    value = function(value);
  }
  return out;
}

absl::StatusOr<OnnxArray> Relu(const OnnxCall& call) {
  return OfOne(call, [](float x) { return std::max(x, 0.0f); });
}
absl::StatusOr<OnnxArray> LeakyRelu(const OnnxCall& call) {
  const float alpha = call.Number("alpha", 0.01f);
  return OfOne(call, [alpha](float x) { return x < 0 ? alpha * x : x; });
}
absl::StatusOr<OnnxArray> Sigmoid(const OnnxCall& call) {
  return OfOne(call, [](float x) { return 1 / (1 + std::exp(-x)); });
}
absl::StatusOr<OnnxArray> Tanh(const OnnxCall& call) {
  return OfOne(call, [](float x) { return std::tanh(x); });
}
absl::StatusOr<OnnxArray> Erf(const OnnxCall& call) {
  return OfOne(call, [](float x) { return std::erf(x); });
}
absl::StatusOr<OnnxArray> Sqrt(const OnnxCall& call) {
  return OfOne(call, [](float x) { return std::sqrt(x); });
}
absl::StatusOr<OnnxArray> Sin(const OnnxCall& call) {
  return OfOne(call, [](float x) { return std::sin(x); });
}
absl::StatusOr<OnnxArray> Cos(const OnnxCall& call) {
  return OfOne(call, [](float x) { return std::cos(x); });
}

// Runs over the last dimension: of an axis that is another one, an error.
absl::StatusOr<size_t> LastExtent(const OnnxCall& call, int64_t otherwise) {
  const std::vector<int64_t>& dims = call[0].dims;
  const int64_t axis = call.Whole("axis", otherwise);
  if (dims.empty() || (axis != -1 && axis != static_cast<int64_t>(dims.size()) - 1) ||
      dims.back() < 1 || !call[0].is_float) {
    return call.Wrong("must be of floats, along the last dimension");
  }
  return static_cast<size_t>(dims.back());
}

absl::StatusOr<OnnxArray> Softmax(const OnnxCall& call) {
  HONE_ASSIGN_OR_RETURN(const size_t n, LastExtent(call, -1));
  OnnxArray out = call[0];
  for (size_t begin = 0; begin < out.floats.size(); begin += n) {
    const std::span<float> row(out.floats.data() + begin, n);
    const float most = *std::ranges::max_element(row);
    double sum = 0;
    for (float& value : row) {
      value = std::exp(value - most);
      sum += double{value};
    }
    for (float& value : row) {
      value = static_cast<float>(double{value} / sum);
    }
  }
  return out;
}

absl::StatusOr<OnnxArray> LayerNormalization(const OnnxCall& call) {
  HONE_ASSIGN_OR_RETURN(const size_t n, LastExtent(call, -1));
  if (call[1].floats.size() != n || call[2].floats.size() != n) {
    return call.Wrong("must have as many scales and shifts as the last dimension has numbers");
  }
  const double epsilon = double{call.Number("epsilon", 1e-5f)};
  OnnxArray out = call[0];
  for (size_t begin = 0; begin < out.floats.size(); begin += n) {
    const std::span<float> row(out.floats.data() + begin, n);
    double mean = 0, variance = 0;
    for (const float value : row) {
      mean += double{value} / static_cast<double>(n);
    }
    for (const float value : row) {
      variance += (double{value} - mean) * (double{value} - mean) / static_cast<double>(n);
    }
    for (size_t i = 0; i < n; ++i) {
      row[i] = static_cast<float>((double{row[i]} - mean) / std::sqrt(variance + epsilon) *
                                      double{call[1].floats[i]} +
                                  double{call[2].floats[i]});
    }
  }
  return out;
}

absl::StatusOr<OnnxArray> BatchNormalization(const OnnxCall& call) {
  OnnxArray out = call[0];
  if (out.dims.size() < 2 || !out.is_float) {
    return call.Wrong("must have floats [batch, channels, …]");
  }
  const int64_t channels = out.dims[1];
  for (size_t i = 1; i < 5; ++i) {
    if (static_cast<int64_t>(call[i].floats.size()) != channels) {
      return call.Wrong(absl::StrCat("must have ", channels, " numbers in input ", i));
    }
  }
  const int64_t inner =
      channels == 0 ? 0 : out.elements() / std::max<int64_t>(out.dims[0], 1) / channels;
  const double epsilon = double{call.Number("epsilon", 1e-5f)};
  for (size_t i = 0; i < out.floats.size(); ++i) {
    const auto c = static_cast<size_t>(static_cast<int64_t>(i) / inner % channels);
    const double normal = (double{out.floats[i]} - double{call[3].floats[c]}) /
                          std::sqrt(double{call[4].floats[c]} + epsilon);
    out.floats[i] =
        static_cast<float>(normal * double{call[1].floats[c]} + double{call[2].floats[c]});
  }
  return out;
}

// Over one axis.
template <typename Function>
absl::StatusOr<OnnxArray> Reduce(const OnnxCall& call, const std::vector<int64_t>& axes,
                                 double start, Function&& function) {
  const OnnxArray& x = call[0];
  const auto rank = static_cast<int64_t>(x.dims.size());
  const int64_t axis = axes.size() != 1 ? rank : axes[0] < 0 ? axes[0] + rank : axes[0];
  if (!x.is_float || axis < 0 || axis >= rank) {
    return call.Wrong("must have floats and one axis, which they have");
  }
  int64_t inner = 1;
  for (auto d = static_cast<size_t>(axis) + 1; d < x.dims.size(); ++d) {
    inner *= x.dims[d];
  }
  const int64_t extent = x.dims[static_cast<size_t>(axis)];
  OnnxArray out = {.dims = x.dims};
  if (call.Whole("keepdims", 1) != 0) {
    out.dims[static_cast<size_t>(axis)] = 1;
  } else {
    out.dims.erase(out.dims.begin() + axis);
  }
  const int64_t count = out.elements();
  for (int64_t i = 0; i < count; ++i) {
    double value = start;
    for (int64_t k = 0; k < extent; ++k) {
      value = function(
          value,
          double{x.floats[static_cast<size_t>((i / inner * extent + k) * inner + i % inner)]},
          static_cast<double>(extent));
    }
    out.floats.push_back(static_cast<float>(value));
  }
  return out;
}

absl::StatusOr<OnnxArray> ReduceSum(const OnnxCall& call) {
  return Reduce(call, call[1].wholes, 0, [](double a, double b, double) { return a + b; });
}
absl::StatusOr<OnnxArray> ReduceMean(const OnnxCall& call) {
  return Reduce(call, call.Wholes("axes", {}), 0,
                [](double a, double b, double count) { return a + b / count; });
}
absl::StatusOr<OnnxArray> ReduceMax(const OnnxCall& call) {
  return Reduce(call, call.Wholes("axes", {}), -std::numeric_limits<double>::infinity(),
                [](double a, double b, double) { return std::max(a, b); });
}

constexpr OnnxOperation kOperations[] = {
    {"Add", 2, Add},
    {"BatchNormalization", 5, BatchNormalization},
    {"Cos", 1, Cos},
    {"Div", 2, Div},
    {"Erf", 1, Erf},
    {"LayerNormalization", 3, LayerNormalization},
    {"LeakyRelu", 1, LeakyRelu},
    {"LessOrEqual", 2, LessOrEqual},
    {"Mul", 2, Mul},
    {"ReduceMax", 1, ReduceMax},
    {"ReduceMean", 1, ReduceMean},
    {"ReduceSum", 2, ReduceSum},
    {"Relu", 1, Relu},
    {"Sigmoid", 1, Sigmoid},
    {"Sin", 1, Sin},
    {"Softmax", 1, Softmax},
    {"Sqrt", 1, Sqrt},
    {"Sub", 2, Sub},
    {"Tanh", 1, Tanh},
};

}  // namespace

std::span<const OnnxOperation> OnnxArithmetic() { return kOperations; }

}  // namespace hone::engine::exports
