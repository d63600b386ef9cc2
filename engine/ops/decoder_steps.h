#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/kernels/recurrent_decoder.h"

// What the ops of recurrent_decoder.h and feeding_decoder.h have in common.
namespace hone::engine::decoder {

inline bool IsLstm(const kernels::RecurrentDecoder& d) { return d.cell == kernels::Cell::kLstm; }
inline int64_t Columns(const kernels::RecurrentDecoder& d) {
  return kernels::GatesOf(d.cell) * d.units;
}

// A matrix of weights, as products run over it.
absl::StatusOr<Slot> Panels(Lowering& l, int input, bool transposed);

// Null where there is no slot.
inline float* Floats(const Memory& m, Slot slot) { return slot < 0 ? nullptr : m.as<float>(slot); }

// How a run shares the sequences out, and what memory it takes for that.
struct Team {
  int parts;
  int64_t batch, rows, key_rows, floats;
  Slot order, scratch;

  // `scratch_of(sequences, key rows)`: the floats that a part of so many takes.
  using ScratchOf = int64_t (*)(const kernels::RecurrentDecoder&, int64_t, int64_t);
  Team(Lowering& l, const kernels::RecurrentDecoder& d, int64_t row_count, int64_t sequences,
       int64_t most_keys, ScratchOf scratch_of);

  // body(part, its number, its scratch memory) on each thread.
  template <typename Body>
  void Run(const Memory& m, const int32_t* offsets, Body&& body) const {
    const std::span<const int32_t> all(offsets, static_cast<size_t>(batch) + 1);
    const std::span<int32_t> sorted(m.as<int32_t>(order), static_cast<size_t>(batch));
    kernels::SortByLength(all, sorted);
    RunTeam(parts, [&](int k) {
      body(kernels::SequencePart{all, sorted, k, parts}, k, m.as<float>(scratch) + k * floats);
    });
  }
  bool Fit(const int32_t* offsets, const int32_t* key_offsets) const;
};

inline double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// A cell's step by its definition, of one row: `x(column)` and `product(column)` are what goes into
// a gate, `state(j)` and `cell(j)` what it begins with, and `state_of(j)` is where it leaves one.
template <typename X, typename Product, typename State, typename CellBefore, typename StateOf>
void CellByDefinition(const kernels::RecurrentDecoder& d, int64_t row, const X& x,
                      const Product& product, const State& state, const CellBefore& cell,
                      const StateOf& state_of, DoubleTensor& kept, DoubleTensor* cells) {
  const int64_t units = d.units;
  for (int64_t j = 0; j < units; ++j) {
    const auto keep = [&](int64_t block, double value) {
      kept[(row * 4 + block) * units + j] = value;
      return value;
    };
    const auto sum = [&](int64_t block) {
      return x(block * units + j) + product(block * units + j);
    };
    if (IsLstm(d)) {
      const double i = keep(0, Sigmoid(sum(0)));
      const double f = keep(1, Sigmoid(sum(1)));
      const double g = keep(2, std::tanh(sum(2)));
      const double o = keep(3, Sigmoid(sum(3)));
      const double c = f * cell(j) + i * g;
      (*cells)[row * units + j] = c;
      state_of(j) = o * std::tanh(c);
    } else {
      const double r = keep(0, Sigmoid(sum(0)));
      const double z = keep(1, Sigmoid(sum(1)));
      const double q = keep(3, product(2 * units + j));
      const double n = keep(2, std::tanh(x(2 * units + j) + r * q));
      state_of(j) = (1 - z) * n + z * state(j);
    }
  }
}

// Its step back, of one row. `dstate` is the gradient of the state that it left and becomes that of
// the one before, as dcell of an LSTM's cells; state(j) and cell(j) are what it began with.
// `dproduct` is of h U + b, which of an LSTM is `dgates`; `weight` is U.
template <typename State, typename CellBefore>
void CellBackByDefinition(const kernels::RecurrentDecoder& d, int64_t row, const State& state,
                          const CellBefore& cell, const DoubleTensor& kept,
                          const DoubleTensor* cells, const DoubleTensor& weight,
                          DoubleTensor& dgates, DoubleTensor& dproduct, std::vector<double>& dstate,
                          std::vector<double>& dcell) {
  const int64_t units = d.units, columns = Columns(d);
  std::vector<double> carry(static_cast<size_t>(units));
  for (int64_t j = 0; j < units; ++j) {
    const auto at = static_cast<size_t>(j);
    const double dh = dstate[at];
    const auto of = [&](int64_t block) { return kept[(row * 4 + block) * units + j]; };
    const auto gate = [&](DoubleTensor& gradient, int64_t block) -> double& {
      return gradient[row * columns + block * units + j];
    };
    if (IsLstm(d)) {
      const double i = of(0), f = of(1), g = of(2), o = of(3);
      const double tanh = std::tanh((*cells)[row * units + j]);
      const double dc = dh * o * (1 - tanh * tanh) + dcell[at];
      gate(dgates, 0) = dc * g * i * (1 - i);
      gate(dgates, 1) = dc * cell(j) * f * (1 - f);
      gate(dgates, 2) = dc * i * (1 - g * g);
      gate(dgates, 3) = dh * tanh * o * (1 - o);
      dcell[at] = dc * f;
    } else {
      const double r = of(0), z = of(1), n = of(2), q = of(3);
      const double dn = dh * (1 - z) * (1 - n * n);
      gate(dgates, 0) = gate(dproduct, 0) = dn * q * r * (1 - r);
      gate(dgates, 1) = gate(dproduct, 1) = dh * (state(j) - n) * z * (1 - z);
      gate(dgates, 2) = dn;
      gate(dproduct, 2) = dn * r;
      carry[at] = dh * z;
    }
  }
  for (int64_t k = 0; k < units; ++k) {
    for (int64_t column = 0; column < columns; ++column) {
      carry[static_cast<size_t>(k)] +=
          dproduct[row * columns + column] * weight[k * columns + column];
    }
  }
  dstate = std::move(carry);
}

}  // namespace hone::engine::decoder
