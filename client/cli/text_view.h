#pragma once

#include <string>
#include <vector>

#include "client/cli/text.h"
#include "hone/v1/prediction.pb.h"

namespace hone::client::cli {

// A text that others are compared with.
struct Candidate {
  std::string text;
  const v1::Prediction::Embedded* vector;
};

// Puts the most similar ones, at most `shown`, into `embedded.nearest`; of equally similar ones the
// first.
void AddNearest(const std::vector<Candidate>& candidates, int shown,
                v1::Prediction::Embedded& embedded);

// A vector's first numbers, or how similar a pair is, or what is nearest; none where the vector has
// no numbers.
std::vector<Line> EmbeddedLines(const v1::Prediction::Embedded& embedded);
// A word a line with its tag.
std::vector<Line> TaggedLines(const v1::Prediction::Tagged& tagged);

}  // namespace hone::client::cli
