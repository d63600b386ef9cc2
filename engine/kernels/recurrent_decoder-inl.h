// What both kinds of decoders' steps are made of; compiled once for each instruction set (Highway's
// per-target include guard).

#if defined(HONE_KERNELS_RECURRENT_DECODER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_KERNELS_RECURRENT_DECODER_INL_H_
#undef HONE_KERNELS_RECURRENT_DECODER_INL_H_
#else
#define HONE_KERNELS_RECURRENT_DECODER_INL_H_
#endif

#include <algorithm>
#include <cmath>

#include "engine/kernels/math-inl.h"
#include "engine/kernels/product-inl.h"
#include "engine/kernels/recurrent_decoder.h"
#include "engine/kernels/softmax-inl.h"
#include "engine/kernels/vector-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels::HWY_NAMESPACE {

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

// The scores of `count` tokens, at least one, become their exponentials; `share` is what makes
// weights of these. The logarithm of their sum.
HWY_INLINE float Exponentials(float* scores, int64_t count, float& share) {
  const float largest = RowMax(scores, count);
  const float sum = RowExp(scores, count, largest, scores);
  share = 1 / sum;
  return largest + std::log(sum);
}

// Small matrices of a part's sequences, rows of a pitch, in scratch memory.
struct Steps {
  int64_t units, gates;                     // pitches
  float *states, *cells, *input, *product;  // [sequences, pitch]
  int32_t *token, *sequence;                // the row of the step's token; which sequence it is
};

HWY_INLINE int64_t FloatsOfSteps(const RecurrentDecoder& d, int64_t sequences) {
  return sequences * (2 * Pitch(d.units) + 2 * Pitch(GatesOf(d.cell) * d.units) + 2);
}

// Where the memory behind them begins.
HWY_INLINE float* PlaceSteps(const RecurrentDecoder& d, const SequencePart& part, float* scratch,
                             Steps& s) {
  const int64_t n = part.count();
  s.units = Pitch(d.units);
  s.gates = Pitch(GatesOf(d.cell) * d.units);
  const auto take = [&](int64_t floats) {
    float* const at = scratch;
    scratch += floats;
    return at;
  };
  s.states = take(n * s.units);
  s.cells = take(n * s.units);
  s.input = take(n * s.gates);
  s.product = take(n * s.gates);
  s.token = reinterpret_cast<int32_t*>(take(n));
  s.sequence = reinterpret_cast<int32_t*>(take(n));
  for (int64_t i = 0; i < n; ++i) {
    s.sequence[i] = part.order[static_cast<size_t>(part.part + i * part.parts)];
  }
  return scratch;
}

HWY_INLINE int64_t LengthOf(const SequencePart& part, int32_t sequence) {
  const auto i = static_cast<size_t>(sequence);
  return part.offsets[i + 1] - part.offsets[i];
}

// How many of the part's sequences have a token at step t, the first ones; fills their tokens'
// rows.
HWY_INLINE int64_t BeginStep(const SequencePart& part, const Steps& s, int64_t t) {
  int64_t active = 0;
  for (; active < part.count() && LengthOf(part, s.sequence[active]) > t; ++active) {
    s.token[active] =
        part.offsets[static_cast<size_t>(s.sequence[active])] + static_cast<int32_t>(t);
  }
  return active;
}

HWY_INLINE int64_t StepsOf(const SequencePart& part, const Steps& s) {
  return part.count() == 0 ? 0 : LengthOf(part, s.sequence[0]);
}

// Tokens that one of the sequences looks at, at most.
HWY_INLINE int64_t MostKeys(const RecurrentDecoder& d, const SequencePart& part,
                            const int32_t* key_offsets) {
  int64_t most = 0;
  for (size_t i = 0; d.keys > 0 && i + 1 < part.offsets.size(); ++i) {
    most = std::max<int64_t>(most, key_offsets[i + 1] - key_offsets[i]);
  }
  return most;
}

// What the part's sequences begin with.
template <typename Arrays>
HWY_INLINE void BeginStates(const RecurrentDecoder& d, const SequencePart& part, const Arrays& a,
                            const Steps& s) {
  for (int64_t i = 0; i < part.count(); ++i) {
    std::copy_n(a.start + s.sequence[i] * d.units, d.units, s.states + i * s.units);
    if (d.cell == Cell::kLstm) {
      std::copy_n(a.start_cells + s.sequence[i] * d.units, d.units, s.cells + i * s.units);
    }
  }
}

// The cell's functions of a vector of units from `unit` on, for row i of the small matrices. The
// arrays have gates, bias, kept and cells.
template <typename Arrays>
struct CellStep {
  const RecurrentDecoder& d;
  const Arrays& a;
  const Steps& s;
  float* y;       // the states
  int64_t y_row;  // floats from one token's to the next one's

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
    StoreSome(state, y + s.token[i] * y_row + unit, d.units - unit, Lanes());
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

template <typename Arrays>
HWY_INLINE void RunCells(const CellStep<Arrays>& step, int64_t active) {
  for (int64_t i = 0; i < active; ++i) {
    for (int64_t unit = 0; unit < step.d.units; unit += Lanes()) {
      if (step.d.cell == Cell::kLstm) {
        step.Lstm(i, unit);
      } else {
        step.Gru(i, unit);
      }
    }
  }
}

// What comes back to a token's gates, of a vector of units from `unit` on. `dstate` is the gradient
// of the state that it left; dcarry, in place, of what else goes from step to step: c of kLstm, and
// of kGru the share of h' that is h.
template <typename Arrays>
struct CellStepBack {
  const RecurrentDecoder& d;
  const Arrays& a;
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

// The cells' step back for all that are active: `state_of(token)` is where a token's state lies,
// dstate(i, token, unit) the gradient of what row i left. s.states and s.cells hold what goes from
// step to step, and a.before gets the states before.
template <typename Arrays, typename StateOf, typename DState>
HWY_INLINE void RunCellsBack(const RecurrentDecoder& d, const Arrays& a, const Steps& s, int64_t t,
                             int64_t active, const StateOf& state_of, const DState& dstate) {
  const int64_t columns = GatesOf(d.cell) * d.units;
  for (int64_t i = 0; i < active; ++i) {
    const int64_t token = s.token[i], sequence = s.sequence[i];
    const float* before = t == 0 ? a.start + sequence * d.units : state_of(token - 1);
    const float* cell = d.cell != Cell::kLstm ? nullptr
                        : t == 0              ? a.start_cells + sequence * d.units
                                              : a.cells + (token - 1) * d.units;
    std::copy_n(before, d.units, a.before + token * d.units);
    const CellStepBack<Arrays> step = {d, a, token, before, cell};
    for (int64_t unit = 0; unit < d.units; unit += Lanes()) {
      float* carry = s.cells + i * s.units + unit;
      if (d.cell == Cell::kLstm) {
        step.Lstm(dstate(i, token, unit), carry, unit);
      } else {
        step.Gru(dstate(i, token, unit), carry, unit);
      }
    }
  }
  if (d.cell == Cell::kGru) {
    std::copy_n(s.cells, active * s.units, s.states);
  }
  const float* dproduct = d.cell == Cell::kGru ? a.dproduct : a.dgates;
  Product([&](int64_t i) { return dproduct + s.token[i] * columns; }, active, columns, a.weight,
          d.units, s.states, d.cell == Cell::kGru);
}

// What came back to what the part's sequences began with.
template <typename Arrays>
HWY_INLINE void LeaveStart(const RecurrentDecoder& d, const SequencePart& part, const Arrays& a,
                           const Steps& s) {
  for (int64_t i = 0; i < part.count(); ++i) {
    std::copy_n(s.states + i * s.units, d.units, a.dstart + s.sequence[i] * d.units);
    if (d.cell == Cell::kLstm) {
      std::copy_n(s.cells + i * s.units, d.units, a.dstart_cells + s.sequence[i] * d.units);
    }
  }
}

}  // namespace hone::engine::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
