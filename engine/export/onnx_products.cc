#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/export/onnx_array.h"

namespace hone::engine::exports {
namespace {

// c [rows, columns] += a [rows, inner] · b [inner, columns]
void MultiplyInto(const float* a, const float* b, int64_t rows, int64_t inner, int64_t columns,
                  float* c) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < inner; ++k) {
      const float factor = a[i * inner + k];
      const float* row = b + k * columns;
      float* to = c + i * columns;
      for (int64_t j = 0; j < columns; ++j) {
        to[j] += factor * row[j];
      }
    }
  }
}

// The matrices of both, those of one repeated to the other's count, dimension by dimension.
absl::StatusOr<OnnxArray> MatMul(const OnnxCall& call) {
  const OnnxArray &a = call[0], &b = call[1];
  const size_t rank = std::max(a.dims.size(), b.dims.size());
  if (a.dims.size() < 2 || b.dims.size() < 2 || !a.is_float || !b.is_float ||
      a.dims.back() != b.dims[b.dims.size() - 2]) {
    return call.Wrong("must be of matrices that fit");
  }
  const int64_t rows = a.dims[a.dims.size() - 2], inner = a.dims.back(), columns = b.dims.back();
  OnnxArray out = {.dims = std::vector<int64_t>(rank)};
  int64_t count = 1;
  const auto extent = [rank](const OnnxArray& x, size_t d) {
    return d + x.dims.size() < rank ? int64_t{1} : x.dims[d + x.dims.size() - rank];
  };
  for (size_t d = 0; d + 2 < rank; ++d) {
    const int64_t of_a = extent(a, d), of_b = extent(b, d);
    if (of_a != of_b && of_a != 1 && of_b != 1) {
      return call.Wrong("must have as many matrices on both sides");
    }
    out.dims[d] = std::max(of_a, of_b);
    count *= out.dims[d];
  }
  out.dims[rank - 2] = rows;
  out.dims[rank - 1] = columns;
  out.floats.resize(static_cast<size_t>(count * rows * columns));
  for (int64_t matrix = 0; matrix < count; ++matrix) {
    int64_t left = matrix, of_a = 0, of_b = 0, a_stride = 1, b_stride = 1;
    for (size_t d = rank - 2; d > 0; --d) {
      const int64_t at = left % out.dims[d - 1];
      left /= out.dims[d - 1];
      of_a += extent(a, d - 1) == 1 ? 0 : at * a_stride;
      of_b += extent(b, d - 1) == 1 ? 0 : at * b_stride;
      a_stride *= extent(a, d - 1);
      b_stride *= extent(b, d - 1);
    }
    MultiplyInto(a.floats.data() + of_a * rows * inner, b.floats.data() + of_b * inner * columns,
                 rows, inner, columns, out.floats.data() + matrix * rows * columns);
  }
  return out;
}

// Windows over the two last dimensions of [batch, channels, height, width].
struct Windows {
  int64_t kernel[2], stride[2], dilation[2], before[2], out[2];

  static absl::StatusOr<Windows> Of(const OnnxCall& call) {
    const std::vector<int64_t> kernel = call.Wholes("kernel_shape", {}),
                               strides = call.Wholes("strides", {1, 1}),
                               dilations = call.Wholes("dilations", {1, 1}),
                               pads = call.Wholes("pads", {0, 0, 0, 0});
    const OnnxArray& x = call[0];
    if (kernel.size() != 2 || strides.size() != 2 || dilations.size() != 2 || pads.size() != 4 ||
        x.dims.size() != 4 || !x.is_float) {
      return call.Wrong("must be of pictures, with two numbers in each attribute and four in pads");
    }
    Windows windows{};
    for (size_t d = 0; d < 2; ++d) {
      windows.kernel[d] = kernel[d];
      windows.stride[d] = strides[d];
      windows.dilation[d] = dilations[d];
      windows.before[d] = pads[d];
      const int64_t room = x.dims[d + 2] + pads[d] + pads[d + 2];
      const int64_t span = dilations[d] * (kernel[d] - 1) + 1;
      if (strides[d] < 1 || kernel[d] < 1 || room < span) {
        return call.Wrong("has a window that does not fit");
      }
      windows.out[d] = (room - span) / strides[d] + 1;
    }
    return windows;
  }

  // Calls tap(index in the kernel, index in the plane) for all of a window that is not padding.
  template <typename Tap>
  void ForTaps(int64_t y, int64_t x, int64_t height, int64_t width, Tap&& tap) const {
    for (int64_t i = 0; i < kernel[0]; ++i) {
      for (int64_t j = 0; j < kernel[1]; ++j) {
        const int64_t row = y * stride[0] + i * dilation[0] - before[0];
        const int64_t column = x * stride[1] + j * dilation[1] - before[1];
        if (row >= 0 && row < height && column >= 0 && column < width) {
          tap(i * kernel[1] + j, row * width + column);
        }
      }
    }
  }
};

absl::StatusOr<OnnxArray> Conv(const OnnxCall& call) {
  HONE_ASSIGN_OR_RETURN(const Windows windows, Windows::Of(call));
  const OnnxArray &x = call[0], &w = call[1];
  const int64_t groups = call.Whole("group", 1);
  if (w.dims.size() != 4 || groups < 1 || x.dims[1] != w.dims[1] * groups ||
      w.dims[0] % groups != 0 || w.dims[2] != windows.kernel[0] || w.dims[3] != windows.kernel[1] ||
      (call.in.size() > 2 && static_cast<int64_t>(call[2].floats.size()) != w.dims[0])) {
    return call.Wrong("has weights that do not fit its input");
  }
  const int64_t height = x.dims[2], width = x.dims[3], plane = height * width;
  const int64_t filters = w.dims[0], in_group = w.dims[1];
  const int64_t area = windows.kernel[0] * windows.kernel[1];
  OnnxArray out = {.dims = {x.dims[0], filters, windows.out[0], windows.out[1]}};
  for (int64_t n = 0; n < x.dims[0]; ++n) {
    for (int64_t f = 0; f < filters; ++f) {
      const int64_t first = f / (filters / groups) * in_group;
      for (int64_t i = 0; i < windows.out[0]; ++i) {
        for (int64_t j = 0; j < windows.out[1]; ++j) {
          double sum = call.in.size() > 2 ? double{call[2].floats[static_cast<size_t>(f)]} : 0;
          windows.ForTaps(i, j, height, width, [&](int64_t tap, int64_t at) {
            for (int64_t c = 0; c < in_group; ++c) {
              const int64_t from = (n * x.dims[1] + first + c) * plane + at;
              const int64_t weight = (f * in_group + c) * area + tap;
              sum += double{x.floats[static_cast<size_t>(from)]} *
                     double{w.floats[static_cast<size_t>(weight)]};
            }
          });
          out.floats.push_back(static_cast<float>(sum));
        }
      }
    }
  }
  return out;
}

absl::StatusOr<OnnxArray> Pool(const OnnxCall& call, bool max) {
  HONE_ASSIGN_OR_RETURN(const Windows windows, Windows::Of(call));
  const OnnxArray& x = call[0];
  const int64_t planes = x.dims[0] * x.dims[1], height = x.dims[2], width = x.dims[3];
  OnnxArray out = {.dims = {x.dims[0], x.dims[1], windows.out[0], windows.out[1]}};
  for (int64_t plane = 0; plane < planes; ++plane) {
    for (int64_t i = 0; i < windows.out[0]; ++i) {
      for (int64_t j = 0; j < windows.out[1]; ++j) {
        double most = -std::numeric_limits<double>::infinity(), sum = 0, count = 0;
        windows.ForTaps(i, j, height, width, [&](int64_t, int64_t at) {
          const double value = double{x.floats[static_cast<size_t>(plane * height * width + at)]};
          most = std::max(most, value);
          sum += value;
          ++count;
        });
        out.floats.push_back(static_cast<float>(max ? most : sum / count));
      }
    }
  }
  return out;
}

absl::StatusOr<OnnxArray> MaxPool(const OnnxCall& call) { return Pool(call, true); }
absl::StatusOr<OnnxArray> AveragePool(const OnnxCall& call) {
  if (call.Whole("count_include_pad", 0) != 0) {
    return call.Wrong("counts padding, which is not known here");
  }
  return Pool(call, false);
}

constexpr OnnxOperation kOperations[] = {
    {"AveragePool", 1, AveragePool},
    {"Conv", 2, Conv},
    {"MatMul", 2, MatMul},
    {"MaxPool", 1, MaxPool},
};

}  // namespace

std::span<const OnnxOperation> OnnxProducts() { return kOperations; }

}  // namespace hone::engine::exports
