#include "engine/kernels/max_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/max_pool.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// foreach_target.h comes first
#include "engine/kernels/vector-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// AVX-512 and what is above it: better targets have smaller numbers.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3

bool HasMaxPoolT() { return true; }

constexpr int64_t kBlock = 16;
using F = hn::FixedTag<float, 16>;
using I = hn::FixedTag<int32_t, 16>;
using B = hn::FixedTag<uint8_t, 16>;

template <typename T>
void Forward(const BlockedPool& p, const T* x, T* y, uint8_t* where, int64_t begin, int64_t end) {
  const F f;
  const I ints;
  const B bytes;
  const int64_t rows = p.height / p.size, columns = p.width / p.size;
  for (int64_t plane = begin; plane < end; ++plane) {
    const T* from = x + plane * p.height * p.width * kBlock;
    int64_t to = plane * rows * columns * kBlock;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c, to += kBlock) {
        const T* corner = from + (r * p.size * p.width + c * p.size) * kBlock;
        auto best = LoadVector(f, corner);
        auto at = hn::Zero(ints);
        for (int64_t i = 0; i < p.size; ++i) {
          for (int64_t j = i == 0 ? 1 : 0; j < p.size; ++j) {
            const auto v = LoadVector(f, corner + (i * p.width + j) * kBlock);
            const auto larger = hn::Gt(v, best);
            best = hn::IfThenElse(larger, v, best);
            at = hn::IfThenElse(hn::RebindMask(ints, larger),
                                hn::Set(ints, static_cast<int32_t>(i * p.size + j)), at);
          }
        }
        StoreVector(f, best, y + to);
        if (where != nullptr) {
          hn::StoreU(hn::DemoteTo(bytes, at), bytes, where + to);
        }
      }
    }
  }
}

// Values keep their bits: as integers of the type's width.
template <typename T, class D>
void Backward(D d, const BlockedPool& p, const T* dy, const uint8_t* where, T* dx, int64_t begin,
              int64_t end) {
  const B bytes;
  const int64_t rows = p.height / p.size, columns = p.width / p.size;
  const auto zero = hn::Zero(d);
  for (int64_t plane = begin; plane < end; ++plane) {
    T* to = dx + plane * p.height * p.width * kBlock;
    int64_t from = plane * rows * columns * kBlock;
    const auto clear = [&](int64_t row, int64_t first_column) {
      for (int64_t w = first_column; w < p.width; ++w) {
        hn::StoreU(zero, d, to + (row * p.width + w) * kBlock);
      }
    };
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c, from += kBlock) {
        const auto v = hn::LoadU(d, dy + from);
        const auto at = hn::PromoteTo(d, hn::LoadU(bytes, where + from));
        T* corner = to + (r * p.size * p.width + c * p.size) * kBlock;
        for (int64_t i = 0; i < p.size; ++i) {
          for (int64_t j = 0; j < p.size; ++j) {
            const auto here = hn::Eq(at, hn::Set(d, static_cast<T>(i * p.size + j)));
            hn::StoreU(hn::IfThenElseZero(here, v), d, corner + (i * p.width + j) * kBlock);
          }
        }
      }
      for (int64_t i = 0; i < p.size; ++i) {
        clear(r * p.size + i, columns * p.size);
      }
    }
    for (int64_t row = rows * p.size; row < p.height; ++row) {
      clear(row, 0);
    }
  }
}

void ForwardT(const BlockedPool& p, DType dtype, const void* x, void* y, uint8_t* where,
              int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    Forward(p, static_cast<const T*>(x), static_cast<T*>(y), where, begin, end);
  });
}

void BackwardT(const BlockedPool& p, DType dtype, const void* dy, const uint8_t* where, void* dx,
               int64_t begin, int64_t end) {
  if (dtype == DType::kBf16) {
    Backward(hn::FixedTag<uint16_t, 16>(), p, static_cast<const uint16_t*>(dy), where,
             static_cast<uint16_t*>(dx), begin, end);
  } else {
    Backward(hn::FixedTag<uint32_t, 16>(), p, static_cast<const uint32_t*>(dy), where,
             static_cast<uint32_t*>(dx), begin, end);
  }
}

#else

bool HasMaxPoolT() { return false; }

void ForwardT(const BlockedPool&, DType, const void*, void*, uint8_t*, int64_t, int64_t) {}
void BackwardT(const BlockedPool&, DType, const void*, const uint8_t*, void*, int64_t, int64_t) {}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(HasMaxPoolT);
HWY_EXPORT(ForwardT);
HWY_EXPORT(BackwardT);

bool HasBlockedMaxPool() { return HWY_DYNAMIC_DISPATCH(HasMaxPoolT)(); }

void BlockedMaxPool(const BlockedPool& pool, DType dtype, const void* x, void* y, uint8_t* where,
                    int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(ForwardT)(pool, dtype, x, y, where, begin, end);
}

void BlockedMaxPoolGradient(const BlockedPool& pool, DType dtype, const void* dy,
                            const uint8_t* where, void* dx, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(BackwardT)(pool, dtype, dy, where, dx, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
