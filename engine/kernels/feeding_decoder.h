#pragma once

#include <cstdint>

#include "engine/kernels/recurrent_decoder.h"

// The steps of a recurrent layer that looks at another text behind each step and is fed what it
// made of that at the next one. Texts and names are those of recurrent_decoder.h; with f the
// attentional vector of the token before, zeros before a sequence's first token:
//
//   x' = x + f F;  h' = cell(x', h);  q = h' Q;  a = softmax over s of q · u_s;  c = Σ a_s u_s
//   f' = tanh([h', c] C + b)
//
// (Luong, Pham, Manning, "Effective Approaches to Attention-based Neural Machine Translation",
// 2015, sections 3.1 and 3.3: "general" scores and input feeding). The keys of u_s are u_s itself:
// RecurrentDecoder::keys is RecurrentDecoder::values. Both are above 0.
namespace hone::engine::kernels {

// As RecurrentDecoderScratch.
int64_t FeedingDecoderScratch(const RecurrentDecoder& d, int64_t sequences, int64_t key_rows);

// As RecurrentDecoderArrays has them.
struct FeedingDecoderArrays {
  const float* gates;         // [rows, gates · units]
  const float* weight;        // the recurrent one, in panels
  const float* bias;          // [gates · units] of kGru, of h U; else null
  const float* start;         // [batch, units]
  const float* start_cells;   // [batch, units] of kLstm, else null
  const float* values;        // [key rows, values]: u
  const float* query;         // Q [units, values], in panels
  const float* combine;       // C [units + values, units], in panels
  const float* combine_bias;  // b [units]
  const float* feed;          // F [units, gates · units], in panels
  const int32_t* key_offsets;
  float* y;         // [rows, units]: f'
  float* kept;      // [rows, 4 · units]; may be null
  float* cells;     // [rows, units] of kLstm; may be null
  float* seen;      // [rows, units + values]: h' and c
  float* queries;   // [rows, values]: q; may be null
  float* log_sums;  // [rows]: the logarithm of Σ exp(q · u_s); may be null
};
void RunFeedingDecoder(const RecurrentDecoder& d, const SequencePart& part,
                       const FeedingDecoderArrays& arrays, float* scratch);

struct FeedingDecoderGradientArrays {
  const float* dy;  // [rows, units]
  const float* y;   // what the forward pass has left, and what it was given
  const float* kept;
  const float* cells;
  const float* seen;
  const float* queries;
  const float* log_sums;
  const float* start;
  const float* start_cells;
  const float* values;
  const int32_t* key_offsets;
  const float* weight;  // the four weights in panels, transposed
  const float* query;
  const float* combine;
  const float* feed;
  float* dgates;        // [rows, gates · units]
  float* dproduct;      // [rows, gates · units] of kGru: of h U + b; else null
  float* before;        // [rows, units]: the state before each token
  float* fed;           // [rows, units]: f, the attentional vector before each token
  float* dstart;        // [batch, units]
  float* dstart_cells;  // [batch, units] of kLstm
  float* dcombined;     // [rows, units]: of [h', c] C + b
  float* dqueries;      // [rows, values]
  float* dvalues;       // [key rows, values]
};
void RunFeedingDecoderGradient(const RecurrentDecoder& d, const SequencePart& part,
                               const FeedingDecoderGradientArrays& arrays, float* scratch);

}  // namespace hone::engine::kernels
