#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/graph/op.h"
#include "engine/ops/decoder_steps.h"

// What the ops of recurrent_decoder.h and of its gradient share.
namespace hone::engine::recurrent_decoder {

// Outputs of the gradient's op; from kDQueries on where there is attention.
enum GradientOutput : int {
  kDGates,
  kBefore,
  kDStart,
  kDProductOrCells,  // of kGru the gradient of h U + b, of kLstm that of the cells' start
  kDQueries,
  kDKeys,
  kDValues,
  kDScore,
};

// Its inputs: the gradient of the states; these, what was kept, the recurrent weight, the start and
// the offsets; of kLstm the cells and their start; where there is attention keys, values, the
// weights of query, score and context, the keys' offsets, queries and log_sums.
std::shared_ptr<const Op> MakeGradientOp(const kernels::RecurrentDecoder& decoder);

// Whether there is attention.
inline bool Looks(const kernels::RecurrentDecoder& d) { return d.keys > 0; }

// Of all steps' products with weights, forward.
inline double FlopsOf(const kernels::RecurrentDecoder& d, int64_t rows) {
  return 2.0 * static_cast<double>(rows) *
         static_cast<double>(d.units * decoder::Columns(d) + d.units * d.keys +
                             d.values * decoder::Columns(d));
}

// What a query of the definition looks at: weights and what they are made of, in double.
struct LookOf {
  std::vector<double> scores;   // of each key
  std::vector<double> weights;  // their softmax
  double log_sum = 0;

  // `query(j)`: number j of the query.
  template <typename Query>
  LookOf(const kernels::RecurrentDecoder& d, Query&& query, const DoubleTensor& keys,
         const DoubleTensor& score, int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t s = begin; s < end; ++s) {
      double e = 0;
      for (int64_t j = 0; j < d.keys; ++j) {
        e += score[j] * std::tanh(query(j) + keys[s * d.keys + j]);
      }
      scores.push_back(e);
      sum += std::exp(e);
    }
    log_sum = begin < end ? std::log(sum) : 0;
    for (const double e : scores) {
      weights.push_back(std::exp(e - log_sum));
    }
  }
};

}  // namespace hone::engine::recurrent_decoder
