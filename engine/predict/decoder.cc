#include "engine/predict/decoder.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/ops/new_tokens.h"
#include "engine/tasks/inputs.h"
#include "engine/tasks/writing.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::predict {
namespace {

using Text = std::span<const int32_t>;

size_t CommonTokens(Text a, Text b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

// Of what a graph keeps from run to run.
struct State {
  int64_t bytes = 0;
  int64_t room = std::numeric_limits<int32_t>::max();  // tokens of a row
  bool at_ends = false;  // a part of it is that of a text's last token alone
};
State StateOf(const Graph& graph) {
  State state;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter &&
        node.parameter.role == ParameterRole::kTransient) {
      state.bytes += node.types[0].bytes();
      // Keys and values are [rows, places, width], a recurrent layer's state is [rows, units].
      if (node.parameter.shape.rank() == 3) {
        state.room = std::min(state.room, node.parameter.shape[1]);
      } else {
        state.at_ends = true;
      }
    }
  }
  return state;
}

}  // namespace

size_t Decoder::Rows::Known(Text text, const Row& row) const {
  const size_t common = CommonTokens(text, row.tokens);
  return at_ends && common < row.tokens.size() ? 0 : common;
}

int64_t Decoder::Rows::BucketOf(int64_t tokens) const {
  const auto texts = static_cast<int64_t>(rows.size());
  if (tokens <= texts) {
    return texts;
  }
  const int64_t together = texts == 1 ? room : std::max(room, kTokensTogether);
  const auto power = [](int64_t n) {
    return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n)));
  };
  return std::min({power(std::max<int64_t>(tokens, 16)), power(together), kMostTokens});
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Make(Build build) {
  std::unique_ptr<Decoder> decoder(new Decoder());
  decoder->build_ = std::move(build);
  int64_t several = 1;
  for (const bool alone : {true, false}) {
    if (!alone && several < 2) {
      break;
    }
    const int64_t count = alone ? 1 : several;
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph, decoder->build_({count, count}));
    const State state = StateOf(*graph.built.graph);
    if (alone) {
      several = std::clamp<int64_t>(kCacheBytes / std::max<int64_t>(state.bytes, 1), 1, kMostRows);
      decoder->outputs_ = graph.built.graph->shape(graph.model.output).elements();
    }
    Rows& rows = decoder->rows_.emplace_back(Rows{std::move(graph), state.room, state.at_ends});
    rows.rows.resize(static_cast<size_t>(count));
  }
  return decoder;
}

std::vector<const Graph*> Decoder::graphs() const {
  std::vector<const Graph*> graphs;
  for (const Rows& rows : rows_) {
    graphs.push_back(rows.graph.built.graph.get());
  }
  return graphs;
}

absl::Status Decoder::Compile(ParameterStore& store, int threads) {
  store_ = &store;
  threads_ = threads;
  for (Rows& rows : rows_) {
    HONE_RETURN_IF_ERROR(Add(rows.graph, static_cast<int64_t>(rows.rows.size()), rows));
  }
  return absl::OkStatus();
}

absl::Status Decoder::Add(const tasks::TaskGraph& graph, int64_t tokens, Rows& rows) {
  HONE_ASSIGN_OR_RETURN(Program program,
                        Program::Compile(graph.built.request, *store_, {.threads = threads_}));
  const bool grows = program.arena_bytes() > arena_.bytes() || arena_.bytes() == 0;
  if (grows) {
    arena_ = Buffer(std::max<int64_t>(program.arena_bytes(), 64));
  }
  rows.programs.emplace(tokens, Compiled{std::move(program)});
  for (Rows& all : rows_) {
    for (auto& [room, compiled] : all.programs) {
      if (!grows && (&all != &rows || room != tokens)) {
        continue;
      }
      HONE_RETURN_IF_ERROR(compiled.program.Bind(arena_.as<std::byte>()));
      const tasks::Inputs inputs(compiled.program, {static_cast<int64_t>(all.rows.size()), room});
      HONE_ASSIGN_OR_RETURN(compiled.tokens, inputs.Find<int32_t>(kTokensInput));
      HONE_ASSIGN_OR_RETURN(compiled.offsets, inputs.Find<int32_t>(kOffsetsInput));
      HONE_ASSIGN_OR_RETURN(compiled.places, inputs.Find<int32_t>(tasks::kPlacesInput));
      HONE_ASSIGN_OR_RETURN(compiled.state_rows, inputs.Find<int32_t>(tasks::kStateRowsInput));
      if (compiled.tokens.empty() || compiled.offsets.empty()) {
        return absl::InternalError("the model does not read the tokens of texts");
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<const Decoder::Compiled*> Decoder::ProgramFor(Rows& rows, int64_t tokens) {
  const int64_t room = rows.BucketOf(tokens);
  if (const auto known = rows.programs.find(room); known != rows.programs.end()) {
    return &known->second;
  }
  HONE_ASSIGN_OR_RETURN(const tasks::TaskGraph graph,
                        build_({static_cast<int64_t>(rows.rows.size()), room}));
  HONE_RETURN_IF_ERROR(Add(graph, room, rows));
  store_->RefreshAll();  // packed copies that only this program reads
  return &rows.programs.at(room);
}

std::vector<Decoder::Work> Decoder::Assign(std::span<const Text> texts, Rows& rows,
                                           std::vector<size_t>& row_of) {
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  row_of.assign(texts.size(), kNone);
  std::vector<Work> works(rows.rows.size());
  for (size_t done = 0; done < texts.size(); ++done) {
    // Of the texts and rows that are left, the two that have most in common; of equal ones the row
    // with least beyond that, then the one used longest ago. What has little of a row's text is not
    // its continuation.
    size_t best_text = kNone, best_row = kNone;
    auto best = std::tuple<size_t, size_t, int64_t>();
    for (size_t t = 0; t < texts.size(); ++t) {
      for (size_t r = 0; r < works.size() && row_of[t] == kNone; ++r) {
        if (!works[r].text.empty()) {
          continue;
        }
        const Rows::Row& row = rows.rows[r];
        const size_t common = rows.Known(texts[t], row);
        const size_t beyond = row.tokens.size() - common;
        const size_t counts = common >= beyond ? common : 0;
        const auto rank = std::tuple(counts, counts > 0 ? kNone - beyond : 0, -row.used);
        if (best_text == kNone || rank > best) {
          best = rank;
          best_text = t;
          best_row = r;
        }
      }
    }
    row_of[best_text] = best_row;
    const Text text = texts[best_text];
    const Rows::Row& row = rows.rows[best_row];
    const size_t known = rows.Known(text, row);
    // All of a row's text once more: its outputs are there. Of a part of it the last token is run.
    works[best_row] = {text, known == row.tokens.size() ? known : std::min(known, text.size() - 1)};
  }
  return works;
}

absl::Status Decoder::RunNewTokens(const Compiled& compiled, Rows& rows, std::vector<Work>& works) {
  const size_t room = compiled.tokens.size();
  std::vector<size_t> taken(works.size());
  size_t at = 0;
  compiled.offsets[0] = 0;
  for (size_t r = 0; r < works.size(); ++r) {
    const Work& work = works[r];
    taken[r] = std::min(work.text.size() - work.seen, room - at);
    for (size_t i = 0; i < taken[r]; ++i, ++at) {
      compiled.tokens[at] = work.text[work.seen + i];
      if (!compiled.places.empty()) {
        compiled.places[at] = static_cast<int32_t>(work.seen + i);
      }
    }
    compiled.offsets[r + 1] = static_cast<int32_t>(at);
    if (!compiled.state_rows.empty()) {
      compiled.state_rows[r] = StateRow(static_cast<int64_t>(r), work.seen > 0);
    }
  }
  std::ranges::fill(compiled.tokens.subspan(at), 0);
  std::ranges::fill(compiled.places.subspan(std::min(at, compiled.places.size())), 0);
  ++runs_;
  HONE_RETURN_IF_ERROR(compiled.program.Run({}));
  const auto* outputs = static_cast<const float*>(compiled.program.fetched(0));
  for (size_t r = 0; r < works.size(); ++r) {
    works[r].seen += taken[r];
    if (taken[r] > 0 && works[r].seen == works[r].text.size()) {
      const float* of_row = outputs + static_cast<int64_t>(r) * outputs_;
      rows.rows[r].outputs.assign(of_row, of_row + outputs_);
    }
  }
  return absl::OkStatus();
}

absl::Status Decoder::RunTogether(std::span<const Text> texts, Rows& rows,
                                  std::vector<std::vector<float>>& outputs) {
  std::vector<size_t> row_of;
  std::vector<Work> works = Assign(texts, rows, row_of);
  ++turn_;
  // What a run that fails has left in a row is not known.
  for (size_t r = 0; r < works.size(); ++r) {
    if (works[r].seen < works[r].text.size()) {
      rows.rows[r].tokens.clear();
    }
  }
  const auto left = [&] {
    size_t tokens = 0;
    for (const Work& work : works) {
      tokens += work.text.size() - work.seen;
    }
    return static_cast<int64_t>(tokens);
  };
  for (int64_t tokens = left(); tokens > 0; tokens = left()) {
    HONE_ASSIGN_OR_RETURN(const Compiled* compiled, ProgramFor(rows, tokens));
    HONE_RETURN_IF_ERROR(RunNewTokens(*compiled, rows, works));
  }
  for (size_t t = 0; t < texts.size(); ++t) {
    Rows::Row& row = rows.rows[row_of[t]];
    row.tokens.assign(texts[t].begin(), texts[t].end());
    row.used = turn_;
    outputs.push_back(row.outputs);
  }
  return absl::OkStatus();
}

Decoder::Rows& Decoder::RowsFor(std::span<const Text> texts) {
  if (texts.size() > 1 || rows_.size() == 1) {
    return rows_.back();
  }
  // One alone goes where fewer of its tokens are left to run.
  size_t known[2] = {};
  for (size_t r = 0; r < 2; ++r) {
    for (const Rows::Row& row : rows_[r].rows) {
      known[r] = std::max(known[r], rows_[r].Known(texts[0], row));
    }
  }
  return rows_[known[1] > known[0] ? 1 : 0];
}

absl::StatusOr<std::vector<std::vector<float>>> Decoder::Run(std::span<const Text> texts) {
  for (const Text text : texts) {
    if (text.empty() || static_cast<int64_t>(text.size()) > rows_[0].room) {
      return absl::InternalError(absl::StrCat(
          "a text of ", text.size(), " tokens; a cache has room for 1 to ", rows_[0].room));
    }
  }
  std::vector<std::vector<float>> outputs;
  outputs.reserve(texts.size());
  while (!texts.empty()) {
    const auto several = std::min(texts.size(), rows_.back().rows.size());
    const std::span<const Text> together = texts.first(several);
    HONE_RETURN_IF_ERROR(RunTogether(together, RowsFor(together), outputs));
    texts = texts.subspan(several);
  }
  return outputs;
}

}  // namespace hone::engine::predict
