#include "engine/optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/kernels/instruction_set.h"
#include "engine/kernels/optimizer.h"
#include "engine/optim/portion.h"

namespace hone::engine::optim {
namespace {

constexpr int64_t kBlock = 2048;

absl::Status CheckRanges(std::span<const ParameterRange> ranges) {
  int64_t from = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const ParameterRange& range = ranges[i];
    if (range.begin < from || range.begin % kGrain != 0 || range.end <= range.begin) {
      return absl::InvalidArgumentError(
          absl::StrCat("range ", i, " of the optimizer: must begin at a multiple of 16 from ", from,
                       " on and not be empty, got [", range.begin, ", ", range.end, ")"));
    }
    if (range.rests < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "range ", i, " of the optimizer: must rest for 0 updates or more, got ", range.rests));
    }
    const int64_t size = range.end - range.begin;
    if (range.row_width < 0 || (range.row_width > 0 && size % range.row_width != 0) ||
        (range.row_width == 0 && i > 0 && ranges[i - 1].row_width > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("range ", i, " of the optimizer: tables must hold whole rows and stand ",
                       "behind all other ranges, got rows of ", range.row_width, " in ", size));
    }
    if (!std::isfinite(range.learning_rate_multiplier) || !std::isfinite(range.weight_decay)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "range ", i, " of the optimizer: learning rate multiplier and decay must be finite"));
    }
    from = RoundUp(range.end);
  }
  return absl::OkStatus();
}

// The sum of all shards' gradients, times `scale`, in `scratch`, or where it lies if there is
// nothing to be done.
const float* Gradient(const Slabs& slabs, int64_t begin, int64_t count, float scale, float clip,
                      float* scratch) {
  if (slabs.gradients.size() == 1 && scale == 1 && clip == 0) {
    return slabs.gradients[0] + begin;
  }
  kernels::SumGradients(slabs.gradients, begin, count, scale, clip, scratch);
  return scratch;
}

// What brings the learning rate of an update to that of Adam's rule.
double AdamCorrection(double step, double beta1, double beta2) {
  return std::sqrt(1 - std::pow(beta2, step)) / (1 - std::pow(beta1, step));
}

template <class Options>
kernels::AdamUpdate MakeAdamUpdate(double rate, const Options& options) {
  return {.rate = static_cast<float>(rate),
          .one_minus_beta1 = static_cast<float>(1 - options.beta1),
          .one_minus_beta2 = static_cast<float>(1 - options.beta2),
          .epsilon = static_cast<float>(options.epsilon)};
}

}  // namespace

double GradientSummary::norm() const { return std::sqrt(squared_norm); }

double ClipFactor(double norm, double max_norm) {
  return max_norm > 0 && norm > max_norm ? max_norm / norm : 1;
}

absl::StatusOr<Optimizer> Optimizer::Create(const OptimizerOptions& options,
                                            std::vector<ParameterRange> ranges) {
  HONE_RETURN_IF_ERROR(Validate(options));
  HONE_RETURN_IF_ERROR(CheckRanges(ranges));
  kernels::KeepToInstructionSet();
  Optimizer optimizer;
  optimizer.options_ = options;
  for (const ParameterRange& range : ranges) {
    optimizer.first_block_.push_back(optimizer.blocks_.size());
    const int64_t end = RoundUp(range.end);
    for (int64_t begin = range.begin; begin < end; begin += kBlock) {
      optimizer.blocks_.push_back({.begin = begin, .end = std::min(begin + kBlock, end)});
    }
  }
  optimizer.first_block_.push_back(optimizer.blocks_.size());
  if (!ranges.empty()) {
    optimizer.begin_ = optimizer.dense_end_ = ranges.front().begin;
    optimizer.end_ = RoundUp(ranges.back().end);
  }
  for (size_t r = 0; r < ranges.size(); ++r) {
    if (ranges[r].row_width > 0) {
      optimizer.tables_.push_back({.range = r});
    } else {
      optimizer.dense_end_ = RoundUp(ranges[r].end);
    }
  }
  for (size_t s = 0; s < StateNames(options).size(); ++s) {
    optimizer.state_.emplace_back((optimizer.end_ - optimizer.begin_) *
                                  static_cast<int64_t>(sizeof(float)));
  }
  optimizer.any_rests_ =
      std::ranges::any_of(ranges, [](const ParameterRange& range) { return range.rests > 0; });
  optimizer.ranges_ = std::move(ranges);
  return optimizer;
}

int64_t Optimizer::ReadFloats(bool with_weights) const {
  int64_t floats = (with_weights ? end_ : dense_end_) - begin_;
  for (const Table& table : tables_) {
    floats += RowFloats(table);
  }
  return floats;
}

void Optimizer::Read(const Slabs& slabs, bool with_weights, int64_t begin, int64_t end) {
  Portion portion(begin, end);
  const auto [first, last] = portion.Next((with_weights ? end_ : dense_end_) - begin_);
  ReadBlocks(slabs, with_weights, begin_ + first, begin_ + last);
  for (Table& table : tables_) {
    const int64_t width = ranges_[table.range].row_width;
    const auto [from, to] =
        portion.NextRows(static_cast<int64_t>(table.rows.size()), width, BlockRows(width));
    ReadRows(table, from, to);
  }
}

void Optimizer::ReadBlocks(const Slabs& slabs, bool with_weights, int64_t first, int64_t last) {
  auto block =
      std::lower_bound(blocks_.begin(), blocks_.end(), first,
                       [](const Block& b, int64_t position) { return b.begin < position; });
  alignas(64) float scratch[kBlock];
  for (; block != blocks_.end() && block->begin < last; ++block) {
    const int64_t count = block->end - block->begin;
    const auto number = static_cast<size_t>(block - blocks_.begin());
    if (any_rests_ && RestsNow(RangeOf(number))) {
      block->gradient_squares = 0;
    } else if (block->begin < dense_end_) {
      const float* gradient = Gradient(slabs, block->begin, count, 1, 0, scratch);
      block->gradient_squares = kernels::SumOfSquares(gradient, count);
    }
    if (with_weights) {
      block->weight_squares = kernels::SumOfSquares(slabs.values + block->begin, count);
    }
  }
}

const ParameterRange& Optimizer::RangeOf(size_t block) const {
  const auto next = std::ranges::upper_bound(first_block_, block);
  return ranges_[static_cast<size_t>(next - first_block_.begin()) - 1];
}

GradientSummary Optimizer::Summary(double scale) const {
  double sum = 0;
  for (const Block& block : blocks_) {
    sum += block.gradient_squares;
  }
  for (const Table& table : tables_) {
    sum = std::accumulate(table.squares.begin(), table.squares.end(), sum);
  }
  return {.squared_norm = sum * scale * scale, .finite = std::isfinite(sum)};
}

double Optimizer::SquaredGradientNorm(int i, double scale) const {
  double sum = 0;
  for (size_t b = first_block_[static_cast<size_t>(i)];
       b < first_block_[static_cast<size_t>(i) + 1]; ++b) {
    sum += blocks_[b].gradient_squares;
  }
  for (const Table& table : tables_) {
    if (table.range == static_cast<size_t>(i)) {
      sum = std::accumulate(table.squares.begin(), table.squares.end(), sum);
    }
  }
  return sum * scale * scale;
}

double Optimizer::SquaredWeightNorm(int i) const {
  double sum = 0;
  for (size_t b = first_block_[static_cast<size_t>(i)];
       b < first_block_[static_cast<size_t>(i) + 1]; ++b) {
    sum += blocks_[b].weight_squares;
  }
  return sum;
}

int64_t Optimizer::WriteFloats() const {
  int64_t floats = dense_end_ - begin_;
  for (const Table& table : tables_) {
    const ParameterRange& range = ranges_[table.range];
    floats += LeavesRowsAlone(range) ? RowFloats(table) : RoundUp(range.end - range.begin);
  }
  return floats;
}

double Optimizer::CorrectionAt(int64_t number) const {
  return std::visit(
      [&](const auto& options) {
        if constexpr (requires { options.beta1; }) {
          return AdamCorrection(static_cast<double>(number), options.beta1, options.beta2);
        }
        return 1.0;
      },
      options_);
}

void Optimizer::Write(const Slabs& slabs, const UpdateStep& update, int64_t begin, int64_t end) {
  const PreparedStep usual = {update, CorrectionAt(update.step)};
  const auto prepared = [&](const ParameterRange& of) {
    return of.rests == 0 ? usual : PreparedStep{update, CorrectionAt(update.step - of.rests)};
  };
  Portion portion(begin, end);
  auto [first, last] = portion.Next(dense_end_ - begin_);
  first += begin_;
  last += begin_;
  auto range = std::lower_bound(
      ranges_.begin(), ranges_.end(), first,
      [](const ParameterRange& r, int64_t position) { return RoundUp(r.end) <= position; });
  for (; range != ranges_.end() && range->begin < last; ++range) {
    if (update.step > range->rests) {
      WriteRange(slabs, prepared(*range), *range, std::max(range->begin, first),
                 std::min(RoundUp(range->end), last));
    }
  }
  for (const Table& table : tables_) {
    const ParameterRange& whole = ranges_[table.range];
    if (LeavesRowsAlone(whole)) {
      const auto [from, to] =
          portion.NextRows(static_cast<int64_t>(table.rows.size()), whole.row_width);
      WriteRows(slabs, prepared(whole), table, from, to);
    } else if (const auto [from, to] = portion.Next(RoundUp(whole.end - whole.begin));
               update.step > whole.rests) {
      WriteWholeTable(slabs, prepared(whole), table, from, to);
    }
  }
}

std::array<float*, 3> Optimizer::StateAt(int64_t position) const {
  std::array<float*, 3> state = {};
  for (size_t s = 0; s < state_.size(); ++s) {
    state[s] = state_[s].as<float>() + (position - begin_);
  }
  return state;
}

void Optimizer::WriteRange(const Slabs& slabs, const PreparedStep& step,
                           const ParameterRange& range, int64_t first, int64_t last) {
  alignas(64) float scratch[kBlock];
  for (int64_t begin = first; begin < last; begin += kBlock) {
    const int64_t count = std::min(kBlock, last - begin);
    const float* gradient = Gradient(slabs, begin, count, static_cast<float>(step.step.scale),
                                     static_cast<float>(step.step.clip_value), scratch);
    Update(step, range, {.width = count}, gradient, slabs.values + begin, StateAt(begin).data());
  }
}

void Optimizer::Update(const PreparedStep& step, const ParameterRange& range,
                       const kernels::Moved& moved, const float* gradient, float* value,
                       float* const* state) const {
  const double rate = step.step.learning_rate * range.learning_rate_multiplier;
  if (const Sgd* sgd = std::get_if<Sgd>(&options_)) {
    const kernels::SgdUpdate update = {.learning_rate = static_cast<float>(rate),
                                       .momentum = static_cast<float>(sgd->momentum),
                                       .nesterov = sgd->nesterov,
                                       .l2 = range.weight_decay};
    kernels::Update(update, moved, gradient, value, state[0]);
  } else if (const Adam* adam = std::get_if<Adam>(&options_)) {
    kernels::AdamUpdate update = MakeAdamUpdate(rate * step.correction, *adam);
    update.l2 = range.weight_decay;
    kernels::Update(update, moved, gradient, value, state[0], state[1]);
  } else if (const AdamW* adamw = std::get_if<AdamW>(&options_)) {
    kernels::AdamUpdate update = MakeAdamUpdate(rate * step.correction, *adamw);
    update.keep = static_cast<float>(1 - rate * range.weight_decay);
    kernels::Update(update, moved, gradient, value, state[0], state[1]);
  } else if (const RmsProp* rmsprop = std::get_if<RmsProp>(&options_)) {
    const kernels::RmsPropUpdate update = {
        .learning_rate = static_cast<float>(rate),
        .one_minus_decay = static_cast<float>(1 - rmsprop->decay),
        .epsilon = static_cast<float>(rmsprop->epsilon),
        .momentum = static_cast<float>(rmsprop->momentum),
        .l2 = range.weight_decay};
    float* velocity = rmsprop->momentum != 0 ? state[1] : nullptr;
    float* mean = rmsprop->centered ? state[state_.size() - 1] : nullptr;
    kernels::Update(update, moved, gradient, value, state[0], velocity, mean);
  }
}

std::span<float> Optimizer::state(int s) {
  return {state_[static_cast<size_t>(s)].as<float>(), static_cast<size_t>(end_ - begin_)};
}

std::span<const float> Optimizer::state(int s) const {
  return {state_[static_cast<size_t>(s)].as<float>(), static_cast<size_t>(end_ - begin_)};
}

int64_t Optimizer::state_bytes() const {
  int64_t bytes = 0;
  for (const Buffer& slab : state_) {
    bytes += slab.bytes();
  }
  return bytes;
}

void AccumulateGradient(const float* gradient, float* sum, int64_t begin, int64_t end) {
  kernels::Accumulate(gradient + begin, sum + begin, end - begin);
}

}  // namespace hone::engine::optim
