#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/plan/program.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::predict {

// What a language model gives for the last token of a text (TaskModel::BuildDecoding), without
// running the whole text for each token: keys and values of what it has seen stay in rows of the
// store, and of a text that goes on only the new tokens are run. A text is known again by its
// tokens, so nobody says when one begins or ends: a text that nobody asks for any more holds up
// nothing, and its row goes to another when it was used longest ago.
//
// One text alone has a program of one row. Several are run together, in a program of several rows,
// a token of each in a run, where the caches of so many rows fit into kCacheBytes. Not thread safe.
class Decoder {
 public:
  // The graph for so many rows.
  using Build = std::function<absl::StatusOr<tasks::TaskGraph>(int64_t rows)>;

  static constexpr int64_t kMostRows = 8;
  static constexpr int64_t kCacheBytes = int64_t{64} << 20;

  // Errors of `build`: UNIMPLEMENTED where the model cannot be run so.
  static absl::StatusOr<std::unique_ptr<Decoder>> Make(const Build& build);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // The graphs, for whoever declares their parameters.
  std::vector<const Graph*> graphs() const;
  // When the store is allocated, which outlives this.
  absl::Status Compile(ParameterStore& store, int threads);

  // Numbers that the model gives for a token.
  int64_t outputs() const { return outputs_; }
  // The model's output for the last token of each text, in their order. Texts have at least one
  // token, and no more than the caches have room for: INTERNAL otherwise. The result for a text
  // does not depend on which others are run with it, but for rounding.
  absl::StatusOr<std::vector<std::vector<float>>> Run(
      std::span<const std::span<const int32_t>> texts);
  // For tests: how often a program ran.
  int64_t runs() const { return runs_; }

 private:
  // A program and what its rows have seen.
  struct Rows {
    struct Row {
      std::vector<int32_t> tokens;  // keys and values of these are there
      int64_t used = 0;             // the turn in which it last was
    };
    tasks::TaskGraph graph;
    int64_t room = 0;                   // tokens of a row
    std::vector<Program> program = {};  // one, once it is compiled
    std::vector<Row> rows = {};
  };
  // What a row is to do in a turn.
  struct Work {
    std::span<const int32_t> text;
    size_t seen = 0;  // tokens of it that the row has
  };

  Decoder() = default;
  // The text of each row, and from where on: the rows that have most of them already.
  static std::vector<Work> Assign(std::span<const std::span<const int32_t>> texts, Rows& rows,
                                  std::vector<size_t>& row_of);
  absl::Status RunTogether(std::span<const std::span<const int32_t>> texts, Rows& rows,
                           std::vector<std::vector<float>>& outputs);
  Rows& RowsFor(std::span<const std::span<const int32_t>> texts);

  std::vector<Rows> programs_;  // of one row, and of several
  Buffer arena_;
  int64_t outputs_ = 0;
  int64_t turn_ = 0;
  int64_t runs_ = 0;
};

}  // namespace hone::engine::predict
