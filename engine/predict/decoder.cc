#include "engine/predict/decoder.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/tasks/inputs.h"
#include "engine/tasks/writing.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::predict {
namespace {

using Text = std::span<const int32_t>;

size_t CommonTokens(Text a, Text b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

// Of what a graph keeps from run to run: bytes, and the tokens that a row has room for.
struct Cache {
  int64_t bytes = 0;
  int64_t room = std::numeric_limits<int32_t>::max();
};
Cache CacheOf(const Graph& graph) {
  Cache cache;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter &&
        node.parameter.role == ParameterRole::kTransient) {
      cache.bytes += node.types[0].bytes();
      cache.room = std::min(cache.room, node.parameter.shape[1]);
    }
  }
  return cache;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Make(const Build& build) {
  std::unique_ptr<Decoder> decoder(new Decoder());
  int64_t several = 1;
  for (const bool alone : {true, false}) {
    if (!alone && several < 2) {
      break;
    }
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph, build(alone ? 1 : several));
    const Cache cache = CacheOf(*graph.built.graph);
    if (alone) {
      several = std::clamp<int64_t>(kCacheBytes / std::max<int64_t>(cache.bytes, 1), 1, kMostRows);
      decoder->outputs_ = graph.built.graph->shape(graph.model.output).elements();
    }
    Rows& rows = decoder->programs_.emplace_back(Rows{std::move(graph), cache.room});
    rows.rows.resize(alone ? 1 : static_cast<size_t>(several));
  }
  return decoder;
}

std::vector<const Graph*> Decoder::graphs() const {
  std::vector<const Graph*> graphs;
  for (const Rows& rows : programs_) {
    graphs.push_back(rows.graph.built.graph.get());
  }
  return graphs;
}

absl::Status Decoder::Compile(ParameterStore& store, int threads) {
  int64_t bytes = 64;
  for (Rows& rows : programs_) {
    HONE_ASSIGN_OR_RETURN(Program program,
                          Program::Compile(rows.graph.built.request, store, {.threads = threads}));
    bytes = std::max(bytes, program.arena_bytes());
    rows.program.push_back(std::move(program));
  }
  arena_ = Buffer(bytes);
  for (Rows& rows : programs_) {
    HONE_RETURN_IF_ERROR(rows.program[0].Bind(arena_.as<std::byte>()));
  }
  return absl::OkStatus();
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
        const size_t common = CommonTokens(texts[t], row.tokens);
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
    works[best_row] = {text,
                       std::min(CommonTokens(text, rows.rows[best_row].tokens), text.size() - 1)};
  }
  return works;
}

absl::Status Decoder::RunTogether(std::span<const Text> texts, Rows& rows,
                                  std::vector<std::vector<float>>& outputs) {
  std::vector<size_t> row_of;
  std::vector<Work> works = Assign(texts, rows, row_of);
  ++turn_;
  const Program& program = rows.program[0];
  const auto count = static_cast<int64_t>(rows.rows.size());
  const tasks::Inputs inputs(program, {count, 0});
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> tokens, inputs.Find<int32_t>(kTokensInput));
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> places, inputs.Find<int32_t>(tasks::kPlacesInput));
  size_t runs = 0;
  for (size_t r = 0; r < works.size(); ++r) {
    runs = std::max(runs, works[r].text.size() - works[r].seen);
    if (!works[r].text.empty()) {
      rows.rows[r].tokens.resize(works[r].seen);  // the rest is written over
    }
  }
  for (; runs > 0; --runs) {
    for (size_t r = 0; r < works.size(); ++r) {
      Work& work = works[r];
      // A row without work, and one that waits for the others, has its last token once more: that
      // changes nothing, and its output is there after the last run.
      const Text had = work.text.empty() ? Text(rows.rows[r].tokens) : work.text;
      size_t place = had.empty() ? 0 : had.size() - 1;
      if (work.seen < work.text.size()) {
        place = work.seen++;
      }
      if (!tokens.empty()) {
        tokens[r] = had.empty() ? 0 : had[place];
      }
      if (!places.empty()) {
        places[r] = static_cast<int32_t>(place);
      }
    }
    ++runs_;
    if (const absl::Status ran = program.Run({}); !ran.ok()) {
      for (Rows::Row& row : rows.rows) {
        row.tokens.clear();
      }
      return ran;
    }
  }
  const auto* output = static_cast<const float*>(program.fetched(0));
  const int64_t width = outputs_;
  for (size_t t = 0; t < texts.size(); ++t) {
    const float* of_row = output + static_cast<int64_t>(row_of[t]) * width;
    outputs.emplace_back(of_row, of_row + width);
    Rows::Row& row = rows.rows[row_of[t]];
    row.tokens.assign(texts[t].begin(), texts[t].end());
    row.used = turn_;
  }
  return absl::OkStatus();
}

Decoder::Rows& Decoder::RowsFor(std::span<const Text> texts) {
  if (texts.size() > 1 || programs_.size() == 1) {
    return programs_.back();
  }
  // One alone goes where fewer of its tokens are left to run.
  size_t common[2] = {};
  for (size_t p = 0; p < 2; ++p) {
    for (const Rows::Row& row : programs_[p].rows) {
      common[p] = std::max(common[p], CommonTokens(texts[0], row.tokens));
    }
  }
  return programs_[common[1] > common[0] ? 1 : 0];
}

absl::StatusOr<std::vector<std::vector<float>>> Decoder::Run(std::span<const Text> texts) {
  for (const Text text : texts) {
    if (text.empty() || static_cast<int64_t>(text.size()) > programs_[0].room) {
      return absl::InternalError(absl::StrCat(
          "a text of ", text.size(), " tokens; a cache has room for 1 to ", programs_[0].room));
    }
  }
  std::vector<std::vector<float>> outputs;
  outputs.reserve(texts.size());
  while (!texts.empty()) {
    const auto several = std::min(texts.size(), programs_.back().rows.size());
    const std::span<const Text> together = texts.first(several);
    HONE_RETURN_IF_ERROR(RunTogether(together, RowsFor(together), outputs));
    texts = texts.subspan(several);
  }
  return outputs;
}

}  // namespace hone::engine::predict
