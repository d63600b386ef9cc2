#include "engine/graph/sum.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/flat_memory.h"
#include "engine/kernels/arrays.h"

namespace hone::engine {
namespace {

class AddOp final : public Op {
 public:
  explicit AddOp(int terms = 2) : terms_(terms) {}

  absl::string_view kind() const override { return "add"; }

  Precision precision(int) const override { return {Precision::Rule::kWidest}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    for (const TensorType& other : in.subspan(1)) {
      if (in[0].shape != other.shape) {
        return absl::InvalidArgumentError(absl::StrCat("cannot add ", in[0].shape.ToString(),
                                                       " and ", other.shape.ToString(),
                                                       ": the shapes must be equal"));
      }
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    for (int i = 0; i < terms_; ++i) {
      g.Accumulate(i, [&] { return g.dy(); });
    }
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (const DoubleTensor* const term : in) {
      for (size_t i = 0; i < out[0].values.size(); ++i) {
        out[0].values[i] += term->values[i];
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    return terms_ == 2 ? LowerElementwise(l, kind(), &kernels::AddArrays) : LowerTerms(l);
  }

 private:
  // Piece by piece: the sum so far stays in the cache, and all terms of a piece are read before its
  // result is written, which may lie where any of them does.
  absl::Status LowerTerms(Lowering& l) const {
    constexpr int64_t kPiece = 1024;  // elements
    const DType dtype = l.output_dtype(0);
    const onednn::MemoryDesc desc = FlatDesc(l.desc(0), dtype, /*keeps_zero=*/true);
    std::vector<Slot> terms;
    for (int i = 0; i < terms_; ++i) {
      HONE_ASSIGN_OR_RETURN(const Slot term, l.Input(i, desc));
      terms.push_back(term);
    }
    const Slot y = l.OutputInPlace(0, desc, 0);
    const int64_t n = FlatElements(desc);
    l.Emit(kind(), [=, threads = l.threads()](const Memory& m) {
      ForElements(n, threads, [&](int64_t begin, int64_t end) {
        alignas(64) float sums[kPiece];  // or bf16 in half of it
        for (int64_t at = begin; at < end; at += kPiece) {
          const int64_t count = std::min(kPiece, end - at);
          const void* sum = At(m[terms[0]], dtype, at);
          for (size_t i = 1; i < terms.size(); ++i) {
            void* const to = i + 1 < terms.size() ? sums : At(m[y], dtype, at);
            kernels::AddArrays(dtype, sum, At(m[terms[i]], dtype, at), to, 0, count);
            sum = to;
          }
        }
      });
    });
    return absl::OkStatus();
  }

  int terms_;
};

}  // namespace

Value Sum(Graph& graph, Value a, Value b) { return graph.Add(std::make_shared<AddOp>(), {a, b}); }

std::shared_ptr<const Op> SumOf(int terms) { return std::make_shared<AddOp>(terms); }

}  // namespace hone::engine
