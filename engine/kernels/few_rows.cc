#include "engine/kernels/few_rows.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/few_rows.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "engine/kernels/math-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

template <typename T>
struct Operands {
  const FewRows& p;
  const float* x;
  const T* w;
  const float* bias;
  float* y;
};

// kRows rows by kColumns rows of a transposed weight.
template <int kRows, int kColumns, typename T>
void DotBlock(const Operands<T>& o, int64_t row, int64_t column) {
  const F f;
  const int64_t inner = o.p.inner, lanes = static_cast<int64_t>(hn::Lanes(f));
  const float* x = o.x + row * inner;
  const T* w = o.w + column * inner;
  V sums[kRows][kColumns];
  for (int r = 0; r < kRows; ++r) {
    for (int n = 0; n < kColumns; ++n) {
      sums[r][n] = hn::Zero(f);
    }
  }
  const auto add = [&](int64_t k, const auto& load) HWY_ATTR {
    V columns[kColumns];
    for (int n = 0; n < kColumns; ++n) {
      columns[n] = load(w + n * inner + k);
      // Of the next block; behind the last one nothing is read.
      hwy::Prefetch(w + (n + kColumns) * inner + k);
    }
    for (int r = 0; r < kRows; ++r) {
      const V numbers = load(x + r * inner + k);
      for (int n = 0; n < kColumns; ++n) {
        sums[r][n] = hn::MulAdd(numbers, columns[n], sums[r][n]);
      }
    }
  };
  int64_t k = 0;
  for (; k + lanes <= inner; k += lanes) {
    add(k, [&](const auto* from) HWY_ATTR { return LoadVector(f, from); });
  }
  if (k < inner) {
    add(k, [&](const auto* from) HWY_ATTR { return LoadSome(from, inner - k, lanes); });
  }
  for (int r = 0; r < kRows; ++r) {
    for (int n = 0; n < kColumns; ++n) {
      float y = hn::GetLane(hn::SumOfLanes(f, sums[r][n]));
      y += o.bias == nullptr ? 0 : o.bias[column + n];
      o.y[(row + r) * o.p.columns + column + n] = o.p.relu && y <= 0 ? 0 : y;
    }
  }
}

template <int kColumns, typename T>
void DotRows(const Operands<T>& o, int64_t column) {
  int64_t row = 0;
  for (; row + 4 <= o.p.rows; row += 4) {
    DotBlock<4, kColumns>(o, row, column);
  }
  for (; row < o.p.rows; ++row) {
    DotBlock<1, kColumns>(o, row, column);
  }
}

template <typename T>
void MultiplyTransposed(const Operands<T>& o, int64_t begin, int64_t end) {
  constexpr int kColumns = HWY_TARGET <= HWY_AVX3 ? 4 : 2;  // what the registers hold of 4 rows
  for (; begin + kColumns <= end; begin += kColumns) {
    DotRows<kColumns>(o, begin);
  }
  for (; begin < end; ++begin) {
    DotRows<1>(o, begin);
  }
}

// y += x(k … k + kInner) · w(k … k + kInner, ·) for the columns [begin, end) of all rows.
template <int kInner, typename T>
void AddRows(const Operands<T>& o, int64_t k, int64_t begin, int64_t end) {
  const F f;
  const int64_t columns = o.p.columns, lanes = static_cast<int64_t>(hn::Lanes(f));
  for (int64_t n = begin; n < end; n += lanes) {
    V rows[kInner];
    for (int i = 0; i < kInner; ++i) {
      rows[i] = LoadSome(o.w + (k + i) * columns + n, end - n, lanes);
    }
    for (int64_t r = 0; r < o.p.rows; ++r) {
      float* y = o.y + r * columns + n;
      const float* x = o.x + r * o.p.inner + k;
      V sum = LoadSome(y, end - n, lanes);
      for (int i = 0; i < kInner; ++i) {
        sum = hn::MulAdd(hn::Set(f, x[i]), rows[i], sum);
      }
      StoreSome(sum, y, end - n, lanes);
    }
  }
}

template <typename T>
void MultiplyRows(const Operands<T>& o, int64_t begin, int64_t end) {
  constexpr int kInner = 8;  // rows of the weight that are read side by side
  for (int64_t r = 0; r < o.p.rows; ++r) {
    float* y = o.y + r * o.p.columns;
    if (o.bias == nullptr) {
      std::fill(y + begin, y + end, 0.0f);
    } else {
      std::copy(o.bias + begin, o.bias + end, y + begin);
    }
  }
  int64_t k = 0;
  for (; k + kInner <= o.p.inner; k += kInner) {
    AddRows<kInner>(o, k, begin, end);
  }
  for (; k < o.p.inner; ++k) {
    AddRows<1>(o, k, begin, end);
  }
  for (int64_t r = 0; o.p.relu && r < o.p.rows; ++r) {
    float* y = o.y + r * o.p.columns;
    Map(end - begin, y + begin, y + begin, [](V v) HWY_ATTR { return ReluOf(F(), v); });
  }
}

void MultiplyFewRowsT(const FewRows& product, const float* x, const void* w, const float* bias,
                      float* y, int64_t begin, int64_t end) {
  Dispatch(product.weights, [&](auto type) {
    using T = decltype(type);
    const Operands<T> operands = {product, x, static_cast<const T*>(w), bias, y};
    if (product.transposed) {
      MultiplyTransposed(operands, begin, end);
    } else {
      MultiplyRows(operands, begin, end);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(MultiplyFewRowsT);

void MultiplyFewRows(const FewRows& product, const float* x, const void* w, const float* bias,
                     float* y, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(MultiplyFewRowsT)(product, x, w, bias, y, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
