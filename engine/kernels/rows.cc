#include "engine/kernels/rows.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/rows.cc"
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

// body(tag, j) for the parts of a row of `width` floats: whole vectors, then vectors of four, then
// single ones.
template <class Body>
HWY_INLINE void ForParts(int64_t width, const Body& body) {
  const hn::ScalableTag<float> whole;
  const hn::CappedTag<float, 4> four;
  const hn::CappedTag<float, 1> one;
  const auto lanes = static_cast<int64_t>(hn::Lanes(whole));
  const auto few = static_cast<int64_t>(hn::Lanes(four));
  int64_t j = 0;
  for (; j + lanes <= width; j += lanes) {
    body(whole, j);
  }
  for (; j + few <= width; j += few) {
    body(four, j);
  }
  for (; j < width; ++j) {
    body(one, j);
  }
}

HWY_INLINE float Widened(float x) { return x; }
HWY_INLINE float Widened(uint16_t x) { return FromBf16(x); }

// The empty asm keeps the compiler from making each loop a call of memcpy again.
HWY_INLINE void CopyRow(const float* from, int64_t width, float* to) {
  ForParts(width, [&](auto d, int64_t j) {
    hn::StoreU(hn::LoadU(d, from + j), d, to + j);
    asm volatile("");
  });
}

void GatherRowsT(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                 int64_t end) {
  if (width == 1) {
    for (int64_t i = begin; i < end; ++i) {
      to[i] = from[rows[i]];
    }
    return;
  }
  ForWidth(width, [&](auto floats) {
    for (int64_t i = begin; i < end; ++i) {
      CopyRow(from + rows[i] * floats, floats, to + i * floats);
    }
  });
}

void GatherRowsAsT(DType from_type, const void* from, const int32_t* rows, int64_t width,
                   DType to_type, void* to, int64_t begin, int64_t end) {
  Dispatch(from_type, [&](auto source) {
    Dispatch(to_type, [&](auto target) {
      for (int64_t i = begin; i < end; ++i) {
        const auto* row = static_cast<const decltype(source)*>(from) + rows[i] * width;
        auto* copy = static_cast<decltype(target)*>(to) + i * width;
        ForParts(width,
                 [&](auto d, int64_t j) { StoreVector(d, LoadVector(d, row + j), copy + j); });
      }
    });
  });
}

void ScatterRowsT(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                  int64_t end) {
  if (width == 1) {
    for (int64_t i = begin; i < end; ++i) {
      to[rows[i]] = from[i];
    }
    return;
  }
  ForWidth(width, [&](auto floats) {
    for (int64_t i = begin; i < end; ++i) {
      CopyRow(from + i * floats, floats, to + rows[i] * floats);
    }
  });
}

template <typename T>
void AddRowsOf(const T* x, const int32_t* rows, int64_t count, int64_t width, float* sums,
               int64_t begin, int64_t end) {
  if (width == 1) {
    for (int64_t i = 0; i < count; ++i) {
      if (rows[i] >= begin && rows[i] < end) {
        sums[rows[i]] += Widened(x[i]);
      }
    }
    return;
  }
  ForWidth(width, [&](auto floats) {
    for (int64_t i = 0; i < count; ++i) {
      if (rows[i] < begin || rows[i] >= end) {
        continue;
      }
      const T* more = x + i * floats;
      float* sum = sums + rows[i] * floats;
      ForParts(floats, [&](auto d, int64_t j) {
        hn::StoreU(hn::Add(hn::LoadU(d, sum + j), LoadVector(d, more + j)), d, sum + j);
      });
    }
  });
}

void AddToRowsT(DType dtype, const void* x, const int32_t* rows, int64_t count, int64_t width,
                float* sums, int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto type) {
    AddRowsOf(static_cast<const decltype(type)*>(x), rows, count, width, sums, begin, end);
  });
}

void SumPartsT(std::span<const float* const> parts, const int32_t* places, const float* zeros,
               int64_t width, float* to, int64_t begin, int64_t end) {
  const auto count = static_cast<int64_t>(parts.size());
  // Chosen without a jump: which parts have a row is chance.
  const auto row = [&](int64_t i, int64_t p) {
    const int64_t place = places[i * count + p];
    const float* there = parts[static_cast<size_t>(p)] + std::max<int64_t>(place, 0) * width;
    return place < 0 ? zeros : there;
  };
  for (int64_t i = begin; i < end; ++i) {
    if (width == 1) {
      float sum = 0;
      for (int64_t p = 0; p < count; ++p) {
        sum += *row(i, p);
      }
      to[i] = sum;
      continue;
    }
    float* sum = to + i * width;
    const float* so_far = row(i, 0);
    for (int64_t p = 1; p < std::max<int64_t>(count, 2); ++p) {
      const float* more = p < count ? row(i, p) : zeros;
      ForParts(width, [&](auto d, int64_t j) {
        hn::StoreU(hn::Add(hn::LoadU(d, so_far + j), hn::LoadU(d, more + j)), d, sum + j);
      });
      so_far = sum;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(GatherRowsT);
HWY_EXPORT(GatherRowsAsT);
HWY_EXPORT(ScatterRowsT);
HWY_EXPORT(AddToRowsT);
HWY_EXPORT(SumPartsT);

void GatherRows(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                int64_t end) {
  HWY_DYNAMIC_DISPATCH(GatherRowsT)(from, rows, width, to, begin, end);
}
void GatherRowsAs(DType from_type, const void* from, const int32_t* rows, int64_t width,
                  DType to_type, void* to, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(GatherRowsAsT)(from_type, from, rows, width, to_type, to, begin, end);
}
void ScatterRows(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                 int64_t end) {
  HWY_DYNAMIC_DISPATCH(ScatterRowsT)(from, rows, width, to, begin, end);
}
void AddToRows(DType dtype, const void* x, const int32_t* rows, int64_t count, int64_t width,
               float* sums, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(AddToRowsT)(dtype, x, rows, count, width, sums, begin, end);
}
void SumParts(std::span<const float* const> parts, const int32_t* places, const float* zeros,
              int64_t width, float* to, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(SumPartsT)(parts, places, zeros, width, to, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
