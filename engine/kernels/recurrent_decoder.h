#pragma once

#include <cstdint>

#include "engine/kernels/recurrence.h"

// The steps of a recurrent layer that begins with a given state, as a decoder does, and that may
// look at another text before each step. Both texts are rows of tokens (tensor/token_rows.h);
// sequence i of the one looks at sequence i of the other. With x a token's row of `gates`, h the
// state before, and of the other text's tokens s the keys k_s and values u_s:
//
//   q = h Q;  e_s = v · tanh(q + k_s);  a = softmax(e);  c = Σ a_s u_s;  x' = x + c C
//
// (Bahdanau, Cho, Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate",
// 2015); then the cell's formulas of recurrence.h with x'. Without attention x' is x. c is zero
// where there is no token to look at.
//
// As in recurrence.h each thread takes some of the sequences through all their steps. The weights
// of the attention are not kept: the backward pass computes them again.
namespace hone::engine::kernels {

struct RecurrentDecoder {
  Cell cell = Cell::kGru;  // kLstm or kGru
  int64_t units = 0;
  int64_t keys = 0;    // numbers of a key; 0: no attention
  int64_t values = 0;  // numbers of a value
};

// A weight [rows, columns] in the order in which products with it run: of x W, or, transposed, of
// x Wᵀ; of so many floats. The layout is named by RecurrenceLanes.
int64_t PanelFloats(int64_t rows, int64_t columns, bool transposed);
void PackPanels(const float* weight, int64_t rows, int64_t columns, bool transposed, float* packed);

// Floats of scratch memory that either pass wants for a part of so many sequences, none of which
// looks at more than `key_rows` tokens.
int64_t RecurrentDecoderScratch(const RecurrentDecoder& d, int64_t sequences, int64_t key_rows);

// All arrays are row major, a row for each token but for those that say [batch]. Those of attention
// are null where there is none; those that may be null are computed nowhere then.
struct RecurrentDecoderArrays {
  const float* gates;        // [rows, gates · units]
  const float* weight;       // the recurrent one, in panels
  const float* bias;         // [gates · units] of kGru, of h U; else null
  const float* start;        // [batch, units]: what h is before a sequence's first token
  const float* start_cells;  // [batch, units] of kLstm, else null
  const float* keys;         // [key rows, keys]
  const float* values;       // [key rows, values]
  const float* query;        // Q [units, keys], in panels
  const float* score;        // v [keys]
  const float* context;      // C [values, gates · units], in panels
  const int32_t* key_offsets;
  float* y;         // [rows, units]: the states
  float* kept;      // [rows, 4 · units]; may be null
  float* cells;     // [rows, units] of kLstm; may be null
  float* contexts;  // [rows, values]: c; may be null
  float* queries;   // [rows, keys]: q; may be null
  float* log_sums;  // [rows]: the logarithm of Σ exp(e_s); may be null
};
void RunRecurrentDecoder(const RecurrentDecoder& d, const SequencePart& part,
                         const RecurrentDecoderArrays& arrays, float* scratch);

struct RecurrentDecoderGradientArrays {
  const float* dy;  // [rows, units]
  const float* y;   // what the forward pass has left, and what it was given
  const float* kept;
  const float* cells;
  const float* queries;
  const float* log_sums;
  const float* start;
  const float* start_cells;
  const float* keys;
  const float* values;
  const float* score;
  const int32_t* key_offsets;
  const float* weight;  // the three weights in panels, transposed
  const float* query;
  const float* context;
  float* dgates;        // [rows, gates · units]
  float* dproduct;      // [rows, gates · units] of kGru: of h U + b; else null
  float* before;        // [rows, units]: the state before each token
  float* dstart;        // [batch, units]
  float* dstart_cells;  // [batch, units] of kLstm
  float* dqueries;      // [rows, keys]
  float* dkeys;         // [key rows, keys]
  float* dvalues;       // [key rows, values]
  float* dscore;        // [keys], of this part's sequences
};
void RunRecurrentDecoderGradient(const RecurrentDecoder& d, const SequencePart& part,
                                 const RecurrentDecoderGradientArrays& arrays, float* scratch);

// One step's look: of a query [keys] at `count` tokens whose keys and values lie one after another.
// y [values] is c, weights [count] what a is.
void AttendAdditive(const RecurrentDecoder& d, const float* query, const float* keys,
                    const float* values, const float* score, int64_t count, float* y,
                    float* weights);

}  // namespace hone::engine::kernels
