#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/export/onnx_array.h"

namespace hone::engine::exports {
namespace {

// An array whose element i is element index(i) of another one.
template <typename Index>
OnnxArray Rearranged(const OnnxArray& from, std::vector<int64_t> dims, Index&& index) {
  OnnxArray out = {.dims = std::move(dims), .floats = {}, .wholes = {}, .is_float = from.is_float};
  const int64_t count = out.elements();
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(index(i));
    if (from.is_float) {
      out.floats.push_back(from.floats[at]);
    } else {
      out.wholes.push_back(from.wholes[at]);
    }
  }
  return out;
}

// Elements behind dimension `axis`.
int64_t Inner(const std::vector<int64_t>& dims, int64_t axis) {
  int64_t inner = 1;
  for (auto d = static_cast<size_t>(axis) + 1; d < dims.size(); ++d) {
    inner *= dims[d];
  }
  return inner;
}

// The axis counted from the first; −1 where there is none such.
int64_t Axis(int64_t axis, const std::vector<int64_t>& dims) {
  const auto rank = static_cast<int64_t>(dims.size());
  axis = axis < 0 ? axis + rank : axis;
  return axis < 0 || axis >= rank ? -1 : axis;
}

absl::StatusOr<OnnxArray> Identity(const OnnxCall& call) { return call[0]; }

absl::StatusOr<OnnxArray> Cast(const OnnxCall& call) {
  const OnnxArray& x = call[0];
  if (call.Whole("to", 0) != onnx::Tensor::FLOAT) {
    return call.Wrong("must be to floats");
  }
  OnnxArray out = x;
  out.is_float = true;
  if (!x.is_float) {
    out.floats.assign(x.wholes.begin(), x.wholes.end());
    out.wholes.clear();
  }
  return out;
}

absl::StatusOr<OnnxArray> ShapeOf(const OnnxCall& call) {
  const std::vector<int64_t>& dims = call[0].dims;
  return OnnxArray{
      .dims = {static_cast<int64_t>(dims.size())}, .floats = {}, .wholes = dims, .is_float = false};
}

absl::StatusOr<OnnxArray> Range(const OnnxCall& call) {
  for (size_t i = 0; i < 3; ++i) {
    if (call[i].is_float || call[i].wholes.size() != 1) {
      return call.Wrong("must be of three whole numbers");
    }
  }
  OnnxArray out = {.dims = {}, .floats = {}, .wholes = {}, .is_float = false};
  if (call[2].wholes[0] != 1) {
    return call.Wrong("must be in steps of 1");
  }
  for (int64_t i = call[0].wholes[0]; i < call[1].wholes[0]; ++i) {
    out.wholes.push_back(i);
  }
  out.dims = {static_cast<int64_t>(out.wholes.size())};
  return out;
}

absl::StatusOr<OnnxArray> Reshape(const OnnxCall& call) {
  OnnxArray out = call[0];
  out.dims = call[1].wholes;
  for (size_t i = 0; i < out.dims.size(); ++i) {
    if (out.dims[i] == 0) {
      if (i >= call[0].dims.size()) {
        return call.Wrong("keeps a dimension that its input does not have");
      }
      out.dims[i] = call[0].dims[i];
    }
  }
  if (out.elements() != call[0].elements()) {
    return call.Wrong(absl::StrCat("makes ", out.elements(), " elements of ", call[0].elements()));
  }
  return out;
}

absl::StatusOr<OnnxArray> Unsqueeze(const OnnxCall& call) {
  OnnxArray out = call[0];
  std::vector<int64_t> axes = call[1].wholes;
  std::ranges::sort(axes);
  for (const int64_t axis : axes) {
    if (axis < 0 || axis > static_cast<int64_t>(out.dims.size())) {
      return call.Wrong(absl::StrCat("adds dimension ", axis, " to ", out.dims.size()));
    }
    out.dims.insert(out.dims.begin() + axis, 1);
  }
  return out;
}

absl::StatusOr<OnnxArray> Transpose(const OnnxCall& call) {
  const OnnxArray& x = call[0];
  const std::vector<int64_t> axes = call.Wholes("perm", {});
  std::vector<int64_t> sorted = axes, dims, strides;
  std::ranges::sort(sorted);
  for (size_t d = 0; d < sorted.size(); ++d) {
    if (sorted[d] != static_cast<int64_t>(d)) {
      return call.Wrong("must name each dimension once");
    }
  }
  if (axes.size() != x.dims.size()) {
    return call.Wrong("must name each dimension once");
  }
  for (const int64_t axis : axes) {
    dims.push_back(x.dims[static_cast<size_t>(axis)]);
    strides.push_back(Inner(x.dims, axis));
  }
  return Rearranged(x, dims, [&](int64_t i) {
    int64_t index = 0;
    for (size_t d = dims.size(); d > 0; --d) {
      index += i % dims[d - 1] * strides[d - 1];
      i /= dims[d - 1];
    }
    return index;
  });
}

absl::StatusOr<OnnxArray> Slice(const OnnxCall& call) {
  const OnnxArray& x = call[0];
  for (size_t i = 1; i < 4; ++i) {
    if (call[i].wholes.size() != 1) {
      return call.Wrong("must be along one axis");
    }
  }
  const int64_t axis = Axis(call[3].wholes[0], x.dims);
  const int64_t begin = call[1].wholes[0], end = call[2].wholes[0];
  if (axis < 0 || begin < 0 || begin > end || end > x.dims[static_cast<size_t>(axis)]) {
    return call.Wrong("takes what is not there");
  }
  std::vector<int64_t> dims = x.dims;
  const int64_t extent = dims[static_cast<size_t>(axis)], inner = Inner(dims, axis);
  const int64_t taken = end - begin;
  dims[static_cast<size_t>(axis)] = taken;
  return Rearranged(x, std::move(dims), [=](int64_t i) {
    const int64_t outer = i / (taken * inner), rest = i % (taken * inner);
    return outer * extent * inner + begin * inner + rest;
  });
}

absl::StatusOr<OnnxArray> Concat(const OnnxCall& call) {
  const int64_t axis = Axis(call.Whole("axis", 0), call[0].dims);
  if (axis < 0) {
    return call.Wrong("is along a dimension that is not there");
  }
  const auto at = static_cast<size_t>(axis);
  OnnxArray out = {.dims = call[0].dims, .floats = {}, .wholes = {}, .is_float = true};
  out.dims[at] = 0;
  for (const OnnxArray* part : call.in) {
    std::vector<int64_t> dims = part->dims;
    if (!part->is_float || dims.size() != out.dims.size()) {
      return call.Wrong("must be of floats with as many dimensions");
    }
    dims[at] = out.dims[at];
    if (dims != out.dims) {
      return call.Wrong("has parts that do not fit");
    }
    out.dims[at] += part->dims[at];
  }
  const int64_t inner = Inner(out.dims, axis);
  int64_t outer = 1;
  for (size_t d = 0; d < at; ++d) {
    outer *= out.dims[d];
  }
  for (int64_t row = 0; row < outer; ++row) {
    for (const OnnxArray* part : call.in) {
      const int64_t run = part->dims[at] * inner;
      const auto begin = part->floats.begin() + row * run;
      out.floats.insert(out.floats.end(), begin, begin + run);
    }
  }
  return out;
}

absl::StatusOr<OnnxArray> Gather(const OnnxCall& call) {
  const OnnxArray &x = call[0], &index = call[1];
  const int64_t axis = Axis(call.Whole("axis", 0), x.dims);
  if (axis < 0 || index.is_float) {
    return call.Wrong("must have whole numbers as its second input, and a dimension that is there");
  }
  const int64_t extent = x.dims[static_cast<size_t>(axis)], inner = Inner(x.dims, axis);
  for (const int64_t i : index.wholes) {
    if (i < 0 || i >= extent) {
      return call.Wrong(absl::StrCat("asks for row ", i, " of ", extent));
    }
  }
  std::vector<int64_t> dims(x.dims.begin(), x.dims.begin() + axis);
  dims.insert(dims.end(), index.dims.begin(), index.dims.end());
  dims.insert(dims.end(), x.dims.begin() + axis + 1, x.dims.end());
  const int64_t count = index.elements();
  return Rearranged(x, std::move(dims), [&](int64_t i) {
    const int64_t within = i % inner, picked = i / inner % count, outer = i / inner / count;
    return (outer * extent + index.wholes[static_cast<size_t>(picked)]) * inner + within;
  });
}

constexpr OnnxOperation kOperations[] = {
    {"Cast", 1, Cast},           {"Concat", 1, Concat}, {"Gather", 2, Gather},
    {"Identity", 1, Identity},   {"Range", 3, Range},   {"Reshape", 2, Reshape},
    {"Shape", 1, ShapeOf},       {"Slice", 4, Slice},   {"Transpose", 1, Transpose},
    {"Unsqueeze", 2, Unsqueeze},
};

}  // namespace

std::span<const OnnxOperation> OnnxMoves() { return kOperations; }

}  // namespace hone::engine::exports
