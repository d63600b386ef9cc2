#include "engine/kernels/feeding_decoder.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/feeding_decoder.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/recurrent_decoder-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

// The scratch memory of a part, for either pass: f and h' and c, or what comes back to them.
struct FeedingSteps : Steps {
  int64_t keys, seen_row;     // pitches
  float *fed, *query, *seen;  // [sequences, pitch]
  float *weights, *dweights;  // [key rows]
};

int64_t FeedingDecoderScratchT(const RecurrentDecoder& d, int64_t sequences, int64_t key_rows) {
  return FloatsOfSteps(d, sequences) +
         sequences * (Pitch(d.units) + Pitch(d.values) + Pitch(d.units + d.values)) + 2 * key_rows;
}

FeedingSteps PlaceFeedingSteps(const RecurrentDecoder& d, const SequencePart& part,
                               int64_t most_keys, float* scratch) {
  FeedingSteps s = {};
  s.fed = PlaceSteps(d, part, scratch, s);
  s.keys = Pitch(d.values);
  s.seen_row = Pitch(d.units + d.values);
  s.query = s.fed + part.count() * s.units;
  s.seen = s.query + part.count() * s.keys;
  s.weights = s.seen + part.count() * s.seen_row;
  s.dweights = s.weights + most_keys;
  return s;
}

// scores[s] = q · u_s
HWY_INLINE void DotScores(const float* query, const float* values, int64_t count, int64_t width,
                          float* scores) {
  for (int64_t k = 0; k < count; ++k) {
    scores[k] = ScalarProduct(query, values + k * width, width);
  }
}

void RunFeedingDecoderT(const RecurrentDecoder& d, const SequencePart& part,
                        const FeedingDecoderArrays& a, float* scratch) {
  const F f;
  const FeedingSteps s = PlaceFeedingSteps(d, part, MostKeys(d, part, a.key_offsets), scratch);
  const int64_t columns = GatesOf(d.cell) * d.units, width = d.units + d.values, lanes = Lanes();
  BeginStates(d, part, a, s);
  std::fill_n(s.fed, part.count() * s.units, 0.0f);
  const auto states = [&](int64_t i) { return s.states + i * s.units; };
  const auto fed = [&](int64_t i) { return s.fed + i * s.units; };
  const auto seen = [&](int64_t i) { return a.seen + s.token[i] * width; };
  for (int64_t t = 0, steps = StepsOf(part, s); t < steps; ++t) {
    const int64_t active = BeginStep(part, s, t);
    Product(fed, active, d.units, a.feed, columns, s.input, false);
    Product(states, active, d.units, a.weight, columns, s.product, false);
    RunCells(CellStep<FeedingDecoderArrays>{d, a, s, a.seen, width}, active);
    Product(states, active, d.units, a.query, d.values, s.query, false);
    for (int64_t i = 0; i < active; ++i) {
      const int64_t first = a.key_offsets[s.sequence[i]], token = s.token[i];
      const int64_t count = a.key_offsets[s.sequence[i] + 1] - first;
      const float *query = s.query + i * s.keys, *values = a.values + first * d.values;
      float log_sum = 0, share = 0;
      DotScores(query, values, count, d.values, s.weights);
      if (count > 0) {
        log_sum = Exponentials(s.weights, count, share);
      }
      Mix(s.weights, share, values, count, d.values, seen(i) + d.units);
      if (a.queries != nullptr) {
        std::copy_n(query, d.values, a.queries + token * d.values);
      }
      if (a.log_sums != nullptr) {
        a.log_sums[token] = log_sum;
      }
    }
    Product(seen, active, width, a.combine, d.units, s.fed, false);
    for (int64_t i = 0; i < active; ++i) {
      for (int64_t unit = 0; unit < d.units; unit += lanes) {
        const int64_t left = d.units - unit;
        const V sum = hn::LoadU(f, fed(i) + unit);
        const V y = StateTanh(hn::Add(sum, LoadSome(a.combine_bias + unit, left, lanes)));
        hn::StoreU(y, f, fed(i) + unit);
        StoreSome(y, a.y + s.token[i] * d.units + unit, left, lanes);
      }
    }
  }
}

// From the gradient of a token's c to those of its q, and of what it looked at.
HWY_INLINE void LookBackByDot(const RecurrentDecoder& d, const FeedingDecoderGradientArrays& a,
                              const FeedingSteps& s, int64_t i, const float* dcontext) {
  const int64_t token = s.token[i], first = a.key_offsets[s.sequence[i]];
  const int64_t count = a.key_offsets[s.sequence[i] + 1] - first;
  const float *query = a.queries + token * d.values, *values = a.values + first * d.values;
  float *dquery = a.dqueries + token * d.values, *dvalues = a.dvalues + first * d.values;
  std::fill_n(dquery, d.values, 0.0f);
  DotScores(query, values, count, d.values, s.weights);
  if (count > 0) {
    RowExp(s.weights, count, a.log_sums[token], s.weights);
  }
  DotScores(dcontext, values, count, d.values, s.dweights);
  float total = 0;
  for (int64_t k = 0; k < count; ++k) {
    total += s.weights[k] * s.dweights[k];
  }
  for (int64_t k = 0; k < count; ++k) {
    const float dscore = s.weights[k] * (s.dweights[k] - total);
    AddScaled(s.weights[k], dcontext, d.values, dvalues + k * d.values);
    AddScaled(dscore, query, d.values, dvalues + k * d.values);
    AddScaled(dscore, values + k * d.values, d.values, dquery);
  }
}

void RunFeedingDecoderGradientT(const RecurrentDecoder& d, const SequencePart& part,
                                const FeedingDecoderGradientArrays& a, float* scratch) {
  const F f;
  const FeedingSteps s = PlaceFeedingSteps(d, part, MostKeys(d, part, a.key_offsets), scratch);
  const int64_t columns = GatesOf(d.cell) * d.units, width = d.units + d.values, lanes = Lanes();
  // What comes back from the step behind.
  for (float* rows : {s.states, s.cells, s.fed}) {
    std::fill_n(rows, part.count() * s.units, 0.0f);
  }
  for (int64_t i = 0; i < part.count(); ++i) {
    const int64_t first = a.key_offsets[s.sequence[i]];
    const int64_t count = a.key_offsets[s.sequence[i] + 1] - first;
    std::fill_n(a.dvalues + first * d.values, count * d.values, 0.0f);
  }
  for (int64_t t = StepsOf(part, s) - 1; t >= 0; --t) {
    const int64_t active = BeginStep(part, s, t);
    for (int64_t i = 0; i < active; ++i) {
      const int64_t at = s.token[i] * d.units;
      for (int64_t unit = 0; unit < d.units; unit += lanes) {
        const int64_t left = d.units - unit;
        const V y = LoadSome(a.y + at + unit, left, lanes);
        const V dy = hn::Add(LoadSome(a.dy + at + unit, left, lanes),
                             hn::LoadU(f, s.fed + i * s.units + unit));
        StoreSome(hn::Mul(dy, hn::NegMulAdd(y, y, hn::Set(f, 1.0f))), a.dcombined + at + unit, left,
                  lanes);
      }
      if (t == 0) {
        std::fill_n(a.fed + at, d.units, 0.0f);
      } else {
        std::copy_n(a.y + at - d.units, d.units, a.fed + at);
      }
    }
    Product([&](int64_t i) { return a.dcombined + s.token[i] * d.units; }, active, d.units,
            a.combine, width, s.seen, false);
    for (int64_t i = 0; i < active; ++i) {
      const float* dseen = s.seen + i * s.seen_row;
      LookBackByDot(d, a, s, i, dseen + d.units);
      AddScaled(1, dseen, d.units, s.states + i * s.units);
    }
    Product([&](int64_t i) { return a.dqueries + s.token[i] * d.values; }, active, d.values,
            a.query, d.units, s.states, true);
    RunCellsBack(
        d, a, s, t, active, [&](int64_t token) { return a.seen + token * width; },
        [&](int64_t i, int64_t, int64_t unit) {
          return hn::LoadU(f, s.states + i * s.units + unit);
        });
    Product([&](int64_t i) { return a.dgates + s.token[i] * columns; }, active, columns, a.feed,
            d.units, s.fed, false);
  }
  LeaveStart(d, part, a, s);
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(FeedingDecoderScratchT);
HWY_EXPORT(RunFeedingDecoderT);
HWY_EXPORT(RunFeedingDecoderGradientT);

int64_t FeedingDecoderScratch(const RecurrentDecoder& d, int64_t sequences, int64_t key_rows) {
  return HWY_DYNAMIC_DISPATCH(FeedingDecoderScratchT)(d, sequences, key_rows);
}
void RunFeedingDecoder(const RecurrentDecoder& d, const SequencePart& part,
                       const FeedingDecoderArrays& arrays, float* scratch) {
  HWY_DYNAMIC_DISPATCH(RunFeedingDecoderT)(d, part, arrays, scratch);
}
void RunFeedingDecoderGradient(const RecurrentDecoder& d, const SequencePart& part,
                               const FeedingDecoderGradientArrays& arrays, float* scratch) {
  HWY_DYNAMIC_DISPATCH(RunFeedingDecoderGradientT)(d, part, arrays, scratch);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
