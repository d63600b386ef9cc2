#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"
#include "engine/data/text_streams.h"
#include "engine/data/tokens.h"

namespace hone::engine::data {

// One long text as tokens, in its parts, and the windows that a language model reads of it. A
// window is so many tokens and the one behind them: each is foretold from those before it. No
// window reaches into another part. Immutable, so any number of threads may read it.
//
// Rows are windows: those of the training part, of the validation part, of the test part. In order
// they stand one behind the other, each beginning with the last token of the one before it, so that
// each token of the part but the first is foretold once; the last one is as short as it comes out.
// A part may be read in several such streams side by side (text_streams.h).
class RunningText final : public OwnExamples {
 public:
  struct PartTokens {
    Tokens tokens = {};
    int64_t bytes = 0;  // of the cleaned text that they are made of
  };
  struct Windows {
    int64_t length = 1;  // tokens that are foretold in one, and as many that are read
    // Of the training part, in an epoch: each begins anywhere, drawn for (seed, epoch, row), and is
    // whole. 0: they are in order, as those of the other parts.
    int64_t drawn = 0;
    uint64_t seed = 1;
    // Of each part whose windows are in order: they are read in so many streams.
    std::array<int64_t, 3> streams = {1, 1, 1};
  };

  // By Part. A part has no token, or at least two; where windows are drawn, the training part has
  // more than Windows::length.
  RunningText(std::array<PartTokens, 3> parts, const Windows& windows);

  int64_t size() const override { return first_rows_[3]; }
  int64_t bytes() const override;
  uint64_t content_hash() const override;

  const PartTokens& part(size_t number) const { return parts_[number]; }
  // The rows of all parts.
  Splits splits() const;
  // How many tokens a window foretells.
  int64_t length(int32_t row) const;
  // length(row) + 1 tokens: all but the last are read, all but the first are foretold.
  std::span<const int32_t> window(int32_t row, int64_t epoch) const;
  // Where the window stands among those that are read with it; a drawn one goes on from none.
  TextStreams::Window place(int32_t row) const;
  // Tokens that several windows foretell.
  int64_t CountTokens(std::span<const int32_t> rows) const;
  // The bytes that these stand for, by the mean of their part.
  double CountBytes(std::span<const int32_t> rows) const;

 private:
  size_t PartOf(int32_t row) const;
  bool draws(size_t part) const { return part == 0 && windows_.drawn > 0; }
  TextStreams StreamsOf(size_t part) const;

  std::array<PartTokens, 3> parts_;
  Windows windows_;
  std::array<int64_t, 4> first_rows_ = {};  // of each part; the last is the number of rows
};

// Of a data set that LoadRunningText made.
inline const RunningText& RunningTextOf(const Dataset& dataset) {
  return static_cast<const RunningText&>(*dataset.own());
}

struct RunningTextOptions {
  int64_t window = 128;
  int64_t batch = 1;                             // an epoch has windows for so many whole batches
  absl::string_view task = "language_modeling";  // whose window that is, for errors
  // Above 0: windows of the training part are in order, too, in as many streams as a batch has
  // rows, and those of the other parts in as many as an evaluation's batch has: this.
  int64_t evaluation_streams = 0;
};

// Reads (running_text_files.h), cleans and divides a text, makes a tokenizer of the training part
// alone, and turns all of it into tokens, as options.text says. The result's dataset is a
// RunningText, its preprocessing kText.
//
// The parts are divided by characters, in order: first the training part, then validation_fraction
// of all, then test_fraction; a part that the data set has itself is not cut off. In an epoch there
// are as many windows of the training part as stand in it one behind the other, rounded up to whole
// batches, drawn, or as many as its streams have. Where a model reads the text (options.as),
// cleaning and tokenizer are the model's, and all windows are in order.
//
// Files are read once. The text as it is read, then as it is cleaned, then the tokens are in memory
// up to options.stream.memory_bytes each, else in files of options.stream.folder that nobody else
// sees. Where they lie, and in which pieces they are made, changes nothing of the result.
//
// Errors of Load and of Spool; INVALID_ARGUMENT also where a part is too short for a window (of the
// training part, of each of its streams), or for one token behind another, or where the training
// part has one token alone.
absl::StatusOr<LoadedData> LoadRunningText(const LoadOptions& options,
                                           const RunningTextOptions& windows);

}  // namespace hone::engine::data
