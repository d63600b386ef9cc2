#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/models/build.h"
#include "engine/params/parameter_store.h"
#include "engine/plan/replicas.h"

// The nets over sequences whose steps hone-bench-sequences times, with made-up batches.
// torch_sequences.py has the same nets and sequences of the same lengths.
namespace hone::engine::bench {

// What a step takes: each input of the program by its name, s32, as long as the program is planned
// for. Rows behind the last sequence are 0, their labels −1.
struct SequenceBatch {
  std::vector<std::pair<std::string, std::vector<int32_t>>> inputs;
  int64_t tokens = 0;  // of the sequences; of pairs, of both texts
  int64_t rows = 0;    // planned for them

  // What its program is planned for: batches of equal shapes share one.
  std::vector<size_t> shape() const;
  // As a job's are computed by `n` threads: that many parts of as many sequences each. Itself alone
  // where the sequences cannot be shared out evenly, or are pairs of texts.
  std::vector<SequenceBatch> Parts(int n) const;
};

struct SequenceNet {
  models::ModelDescription model;
  models::BuildOptions options;
  int64_t sequences = 0;               // in each batch
  std::vector<SequenceBatch> batches;  // the steps take them in turn

  double tokens() const;  // of a mean batch
};

// sequence_step.cc describes the nets. NOT_FOUND names those there are.
absl::StatusOr<SequenceNet> MakeSequenceNet(absl::string_view name);

// The graph of a training step over batches of one's shape: cross-entropy and the gradients of all
// parameters, which the store gets unless it has them.
absl::StatusOr<BuiltGraph> BuildSequenceStep(const SequenceNet& net, const SequenceBatch& batch,
                                             ParameterStore& store);

// Brings a batch into a program of its shape.
absl::Status FillSequences(const SequenceBatch& batch, const Program& program);

}  // namespace hone::engine::bench
