#pragma once

#include <cstddef>
#include <cstdint>

// Products of bf16 matrices with f32 sums, by AVX512-BF16's dot products of pairs or by AMX's
// tiles. Who calls has asked ops/implementation.h (PairProductsBy). A word holds two bf16 numbers
// that are neighbours along the extent that is summed over, the first one in the lower half: a row
// of an even count of bf16 numbers is a row of words as it lies in memory.
//
// Every element is summed over the pairs in their order, whatever the rows and columns of the call
// are: a row has the same bits in any batch and share. Vectors and tiles add in different orders.
// Denormal products count as zero. A NaN reaches all sums that it is part of.
namespace hone::engine::kernels {

enum class PairProducts { kNone, kVectors, kTiles };

// Columns are whole vectors of so many.
constexpr int64_t kPairLanes = 16;
// What is multiplied by tiles comes in whole ones: so many rows, and so many pairs of a row.
constexpr int64_t kTileRows = 16, kTilePairs = 16;

// c(r, n) = Σ over p of a(r, p) · b(p, n), each a dot product of two words; with `add` on top of
// what is there.
struct PairProduct {
  int64_t rows = 0;     // by tiles, `a` and `c` have memory for whole tiles of rows
  int64_t pairs = 0;    // by tiles, a multiple of kTilePairs
  int64_t columns = 0;  // a multiple of kPairLanes
  int64_t a_row = 0;    // a(r, p) is the word at r * a_row + p
  int64_t b_row = 0;    // b(p, n) is the word at p * b_row + n
  int64_t c_row = 0;    // c(r, n) is the float at r * c_row + n
  bool add = false;
};

// Multiplies while it lives, on the thread that made it: the processor's tiles have the shape that
// it needs, and are what they were before when it is gone. By tiles, the rows of `c` behind the
// last one up to a whole tile are overwritten.
class PairMultiplier {
 public:
  explicit PairMultiplier(PairProducts by);
  ~PairMultiplier();
  PairMultiplier(const PairMultiplier&) = delete;
  PairMultiplier& operator=(const PairMultiplier&) = delete;

  // `a` and `b` are bf16 numbers or words, aligned to words.
  void Multiply(const PairProduct& product, const void* a, const void* b, float* c) const;

 private:
  const bool tiles_;
  alignas(64) std::byte before_[64];  // the tiles' shape before
};

// How rows of bf16 become words of a right factor. `from` has rows of `count` numbers, `from_row`
// apart.

// Pairs along a row, which stand below each other then: to[p · to_row + r] is the word p of row r,
// count / 2 of them. `count` and `from_row` are even.
void TransposePairs(const uint16_t* from, int64_t from_row, int64_t rows, int64_t count,
                    uint32_t* to, int64_t to_row);

// Pairs of rows: to[p · to_row + n] is number n of row 2 p and of row 2 p + 1, zero where there is
// no such row, and zeros behind `count` up to to_row.
void PairRows(const uint16_t* from, int64_t from_row, int64_t rows, int64_t count, uint32_t* to,
              int64_t to_row);

// The same of two rows of f32, rounded to nearest even, a multiple of kPairLanes numbers; `second`
// may be null: zeros.
void PairFloats(const float* first, const float* second, int64_t count, uint32_t* to);

// A row of f32 rounded to bf16 as it lies.
void RoundFloats(const float* from, int64_t count, uint16_t* to);

}  // namespace hone::engine::kernels
