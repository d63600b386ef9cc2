// hone-bench-attention SHAPE PRECISION WAY [SECONDS]: attention alone, forward and backward, timed.
//
// SHAPE, of the nets of sequence_nets.cc:
//   gpt128   12 sequences of 64 tokens, 4 heads of 32 numbers, causal
//   gpt256   8 of 256, 4 heads of 64, causal
//   minilm   16 of 128, 12 heads of 32, every token sees every other one
// PRECISION: f32 or bf16, of all that is read and left.
// WAY:
//   ours      kernels/attention.h, as the op runs it
//   products  oneDNN's matrix products with softmax between them (kernels/softmax.h), the weights
//             of all queries and keys kept for the backward pass. Heads lie apart already, and of a
//             causal row only the part that counts is exponentiated: what a good program around a
//             library does. Products know no mask and compute all scores.
//
// No dropout, no scale. Two threads. Both ways compute the same, which is checked before anything
// is timed. Prints one line of JSON; torch_attention.py is its peer.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/instruction_set.h"
#include "engine/kernels/softmax.h"
#include "engine/onednn/primitive.h"
#include "engine/ops/implementation.h"
#include "tests/bench/timing.h"

namespace hone::engine::bench {
namespace {

using onednn::Arg;
using onednn::Execution;
using onednn::MemoryDesc;
using onednn::Primitive;

constexpr int kThreads = 2;

struct Sizes {
  absl::string_view name;
  int64_t sequences, tokens, heads, dim;
  bool causal;

  int64_t parts() const { return sequences * heads; }
  int64_t elements() const { return parts() * tokens * dim; }
};
constexpr Sizes kShapes[] = {{"gpt128", 12, 64, 4, 32, true},
                             {"gpt256", 8, 256, 4, 64, true},
                             {"minilm", 16, 128, 12, 32, false}};

// What a pass reads and leaves.
enum Array : size_t { kQ, kK, kV, kDy, kY, kDq, kDk, kDv, kArrays };
using Arrays = std::array<Buffer, kArrays>;

// A primitive that is ready to run, with the memory that it needs.
struct Bound {
  Execution execution;
  Buffer scratchpad;
};

absl::StatusOr<Bound> Bind(const Primitive& primitive, std::vector<Execution::Argument> arguments) {
  Bound bound;
  bound.scratchpad = Buffer(primitive.scratchpad_bytes());
  if (bound.scratchpad.bytes() > 0) {
    arguments.push_back({Arg::kScratchpad, bound.scratchpad.data()});
  }
  HONE_ASSIGN_OR_RETURN(bound.execution, Execution::Create(primitive, arguments));
  return bound;
}

absl::StatusOr<Bound> BindCopy(const MemoryDesc& from, void* data, const MemoryDesc& to,
                               void* out) {
  HONE_ASSIGN_OR_RETURN(const Primitive reorder, onednn::MakeReorder(from, to));
  return Bind(reorder, {{Arg::kSrc, data}, {Arg::kDst, out}});
}

absl::Status Copy(const MemoryDesc& from, void* data, const MemoryDesc& to, void* out) {
  HONE_ASSIGN_OR_RETURN(const Bound copy, BindCopy(from, data, to, out));
  return copy.execution.Run() ? absl::OkStatus() : absl::InternalError("oneDNN refused a copy");
}

// One way to compute attention.
class Way {
 public:
  Way(const Sizes& sizes, DType dtype, MemoryDesc layout)
      : sizes_(sizes), dtype_(dtype), layout_(std::move(layout)) {
    for (Buffer& array : arrays_) {
      array = Buffer(layout_.bytes());
    }
  }
  virtual ~Way() = default;
  Way(const Way&) = delete;
  Way& operator=(const Way&) = delete;

  virtual absl::Status Prepare() = 0;
  // False if oneDNN refuses to run.
  virtual bool Forward() = 0;
  virtual bool Backward() = 0;
  virtual std::string implementation() const = 0;

  // Numbers of an array, [sequences, heads, tokens, dim].
  absl::Status Read(Array array, std::vector<float>& numbers) const {
    numbers.resize(static_cast<size_t>(sizes_.elements()));
    return Copy(layout_, arrays_[array].data(), Numbers(), numbers.data());
  }
  absl::Status Write(Array array, std::vector<float>& numbers) {
    return Copy(Numbers(), numbers.data(), layout_, arrays_[array].data());
  }

 protected:
  static TensorType TypeOf(const Sizes& sizes, DType dtype) {
    return {{sizes.sequences, sizes.heads, sizes.tokens, sizes.dim}, dtype};
  }
  void* array(Array which) const { return arrays_[which].data(); }

  const Sizes sizes_;
  const DType dtype_;

 private:
  MemoryDesc Numbers() const { return MemoryDesc::Plain(TypeOf(sizes_, DType::kF32)); }

  const MemoryDesc layout_;
  Arrays arrays_;
};

class Ours final : public Way {
 public:
  Ours(const Sizes& s, DType dtype)
      : Way(s, dtype,
            MemoryDesc::Strided(TypeOf(s, dtype),
                                {s.tokens * s.heads * s.dim, s.dim, s.heads * s.dim, 1})) {}

  absl::Status Prepare() override {
    attention_ = {.heads = sizes_.heads,
                  .kv_heads = sizes_.heads,
                  .dim = sizes_.dim,
                  .causal = sizes_.causal};
    const int64_t rows = sizes_.sequences * sizes_.tokens;
    given_ = {array(kQ),
              array(kK),
              array(kV),
              0,
              rows,
              dtype_,
              PairProductsBy(CpuInstructionSet(), dtype_, sizes_.dim)};
    constexpr int64_t kFloat = sizeof(float);
    log_sums_ = Buffer(rows * sizes_.heads * kFloat);
    floats_ = kernels::AttentionScratch(attention_, rows);
    scratch_ = Buffer(kThreads * floats_ * kFloat);
    return absl::OkStatus();
  }

  bool Forward() override {
    ForParts([&](const kernels::AttentionPart& part, float* scratch) {
      kernels::Attend(attention_, part, given_, array(kY), log_sums_.as<float>(), scratch);
    });
    return true;
  }
  bool Backward() override {
    const kernels::AttentionGradientArrays gradient = {array(kDy), log_sums_.as<float>(),
                                                       array(kDq), array(kDk), array(kDv)};
    ForParts([&](const kernels::AttentionPart& part, float* scratch) {
      kernels::AttendGradient(attention_, part, given_, gradient, scratch);
    });
    return true;
  }
  std::string implementation() const override {
    switch (given_.pairs) {
      case kernels::PairProducts::kNone:
        return "vectors of f32";
      case kernels::PairProducts::kVectors:
        return "pairs of bf16";
      case kernels::PairProducts::kTiles:
        return "tiles of bf16";
    }
    return "";
  }

 private:
  // As the op shares them out.
  template <typename Body>
  void ForParts(const Body& body) {
    std::atomic<int64_t> next = 0;
    RunTeam(kThreads, [&](int thread) {
      for (int64_t i = next++; i < sizes_.parts(); i = next++) {
        const int64_t begin = i / sizes_.heads * sizes_.tokens, end = begin + sizes_.tokens;
        body({begin, end, begin, end, i % sizes_.heads}, scratch_.as<float>() + thread * floats_);
      }
    });
  }

  kernels::Attention attention_;
  kernels::AttentionArrays given_ = {};
  Buffer log_sums_;
  int64_t floats_ = 0;
  Buffer scratch_;
};

class Products final : public Way {
 public:
  Products(const Sizes& sizes, DType dtype)
      : Way(sizes, dtype, MemoryDesc::Plain(TypeOf(sizes, dtype))) {}

  absl::Status Prepare() override {
    const int64_t t = sizes_.tokens, d = sizes_.dim;
    const TensorType square = {{sizes_.parts(), t, t}, DType::kF32};
    for (Buffer* matrix : {&scores_, &weights_, &d_weights_}) {
      *matrix = Buffer(square.bytes());
    }
    void* const weights = Rounded(weights_, rounded_weights_);
    void* const d_scores = Rounded(d_weights_, rounded_d_scores_);
    const MemoryDesc sums = Desc(t, t, DType::kF32), own = Desc(t, d, dtype_);
    const MemoryDesc multiplied = Desc(t, t, dtype_);
    HONE_RETURN_IF_ERROR(
        Add(own, array(kQ), Transposed(d, t), array(kK), sums, scores_.data(), before_));
    HONE_RETURN_IF_ERROR(Add(multiplied, weights, own, array(kV), own, array(kY), behind_));
    HONE_RETURN_IF_ERROR(
        Add(Transposed(t, t), weights, own, array(kDy), own, array(kDv), gradient_before_));
    HONE_RETURN_IF_ERROR(Add(own, array(kDy), Transposed(d, t), array(kV), sums, d_weights_.data(),
                             gradient_before_));
    HONE_RETURN_IF_ERROR(
        Add(multiplied, d_scores, own, array(kK), own, array(kDq), gradient_behind_));
    HONE_RETURN_IF_ERROR(
        Add(Transposed(t, t), d_scores, own, array(kQ), own, array(kDk), gradient_behind_));
    if (dtype_ != DType::kF32) {
      HONE_ASSIGN_OR_RETURN(round_weights_, BindCopy(sums, weights_.data(), multiplied, weights));
      HONE_ASSIGN_OR_RETURN(round_d_scores_,
                            BindCopy(sums, d_weights_.data(), multiplied, d_scores));
    }
    return absl::OkStatus();
  }

  bool Forward() override {
    bool ran = RunAll(before_);
    ForRows([&](float*, int64_t row, int64_t seen) {
      float* const weights = weights_.as<float>() + row * sizes_.tokens;
      kernels::Softmax(scores_.as<float>() + row * sizes_.tokens, seen, weights, 0, 1);
      std::fill(weights + seen, weights + sizes_.tokens, 0.0f);
    });
    ran = Round(round_weights_) && ran;
    return RunAll(behind_) && ran;
  }
  bool Backward() override {
    bool ran = RunAll(gradient_before_);
    ForRows([&](float* d_weights, int64_t row, int64_t seen) {
      kernels::SoftmaxGradient(weights_.as<float>() + row * sizes_.tokens, d_weights, seen,
                               d_weights, 0, 1);
      std::fill(d_weights + seen, d_weights + sizes_.tokens, 0.0f);
    });
    ran = Round(round_d_scores_) && ran;
    return RunAll(gradient_behind_) && ran;
  }
  std::string implementation() const override { return implementation_; }

 private:
  MemoryDesc Desc(int64_t rows, int64_t columns, DType dtype) const {
    return MemoryDesc::Plain({{sizes_.parts(), rows, columns}, dtype});
  }
  // Of a matrix of [columns, rows] in memory.
  MemoryDesc Transposed(int64_t rows, int64_t columns) const {
    return MemoryDesc::Strided({{sizes_.parts(), rows, columns}, dtype_},
                               {rows * columns, 1, rows});
  }

  // What is multiplied of f32 numbers: these, or others in bf16.
  void* Rounded(const Buffer& numbers, Buffer& rounded) const {
    if (dtype_ == DType::kF32) {
      return numbers.data();
    }
    rounded = Buffer(numbers.bytes() / 2);
    return rounded.data();
  }

  absl::Status Add(const MemoryDesc& src, void* a, const MemoryDesc& weights, void* b,
                   const MemoryDesc& dst, void* c, std::vector<Bound>& to) {
    HONE_ASSIGN_OR_RETURN(const Primitive product, onednn::MakeMatMul(src, weights, dst));
    const std::string& name = product.implementation();
    if (implementation_.find(name) == std::string::npos) {
      absl::StrAppend(&implementation_, implementation_.empty() ? "" : ", ", name);
    }
    HONE_ASSIGN_OR_RETURN(Bound bound,
                          Bind(product, {{Arg::kSrc, a}, {Arg::kWeights, b}, {Arg::kDst, c}}));
    to.push_back(std::move(bound));
    return absl::OkStatus();
  }

  static bool RunAll(const std::vector<Bound>& all) {
    return std::ranges::all_of(all, [](const Bound& one) { return one.execution.Run(); });
  }
  bool Round(const Bound& copy) const { return dtype_ == DType::kF32 || copy.execution.Run(); }

  // body(the row of d_weights_, its number, how many keys its query sees)
  template <typename Body>
  void ForRows(const Body& body) {
    const int64_t rows = sizes_.parts() * sizes_.tokens;
    ForShares(rows, kThreads, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        body(d_weights_.as<float>() + row * sizes_.tokens, row,
             sizes_.causal ? row % sizes_.tokens + 1 : sizes_.tokens);
      }
    });
  }

  // [parts, tokens, tokens]; the gradients of scores replace those of weights.
  Buffer scores_, weights_, d_weights_;
  Buffer rounded_weights_, rounded_d_scores_;
  std::vector<Bound> before_, behind_, gradient_before_, gradient_behind_;
  Bound round_weights_, round_d_scores_;
  std::string implementation_;
};

// Both get the same numbers.
absl::Status Fill(const Sizes& sizes, std::array<Way*, 2> ways) {
  std::mt19937 random(1);
  std::vector<float> numbers(static_cast<size_t>(sizes.elements()));
  for (const Array array : {kQ, kK, kV, kDy}) {
    for (float& number : numbers) {
      number = static_cast<float>(random() % 2001) / 2000 - 0.5f;
    }
    for (Way* const way : ways) {
      HONE_RETURN_IF_ERROR(way->Write(array, numbers));
    }
  }
  return absl::OkStatus();
}

// That both leave the same, but for what is rounded.
absl::Status Compare(std::array<Way*, 2> ways, DType dtype) {
  const double most = dtype == DType::kF32 ? 1e-5 : 3e-2;
  for (Way* const way : ways) {
    if (!way->Forward() || !way->Backward()) {
      return absl::InternalError("oneDNN refused a product");
    }
  }
  for (const Array array : {kY, kDq, kDk, kDv}) {
    std::array<std::vector<float>, 2> numbers;
    for (size_t i = 0; i < ways.size(); ++i) {
      HONE_RETURN_IF_ERROR(ways[i]->Read(array, numbers[i]));
    }
    double difference = 0, norm = 0;
    for (size_t i = 0; i < numbers[0].size(); ++i) {
      difference += std::pow(double{numbers[0][i]} - double{numbers[1][i]}, 2);
      norm += std::pow(double{numbers[1][i]}, 2);
    }
    if (!(difference <= most * most * norm)) {
      return absl::InternalError(absl::StrCat("the two ways differ by ",
                                              std::sqrt(difference / norm), " in array ", array));
    }
  }
  return absl::OkStatus();
}

struct Options {
  const Sizes* sizes = nullptr;
  DType dtype = DType::kF32;
  bool ours = true;
  double seconds = 2;
};

absl::Status Measure(const Options& options) {
  if (options.dtype == DType::kBf16 && !HasBf16()) {
    return absl::FailedPreconditionError("this processor does not multiply bfloat16 numbers");
  }
  kernels::KeepToInstructionSet();
  HONE_RETURN_IF_ERROR(CheckTeam(kThreads));
  const ScopedThreads threads(kThreads);
  const Sizes& sizes = *options.sizes;
  Ours ours(sizes, options.dtype);
  Products products(sizes, options.dtype);
  for (Way* const way : std::array<Way*, 2>{&ours, &products}) {
    HONE_RETURN_IF_ERROR(way->Prepare());
  }
  HONE_RETURN_IF_ERROR(Fill(sizes, {&ours, &products}));
  HONE_RETURN_IF_ERROR(Compare({&ours, &products}, options.dtype));
  Way& way = options.ours ? static_cast<Way&>(ours) : products;
  std::vector<double> forward, backward, both;
  for (const double end = Now() + options.seconds; Now() < end || both.size() < 20;) {
    const double begin = Now();
    bool ran = way.Forward();
    const double middle = Now();
    ran = way.Backward() && ran;
    const double done = Now();
    if (!ran) {
      return absl::InternalError("oneDNN refused a product");
    }
    forward.push_back(middle - begin);
    backward.push_back(done - middle);
    both.push_back(done - begin);
  }
  const Timing timing = TimingOf(both);
  // Two products forward and four backward; of a causal one each query sees half of the keys.
  const auto t = static_cast<double>(sizes.tokens);
  const double seen = sizes.causal ? (t + 1) / 2 : t;
  const double flops = 12 * seen * static_cast<double>(sizes.elements());
  std::printf(
      "{\"net\": \"%s\", \"precision\": \"%s\", \"way\": \"%s\", \"step_ms\": %.4f, \"steps\": "
      "%lld, \"spread\": %.4f, \"forward_ms\": %.4f, \"backward_ms\": %.4f, \"gflops\": %.1f, "
      "\"implementation\": \"%s\"}\n",
      std::string(sizes.name).c_str(), std::string(NameOf(options.dtype)).c_str(),
      options.ours ? "ours" : "products", 1e3 * timing.seconds,
      static_cast<long long>(timing.steps), timing.spread, 1e3 * Median(forward),
      1e3 * Median(backward), flops / timing.seconds / 1e9, way.implementation().c_str());
  return absl::OkStatus();
}

// False if it cannot be read.
bool Read(int argc, char** argv, Options& options) {
  if (argc < 4 || argc > 5) {
    return false;
  }
  const std::string precision = argv[2], way = argv[3];
  const auto* const found = std::ranges::find(kShapes, absl::string_view(argv[1]), &Sizes::name);
  options.sizes = found;
  options.dtype = precision == "bf16" ? DType::kBf16 : DType::kF32;
  options.ours = way == "ours";
  return found != std::end(kShapes) && (precision == "f32" || precision == "bf16") &&
         (way == "ours" || way == "products") &&
         (argc == 4 || absl::SimpleAtod(argv[4], &options.seconds));
}

int Main(int argc, char** argv) {
  Options options;
  if (!Read(argc, argv, options)) {
    std::fputs(
        "usage: hone-bench-attention gpt128|gpt256|minilm f32|bf16 ours|products [SECONDS]\n",
        stderr);
    return 2;
  }
  if (const absl::Status status = Measure(options); !status.ok()) {
    std::fprintf(stderr, "hone-bench-attention: %s\n", status.ToString().c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace hone::engine::bench

int main(int argc, char** argv) { return hone::engine::bench::Main(argc, argv); }
