#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/plan/program.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/model.h"

namespace hone::engine::predict {

// What a language model gives for the last token of a text (TaskModel::BuildDecoding), without
// running the whole text for each token: what the model needs of the tokens before stays in rows of
// the store, keys and values of each token or a recurrent layer's last state, and of a text that
// goes on only the new tokens are run, all at once. A text is known again by its tokens, so nobody
// says when one begins or ends: a text that nobody asks for any more holds up nothing, and its row
// goes to another when it was used longest ago. With keys and values a text may go on from any
// place of a row's text; a recurrent state is that of all of them, so that one that differs earlier
// is run from its beginning.
//
// One text alone has programs of one row. Several are run together, in programs of several rows,
// where the caches of so many rows fit into kCacheBytes. A program has room for a number of new
// tokens: one for each row, which is what writing needs, or a power of two, for prompts; those are
// made when they are first needed. Not thread safe.
class Decoder {
 public:
  // The graph for so many texts and new tokens. Called while the decoder lives.
  using Build = std::function<absl::StatusOr<tasks::TaskGraph>(const tasks::DecodingShape& shape)>;

  static constexpr int64_t kMostRows = 8;
  static constexpr int64_t kCacheBytes = int64_t{64} << 20;
  // New tokens that a run takes of several texts together, where a text's window is shorter; and of
  // any. What is more takes several runs.
  static constexpr int64_t kTokensTogether = 256;
  static constexpr int64_t kMostTokens = 8192;

  // Errors of `build`: UNIMPLEMENTED where the model cannot be run so.
  static absl::StatusOr<std::unique_ptr<Decoder>> Make(Build build);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // The graphs that name all parameters there are, for whoever declares them.
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
  // A program, and where its inputs lie.
  struct Compiled {
    Program program;
    std::span<int32_t> tokens = {}, offsets = {}, places = {}, state_rows = {};
  };
  // So many rows of state, what they have seen, and the programs that work on them.
  struct Rows {
    struct Row {
      std::vector<int32_t> tokens;  // the state has these
      std::vector<float> outputs;   // for the last of them
      int64_t used = 0;             // the turn in which it last was
    };
    tasks::TaskGraph graph;  // of one new token for each row
    int64_t room = 0;        // tokens of a row
    bool at_ends = false;    // a row's text goes on from its end alone
    std::vector<Row> rows = {};
    std::map<int64_t, Compiled> programs = {};  // by the new tokens that they have room for

    // How many of the text's tokens a row has already, from the first on.
    size_t Known(std::span<const int32_t> text, const Row& row) const;
    // Room of the program for so many new tokens.
    int64_t BucketOf(int64_t tokens) const;
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
  // As many new tokens as the program takes, of the first texts first.
  absl::Status RunNewTokens(const Compiled& compiled, Rows& rows, std::vector<Work>& works);
  Rows& RowsFor(std::span<const std::span<const int32_t>> texts);
  absl::StatusOr<const Compiled*> ProgramFor(Rows& rows, int64_t tokens);
  // Makes the program; all of them lie in the arena, which grows.
  absl::Status Add(const tasks::TaskGraph& graph, int64_t tokens, Rows& rows);

  Build build_;
  ParameterStore* store_ = nullptr;
  int threads_ = 1;
  std::vector<Rows> rows_;  // one, and several
  Buffer arena_;
  int64_t outputs_ = 0;
  int64_t turn_ = 0;
  int64_t runs_ = 0;
};

}  // namespace hone::engine::predict
