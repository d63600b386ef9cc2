#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/graph/op.h"
#include "engine/ops/decoder_steps.h"

// What the ops of feeding_decoder.h and of its gradient share.
namespace hone::engine::feeding_decoder {

// Outputs of the gradient's op.
enum GradientOutput : int {
  kDGates,
  kBefore,
  kFed,
  kDStart,
  kDProductOrCells,  // of kGru the gradient of h U + b, of kLstm that of the cells' start
  kDCombined,
  kDQueries,
  kDValues,
  kGradientOutputs,
};
// Its inputs: the gradient of the attentional vectors; these, what was kept, the recurrent weight,
// the start and the offsets; of kLstm the cells and their start; the values, the weights of query,
// combination and feeding, the values' offsets; what was seen, queries and log_sums.
std::shared_ptr<const Op> MakeGradientOp(const kernels::RecurrentDecoder& decoder);

inline int64_t Width(const kernels::RecurrentDecoder& d) { return d.units + d.values; }

// Of all steps' products with weights, forward.
inline double FlopsOf(const kernels::RecurrentDecoder& d, int64_t rows) {
  return 2.0 * static_cast<double>(rows) *
         static_cast<double>(d.units * (2 * decoder::Columns(d) + d.values + Width(d)));
}

// The shares that a query of the definition has in `count` rows of values from `begin` on. The
// logarithm of the sum comes to log_sum.
template <typename Query>
std::vector<double> SharesOf(const kernels::RecurrentDecoder& d, const Query& query,
                             const DoubleTensor& values, int64_t begin, int64_t count,
                             double& log_sum) {
  std::vector<double> shares;
  double sum = 0;
  for (int64_t s = begin; s < begin + count; ++s) {
    double score = 0;
    for (int64_t j = 0; j < d.values; ++j) {
      score += query(j) * values[s * d.values + j];
    }
    shares.push_back(std::exp(score));
    sum += shares.back();
  }
  log_sum = count > 0 ? std::log(sum) : 0;
  for (double& share : shares) {
    share /= sum;
  }
  return shares;
}

}  // namespace hone::engine::feeding_decoder
