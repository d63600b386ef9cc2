#include "engine/kernels/recurrence.h"

#include <algorithm>
#include <numeric>

#include "engine/kernels/pair_product.h"
#include "engine/kernels/recurrence_pairs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/recurrence.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/math-inl.h"
#include "engine/kernels/product-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

// Vectors of units that a tile of the backward product has side by side.
constexpr int kPanel = 4;

HWY_INLINE int64_t Lanes() { return static_cast<int64_t>(hn::Lanes(F())); }
HWY_INLINE int64_t RoundUp(int64_t n, int64_t grain) { return (n + grain - 1) / grain * grain; }
// Floats from one row of a small matrix of states to the next.
HWY_INLINE int64_t Pitch(const Recurrence& r) { return RoundUp(r.units, kPanel * Lanes()); }

// Small matrices of states that a part takes.
HWY_INLINE int64_t Matrices(const Recurrence& r) { return r.cell == Cell::kGruResetFirst ? 4 : 3; }

// 2 σ(2x) − 1: within 1e-7 absolutely, which is what states of at most 1 need.
HWY_INLINE V StateTanh(V x) {
  const F f;
  return hn::MulAdd(hn::Set(f, 2.0f), SigmoidOf(f, hn::Add(x, x)), hn::Set(f, -1.0f));
}

// A panel for each vector of units: rows k of [gates] vectors.
int64_t PackedForwardFloatsT(const Recurrence& r) {
  return RoundUp(r.units, Lanes()) * r.units * GatesOf(r.cell);
}

void PackForwardT(const Recurrence& r, const float* weight, float* packed) {
  const int64_t gates = GatesOf(r.cell), lanes = Lanes();
  for (int64_t block = 0; block < r.units; block += lanes) {
    for (int64_t k = 0; k < r.units; ++k) {
      for (int64_t g = 0; g < gates; ++g) {
        const float* from = weight + (k * gates + g) * r.units + block;
        const int64_t count = std::min(lanes, r.units - block);
        packed = std::copy_n(from, count, packed);
        packed = std::fill_n(packed, lanes - count, 0.0f);
      }
    }
  }
}

// A panel for each kPanel vectors of units: a row of it for each column of the weight.
int64_t PackedBackwardFloatsT(const Recurrence& r) { return Pitch(r) * r.units * GatesOf(r.cell); }

void PackBackwardT(const Recurrence& r, const float* weight, float* packed) {
  const int64_t columns = GatesOf(r.cell) * r.units, side = kPanel * Lanes();
  for (int64_t first = 0; first < r.units; first += side) {
    for (int64_t k = 0; k < columns; ++k) {
      for (int64_t unit = first; unit < first + side; ++unit) {
        *packed++ = unit < r.units ? weight[unit * columns + k] : 0.0f;
      }
    }
  }
}

int64_t RecurrenceLanesT() { return Lanes(); }

// Floats that the steps want for each sequence besides: rounded states and products of pairs, or
// backward rows of gradients.
HWY_INLINE int64_t Spare(const Recurrence& r) {
  const int64_t gates = GatesOf(r.cell);
  return r.dtype == DType::kF32 ? 0 : std::max(Pitch(r) / 2 + gates * kPairLanes, gates * r.units);
}

int64_t RecurrenceScratchT(const Recurrence& r, int64_t sequences) {
  return RoundedSequences(r, sequences) * (Matrices(r) * Pitch(r) + 2 + Spare(r));
}

// A vector of an array of the type, from its number `at` on, of which there are `left`.
HWY_INLINE V LoadOf(DType dtype, const void* from, int64_t at, int64_t left) {
  return dtype == DType::kBf16 ? LoadSome(static_cast<const uint16_t*>(from) + at, left, Lanes())
                               : LoadSome(static_cast<const float*>(from) + at, left, Lanes());
}
HWY_INLINE void StoreOf(DType dtype, V v, void* to, int64_t at, int64_t left) {
  if (dtype == DType::kBf16) {
    StoreSome(v, static_cast<uint16_t*>(to) + at, left, Lanes());
  } else {
    StoreSome(v, static_cast<float*>(to) + at, left, Lanes());
  }
}

// The sequences of a part that still have a token at a step, and which rows of tokens these are.
class Steps {
 public:
  Steps(const SequencePart& part, bool reverse, int32_t* token, int32_t* before)
      : part_(part), reverse_(reverse), token_(token), before_(before) {}

  int64_t count() const { return part_.count() == 0 ? 0 : Length(0); }
  // How many go on at step t; fills token() and before() with their rows, −1 before a first step.
  int64_t Begin(int64_t t) {
    const int64_t all = part_.count();
    int64_t active = 0;
    for (; active < all && Length(active) > t; ++active) {
      const int32_t first = part_.offsets[Sequence(active)];
      const int32_t last = part_.offsets[Sequence(active) + 1] - 1;
      const auto step = static_cast<int32_t>(t);
      token_[active] = reverse_ ? last - step : first + step;
      before_[active] = t == 0 ? -1 : reverse_ ? last - step + 1 : first + step - 1;
    }
    return active;
  }

  // Which sequence of all is the part's i-th.
  size_t Sequence(int64_t i) const {
    return static_cast<size_t>(part_.order[static_cast<size_t>(part_.part + i * part_.parts)]);
  }

 private:
  int64_t Length(int64_t i) const {
    return part_.offsets[Sequence(i) + 1] - part_.offsets[Sequence(i)];
  }

  const SequencePart& part_;
  const bool reverse_;
  int32_t* token_;
  int32_t* before_;
};

// Rows of `start` [sequences, units] as the part's small matrix [count, pitch]; none where it is
// null.
void BeginWith(const Recurrence& r, const Steps& steps, int64_t count, const float* start,
               float* to) {
  for (int64_t i = 0; start != nullptr && i < count; ++i) {
    float* row = to + i * Pitch(r);
    std::fill(std::copy_n(start + static_cast<int64_t>(steps.Sequence(i)) * r.units, r.units, row),
              row + Pitch(r), 0.0f);
  }
}

// One step forward of some sequences, and of a vector of units from `unit` on.
struct ForwardStep {
  const Recurrence& r;
  const RecurrenceArrays& a;
  int64_t units;
  int64_t pitch;
  const int32_t* token;
  bool first;           // there is no state yet
  const float* states;  // [sequences, pitch]: before the step
  float* new_states;
  float* cells;    // [sequences, pitch] of kLstm, in place
  int64_t active;  // sequences
  // Of pairs: the states rounded, and the products of one vector of units.
  const PairMultiplier& multiplier;
  RoundedStates rounded;
  float* products;

  bool pairs() const { return r.pairs != PairProducts::kNone; }
  int64_t left(int64_t unit) const { return units - unit; }
  // Of pairs, before `of` is multiplied.
  void Round(const float* of) const {
    if (pairs() && !first) {
      RoundStates(of, units, active, rounded);
    }
  }
  // Of pairs, before AddSome adds what is rounded times U, for these gates and units.
  void Multiply(int gate, int count, int64_t unit) const {
    if (pairs() && !first) {
      MultiplyStates(r, multiplier, rounded, active, unit, gate, count, a.packed, products);
    }
  }
  HWY_INLINE V Gate(int row, int64_t first_row, int gate, int gates, int64_t unit) const {
    return LoadOf(r.dtype, a.gates, (token[first_row + row] * gates + gate) * units + unit,
                  left(unit));
  }
  HWY_INLINE void Keep(int64_t row, int block, int blocks, int64_t unit, V v) const {
    StoreSome(v, a.kept + (token[row] * blocks + block) * units + unit, left(unit), Lanes());
  }
  HWY_INLINE void Leave(int64_t row, int64_t unit, V state) const {
    hn::StoreU(state, F(), new_states + row * pitch + unit);
    StoreOf(r.dtype, state, a.y, token[row] * units + unit, left(unit));
  }
  // sum += h U
  template <int kRows, int kGates>
  HWY_INLINE void AddStates(int64_t first_row, int64_t unit, V (&sum)[kRows][kGates]) const {
    AddSome(states, 0, kGates, first_row, unit, sum);
  }
  // sum += `of` U, for kCount gates of all `gates`, from `gate` on; `of` is [sequences, pitch].
  template <int kRows, int kCount>
  HWY_INLINE void AddSome(const float* of, int gate, int gates, int64_t first_row, int64_t unit,
                          V (&sum)[kRows][kCount]) const {
    if (first) {
      return;
    }
    if (pairs()) {
      for (int i = 0; i < kRows; ++i) {
        const float* row = products + ((first_row + i) * gates + gate) * kPairLanes;
        for (int g = 0; g < kCount; ++g) {
          sum[i][g] = hn::Add(sum[i][g], hn::LoadU(F(), row + g * kPairLanes));
        }
      }
      return;
    }
    const float* rows[kRows];
    for (int i = 0; i < kRows; ++i) {
      rows[i] = of + (first_row + i) * pitch;
    }
    AddProduct(rows, 1, units, a.packed + unit * units * gates + gate * Lanes(), gates * Lanes(),
               sum);
  }
};

struct TanhCell {
  static constexpr int kGates = 1;

  template <int kRows>
  static HWY_INLINE void Step(const ForwardStep& s, int64_t first_row, int64_t unit) {
    V sum[kRows][kGates];
    for (int r = 0; r < kRows; ++r) {
      sum[r][0] = s.Gate(r, first_row, 0, kGates, unit);
    }
    s.AddStates(first_row, unit, sum);
    for (int r = 0; r < kRows; ++r) {
      s.Leave(first_row + r, unit, StateTanh(sum[r][0]));
    }
  }
};

struct LstmCell {
  static constexpr int kGates = 4;

  template <int kRows>
  static HWY_INLINE void Step(const ForwardStep& s, int64_t first_row, int64_t unit) {
    const F f;
    V sum[kRows][kGates];
    for (int r = 0; r < kRows; ++r) {
      for (int g = 0; g < kGates; ++g) {
        sum[r][g] = s.Gate(r, first_row, g, kGates, unit);
      }
    }
    s.AddStates(first_row, unit, sum);
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = first_row + r;
      float* cell = s.cells + row * s.pitch + unit;
      const V in = SigmoidOf(f, sum[r][0]), forget = SigmoidOf(f, sum[r][1]);
      const V candidate = StateTanh(sum[r][2]), out = SigmoidOf(f, sum[r][3]);
      V c = hn::Mul(in, candidate);
      if (!s.first) {
        c = hn::MulAdd(forget, hn::LoadU(f, cell), c);
      }
      hn::StoreU(c, f, cell);
      s.Leave(row, unit, hn::Mul(out, StateTanh(c)));
      if (s.a.kept != nullptr) {
        s.Keep(row, 0, kGates, unit, in);
        s.Keep(row, 1, kGates, unit, forget);
        s.Keep(row, 2, kGates, unit, candidate);
        s.Keep(row, 3, kGates, unit, out);
      }
      if (s.a.cell != nullptr) {
        StoreSome(c, s.a.cell + s.token[row] * s.units + unit, s.left(unit), Lanes());
      }
    }
  }
};

struct GruCell {
  static constexpr int kGates = 3;

  template <int kRows>
  static HWY_INLINE void Step(const ForwardStep& s, int64_t first_row, int64_t unit) {
    const F f;
    V sum[kRows][kGates];
    for (int g = 0; g < kGates; ++g) {
      const V bias = LoadSome(s.a.bias + g * s.units + unit, s.left(unit), Lanes());
      for (int r = 0; r < kRows; ++r) {
        sum[r][g] = bias;
      }
    }
    s.AddStates(first_row, unit, sum);
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = first_row + r;
      const V reset = SigmoidOf(f, hn::Add(sum[r][0], s.Gate(r, first_row, 0, kGates, unit)));
      const V update = SigmoidOf(f, hn::Add(sum[r][1], s.Gate(r, first_row, 1, kGates, unit)));
      const V candidate =
          StateTanh(hn::MulAdd(reset, sum[r][2], s.Gate(r, first_row, 2, kGates, unit)));
      const V state = s.first ? hn::Zero(f) : hn::LoadU(f, s.states + row * s.pitch + unit);
      s.Leave(row, unit, hn::MulAdd(update, hn::Sub(state, candidate), candidate));
      if (s.a.kept != nullptr) {
        s.Keep(row, 0, kGates + 1, unit, reset);
        s.Keep(row, 1, kGates + 1, unit, update);
        s.Keep(row, 2, kGates + 1, unit, candidate);
        s.Keep(row, 3, kGates + 1, unit, sum[r][2]);
      }
    }
  }
};

// In two passes over the units: all of the reset is needed before a candidate.
struct GruResetFirstCell {
  static constexpr int kGates = 3;

  // `reset_states` and `updates` [sequences, pitch] take r h and z.
  template <int kRows>
  static HWY_INLINE void Gates(const ForwardStep& s, float* reset_states, float* updates,
                               int64_t first_row, int64_t unit) {
    const F f;
    V sum[kRows][2];
    for (int r = 0; r < kRows; ++r) {
      for (int g = 0; g < 2; ++g) {
        sum[r][g] = s.Gate(r, first_row, g, kGates, unit);
      }
    }
    s.AddSome(s.states, 0, kGates, first_row, unit, sum);
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = first_row + r, at = row * s.pitch + unit;
      const V reset = SigmoidOf(f, sum[r][0]), update = SigmoidOf(f, sum[r][1]);
      const V state = s.first ? hn::Zero(f) : hn::LoadU(f, s.states + at);
      const V reset_state = hn::Mul(reset, state);
      hn::StoreU(reset_state, f, reset_states + at);
      hn::StoreU(update, f, updates + at);
      if (s.a.kept != nullptr) {
        s.Keep(row, 0, kGates + 1, unit, reset);
        s.Keep(row, 1, kGates + 1, unit, update);
        s.Keep(row, 3, kGates + 1, unit, reset_state);
      }
    }
  }

  template <int kRows>
  static HWY_INLINE void Candidate(const ForwardStep& s, const float* reset_states,
                                   const float* updates, int64_t first_row, int64_t unit) {
    const F f;
    V sum[kRows][1];
    for (int r = 0; r < kRows; ++r) {
      sum[r][0] = s.Gate(r, first_row, 2, kGates, unit);
    }
    s.AddSome(reset_states, 2, kGates, first_row, unit, sum);
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = first_row + r, at = row * s.pitch + unit;
      const V candidate = StateTanh(sum[r][0]), update = hn::LoadU(f, updates + at);
      const V state = s.first ? hn::Zero(f) : hn::LoadU(f, s.states + at);
      s.Leave(row, unit, hn::MulAdd(update, hn::Sub(state, candidate), candidate));
      if (s.a.kept != nullptr) {
        s.Keep(row, 2, kGates + 1, unit, candidate);
      }
    }
  }
};

void RunGruResetFirst(const Recurrence& r, const SequencePart& part, const RecurrenceArrays& arrays,
                      float* scratch) {
  const int64_t pitch = Pitch(r), lanes = Lanes();
  const int64_t room = RoundedSequences(r, part.count()), matrix = room * pitch;
  const PairMultiplier multiplier(r.pairs);
  float* states = scratch;
  float* new_states = scratch + matrix;
  float* reset_states = scratch + 2 * matrix;
  float* updates = scratch + 3 * matrix;
  auto* token = reinterpret_cast<int32_t*>(scratch + Matrices(r) * matrix);
  float* spare = scratch + Matrices(r) * matrix + 2 * room;
  const RoundedStates rounded = {reinterpret_cast<uint16_t*>(spare), pitch};
  Steps steps(part, r.reverse, token, token + part.count());
  BeginWith(r, steps, part.count(), arrays.start, states);
  for (int64_t t = 0; t < steps.count(); ++t) {
    const int64_t active = steps.Begin(t);
    const bool from_zero = t == 0 && arrays.start == nullptr;
    const ForwardStep step = {r,          arrays,  r.units,           pitch,   token,
                              from_zero,  states,  new_states,        nullptr, active,
                              multiplier, rounded, spare + matrix / 2};
    step.Round(states);
    for (int64_t unit = 0; unit < r.units; unit += lanes) {
      step.Multiply(0, 2, unit);
      ForTiles<RowsInRegisters(2)>(active, [&](auto rows, int64_t first) {
        GruResetFirstCell::Gates<decltype(rows)::value>(step, reset_states, updates, first, unit);
      });
    }
    step.Round(reset_states);
    for (int64_t unit = 0; unit < r.units; unit += lanes) {
      step.Multiply(2, 1, unit);
      ForTiles<RowsInRegisters(1)>(active, [&](auto rows, int64_t first) {
        GruResetFirstCell::Candidate<decltype(rows)::value>(step, reset_states, updates, first,
                                                            unit);
      });
    }
    std::swap(states, new_states);
  }
}

template <class Kind>
void Run(const Recurrence& r, const SequencePart& part, const RecurrenceArrays& arrays,
         float* scratch) {
  const int64_t pitch = Pitch(r), lanes = Lanes();
  const int64_t room = RoundedSequences(r, part.count()), matrix = room * pitch;
  const PairMultiplier multiplier(r.pairs);
  auto* token = reinterpret_cast<int32_t*>(scratch + Matrices(r) * matrix);
  float* spare = scratch + Matrices(r) * matrix + 2 * room;
  const RoundedStates rounded = {reinterpret_cast<uint16_t*>(spare), pitch};
  Steps steps(part, r.reverse, token, token + part.count());
  float* states = scratch;
  float* new_states = scratch + matrix;
  float* cells = scratch + 2 * matrix;
  BeginWith(r, steps, part.count(), arrays.start, states);
  BeginWith(r, steps, part.count(), arrays.start_cell, cells);
  for (int64_t t = 0; t < steps.count(); ++t) {
    const int64_t active = steps.Begin(t);
    const bool from_zero = t == 0 && arrays.start == nullptr;
    const ForwardStep step = {r,          arrays,  r.units,           pitch, token,
                              from_zero,  states,  new_states,        cells, active,
                              multiplier, rounded, spare + matrix / 2};
    step.Round(states);
    for (int64_t unit = 0; unit < r.units; unit += lanes) {
      step.Multiply(0, Kind::kGates, unit);
      ForTiles<RowsInRegisters(Kind::kGates)>(active, [&](auto rows, int64_t first) {
        Kind::template Step<decltype(rows)::value>(step, first, unit);
      });
    }
    std::swap(states, new_states);
  }
}

void RunRecurrenceT(const Recurrence& r, const SequencePart& part, const RecurrenceArrays& arrays,
                    float* scratch) {
  switch (r.cell) {
    case Cell::kTanh:
      return Run<TanhCell>(r, part, arrays, scratch);
    case Cell::kLstm:
      return Run<LstmCell>(r, part, arrays, scratch);
    case Cell::kGru:
      return Run<GruCell>(r, part, arrays, scratch);
    case Cell::kGruResetFirst:
      return RunGruResetFirst(r, part, arrays, scratch);
  }
}

// What comes back to a token's gates, of a vector of units from `unit` on. `dstate` is the gradient
// of the state that it left; dcarry, in place, of what else goes from step to step: c of kLstm, and
// of the GRUs the share of h' that is h.
struct BackwardStep {
  const RecurrenceGradientArrays& a;
  int64_t units;
  int64_t token;
  int64_t before;  // −1: the sequence's `start`
  int64_t sequence;
  DType dtype;

  int64_t left(int64_t unit) const { return units - unit; }
  HWY_INLINE V Load(const float* from, int64_t row, int block, int blocks, int64_t unit) const {
    return LoadSome(from + (row * blocks + block) * units + unit, left(unit), Lanes());
  }
  HWY_INLINE V Load(const void* from, int64_t row, int block, int blocks, int64_t unit) const {
    return LoadOf(dtype, from, (row * blocks + block) * units + unit, left(unit));
  }
  template <typename T>
  HWY_INLINE V Before(const T* from, const float* start, int64_t unit) const {
    if (before >= 0) {
      return Load(from, before, 0, 1, unit);
    }
    return start == nullptr ? hn::Zero(F()) : Load(start, sequence, 0, 1, unit);
  }
  HWY_INLINE V StateBefore(int64_t unit) const { return Before(a.y, a.start, unit); }
  HWY_INLINE void Store(V v, void* to, int block, int blocks, int64_t unit) const {
    StoreOf(dtype, v, to, (token * blocks + block) * units + unit, left(unit));
  }

  void Tanh(V dstate, int64_t unit) const {
    const V h = Load(a.y, token, 0, 1, unit);
    Store(hn::NegMulAdd(hn::Mul(dstate, h), h, dstate), a.dgates, 0, 1, unit);
  }

  void Lstm(V dstate, float* dcarry, int64_t unit) const {
    const F f;
    const V in = Load(a.kept, token, 0, 4, unit), forget = Load(a.kept, token, 1, 4, unit);
    const V candidate = Load(a.kept, token, 2, 4, unit), out = Load(a.kept, token, 3, 4, unit);
    const V one = hn::Set(f, 1.0f);
    const V tanh = StateTanh(Load(a.cell, token, 0, 1, unit));
    V dc = hn::MulAdd(hn::Mul(dstate, out), hn::NegMulAdd(tanh, tanh, one), hn::LoadU(f, dcarry));
    if (a.dcell != nullptr) {
      dc = hn::Add(dc, Load(a.dcell, token, 0, 1, unit));
    }
    hn::StoreU(hn::Mul(dc, forget), f, dcarry);
    // Of σ: dy y (1 − y).
    const auto sigmoid = [&](V dy, V y) { return hn::Mul(hn::Mul(dy, y), hn::Sub(one, y)); };
    Store(sigmoid(hn::Mul(dc, candidate), in), a.dgates, 0, 4, unit);
    Store(sigmoid(hn::Mul(dc, Before(a.cell, a.start_cell, unit)), forget), a.dgates, 1, 4, unit);
    Store(hn::Mul(hn::Mul(dc, in), hn::NegMulAdd(candidate, candidate, one)), a.dgates, 2, 4, unit);
    Store(sigmoid(hn::Mul(dstate, tanh), out), a.dgates, 3, 4, unit);
  }

  void Gru(V dstate, float* dcarry, int64_t unit) const {
    const F f;
    const V reset = Load(a.kept, token, 0, 4, unit), update = Load(a.kept, token, 1, 4, unit);
    const V candidate = Load(a.kept, token, 2, 4, unit), product = Load(a.kept, token, 3, 4, unit);
    const V one = hn::Set(f, 1.0f);
    hn::StoreU(hn::Mul(dstate, update), f, dcarry);
    const V dcandidate =
        hn::Mul(hn::Mul(dstate, hn::Sub(one, update)), hn::NegMulAdd(candidate, candidate, one));
    const V dreset = hn::Mul(hn::Mul(dcandidate, product), hn::Mul(reset, hn::Sub(one, reset)));
    const V dupdate = hn::Mul(hn::Mul(dstate, hn::Sub(StateBefore(unit), candidate)),
                              hn::Mul(update, hn::Sub(one, update)));
    Store(dreset, a.dgates, 0, 3, unit);
    Store(dupdate, a.dgates, 1, 3, unit);
    Store(dcandidate, a.dgates, 2, 3, unit);
    Store(dreset, a.dproduct, 0, 3, unit);
    Store(dupdate, a.dproduct, 1, 3, unit);
    Store(hn::Mul(dcandidate, reset), a.dproduct, 2, 3, unit);
  }

  // Of kGruResetFirst all but the reset, whose gradient comes through the candidates of all units.
  void GruCandidate(V dstate, float* dcarry, int64_t unit) const {
    const F f;
    const V update = Load(a.kept, token, 1, 4, unit), candidate = Load(a.kept, token, 2, 4, unit);
    const V one = hn::Set(f, 1.0f);
    hn::StoreU(hn::Mul(dstate, update), f, dcarry);
    Store(hn::Mul(hn::Mul(dstate, hn::Sub(StateBefore(unit), candidate)),
                  hn::Mul(update, hn::Sub(one, update))),
          a.dgates, 1, 3, unit);
    Store(hn::Mul(hn::Mul(dstate, hn::Sub(one, update)), hn::NegMulAdd(candidate, candidate, one)),
          a.dgates, 2, 3, unit);
  }
  // `dreset_state` is the gradient of r h.
  void GruReset(V dreset_state, float* dcarry, int64_t unit) const {
    const F f;
    const V reset = Load(a.kept, token, 0, 4, unit), one = hn::Set(f, 1.0f);
    hn::StoreU(hn::MulAdd(dreset_state, reset, hn::LoadU(f, dcarry)), f, dcarry);
    Store(hn::Mul(hn::Mul(dreset_state, StateBefore(unit)), hn::Mul(reset, hn::Sub(one, reset))),
          a.dgates, 0, 3, unit);
  }
};

// Columns of the recurrent weight.
struct Columns {
  int64_t begin;
  int64_t end;
};

// to = dproduct Uᵀ for the first `active` sequences, over these columns, and `add` besides where it
// is not null; both are [sequences, pitch]. `spare` takes rows that are bf16 in dproduct.
void StatesBefore(const Recurrence& r, const PairMultiplier& multiplier, const void* dproduct,
                  const float* packed, const int32_t* token, int64_t active, const Columns& columns,
                  const float* add, float* spare, float* to) {
  const F f;
  const int64_t lanes = Lanes(), pitch = Pitch(r), depth = GatesOf(r.cell) * r.units;
  const int64_t width = columns.end - columns.begin;
  const auto at_row = [&](int64_t i) { return token[i] * depth + columns.begin; };
  if (r.pairs != PairProducts::kNone) {
    auto* rounded = reinterpret_cast<uint16_t*>(spare);
    for (int64_t i = 0; i < active; ++i) {
      std::copy_n(static_cast<const uint16_t*>(dproduct) + at_row(i), width, rounded + i * width);
    }
    if (add != nullptr) {
      std::copy_n(add, active * pitch, to);
    } else {
      std::fill_n(to, active * pitch, 0.0f);
    }
    std::fill(rounded + active * width, rounded + RoundedSequences(r, active) * width, uint16_t{0});
    return MultiplyGateGradients(r, multiplier, rounded, active, columns.begin, columns.end, packed,
                                 to, pitch);
  }
  for (int64_t i = 0; r.dtype == DType::kBf16 && i < active; ++i) {
    for (int64_t k = 0; k < width; k += lanes) {
      StoreSome(LoadOf(r.dtype, dproduct, at_row(i) + k, width - k), spare + i * width + k,
                width - k, lanes);
    }
  }
  for (int64_t unit = 0; unit < r.units; unit += kPanel * lanes) {
    ForTiles<RowsInRegisters(kPanel)>(active, [&](auto constant, int64_t first) {
      constexpr int kRows = decltype(constant)::value;
      V sum[kRows][kPanel];
      const float* rows[kRows];
      for (int i = 0; i < kRows; ++i) {
        rows[i] = r.dtype == DType::kBf16 ? spare + (first + i) * width
                                          : static_cast<const float*>(dproduct) + at_row(first + i);
        for (int c = 0; c < kPanel; ++c) {
          const int64_t at = (first + i) * pitch + unit + c * lanes;
          sum[i][c] = add != nullptr ? hn::LoadU(f, add + at) : hn::Zero(f);
        }
      }
      AddProduct(rows, 1, width, packed + unit * depth + columns.begin * kPanel * lanes,
                 kPanel * lanes, sum);
      for (int i = 0; i < kRows; ++i) {
        for (int c = 0; c < kPanel; ++c) {
          hn::StoreU(sum[i][c], f, to + (first + i) * pitch + unit + c * lanes);
        }
      }
    });
  }
}

void RunRecurrenceGradientT(const Recurrence& r, const SequencePart& part,
                            const RecurrenceGradientArrays& a, float* scratch) {
  const F f;
  const int64_t pitch = Pitch(r), lanes = Lanes();
  const int64_t room = RoundedSequences(r, part.count()), matrix = room * pitch;
  const PairMultiplier multiplier(r.pairs);
  float* dstates = scratch;
  float* dcarry = scratch + matrix;
  float* dreset_states = scratch + 2 * matrix;  // of kGruResetFirst
  auto* token = reinterpret_cast<int32_t*>(scratch + Matrices(r) * matrix);
  int32_t* before = token + part.count();
  float* spare = scratch + Matrices(r) * matrix + 2 * room;
  Steps steps(part, r.reverse, token, before);
  std::fill_n(scratch, 2 * matrix, 0.0f);
  for (int64_t t = steps.count() - 1; t >= 0; --t) {
    const int64_t active = steps.Begin(t);
    for (int64_t i = 0; i < active; ++i) {
      const BackwardStep step = {
          a, r.units, token[i], before[i], static_cast<int64_t>(steps.Sequence(i)), r.dtype};
      for (int64_t unit = 0; unit < r.units; unit += lanes) {
        const V dstate = hn::Add(step.Load(a.dy, token[i], 0, 1, unit),
                                 hn::LoadU(f, dstates + i * pitch + unit));
        float* carry = dcarry + i * pitch + unit;
        if (r.cell == Cell::kTanh) {
          step.Tanh(dstate, unit);
        } else if (r.cell == Cell::kLstm) {
          step.Lstm(dstate, carry, unit);
        } else if (r.cell == Cell::kGru) {
          step.Gru(dstate, carry, unit);
        } else {
          step.GruCandidate(dstate, carry, unit);
        }
        if (a.before != nullptr) {
          step.Store(step.StateBefore(unit), a.before, 0, 1, unit);
        }
      }
    }
    const int64_t columns = GatesOf(r.cell) * r.units;
    if (r.cell == Cell::kGruResetFirst) {
      const Columns of_candidate = {2 * r.units, columns}, of_others = {0, 2 * r.units};
      StatesBefore(r, multiplier, a.dgates, a.packed, token, active, of_candidate, nullptr, spare,
                   dreset_states);
      for (int64_t i = 0; i < active; ++i) {
        const BackwardStep step = {
            a, r.units, token[i], before[i], static_cast<int64_t>(steps.Sequence(i)), r.dtype};
        for (int64_t unit = 0; unit < r.units; unit += lanes) {
          const int64_t at = i * pitch + unit;
          step.GruReset(hn::LoadU(f, dreset_states + at), dcarry + at, unit);
        }
      }
      if (t > 0) {
        StatesBefore(r, multiplier, a.dgates, a.packed, token, active, of_others, dcarry, spare,
                     dstates);
      }
    } else if (t > 0) {
      const bool is_gru = r.cell == Cell::kGru;
      StatesBefore(r, multiplier, is_gru ? a.dproduct : a.dgates, a.packed, token, active,
                   {0, columns}, is_gru ? dcarry : nullptr, spare, dstates);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(PackedForwardFloatsT);
HWY_EXPORT(PackForwardT);
HWY_EXPORT(PackedBackwardFloatsT);
HWY_EXPORT(PackBackwardT);
HWY_EXPORT(RecurrenceLanesT);
HWY_EXPORT(RecurrenceScratchT);
HWY_EXPORT(RunRecurrenceT);
HWY_EXPORT(RunRecurrenceGradientT);

int GatesOf(Cell cell) { return cell == Cell::kTanh ? 1 : cell == Cell::kLstm ? 4 : 3; }
int KeptOf(Cell cell) { return cell == Cell::kTanh ? 0 : 4; }

int64_t PackedForwardFloats(const Recurrence& r) {
  return r.pairs != PairProducts::kNone ? PairedForwardFloats(r)
                                        : HWY_DYNAMIC_DISPATCH(PackedForwardFloatsT)(r);
}
void PackForward(const Recurrence& r, const float* weight, float* packed) {
  if (r.pairs != PairProducts::kNone) {
    return PackPairedForward(r, weight, packed);
  }
  HWY_DYNAMIC_DISPATCH(PackForwardT)(r, weight, packed);
}
int64_t PackedBackwardFloats(const Recurrence& r) {
  return r.pairs != PairProducts::kNone ? PairedBackwardFloats(r)
                                        : HWY_DYNAMIC_DISPATCH(PackedBackwardFloatsT)(r);
}
void PackBackward(const Recurrence& r, const float* weight, float* packed) {
  if (r.pairs != PairProducts::kNone) {
    return PackPairedBackward(r, weight, packed);
  }
  HWY_DYNAMIC_DISPATCH(PackBackwardT)(r, weight, packed);
}
int64_t RecurrenceLanes() { return HWY_DYNAMIC_DISPATCH(RecurrenceLanesT)(); }
int64_t RecurrenceScratch(const Recurrence& r, int64_t sequences) {
  return HWY_DYNAMIC_DISPATCH(RecurrenceScratchT)(r, sequences);
}

void SortByLength(std::span<const int32_t> offsets, std::span<int32_t> order) {
  std::iota(order.begin(), order.end(), 0);
  const auto length = [&](int32_t i) {
    return offsets[static_cast<size_t>(i) + 1] - offsets[static_cast<size_t>(i)];
  };
  std::ranges::sort(order, [&](int32_t a, int32_t b) {
    return length(a) != length(b) ? length(a) > length(b) : a < b;
  });
}

void RunRecurrence(const Recurrence& r, const SequencePart& part, const RecurrenceArrays& arrays,
                   float* scratch) {
  HWY_DYNAMIC_DISPATCH(RunRecurrenceT)(r, part, arrays, scratch);
}
void RunRecurrenceGradient(const Recurrence& r, const SequencePart& part,
                           const RecurrenceGradientArrays& arrays, float* scratch) {
  HWY_DYNAMIC_DISPATCH(RunRecurrenceGradientT)(r, part, arrays, scratch);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
