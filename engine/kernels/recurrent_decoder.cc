#include "engine/kernels/recurrent_decoder.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/recurrent_decoder.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/recurrent_decoder-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

// A panel for each kPanel vectors of columns: a row of it for each of the depth.
int64_t PanelFloatsT(int64_t rows, int64_t columns, bool transposed) {
  return transposed ? Pitch(rows) * columns : Pitch(columns) * rows;
}

void PackPanelsT(const float* weight, int64_t rows, int64_t columns, bool transposed,
                 float* packed) {
  const int64_t side = kPanel * Lanes();
  const int64_t depth = transposed ? columns : rows, width = transposed ? rows : columns;
  for (int64_t first = 0; first < width; first += side) {
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t j = first; j < first + side; ++j) {
        *packed++ = j >= width   ? 0.0f
                    : transposed ? weight[j * columns + k]
                                 : weight[k * columns + j];
      }
    }
  }
}

// scores[s] = v · tanh(q + k_s) of `count` keys. Where `tanh` is not null it gets those functions,
// a row of RoundUp(width, lanes) for each key.
HWY_INLINE void Scores(const float* query, const float* keys, const float* score, int64_t count,
                       int64_t width, float* scores, float* tanh) {
  const F f;
  const int64_t lanes = Lanes(), pitch = RoundUp(width, lanes);
  for (int64_t s = 0; s < count; ++s) {
    const float* key = keys + s * width;
    V sum = hn::Zero(f);
    for (int64_t j = 0; j < width; j += lanes) {
      const int64_t left = width - j;
      const V t =
          StateTanh(hn::Add(LoadSome(query + j, left, lanes), LoadSome(key + j, left, lanes)));
      if (tanh != nullptr) {
        hn::StoreU(t, f, tanh + s * pitch + j);
      }
      sum = hn::MulAdd(LoadSome(score + j, left, lanes), t, sum);
    }
    scores[s] = hn::GetLane(hn::SumOfLanes(f, sum));
  }
}

// The scores become their exponentials, beside the largest; c comes to y. The logarithm of the sum.
HWY_INLINE float Look(const RecurrentDecoder& d, const float* query, const float* keys,
                      const float* values, const float* score, int64_t count, float* weights,
                      float* y, float& share) {
  share = 0;
  if (count == 0) {
    std::fill_n(y, d.values, 0.0f);
    return 0;
  }
  Scores(query, keys, score, count, d.keys, weights, nullptr);
  const float log_sum = Exponentials(weights, count, share);
  Mix(weights, share, values, count, d.values, y);
  return log_sum;
}

// The scratch memory of a part, for either pass.
struct Small : Steps {
  int64_t keys, values;              // pitches
  float *query, *context;            // [sequences, pitch]
  float *weights, *dweights, *tanh;  // [key rows], and of tanh rows of keys
};

int64_t RecurrentDecoderScratchT(const RecurrentDecoder& d, int64_t sequences, int64_t key_rows) {
  return FloatsOfSteps(d, sequences) + sequences * (Pitch(d.keys) + Pitch(d.values)) +
         (d.keys > 0 ? key_rows * (2 + RoundUp(d.keys, Lanes())) : 0);
}

Small PlaceSmall(const RecurrentDecoder& d, const SequencePart& part, int64_t most_keys,
                 float* scratch) {
  Small s = {};
  scratch = PlaceSteps(d, part, scratch, s);
  s.keys = Pitch(d.keys);
  s.values = Pitch(d.values);
  s.query = scratch;
  s.context = s.query + part.count() * s.keys;
  s.weights = s.context + part.count() * s.values;
  s.dweights = s.weights + most_keys;
  s.tanh = s.dweights + most_keys;
  return s;
}

void RunRecurrentDecoderT(const RecurrentDecoder& d, const SequencePart& part,
                          const RecurrentDecoderArrays& a, float* scratch) {
  const Small s = PlaceSmall(d, part, MostKeys(d, part, a.key_offsets), scratch);
  const int64_t columns = GatesOf(d.cell) * d.units;
  BeginStates(d, part, a, s);
  const auto states = [&](int64_t i) { return s.states + i * s.units; };
  for (int64_t t = 0, steps = StepsOf(part, s); t < steps; ++t) {
    const int64_t active = BeginStep(part, s, t);
    if (d.keys > 0) {
      Product(states, active, d.units, a.query, d.keys, s.query, false);
      for (int64_t i = 0; i < active; ++i) {
        const int64_t first = a.key_offsets[s.sequence[i]], token = s.token[i];
        const int64_t count = a.key_offsets[s.sequence[i] + 1] - first;
        const float* query = s.query + i * s.keys;
        float* context = s.context + i * s.values;
        float share = 0;
        const float log_sum = Look(d, query, a.keys + first * d.keys, a.values + first * d.values,
                                   a.score, count, s.weights, context, share);
        if (a.queries != nullptr) {
          std::copy_n(query, d.keys, a.queries + token * d.keys);
        }
        if (a.contexts != nullptr) {
          std::copy_n(context, d.values, a.contexts + token * d.values);
        }
        if (a.log_sums != nullptr) {
          a.log_sums[token] = log_sum;
        }
      }
      Product([&](int64_t i) { return s.context + i * s.values; }, active, d.values, a.context,
              columns, s.input, false);
    }
    Product(states, active, d.units, a.weight, columns, s.product, false);
    RunCells(CellStep<RecurrentDecoderArrays>{d, a, s, a.y, d.units}, active);
  }
}

// From the gradient of a token's c to those of its q, and of the keys and values that it looked at.
HWY_INLINE void LookBack(const RecurrentDecoder& d, const RecurrentDecoderGradientArrays& a,
                         const Small& s, int32_t sequence, int64_t token, const float* dcontext) {
  const F f;
  const int64_t lanes = Lanes(), pitch = RoundUp(d.keys, lanes);
  const int64_t first = a.key_offsets[sequence], count = a.key_offsets[sequence + 1] - first;
  float* dquery = a.dqueries + token * d.keys;
  std::fill_n(dquery, d.keys, 0.0f);
  Scores(a.queries + token * d.keys, a.keys + first * d.keys, a.score, count, d.keys, s.weights,
         s.tanh);
  if (count > 0) {
    RowExp(s.weights, count, a.log_sums[token], s.weights);
  }
  float total = 0;
  for (int64_t k = 0; k < count; ++k) {
    s.dweights[k] = ScalarProduct(dcontext, a.values + (first + k) * d.values, d.values);
    total += s.weights[k] * s.dweights[k];
  }
  const V one = hn::Set(f, 1.0f);
  for (int64_t k = 0; k < count; ++k) {
    AddScaled(s.weights[k], dcontext, d.values, a.dvalues + (first + k) * d.values);
    const V dscore = hn::Set(f, s.weights[k] * (s.dweights[k] - total));
    float* dkey = a.dkeys + (first + k) * d.keys;
    for (int64_t j = 0; j < d.keys; j += lanes) {
      const int64_t left = d.keys - j;
      const auto add = [&](V more, float* to) {
        StoreSome(hn::Add(LoadSome(to + j, left, lanes), more), to + j, left, lanes);
      };
      const V tanh = hn::LoadU(f, s.tanh + k * pitch + j);
      const V dsum = hn::Mul(hn::Mul(dscore, LoadSome(a.score + j, left, lanes)),
                             hn::NegMulAdd(tanh, tanh, one));
      add(hn::Mul(dscore, tanh), a.dscore);
      add(dsum, dkey);
      add(dsum, dquery);
    }
  }
}

void RunRecurrentDecoderGradientT(const RecurrentDecoder& d, const SequencePart& part,
                                  const RecurrentDecoderGradientArrays& a, float* scratch) {
  const Small s = PlaceSmall(d, part, MostKeys(d, part, a.key_offsets), scratch);
  const int64_t columns = GatesOf(d.cell) * d.units;
  float* dstates = s.states;
  std::fill_n(dstates, part.count() * s.units, 0.0f);
  std::fill_n(s.cells, part.count() * s.units, 0.0f);
  if (d.keys > 0) {
    std::fill_n(a.dscore, d.keys, 0.0f);
    for (int64_t i = 0; i < part.count(); ++i) {
      const int64_t first = a.key_offsets[s.sequence[i]];
      const int64_t count = a.key_offsets[s.sequence[i] + 1] - first;
      std::fill_n(a.dkeys + first * d.keys, count * d.keys, 0.0f);
      std::fill_n(a.dvalues + first * d.values, count * d.values, 0.0f);
    }
  }
  for (int64_t t = StepsOf(part, s) - 1; t >= 0; --t) {
    const int64_t active = BeginStep(part, s, t);
    RunCellsBack(
        d, a, s, t, active, [&](int64_t token) { return a.y + token * d.units; },
        [&](int64_t i, int64_t token, int64_t unit) {
          return hn::Add(LoadSome(a.dy + token * d.units + unit, d.units - unit, Lanes()),
                         hn::LoadU(F(), dstates + i * s.units + unit));
        });
    if (d.keys > 0) {
      Product([&](int64_t i) { return a.dgates + s.token[i] * columns; }, active, columns,
              a.context, d.values, s.context, false);
      for (int64_t i = 0; i < active; ++i) {
        LookBack(d, a, s, s.sequence[i], s.token[i], s.context + i * s.values);
      }
      Product([&](int64_t i) { return a.dqueries + s.token[i] * d.keys; }, active, d.keys, a.query,
              d.units, dstates, true);
    }
  }
  LeaveStart(d, part, a, s);
}

void AttendAdditiveT(const RecurrentDecoder& d, const float* query, const float* keys,
                     const float* values, const float* score, int64_t count, float* y,
                     float* weights) {
  float share = 0;
  Look(d, query, keys, values, score, count, weights, y, share);
  const V repeated = hn::Set(F(), share);
  Map(count, weights, weights, [&](V x) { return hn::Mul(x, repeated); });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(PanelFloatsT);
HWY_EXPORT(PackPanelsT);
HWY_EXPORT(RecurrentDecoderScratchT);
HWY_EXPORT(RunRecurrentDecoderT);
HWY_EXPORT(RunRecurrentDecoderGradientT);
HWY_EXPORT(AttendAdditiveT);

int64_t PanelFloats(int64_t rows, int64_t columns, bool transposed) {
  return HWY_DYNAMIC_DISPATCH(PanelFloatsT)(rows, columns, transposed);
}
void PackPanels(const float* weight, int64_t rows, int64_t columns, bool transposed,
                float* packed) {
  HWY_DYNAMIC_DISPATCH(PackPanelsT)(weight, rows, columns, transposed, packed);
}
int64_t RecurrentDecoderScratch(const RecurrentDecoder& d, int64_t sequences, int64_t key_rows) {
  return HWY_DYNAMIC_DISPATCH(RecurrentDecoderScratchT)(d, sequences, key_rows);
}
void RunRecurrentDecoder(const RecurrentDecoder& d, const SequencePart& part,
                         const RecurrentDecoderArrays& arrays, float* scratch) {
  HWY_DYNAMIC_DISPATCH(RunRecurrentDecoderT)(d, part, arrays, scratch);
}
void RunRecurrentDecoderGradient(const RecurrentDecoder& d, const SequencePart& part,
                                 const RecurrentDecoderGradientArrays& arrays, float* scratch) {
  HWY_DYNAMIC_DISPATCH(RunRecurrentDecoderGradientT)(d, part, arrays, scratch);
}
void AttendAdditive(const RecurrentDecoder& d, const float* query, const float* keys,
                    const float* values, const float* score, int64_t count, float* y,
                    float* weights) {
  HWY_DYNAMIC_DISPATCH(AttendAdditiveT)(d, query, keys, values, score, count, y, weights);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
