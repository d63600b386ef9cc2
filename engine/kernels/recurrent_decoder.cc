#include "engine/kernels/recurrent_decoder.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/recurrent_decoder.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/math-inl.h"
#include "engine/kernels/product-inl.h"
#include "engine/kernels/softmax-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

// Vectors of columns that a tile of a product has side by side.
constexpr int kPanel = 4;

HWY_INLINE int64_t Lanes() { return static_cast<int64_t>(hn::Lanes(F())); }
HWY_INLINE int64_t RoundUp(int64_t n, int64_t grain) { return (n + grain - 1) / grain * grain; }
// Floats from one row of a small matrix of so many columns to the next.
HWY_INLINE int64_t Pitch(int64_t columns) { return RoundUp(columns, kPanel * Lanes()); }

// 2 σ(2x) − 1: within 1e-7 absolutely, which is what states of at most 1 need.
HWY_INLINE V StateTanh(V x) {
  const F f;
  return hn::MulAdd(hn::Set(f, 2.0f), SigmoidOf(f, hn::Add(x, x)), hn::Set(f, -1.0f));
}

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

// out = rows · packed, or out += that, for `count` rows of `depth` numbers, of which the i-th lies
// at row(i). out is [count, Pitch(columns)].
template <typename Row>
HWY_INLINE void Product(const Row& row, int64_t count, int64_t depth, const float* packed,
                        int64_t columns, float* out, bool add) {
  const F f;
  const int64_t lanes = Lanes(), pitch = Pitch(columns), side = kPanel * lanes;
  for (int64_t j = 0; j < columns; j += side) {
    ForTiles<RowsInRegisters(kPanel)>(count, [&](auto constant, int64_t first) {
      constexpr int kRows = decltype(constant)::value;
      V sum[kRows][kPanel];
      const float* rows[kRows];
      for (int i = 0; i < kRows; ++i) {
        rows[i] = row(first + i);
        for (int c = 0; c < kPanel; ++c) {
          sum[i][c] = add ? hn::LoadU(f, out + (first + i) * pitch + j + c * lanes) : hn::Zero(f);
        }
      }
      AddProduct(rows, 1, depth, packed + j * depth, side, sum);
      for (int i = 0; i < kRows; ++i) {
        for (int c = 0; c < kPanel; ++c) {
          hn::StoreU(sum[i][c], f, out + (first + i) * pitch + j + c * lanes);
        }
      }
    });
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

// y = share · Σ weights_s · row s, of `count` rows.
HWY_INLINE void Mix(const float* weights, float share, const float* rows, int64_t count,
                    int64_t width, float* y) {
  const F f;
  const int64_t lanes = Lanes();
  for (int64_t j = 0; j < width; j += lanes) {
    V sum = hn::Zero(f);
    for (int64_t s = 0; s < count; ++s) {
      sum =
          hn::MulAdd(hn::Set(f, weights[s]), LoadSome(rows + s * width + j, width - j, lanes), sum);
    }
    StoreSome(hn::Mul(sum, hn::Set(f, share)), y + j, width - j, lanes);
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
  const float largest = RowMax(weights, count);
  const float sum = RowExp(weights, count, largest, weights);
  share = 1 / sum;
  Mix(weights, share, values, count, d.values, y);
  return largest + std::log(sum);
}

// The scratch memory of a part, for either pass.
struct Small {
  int64_t units, gates, keys, values;                         // pitches
  float *states, *cells, *input, *product, *query, *context;  // [sequences, pitch]
  int32_t *token, *sequence;
  float *weights, *dweights, *tanh;  // [key rows], and of tanh rows of keys
};

int64_t FloatsOfSequence(const RecurrentDecoder& d) {
  return 2 * Pitch(d.units) + 2 * Pitch(GatesOf(d.cell) * d.units) + Pitch(d.keys) +
         Pitch(d.values) + 2;
}

int64_t RecurrentDecoderScratchT(const RecurrentDecoder& d, int64_t sequences, int64_t key_rows) {
  return sequences * FloatsOfSequence(d) +
         (d.keys > 0 ? key_rows * (2 + RoundUp(d.keys, Lanes())) : 0);
}

Small PlaceSmall(const RecurrentDecoder& d, const SequencePart& part, int64_t most_keys,
                 float* scratch) {
  Small s = {};
  const int64_t n = part.count();
  s.units = Pitch(d.units);
  s.gates = Pitch(GatesOf(d.cell) * d.units);
  s.keys = Pitch(d.keys);
  s.values = Pitch(d.values);
  const auto take = [&](int64_t floats) {
    float* const at = scratch;
    scratch += floats;
    return at;
  };
  s.states = take(n * s.units);
  s.cells = take(n * s.units);
  s.input = take(n * s.gates);
  s.product = take(n * s.gates);
  s.query = take(n * s.keys);
  s.context = take(n * s.values);
  s.token = reinterpret_cast<int32_t*>(take(n));
  s.sequence = reinterpret_cast<int32_t*>(take(n));
  s.weights = take(most_keys);
  s.dweights = take(most_keys);
  s.tanh = scratch;
  for (int64_t i = 0; i < n; ++i) {
    s.sequence[i] = part.order[static_cast<size_t>(part.part + i * part.parts)];
  }
  return s;
}

int64_t LengthOf(const SequencePart& part, int32_t sequence) {
  const auto i = static_cast<size_t>(sequence);
  return part.offsets[i + 1] - part.offsets[i];
}

// How many of the part's sequences have a token at step t, the first ones; fills their tokens'
// rows.
int64_t BeginStep(const SequencePart& part, const Small& s, int64_t t) {
  int64_t active = 0;
  for (; active < part.count() && LengthOf(part, s.sequence[active]) > t; ++active) {
    s.token[active] =
        part.offsets[static_cast<size_t>(s.sequence[active])] + static_cast<int32_t>(t);
  }
  return active;
}

int64_t StepsOf(const SequencePart& part, const Small& s) {
  return part.count() == 0 ? 0 : LengthOf(part, s.sequence[0]);
}

int64_t MostKeys(const RecurrentDecoder& d, const SequencePart& part, const int32_t* key_offsets) {
  int64_t most = 0;
  for (size_t i = 0; d.keys > 0 && i + 1 < part.offsets.size(); ++i) {
    most = std::max<int64_t>(most, key_offsets[i + 1] - key_offsets[i]);
  }
  return most;
}

// The cell's functions of a vector of units from `unit` on, for row i of the small matrices.
struct CellStep {
  const RecurrentDecoder& d;
  const RecurrentDecoderArrays& a;
  const Small& s;

  HWY_INLINE V Given(int64_t i, int gate, int64_t unit) const {
    const int64_t left = d.units - unit, lanes = Lanes(), at = gate * d.units + unit;
    const V x = LoadSome(a.gates + s.token[i] * GatesOf(d.cell) * d.units + at, left, lanes);
    return d.keys > 0 ? hn::Add(x, LoadSome(s.input + i * s.gates + at, left, lanes)) : x;
  }
  HWY_INLINE V Product(int64_t i, int gate, int64_t unit) const {
    const int64_t left = d.units - unit, lanes = Lanes(), at = gate * d.units + unit;
    const V product = LoadSome(s.product + i * s.gates + at, left, lanes);
    return a.bias != nullptr ? hn::Add(product, LoadSome(a.bias + at, left, lanes)) : product;
  }
  HWY_INLINE void Keep(int64_t i, int block, int64_t unit, V v) const {
    if (a.kept != nullptr) {
      StoreSome(v, a.kept + (int64_t{s.token[i]} * 4 + block) * d.units + unit, d.units - unit,
                Lanes());
    }
  }
  HWY_INLINE void Leave(int64_t i, int64_t unit, V state) const {
    hn::StoreU(state, F(), s.states + i * s.units + unit);
    StoreSome(state, a.y + s.token[i] * d.units + unit, d.units - unit, Lanes());
  }

  HWY_INLINE void Lstm(int64_t i, int64_t unit) const {
    const F f;
    const auto sum = [&](int gate) {
      return hn::Add(Given(i, gate, unit), Product(i, gate, unit));
    };
    float* cell = s.cells + i * s.units + unit;
    const V in = SigmoidOf(f, sum(0)), forget = SigmoidOf(f, sum(1));
    const V candidate = StateTanh(sum(2)), out = SigmoidOf(f, sum(3));
    const V c = hn::MulAdd(forget, hn::LoadU(f, cell), hn::Mul(in, candidate));
    hn::StoreU(c, f, cell);
    Leave(i, unit, hn::Mul(out, StateTanh(c)));
    Keep(i, 0, unit, in);
    Keep(i, 1, unit, forget);
    Keep(i, 2, unit, candidate);
    Keep(i, 3, unit, out);
    if (a.cells != nullptr) {
      StoreSome(c, a.cells + s.token[i] * d.units + unit, d.units - unit, Lanes());
    }
  }

  HWY_INLINE void Gru(int64_t i, int64_t unit) const {
    const F f;
    const V product = Product(i, 2, unit);
    const V reset = SigmoidOf(f, hn::Add(Given(i, 0, unit), Product(i, 0, unit)));
    const V update = SigmoidOf(f, hn::Add(Given(i, 1, unit), Product(i, 1, unit)));
    const V candidate = StateTanh(hn::MulAdd(reset, product, Given(i, 2, unit)));
    const V state = hn::LoadU(f, s.states + i * s.units + unit);
    Leave(i, unit, hn::MulAdd(update, hn::Sub(state, candidate), candidate));
    Keep(i, 0, unit, reset);
    Keep(i, 1, unit, update);
    Keep(i, 2, unit, candidate);
    Keep(i, 3, unit, product);
  }
};

void RunRecurrentDecoderT(const RecurrentDecoder& d, const SequencePart& part,
                          const RecurrentDecoderArrays& a, float* scratch) {
  const Small s = PlaceSmall(d, part, MostKeys(d, part, a.key_offsets), scratch);
  const int64_t lanes = Lanes(), columns = GatesOf(d.cell) * d.units;
  for (int64_t i = 0; i < part.count(); ++i) {
    std::copy_n(a.start + s.sequence[i] * d.units, d.units, s.states + i * s.units);
    if (d.cell == Cell::kLstm) {
      std::copy_n(a.start_cells + s.sequence[i] * d.units, d.units, s.cells + i * s.units);
    }
  }
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
    const CellStep step = {d, a, s};
    for (int64_t i = 0; i < active; ++i) {
      for (int64_t unit = 0; unit < d.units; unit += lanes) {
        if (d.cell == Cell::kLstm) {
          step.Lstm(i, unit);
        } else {
          step.Gru(i, unit);
        }
      }
    }
  }
}

// What comes back to a token's gates, of a vector of units from `unit` on. `dstate` is the gradient
// of the state that it left; dcarry, in place, of what else goes from step to step: c of kLstm, and
// of kGru the share of h' that is h.
struct CellStepBack {
  const RecurrentDecoder& d;
  const RecurrentDecoderGradientArrays& a;
  int64_t token;
  const float* state_before;
  const float* cell_before;

  HWY_INLINE V Load(const float* from, int64_t unit) const {
    return LoadSome(from + unit, d.units - unit, Lanes());
  }
  HWY_INLINE V Kept(int block, int64_t unit) const {
    return Load(a.kept + (token * 4 + block) * d.units, unit);
  }
  HWY_INLINE void Store(V v, float* to, int block, int64_t unit) const {
    StoreSome(v, to + (token * GatesOf(d.cell) + block) * d.units + unit, d.units - unit, Lanes());
  }

  HWY_INLINE void Lstm(V dstate, float* dcarry, int64_t unit) const {
    const F f;
    const V in = Kept(0, unit), forget = Kept(1, unit), candidate = Kept(2, unit);
    const V out = Kept(3, unit), one = hn::Set(f, 1.0f);
    const V tanh = StateTanh(Load(a.cells + token * d.units, unit));
    const V dc =
        hn::MulAdd(hn::Mul(dstate, out), hn::NegMulAdd(tanh, tanh, one), hn::LoadU(f, dcarry));
    hn::StoreU(hn::Mul(dc, forget), f, dcarry);
    // Of σ: dy y (1 − y).
    const auto sigmoid = [&](V dy, V y) { return hn::Mul(hn::Mul(dy, y), hn::Sub(one, y)); };
    Store(sigmoid(hn::Mul(dc, candidate), in), a.dgates, 0, unit);
    Store(sigmoid(hn::Mul(dc, Load(cell_before, unit)), forget), a.dgates, 1, unit);
    Store(hn::Mul(hn::Mul(dc, in), hn::NegMulAdd(candidate, candidate, one)), a.dgates, 2, unit);
    Store(sigmoid(hn::Mul(dstate, tanh), out), a.dgates, 3, unit);
  }

  HWY_INLINE void Gru(V dstate, float* dcarry, int64_t unit) const {
    const F f;
    const V reset = Kept(0, unit), update = Kept(1, unit), candidate = Kept(2, unit);
    const V product = Kept(3, unit), one = hn::Set(f, 1.0f);
    hn::StoreU(hn::Mul(dstate, update), f, dcarry);
    const V dcandidate =
        hn::Mul(hn::Mul(dstate, hn::Sub(one, update)), hn::NegMulAdd(candidate, candidate, one));
    const V dreset = hn::Mul(hn::Mul(dcandidate, product), hn::Mul(reset, hn::Sub(one, reset)));
    const V dupdate = hn::Mul(hn::Mul(dstate, hn::Sub(Load(state_before, unit), candidate)),
                              hn::Mul(update, hn::Sub(one, update)));
    Store(dreset, a.dgates, 0, unit);
    Store(dupdate, a.dgates, 1, unit);
    Store(dcandidate, a.dgates, 2, unit);
    Store(dreset, a.dproduct, 0, unit);
    Store(dupdate, a.dproduct, 1, unit);
    Store(hn::Mul(dcandidate, reset), a.dproduct, 2, unit);
  }
};

// to += factor · from
HWY_INLINE void AddScaled(float factor, const float* from, int64_t count, float* to) {
  const F f;
  const V repeated = hn::Set(f, factor);
  Map2(count, from, to, to, [&](V x, V y) { return hn::MulAdd(repeated, x, y); });
}

HWY_INLINE float ScalarProduct(const float* a, const float* b, int64_t count) {
  const F f;
  const int64_t lanes = Lanes();
  V sum = hn::Zero(f);
  for (int64_t j = 0; j < count; j += lanes) {
    sum = hn::MulAdd(LoadSome(a + j, count - j, lanes), LoadSome(b + j, count - j, lanes), sum);
  }
  return hn::GetLane(hn::SumOfLanes(f, sum));
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
  const F f;
  const Small s = PlaceSmall(d, part, MostKeys(d, part, a.key_offsets), scratch);
  const int64_t lanes = Lanes(), columns = GatesOf(d.cell) * d.units;
  float *dstates = s.states, *dcarry = s.cells;
  std::fill_n(dstates, part.count() * s.units, 0.0f);
  std::fill_n(dcarry, part.count() * s.units, 0.0f);
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
    for (int64_t i = 0; i < active; ++i) {
      const int64_t token = s.token[i], sequence = s.sequence[i];
      const float* before = t == 0 ? a.start + sequence * d.units : a.y + (token - 1) * d.units;
      const float* cell = d.cell != Cell::kLstm ? nullptr
                          : t == 0              ? a.start_cells + sequence * d.units
                                                : a.cells + (token - 1) * d.units;
      std::copy_n(before, d.units, a.before + token * d.units);
      const CellStepBack step = {d, a, token, before, cell};
      for (int64_t unit = 0; unit < d.units; unit += lanes) {
        const V dstate = hn::Add(step.Load(a.dy + token * d.units, unit),
                                 hn::LoadU(f, dstates + i * s.units + unit));
        float* carry = dcarry + i * s.units + unit;
        if (d.cell == Cell::kLstm) {
          step.Lstm(dstate, carry, unit);
        } else {
          step.Gru(dstate, carry, unit);
        }
      }
    }
    if (d.cell == Cell::kGru) {
      std::copy_n(dcarry, active * s.units, dstates);
    }
    const float* dproduct = d.cell == Cell::kGru ? a.dproduct : a.dgates;
    Product([&](int64_t i) { return dproduct + s.token[i] * columns; }, active, columns, a.weight,
            d.units, dstates, d.cell == Cell::kGru);
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
  for (int64_t i = 0; i < part.count(); ++i) {
    std::copy_n(dstates + i * s.units, d.units, a.dstart + s.sequence[i] * d.units);
    if (d.cell == Cell::kLstm) {
      std::copy_n(dcarry + i * s.units, d.units, a.dstart_cells + s.sequence[i] * d.units);
    }
  }
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
