#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/optim/options.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {
struct Moved;
}

// Optimizers over flat slabs; optim/options.h has their update rules.
namespace hone::engine::optim {

// One parameter, or several next to each other that are treated alike: floats [begin, end) of the
// slab. begin is a multiple of 16; from end to the next multiple of 16 values and gradients are
// zero, and stay so.
struct ParameterRange {
  int64_t begin = 0;
  int64_t end = 0;
  float learning_rate_multiplier = 1;
  float weight_decay =
      0;  // λ itself; usually WeightDecayOf(options), or 0 for biases and normalisation
  // In the first so many updates it is as if it were not there: its gradient is not looked at, and
  // value and state stay. Its own updates are counted from then on.
  int64_t rests = 0;
  // Above 0: a table of rows of so many floats, whose gradient comes as rows (TableGradient) and
  // not in the slabs. Tables stand behind all other ranges.
  int64_t row_width = 0;
};

// Rows of a table with a gradient that is not zero: `rows` ascending, each once, ended by a
// negative one or after `capacity`; the sums of row i of them lie at i · width, or where the table
// has that row if `in_place`.
struct RowGradient {
  const int32_t* rows = nullptr;
  int64_t capacity = 0;
  const float* sums = nullptr;
  bool in_place = false;
};

// The gradient of the table that is the optimizer's range `range`: the sum of the parts, of shards
// and of batches before.
struct TableGradient {
  int range = 0;
  std::span<const RowGradient> parts = {};
};

// What the read pass found, before clipping.
struct GradientSummary {
  double squared_norm =
      0;  // of scale · the summed gradient, over all ranges; NaN or infinite if not finite
  bool finite = true;  // no NaN and no infinity in the summed gradient
  double norm() const;
};

// The factor that brings a gradient of this norm down to max_norm: min(1, max_norm / norm); 1 if
// max_norm is 0 (off).
double ClipFactor(double norm, double max_norm);

// One update.
struct UpdateStep {
  int64_t step = 1;          // number of this update, from 1: the t of Adam
  double learning_rate = 0;  // the schedule's factor already in it
  double scale = 1;          // of the summed gradient: 1 / total weight × ClipFactor
  double clip_value = 0;     // each scaled gradient is cut to ± this; 0: not
};

// The pointers of one update: whole slabs, 64-byte aligned, long enough for the last range's end
// rounded up to 16 floats.
struct Slabs {
  float* values = nullptr;
  std::span<const float* const> gradients = {};  // one for each shard; the gradient is their sum
  std::span<const TableGradient> tables = {};    // of the ranges that are tables
};

// One optimizer over a group of ranges of a slab, with its state. Two passes for each update:
//   0. Where ranges rest at first, BeginUpdate(t). Where there are tables, MergeRows(…, k, workers)
//      by each worker, all join.
//   1. Read(…, begin, end) by each worker for its portion of [0, ReadFloats(…)), all join,
//      Summary() by one of them: norm and finiteness, nothing is written.
//      The caller decides: stop on a gradient that is not finite, clip.
//   2. Write(…, begin, end) by each worker for its portion of [0, WriteFloats()), all join: values
//      and state are updated, in one pass over memory.
// Portions are cut at multiples of 16 (ShareOf in base/team.h with that grain).
// Several may ask for the summary at a time. No pass allocates, but for the first ones over tables.
// Of a table, a lazy optimizer (and one whose rows without gradient stay as they are anyway: SGD
// without momentum and decay) reads and writes the rows with a gradient alone; weights' norms are
// of the whole table. Results do not depend on the portions at all, on the number of shards only by
// rounding. Thread safe as described only.
class Optimizer {
 public:
  // The state starts at zero. `ranges` ascend and do not overlap; what lies between them is not
  // touched. INVALID_ARGUMENT for options or ranges that break the rules.
  static absl::StatusOr<Optimizer> Create(const OptimizerOptions& options,
                                          std::vector<ParameterRange> ranges);

  const OptimizerOptions& options() const { return options_; }
  std::span<const ParameterRange> ranges() const { return ranges_; }

  // The passes from here on are of the update with this number; without it no range rests in Read.
  void BeginUpdate(int64_t number) { update_ = number; }

  // Range i rests in that update.
  bool Rests(int i) const { return RestsNow(ranges_[static_cast<size_t>(i)]); }

  int64_t tables() const { return static_cast<int64_t>(tables_.size()); }
  // Puts the lists of rows of the tables' parts together, worker k's of so many workers. Tables
  // whose parts have the very same lists have one together.
  void MergeRows(const Slabs& slabs, int k, int workers);
  // The read pass goes over so many floats, a multiple of 16; with tables, good from MergeRows to
  // the next. With weights, the squared norms of the values are taken too (for layer statistics).
  int64_t ReadFloats(bool with_weights) const;
  // A portion of it.
  void Read(const Slabs& slabs, bool with_weights, int64_t begin, int64_t end);
  // Puts the parts together. `scale` multiplies the summed gradient.
  GradientSummary Summary(double scale) const;
  // Squared norms of range i after Read; those of the values after a Read with weights.
  double SquaredGradientNorm(int i, double scale) const;
  double SquaredWeightNorm(int i) const;

  // The write pass, likewise.
  int64_t WriteFloats() const;
  void Write(const Slabs& slabs, const UpdateStep& step, int64_t begin, int64_t end);

  // The state, for checkpoints: slab s of StateNames() covers [state_begin(), state_begin() +
  // state(s).size()) of the slab, so range r's part is state(s).subspan(r.begin - state_begin(),
  // r.end - r.begin).
  int state_slabs() const { return static_cast<int>(state_.size()); }
  int64_t state_begin() const { return begin_; }
  std::span<float> state(int s);
  std::span<const float> state(int s) const;
  int64_t state_bytes() const;

 private:
  // At most kBlock floats of one range: the unit of partial sums, so that they do not depend on the
  // number of workers.
  struct Block {
    int64_t begin;
    int64_t end;  // a multiple of 16
    double gradient_squares = 0;
    double weight_squares = 0;
  };

  // A list of rows put together of those of several parts.
  struct RowList {
    std::vector<int32_t> rows = {};
    std::vector<int32_t> places = {};  // [rows, parts]: where a part has that row, or −1
    // While rows are merged: of each part, its rows and the next of them.
    std::vector<int64_t> counts = {}, next = {};
  };

  // A table among the ranges, and the rows of it that have a gradient now, in their order.
  struct Table {
    size_t range = 0;
    std::vector<const float*> parts = {};  // their sums
    std::span<const int32_t> rows = {};
    const RowList* list = nullptr;  // of this table or another; null: `rows` are the only part's
    const float* sums = nullptr;    // [rows, width], of all parts after the read pass
    // Of blocks of BlockRows rows, the squares of the gradient.
    std::vector<double> squares = {};
    RowList own_list = {};
    Buffer own_sums = {};
    std::vector<float> zeros = {};  // a row of them
  };

  // An update with what is the same for all that it moves.
  struct PreparedStep {
    const UpdateStep& step;
    double correction = 1;  // of Adam's rate
  };

  Optimizer() = default;
  bool RestsNow(const ParameterRange& range) const { return update_ <= range.rests; }
  // The range that a block belongs to.
  const ParameterRange& RangeOf(size_t block) const;
  // What brings the rate of a range's update with that number to its rule: Adam's.
  double CorrectionAt(int64_t number) const;
  // A table that rests has no rows.
  void ForgetRows(Table& table) const;
  // The blocks that begin in floats [first, last) of the slab.
  void ReadBlocks(const Slabs& slabs, bool with_weights, int64_t first, int64_t last);
  void WriteRange(const Slabs& slabs, const PreparedStep& step, const ParameterRange& range,
                  int64_t first, int64_t last);
  // How many floats the rows of the table's gradient have, rounded up.
  int64_t RowFloats(const Table& table) const;
  // Puts the lists of the parts together, as the table's.
  static void MergeLists(std::span<const RowGradient> given, Table& table);
  // The table has the rows of `merged`, which may be the same.
  void TakeRows(std::span<const RowGradient> parts, const Table& merged, Table& table);
  // Rows [first, last) of the table's gradient, whole blocks of BlockRows.
  void ReadRows(Table& table, int64_t first, int64_t last);
  void WriteRows(const Slabs& slabs, const PreparedStep& step, const Table& table, int64_t first,
                 int64_t last);
  void WriteNarrowRows(const Slabs& slabs, const PreparedStep& step, const Table& table,
                       int64_t first, int64_t last);
  void WriteWideRows(const Slabs& slabs, const PreparedStep& step, const Table& table,
                     int64_t first, int64_t last);
  // Floats [first, last) of the table.
  void WriteWholeTable(const Slabs& slabs, const PreparedStep& step, const Table& table,
                       int64_t first, int64_t last);
  // `count` floats of the sums, from the i-th row's column `column` on, scaled and clipped, and
  // zeros behind them to a multiple of 16.
  void ScaledSums(const Table& table, int64_t i, int64_t column, int64_t count,
                  const PreparedStep& step, float* out) const;
  // The state's slabs at a position of the value slab; null behind the last.
  std::array<float*, 3> StateAt(int64_t position) const;
  bool LeavesRowsAlone(const ParameterRange& range) const;
  void Update(const PreparedStep& step, const ParameterRange& range, const kernels::Moved& moved,
              const float* gradient, float* value, float* const* state) const;

  OptimizerOptions options_;
  std::vector<ParameterRange> ranges_;
  int64_t update_ = std::numeric_limits<int64_t>::max();  // that is being made
  bool any_rests_ = false;
  std::vector<Block> blocks_;
  std::vector<size_t> first_block_;  // of each range, and one past the last
  std::vector<Table> tables_;
  int64_t begin_ = 0;
  int64_t dense_end_ = 0;  // where tables begin; a multiple of 16, as end_
  int64_t end_ = 0;
  std::vector<Buffer> state_;
};

// sum += gradient over the floats [begin, end) of two slabs, multiples of 16: gradient
// accumulation.
void AccumulateGradient(const float* gradient, float* sum, int64_t begin, int64_t end);

}  // namespace hone::engine::optim
