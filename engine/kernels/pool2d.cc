#include "engine/kernels/pool2d.h"

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/pool2d.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Rows [first, last) or columns of a window that lie inside the picture, and of those of the
// picture, the outputs whose windows hold one.
struct Range {
  int64_t first, last;
};
HWY_INLINE Range Inside(int64_t output, int64_t kernel, int64_t stride, int64_t padding,
                        int64_t size) {
  const int64_t start = output * stride - padding;
  return {std::max<int64_t>(-start, 0), std::min(kernel, size - start)};
}
HWY_INLINE Range OutputsOver(int64_t at, int64_t kernel, int64_t stride, int64_t padding,
                             int64_t outputs) {
  const int64_t from = at + padding - kernel;  // the last start that does not reach `at`
  return {from < 0 ? 0 : from / stride + 1, std::min((at + padding) / stride + 1, outputs)};
}

// Where v takes the place of the largest so far: it is larger, or a NaN, which stays to the end.
template <class V>
HWY_INLINE auto TakesPlace(V v, V best) {
  return hn::Or(hn::Gt(v, best), hn::IsNaN(v));
}

template <class D, typename T>
void MaxForward(D d, const Pool2d& p, const T* x, T* y, uint8_t* where, int64_t begin,
                int64_t end) {
  const hn::RebindToSigned<D> ints;
  const hn::Rebind<uint8_t, D> bytes;
  const auto step = static_cast<int64_t>(hn::Lanes(d));
  int64_t to = begin * p.out_height * p.out_width * p.lanes;
  for (int64_t plane = begin; plane < end; ++plane) {
    const T* from = x + plane * p.height * p.width * p.lanes;
    for (int64_t r = 0; r < p.out_height; ++r) {
      const Range rows = Inside(r, p.kernel_height, p.stride, p.padding_top, p.height);
      for (int64_t c = 0; c < p.out_width; ++c) {
        const Range columns = Inside(c, p.kernel_width, p.stride, p.padding_left, p.width);
        const T* corner =
            from +
            ((r * p.stride - p.padding_top) * p.width + c * p.stride - p.padding_left) * p.lanes;
        for (int64_t lane = 0; lane < p.lanes; lane += step, to += step) {
          const auto at = [&](int64_t i, int64_t j) {
            return LoadVector(d, corner + (i * p.width + j) * p.lanes + lane);
          };
          auto best = at(rows.first, columns.first);
          auto number =
              hn::Set(ints, static_cast<int32_t>(rows.first * p.kernel_width + columns.first));
          for (int64_t i = rows.first; i < rows.last; ++i) {
            for (int64_t j = columns.first; j < columns.last; ++j) {
              const auto v = at(i, j);
              const auto larger = TakesPlace(v, best);
              best = hn::IfThenElse(larger, v, best);
              number = hn::IfThenElse(hn::RebindMask(ints, larger),
                                      hn::Set(ints, static_cast<int32_t>(i * p.kernel_width + j)),
                                      number);
            }
          }
          StoreVector(d, best, y + to);
          if (where != nullptr) {
            hn::StoreU(hn::DemoteTo(bytes, number), bytes, where + to);
          }
        }
      }
    }
  }
}

// Windows of kSide x kSide elements side by side, which is what most nets have: their loops are
// unrolled. window(corner's place in x, place in y) for each vector of outputs of these planes.
template <int kSide, class D, typename Window>
HWY_INLINE void ForSideBySide(D d, const Pool2d& p, int64_t begin, int64_t end, Window&& window) {
  const auto step = static_cast<int64_t>(hn::Lanes(d));
  int64_t to = begin * p.out_height * p.out_width * p.lanes;
  for (int64_t plane = begin; plane < end; ++plane) {
    for (int64_t r = 0; r < p.out_height; ++r) {
      int64_t corner = (plane * p.height + r * kSide) * p.width * p.lanes;
      for (int64_t c = 0; c < p.out_width; ++c, corner += (kSide - 1) * p.lanes) {
        for (int64_t lane = 0; lane < p.lanes; lane += step, to += step, corner += step) {
          window(corner, to);
        }
      }
    }
  }
}

// Zeros where no window reaches: right of the last window and below.
template <typename T>
void ClearRest(const Pool2d& p, T* dx, int64_t begin, int64_t end) {
  const int64_t rows = p.out_height * p.kernel_height, columns = p.out_width * p.kernel_width;
  for (int64_t plane = begin; plane < end; ++plane) {
    T* const to = dx + plane * p.height * p.width * p.lanes;
    for (int64_t r = 0; r < rows && columns < p.width; ++r) {
      std::fill(to + (r * p.width + columns) * p.lanes, to + (r + 1) * p.width * p.lanes, T{0});
    }
    std::fill(to + rows * p.width * p.lanes, to + p.height * p.width * p.lanes, T{0});
  }
}

template <int kSide, class D, typename T>
void MaxForwardSideBySide(D d, const Pool2d& p, const T* x, T* y, uint8_t* where, int64_t begin,
                          int64_t end) {
  const hn::RebindToSigned<D> ints;
  const hn::Rebind<uint8_t, D> bytes;
  const int64_t row = p.width * p.lanes, column = p.lanes;
  ForSideBySide<kSide>(d, p, begin, end, [&](int64_t corner, int64_t to) HWY_ATTR {
    auto best = LoadVector(d, x + corner);
    auto number = hn::Zero(ints);
    for (int k = 1; k < kSide * kSide; ++k) {
      const auto v = LoadVector(d, x + corner + k / kSide * row + k % kSide * column);
      const auto larger = TakesPlace(v, best);
      best = hn::IfThenElse(larger, v, best);
      number = hn::IfThenElse(hn::RebindMask(ints, larger), hn::Set(ints, k), number);
    }
    StoreVector(d, best, y + to);
    if (where != nullptr) {
      hn::StoreU(hn::DemoteTo(bytes, number), bytes, where + to);
    }
  });
}

// Values keep their bits, as integers of the type's width.
template <int kSide, class D, typename T>
void MaxBackwardSideBySide(D d, const Pool2d& p, const T* dy, const uint8_t* where, T* dx,
                           int64_t begin, int64_t end) {
  const hn::Rebind<T, D> bits;
  const hn::Rebind<uint8_t, D> bytes;
  const int64_t row = p.width * p.lanes, column = p.lanes;
  ClearRest(p, dx, begin, end);
  ForSideBySide<kSide>(d, p, begin, end, [&](int64_t corner, int64_t from) HWY_ATTR {
    const auto v = hn::LoadU(bits, dy + from);
    const auto at = hn::PromoteTo(bits, hn::LoadU(bytes, where + from));
    for (int k = 0; k < kSide * kSide; ++k) {
      const auto here = hn::Eq(at, hn::Set(bits, static_cast<T>(k)));
      hn::StoreU(hn::IfThenElseZero(here, v), bits,
                 dx + corner + k / kSide * row + k % kSide * column);
    }
  });
}

template <int kSide, class D, typename T>
void AverageForwardSideBySide(D d, const Pool2d& p, const T* x, T* y, int64_t begin, int64_t end) {
  const auto share = hn::Set(d, 1.0f / (kSide * kSide));
  const int64_t row = p.width * p.lanes, column = p.lanes;
  ForSideBySide<kSide>(d, p, begin, end, [&](int64_t corner, int64_t to) HWY_ATTR {
    auto sum = LoadVector(d, x + corner);
    for (int k = 1; k < kSide * kSide; ++k) {
      sum = hn::Add(sum, LoadVector(d, x + corner + k / kSide * row + k % kSide * column));
    }
    StoreVector(d, hn::Mul(sum, share), y + to);
  });
}

template <int kSide, class D, typename T>
void AverageBackwardSideBySide(D d, const Pool2d& p, const T* dy, T* dx, int64_t begin,
                               int64_t end) {
  const auto share = hn::Set(d, 1.0f / (kSide * kSide));
  const int64_t row = p.width * p.lanes, column = p.lanes;
  ClearRest(p, dx, begin, end);
  ForSideBySide<kSide>(d, p, begin, end, [&](int64_t corner, int64_t from) HWY_ATTR {
    const auto v = hn::Mul(LoadVector(d, dy + from), share);
    for (int k = 0; k < kSide * kSide; ++k) {
      StoreVector(d, v, dx + corner + k / kSide * row + k % kSide * column);
    }
  });
}

// Any windows: dx gathers what the windows over it say. term(v's place, number of the element in
// the window, rows and columns of the window inside) is a vector.
template <class D, typename T, typename Term>
void Gather(D d, const Pool2d& p, T* dx, int64_t begin, int64_t end, Term&& term) {
  const auto step = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t plane = begin; plane < end; ++plane) {
    T* to = dx + plane * p.height * p.width * p.lanes;
    for (int64_t h = 0; h < p.height; ++h) {
      const Range rows = OutputsOver(h, p.kernel_height, p.stride, p.padding_top, p.out_height);
      for (int64_t w = 0; w < p.width; ++w) {
        const Range columns = OutputsOver(w, p.kernel_width, p.stride, p.padding_left, p.out_width);
        for (int64_t lane = 0; lane < p.lanes; lane += step, to += step) {
          auto sum = hn::Zero(d);
          for (int64_t r = rows.first; r < rows.last; ++r) {
            const int64_t i = h + p.padding_top - r * p.stride;
            for (int64_t c = columns.first; c < columns.last; ++c) {
              const int64_t j = w + p.padding_left - c * p.stride;
              const int64_t at = ((plane * p.out_height + r) * p.out_width + c) * p.lanes + lane;
              sum = hn::Add(sum, term(at, i * p.kernel_width + j, r, c));
            }
          }
          StoreVector(d, sum, to);
        }
      }
    }
  }
}

template <class D, typename T>
void MaxBackward(D d, const Pool2d& p, const T* dy, const uint8_t* where, T* dx, int64_t begin,
                 int64_t end) {
  const hn::RebindToSigned<D> ints;
  const hn::Rebind<uint8_t, D> bytes;
  Gather(d, p, dx, begin, end, [&](int64_t at, int64_t number, int64_t, int64_t) {
    const auto largest = hn::PromoteTo(ints, hn::LoadU(bytes, where + at));
    const auto here = hn::Eq(largest, hn::Set(ints, static_cast<int32_t>(number)));
    return hn::IfThenElseZero(hn::RebindMask(d, here), LoadVector(d, dy + at));
  });
}

// All windows lie inside the picture.
bool AllInside(const Pool2d& p) {
  return p.padding_top == 0 && p.padding_left == 0 &&
         (p.out_height - 1) * p.stride + p.kernel_height <= p.height &&
         (p.out_width - 1) * p.stride + p.kernel_width <= p.width;
}

// 1 / the number of elements of window (r, c) inside the picture.
HWY_INLINE float ShareOf(const Pool2d& p, int64_t r, int64_t c) {
  const Range rows = Inside(r, p.kernel_height, p.stride, p.padding_top, p.height);
  const Range columns = Inside(c, p.kernel_width, p.stride, p.padding_left, p.width);
  return 1 / static_cast<float>((rows.last - rows.first) * (columns.last - columns.first));
}

template <class D, typename T>
void AverageForward(D d, const Pool2d& p, const T* x, T* y, int64_t begin, int64_t end) {
  const auto step = static_cast<int64_t>(hn::Lanes(d));
  T* to = y + begin * p.out_height * p.out_width * p.lanes;
  for (int64_t plane = begin; plane < end; ++plane) {
    const T* from = x + plane * p.height * p.width * p.lanes;
    for (int64_t r = 0; r < p.out_height; ++r) {
      const Range rows = Inside(r, p.kernel_height, p.stride, p.padding_top, p.height);
      for (int64_t c = 0; c < p.out_width; ++c) {
        const Range columns = Inside(c, p.kernel_width, p.stride, p.padding_left, p.width);
        const auto share = hn::Set(d, ShareOf(p, r, c));
        const T* corner =
            from +
            ((r * p.stride - p.padding_top) * p.width + c * p.stride - p.padding_left) * p.lanes;
        for (int64_t lane = 0; lane < p.lanes; lane += step, to += step) {
          auto sum = hn::Zero(d);
          for (int64_t i = rows.first; i < rows.last; ++i) {
            for (int64_t j = columns.first; j < columns.last; ++j) {
              sum = hn::Add(sum, LoadVector(d, corner + (i * p.width + j) * p.lanes + lane));
            }
          }
          StoreVector(d, hn::Mul(sum, share), to);
        }
      }
    }
  }
}

template <class D, typename T>
void AverageBackward(D d, const Pool2d& p, const T* dy, T* dx, int64_t begin, int64_t end) {
  const bool all_inside = AllInside(p);
  const auto share = hn::Set(d, ShareOf(p, 0, 0));
  Gather(d, p, dx, begin, end, [&](int64_t at, int64_t, int64_t r, int64_t c) {
    return hn::Mul(LoadVector(d, dy + at), all_inside ? share : hn::Set(d, ShareOf(p, r, c)));
  });
}

// body(a tag of as many floats as vectors may hold, the element type, the window's side where
// windows lie side by side in the picture and are small, else 0)
template <typename Body>
void Choose(const Pool2d& p, DType dtype, Body&& body) {
  const bool side_by_side =
      p.kernel_height == p.stride && p.kernel_width == p.stride && AllInside(p);
  Dispatch(dtype, [&](auto tag) {
    const auto with_side = [&](auto d) {
      if (side_by_side && p.stride == 2) {
        body(d, tag, std::integral_constant<int, 2>());
      } else if (side_by_side && p.stride == 3) {
        body(d, tag, std::integral_constant<int, 3>());
      } else {
        body(d, tag, std::integral_constant<int, 0>());
      }
    };
    if (p.lanes % 16 == 0) {
      with_side(hn::CappedTag<float, 16>());
    } else {
      with_side(hn::CappedTag<float, 8>());
    }
  });
}

void MaxForwardT(const Pool2d& p, DType dtype, const void* x, void* y, uint8_t* where,
                 int64_t begin, int64_t end) {
  Choose(p, dtype, [&](auto d, auto tag, auto side) {
    using T = decltype(tag);
    if constexpr (side() > 0) {
      MaxForwardSideBySide<side()>(d, p, static_cast<const T*>(x), static_cast<T*>(y), where, begin,
                                   end);
    } else {
      MaxForward(d, p, static_cast<const T*>(x), static_cast<T*>(y), where, begin, end);
    }
  });
}

void MaxBackwardT(const Pool2d& p, DType dtype, const void* dy, const uint8_t* where, void* dx,
                  int64_t begin, int64_t end) {
  Choose(p, dtype, [&](auto d, auto tag, auto side) {
    using T = decltype(tag);
    if constexpr (side() > 0) {
      using Bits = hwy::MakeUnsigned<T>;
      MaxBackwardSideBySide<side()>(d, p, static_cast<const Bits*>(dy), where,
                                    static_cast<Bits*>(dx), begin, end);
    } else {
      MaxBackward(d, p, static_cast<const T*>(dy), where, static_cast<T*>(dx), begin, end);
    }
  });
}

void AverageForwardT(const Pool2d& p, DType dtype, const void* x, void* y, int64_t begin,
                     int64_t end) {
  Choose(p, dtype, [&](auto d, auto tag, auto side) {
    using T = decltype(tag);
    if constexpr (side() > 0) {
      AverageForwardSideBySide<side()>(d, p, static_cast<const T*>(x), static_cast<T*>(y), begin,
                                       end);
    } else {
      AverageForward(d, p, static_cast<const T*>(x), static_cast<T*>(y), begin, end);
    }
  });
}

void AverageBackwardT(const Pool2d& p, DType dtype, const void* dy, void* dx, int64_t begin,
                      int64_t end) {
  Choose(p, dtype, [&](auto d, auto tag, auto side) {
    using T = decltype(tag);
    if constexpr (side() > 0) {
      AverageBackwardSideBySide<side()>(d, p, static_cast<const T*>(dy), static_cast<T*>(dx), begin,
                                        end);
    } else {
      AverageBackward(d, p, static_cast<const T*>(dy), static_cast<T*>(dx), begin, end);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(MaxForwardT);
HWY_EXPORT(MaxBackwardT);
HWY_EXPORT(AverageForwardT);
HWY_EXPORT(AverageBackwardT);

void MaxPool(const Pool2d& pool, DType dtype, const void* x, void* y, uint8_t* where, int64_t begin,
             int64_t end) {
  HWY_DYNAMIC_DISPATCH(MaxForwardT)(pool, dtype, x, y, where, begin, end);
}

void MaxPoolGradient(const Pool2d& pool, DType dtype, const void* dy, const uint8_t* where,
                     void* dx, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(MaxBackwardT)(pool, dtype, dy, where, dx, begin, end);
}

void AveragePool(const Pool2d& pool, DType dtype, const void* x, void* y, int64_t begin,
                 int64_t end) {
  HWY_DYNAMIC_DISPATCH(AverageForwardT)(pool, dtype, x, y, begin, end);
}

void AveragePoolGradient(const Pool2d& pool, DType dtype, const void* dy, void* dx, int64_t begin,
                         int64_t end) {
  HWY_DYNAMIC_DISPATCH(AverageBackwardT)(pool, dtype, dy, dx, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
