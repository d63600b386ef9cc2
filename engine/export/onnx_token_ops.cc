#include <cmath>

#include "engine/base/status.h"
#include "engine/export/onnx_ops.h"
#include "engine/ops/positions.h"
#include "engine/ops/segment_pool.h"

namespace hone::engine::exports {
namespace {

// What is added to a score, or to a number, that shall not count: large beside any, and finite.
constexpr float kFar = 1e9f;

absl::StatusOr<OnnxValue> TokenPlaces(OnnxOp& op) { return OnnxValue{op.places(), Lead::kPlaces}; }

absl::StatusOr<OnnxValue> Embedding(OnnxOp& op) {
  const OnnxValue& table = op.in(0);
  const OnnxValue& index = op.in(1);
  if (table.lead == Lead::kRows && index.lead == Lead::kAsked) {
    return table;
  }
  if (table.lead != Lead::kNone || index.lead == Lead::kAsked) {
    return op.Unknown("of rows that are computed");
  }
  return op.Give("Gather", {table.name, index.name}, index.lead, {{"axis", int64_t{0}}});
}

// Angles of each place, f32 [sequence, count].
std::string Angles(OnnxOp& op, const std::vector<float>& frequencies) {
  OnnxBuilder& b = op.builder;
  const std::string places = b.Add("Cast", {op.places()}, {{"to", int64_t{onnx::Tensor::FLOAT}}});
  const std::string column = b.Add("Unsqueeze", {places, b.Wholes({1})});
  return b.Add("Mul",
               {column, b.Floats({1, static_cast<int64_t>(frequencies.size())}, frequencies)});
}

float Frequency(double base, int64_t i, int64_t dim) {
  return static_cast<float>(
      std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(dim)));
}

absl::StatusOr<OnnxValue> Sinusoids(OnnxOp& op) {
  OnnxBuilder& b = op.builder;
  const int64_t width = op.Whole("width");
  const double base = op.Number("base");
  std::vector<float> frequencies, even, odd;
  for (int64_t k = 0; k < width; ++k) {
    frequencies.push_back(Frequency(base, k / 2, width));
    even.push_back(k % 2 == 0 ? 1.0f : 0.0f);
    odd.push_back(k % 2 == 0 ? 0.0f : 1.0f);
  }
  const std::string angles = Angles(op, frequencies);
  const std::string sines = b.Add("Mul", {b.Add("Sin", {angles}), b.Floats({width}, even)});
  const std::string cosines = b.Add("Mul", {b.Add("Cos", {angles}), b.Floats({width}, odd)});
  return op.Give("Add", {sines, cosines}, Lead::kPlaces);
}

// Halves of each head: (x₁ cos − x₂ sin, x₂ cos + x₁ sin).
absl::StatusOr<OnnxValue> Rotary(OnnxOp& op) {
  OnnxBuilder& b = op.builder;
  const int64_t heads = op.Whole("heads"), width = op.shape(0).back();
  if (op.in(0).lead != Lead::kRows || op.in(1).lead != Lead::kPlaces || heads < 1) {
    return op.Unknown("of other places than those of a text's tokens");
  }
  const int64_t dim = width / heads, half = dim / 2;
  const std::vector<double> scaling = op.Numbers("scaling");
  const RotaryScaling stretched = {.kind = static_cast<RotaryScaling::Kind>(scaling[0]),
                                   .factor = scaling[1],
                                   .low = scaling[2],
                                   .high = scaling[3],
                                   .original = scaling[4]};
  std::vector<float> frequencies;
  for (int64_t i = 0; i < half; ++i) {
    frequencies.push_back(static_cast<float>(
        RotaryFrequency(i, dim, static_cast<float>(op.Number("base")), stretched)));
  }
  // [sequence, 1, half], for all heads of a token
  const std::string angles = b.Add("Unsqueeze", {Angles(op, frequencies), b.Wholes({1})});
  const std::string cosine = b.Add("Cos", {angles}), sine = b.Add("Sin", {angles});
  const std::string x = b.Add("Reshape", {op.in(0).name, b.Wholes({0, 0, heads, dim})});
  const auto part = [&](int64_t begin) {
    return b.Add("Slice", {x, b.Wholes({begin}), b.Wholes({begin + half}), b.Wholes({3})});
  };
  const std::string first = part(0), second = part(half);
  const auto times = [&](const std::string& a, const std::string& c) {
    return b.Add("Mul", {a, c});
  };
  const std::string turned_first = b.Add("Sub", {times(first, cosine), times(second, sine)});
  const std::string turned_second = b.Add("Add", {times(second, cosine), times(first, sine)});
  const std::string turned = b.Add("Concat", {turned_first, turned_second}, {{"axis", int64_t{3}}});
  return op.Give("Reshape", {turned, b.Wholes({0, 0, width})}, Lead::kRows);
}

// What is added to the scores, [batch, 1, 1, 1 or sequence, sequence]: nothing where a query sees
// the key.
std::string Unseen(OnnxOp& op, bool causal) {
  OnnxBuilder& b = op.builder;
  std::string seen = b.Add("Unsqueeze", {op.mask(), b.Wholes({1, 2, 3})});
  if (causal) {
    const std::string keys = b.Add("Unsqueeze", {op.places(), b.Wholes({0})});
    const std::string queries = b.Add("Unsqueeze", {op.places(), b.Wholes({1})});
    const std::string before = b.Add("LessOrEqual", {keys, queries});
    seen = b.Add("Mul", {seen, b.Add("Cast", {before}, {{"to", int64_t{onnx::Tensor::FLOAT}}})});
  }
  return b.Add("Mul", {b.Add("Sub", {seen, b.Number(1)}), b.Number(kFar)});
}

// Heads of queries in groups that share a head of keys and values: queries become [batch, kv_heads,
// group, sequence, dim], keys and values [batch, kv_heads, 1, sequence, dim].
absl::StatusOr<OnnxValue> Attention(OnnxOp& op) {
  OnnxBuilder& b = op.builder;
  const int64_t heads = op.Whole("heads"), kv_heads = op.Whole("kv_heads"), dim = op.Whole("dim");
  if (op.Whole("window") != 0 || op.Whole("alibi") != 0) {
    return op.Unknown("with a window, or with ALiBi");
  }
  if (op.in(0).lead != Lead::kRows || op.in(1).lead != Lead::kRows || kv_heads < 1) {
    return op.Unknown("of other rows than those of a text's tokens");
  }
  const auto in_heads = [&](size_t i, int64_t group) {
    const std::string split =
        b.Add("Reshape", {op.in(i).name, b.Wholes({0, 0, kv_heads, group, dim})});
    return b.Add("Transpose", {split}, {{"perm", std::vector<int64_t>{0, 2, 3, 1, 4}}});
  };
  const std::string queries = in_heads(0, heads / kv_heads);
  const std::string keys =
      b.Add("Transpose", {in_heads(1, 1)}, {{"perm", std::vector<int64_t>{0, 1, 2, 4, 3}}});
  std::string scores = b.Add("MatMul", {queries, keys});
  scores = b.Add("Mul", {scores, b.Number(static_cast<float>(op.Number("scale")))});
  scores = b.Add("Add", {scores, Unseen(op, op.Whole("causal") != 0)});
  const std::string weights = b.Add("Softmax", {scores}, {{"axis", int64_t{-1}}});
  const std::string mixed = b.Add("MatMul", {weights, in_heads(2, 1)});
  const std::string rows =
      b.Add("Transpose", {mixed}, {{"perm", std::vector<int64_t>{0, 3, 1, 2, 4}}});
  return op.Give("Reshape", {rows, b.Wholes({0, 0, heads * dim})}, Lead::kRows);
}

absl::StatusOr<OnnxValue> SegmentPool(OnnxOp& op) {
  OnnxBuilder& b = op.builder;
  if (op.in(0).lead != Lead::kRows) {
    return op.Unknown("of other rows than those of a text's tokens");
  }
  const std::string& x = op.in(0).name;
  const auto column = [&] { return b.Add("Unsqueeze", {op.mask(), b.Wholes({2})}); };
  switch (static_cast<SegmentPoolKind>(op.Whole("kind"))) {
    case SegmentPoolKind::kFirst:
      return op.Give("Gather", {x, b.Whole(0)}, Lead::kBatch, {{"axis", int64_t{1}}});
    case SegmentPoolKind::kMean: {
      const std::string sum = b.Add("ReduceSum", {b.Add("Mul", {x, column()}), b.Wholes({1})},
                                    {{"keepdims", int64_t{0}}});
      const std::string count =
          b.Add("ReduceSum", {op.mask(), b.Wholes({1})}, {{"keepdims", int64_t{1}}});
      return op.Give("Div", {sum, count}, Lead::kBatch);
    }
    case SegmentPoolKind::kMax: {
      const std::string far = b.Add("Mul", {b.Add("Sub", {column(), b.Number(1)}), b.Number(kFar)});
      return op.Give("ReduceMax", {b.Add("Add", {x, far})}, Lead::kBatch,
                     {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}});
    }
    case SegmentPoolKind::kLast:
      break;
  }
  return op.Unknown("of the last tokens");
}

constexpr OnnxForm kForms[] = {
    {"attention", Attention},      {"embedding", Embedding}, {"rotary", Rotary},
    {"segment_pool", SegmentPool}, {"sinusoids", Sinusoids}, {"token_places", TokenPlaces},
};

}  // namespace

std::span<const OnnxForm> OnnxFormsOfTokens() { return kForms; }

}  // namespace hone::engine::exports
