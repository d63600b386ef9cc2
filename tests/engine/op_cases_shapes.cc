#include "absl/strings/str_cat.h"
#include "engine/graph/row_sums.h"
#include "engine/graph/sum.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/embedding.h"
#include "engine/ops/matmul.h"
#include "engine/ops/mul.h"
#include "engine/ops/reshape.h"
#include "engine/ops/transpose.h"
#include "engine/ops/write_at.h"
#include "tests/engine/op_case.h"

namespace hone::engine {
namespace {

OpCase AddBroadcastCase(const std::string& name, const Shape& a, const Shape& b_shape) {
  return {.name = absl::StrCat("add_broadcast_", name), .build = [=](CaseBuilder& b) {
            const Value x = b.Input(a);
            return CaseOutputs{{AddBroadcast(b.graph, x, b.Parameter(b_shape))}, {}};
          }};
}

OpCase MulBroadcastCase(const std::string& name, const Shape& a, const Shape& b_shape) {
  return {.name = absl::StrCat("mul_broadcast_", name), .build = [=](CaseBuilder& b) {
            const Value x = b.Input(a);
            return CaseOutputs{{MulBroadcast(b.graph, x, b.Parameter(b_shape, Fill::kPowers))}, {}};
          }};
}

OpCase TransposeCase(const std::string& name, const Shape& x, const std::vector<int>& axes) {
  return {.name = absl::StrCat("transpose_", name), .build = [=](CaseBuilder& b) {
            return CaseOutputs{{Transpose(b.graph, b.Input(x), axes)}, {}};
          }};
}

// Rows of a table [rows, width] for indices of any shape, some of them equal.
OpCase EmbeddingCase(const std::string& name, int64_t rows, int64_t width, const Shape& index) {
  return {.name = absl::StrCat("embedding_", name), .build = [=](CaseBuilder& b) {
            const Value table = b.Parameter({rows, width});
            const Value at = Reshape(b.graph, b.Labels(index.elements(), rows), index);
            return CaseOutputs{{Embedding(b.graph, table, at)}, {}};
          }};
}

// The gradient of a table read in two places, as rows; that they are the right ones is told in
// sparse_gradient_test.cc.
OpCase RowSumsCase(const std::string& name, int64_t rows, int64_t width, int64_t first,
                   int64_t second) {
  return {.name = absl::StrCat("row_sums_", name), .build = [=](CaseBuilder& b) {
            const RowPart one = {b.Input({first, width}), b.Labels(first, rows)};
            const RowPart two = {b.Input({second, width}), b.Labels(second, rows)};
            return CaseOutputs{{}, {RowSums(b.graph, {rows, width}, {one, two})}};
          }};
}

// Integers that are cut, turned round and joined again, and then looked up.
CaseOutputs CutIntegers(CaseBuilder& b) {
  const Value index = Reshape(b.graph, b.Labels(12, 5), {4, 3});
  const Value turned = Transpose(b.graph, index, {1, 0});
  const Value first = Slice(b.graph, turned, 0, 1, /*axis=*/0);
  const Value rest = Slice(b.graph, turned, 1, 3, /*axis=*/0);
  const Value joined = Concat(b.graph, {rest, first}, /*axis=*/0);
  return {{Embedding(b.graph, b.Parameter({5, 7}), joined)}, {}};
}

OpCase ConcatCase(const std::string& name, const std::vector<Shape>& shapes, int axis = 1) {
  return {.name = absl::StrCat("concat_", name), .build = [=](CaseBuilder& b) {
            std::vector<Value> parts;
            for (const Shape& shape : shapes) {
              parts.push_back(b.Input(shape));
            }
            return CaseOutputs{{Concat(b.graph, parts, axis)}, {}};
          }};
}

OpCase SliceCase(const std::string& name, const Shape& x, int64_t begin, int64_t end,
                 int axis = 1) {
  return {.name = absl::StrCat("slice_", name), .build = [=](CaseBuilder& b) {
            return CaseOutputs{{Slice(b.graph, b.Input(x), begin, end, axis)}, {}};
          }};
}

// At position 3.
OpCase WriteAtCase(const std::string& name, const Shape& state, const Shape& part, int axis) {
  return {.name = absl::StrCat("write_at_", name), .build = [=](CaseBuilder& b) {
            const Value old = b.Buffer(state);
            return CaseOutputs{{}, {WriteAt(b.graph, old, b.Input(part), b.Labels(1, 5), axis)}};
          }};
}

// Each of three rows has its own position.
OpCase WriteAtEachRowCase(const std::string& name, const Shape& state, const Shape& part,
                          int axis) {
  return {.name = absl::StrCat("write_at_each_row_", name), .build = [=](CaseBuilder& b) {
            const Value old = b.Buffer(state);
            const Value position = b.Labels(state[0], 5);
            return CaseOutputs{{}, {WriteAt(b.graph, old, b.Input(part), position, axis)}};
          }};
}

// [batch, time, 3 · heads · width] as queries, keys and values of several heads, of which none is
// copied out: the scores times the values, back in the order of the input.
OpCase FusedHeads(int64_t batch, int64_t time, int64_t heads, int64_t width) {
  return {.name = "views_of_a_fused_product",
          .build =
              [=](CaseBuilder& b) {
                Graph& g = b.graph;
                const int64_t all = heads * width;
                const Value x = b.Input({batch, time, 3 * all}, Fill::kPowers);
                const auto part = [&](int64_t i) {
                  const Value one = Slice(g, x, i * all, (i + 1) * all, /*axis=*/2);
                  return Transpose(g, Reshape(g, one, {batch, time, heads, width}), {0, 2, 1, 3});
                };
                const Value scores = MatMul(g, part(0), part(1), {.transpose_b = true});
                const Value mixed = MatMul(g, scores, part(2));
                return CaseOutputs{
                    {Reshape(g, Transpose(g, mixed, {0, 2, 1, 3}), {batch, time, all})}, {}};
              },
          .bf16_tolerance = 3e-2};
}

// Two parts of a tensor with gaps around them, multiplied; the gradient lies in one tensor.
CaseOutputs PartsWithGaps(CaseBuilder& b) {
  const Value x = b.Input({3, 11, 2}, Fill::kPowers);
  const Value u = Slice(b.graph, x, 1, 4), v = Slice(b.graph, x, 6, 9);
  return {{Mul(b.graph, u, v)}, {}};
}

// Parts that overlap: their gradients are added.
CaseOutputs PartsThatOverlap(CaseBuilder& b) {
  const Value x = b.Input({3, 7});
  return {{Sum(b.graph, Slice(b.graph, x, 0, 4), Slice(b.graph, x, 3, 7))}, {}};
}

// A part of a part, turned round, and seen with other shapes that its strides allow and do not.
CaseOutputs ViewsOfViews(CaseBuilder& b) {
  Graph& g = b.graph;
  const Value x = b.Input({4, 6, 5});
  const Value part = Slice(g, Slice(g, x, 1, 4, /*axis=*/0), 2, 6, /*axis=*/1);  // [3, 4, 5]
  const Value split = Reshape(g, part, {3, 2, 2, 5});
  const Value joined = Reshape(g, Transpose(g, part, {2, 0, 1}), {5, 12});
  const Value one = Reshape(g, Slice(g, x, 2, 3, /*axis=*/1), {4, 5});
  return {{split, joined, one, Transpose(g, one, {1, 0})}, {}};
}

Value SmallConvolution(CaseBuilder& b, int64_t filters) {
  const Value x = b.Input({2, 3, 5, 5});
  return Conv2d(b.graph, x, b.Parameter({filters, 3, 3, 3}), {}, {});
}

}  // namespace

std::vector<OpCase> ShapeCases() {
  return {
      {.name = "reshape",
       .build =
           [](CaseBuilder& b) {
             return CaseOutputs{{Reshape(b.graph, b.Input({3, 4, 5}), Shape{15, 4})}, {}};
           }},
      {.name = "flatten_of_a_convolution",
       .build =
           [](CaseBuilder& b) {
             return CaseOutputs{{Flatten(b.graph, SmallConvolution(b, 17))}, {}};
           }},
      AddBroadcastCase("row", {5, 17}, {17}),
      AddBroadcastCase("column", {5, 17}, {5, 1}),
      AddBroadcastCase("scalar", {3, 7}, Shape{}),
      AddBroadcastCase("one_element", {3, 7}, {1}),
      AddBroadcastCase("positions", {3, 7, 13}, {7, 13}),
      AddBroadcastCase("middle", {3, 7, 13}, {3, 1, 13}),
      AddBroadcastCase("ends", {3, 7, 5, 2}, {7, 1, 2}),
      AddBroadcastCase("outer", {3, 7, 5, 2}, {3, 1, 5, 1}),
      AddBroadcastCase("many_rows", {129, 2, 130}, {2, 130}),
      // Large enough to be shared by threads: sums into a small tensor of each thread's own, along
      // rows and not, and into parts of a larger one.
      AddBroadcastCase("many_rows_of_few", {600, 30}, {30}),
      AddBroadcastCase("large_planes", {2, 3, 60, 60}, {3, 1, 1}),
      AddBroadcastCase("many_channels", {2, 160, 8, 8}, {160, 1, 1}),
      AddBroadcastCase("one_number_to_many", {150, 130}, Shape{}),
      AddBroadcastCase("equal", {3, 7}, {3, 7}),
      {.name = "add_broadcast_to_a_convolution",
       .build =
           [](CaseBuilder& b) {
             const Value y = SmallConvolution(b, 17);
             return CaseOutputs{{AddBroadcast(b.graph, y, b.Parameter({17, 1, 1}))}, {}};
           }},
      ConcatCase("features", {{3, 5}, {3, 1}, {3, 17}}),
      ConcatCase("channels", {{1, 3, 7, 5}, {1, 16, 7, 5}}),
      ConcatCase("one", {{3, 5}}),
      {.name = "concat_of_convolutions",
       .build =
           [](CaseBuilder& b) {
             const Value u = SmallConvolution(b, 17);
             const Value v = SmallConvolution(b, 16);
             return CaseOutputs{{Concat(b.graph, {u, v})}, {}};
           }},
      {.name = "concat_with_itself",
       .build =
           [](CaseBuilder& b) {
             const Value x = b.Input({2, 3});
             return CaseOutputs{{Concat(b.graph, {x, x})}, {}};
           }},
      MulBroadcastCase("row", {5, 17}, {17}),
      MulBroadcastCase("column", {5, 17}, {5, 1}),
      MulBroadcastCase("channels", {3, 7, 5, 2}, {7, 1, 1}),
      MulBroadcastCase("mask", {3, 2, 7, 13}, {3, 1, 1, 13}),
      MulBroadcastCase("many_rows", {129, 2, 130}, {2, 130}),
      MulBroadcastCase("equal", {3, 7}, {3, 7}),
      TransposeCase("matrix", {5, 17}, {1, 0}),
      TransposeCase("heads", {2, 7, 3, 5}, {0, 2, 1, 3}),
      TransposeCase("round", {3, 4, 5}, {2, 0, 1}),
      TransposeCase("nothing", {3, 4}, {0, 1}),
      EmbeddingCase("of_one", 1, 1, {1}),
      EmbeddingCase("of_sequences", 11, 17, {3, 7}),
      EmbeddingCase("of_many", 130, 65, {5, 67}),
      RowSumsCase("of_few", 5, 3, 2, 4),
      RowSumsCase("of_many", 130, 65, 70, 200),
      RowSumsCase("of_numbers", 40, 1, 30, 20),
      RowSumsCase("of_more_rows_than_indices", 200, 3, 40, 30),
      RowSumsCase("of_a_table_too_large_for_a_map", 3000, 2, 3, 5),
      {.name = "integers_cut_and_joined", .build = CutIntegers},
      ConcatCase("examples", {{3, 5}, {1, 5}}, 0),
      ConcatCase("last_of_four", {{2, 3, 4, 5}, {2, 3, 4, 1}}, 3),
      SliceCase("examples", {7, 5}, 2, 6, 0),
      SliceCase("last", {3, 4, 17}, 5, 17, 2),
      SliceCase("first", {3, 5}, 0, 1),
      WriteAtCase("row", {7, 5}, {1, 5}, 0),
      WriteAtCase("rows_of_heads", {3, 9, 2, 5}, {3, 2, 2, 5}, 1),
      WriteAtCase("column", {3, 17}, {3, 1}, 1),
      WriteAtEachRowCase("of_a_cache", {3, 7, 2, 5}, {3, 2, 2, 5}, 1),
      WriteAtEachRowCase("inside", {3, 2, 9}, {3, 2, 3}, 2),
      FusedHeads(2, 5, 3, 8),
      {.name = "views_with_gaps_between", .build = PartsWithGaps},
      {.name = "views_that_overlap", .build = PartsThatOverlap},
      {.name = "views_of_views", .build = ViewsOfViews},
      SliceCase("middle_channels", {2, 17, 3, 5}, 3, 16),
      SliceCase("all", {3, 5}, 0, 5),
  };
}

}  // namespace hone::engine
