#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hone::engine::text {

struct BeamOptions {
  int64_t beams = 1;  // texts that are kept; 1: always the most probable token (greedy)
  // Texts are compared by their log-probability divided by their number of tokens (the end among
  // them) to this power. 0: by the log-probability alone, which likes short texts.
  double length_penalty = 1;
  int64_t longest = 100;  // tokens of a text at most, the end not among them
};

// A text that was found.
struct BeamText {
  std::vector<int32_t> tokens;  // without begin and end
  double score = 0;             // by which texts are compared: larger is better
  bool ended = false;           // the model ended it; else it came to its greatest length
};

// Looks for the most probable text that a model gives, token by token, with several texts kept at a
// time. Of all tokens behind all texts that go on, so many as `beams` with the largest sums of
// log-probabilities are looked at: those that are the end give texts that have ended; the best of
// those that are not go on. It is done when so many texts as `beams` have ended, or none can grow.
// Of equal ones the text before, then the smaller id counts. Not thread safe.
class BeamSearch {
 public:
  // `begin` and `end` are ids; `never`: ids that are not chosen.
  BeamSearch(const BeamOptions& options, int32_t begin, int32_t end, std::vector<int32_t> never);

  bool done() const { return done_; }
  // The texts that go on, `begin` first: 1 to `beams` of them until it is done, then none.
  const std::vector<std::vector<int32_t>>& open() const { return open_; }
  // For each of open() that of the round before which it goes on from; of the first round 0.
  const std::vector<int32_t>& parents() const { return parents_; }
  // What the model gives for the token behind each of open(), in their order: as many logits as
  // there are tokens. What is not a finite number counts as impossible.
  void Add(std::span<const std::span<const float>> logits);
  // When it is done: the best first, at least one, at most `beams`.
  std::vector<BeamText> Take();

 private:
  struct Candidate {
    double sum = 0;
    int32_t text = 0;
    int32_t token = 0;
  };
  bool IsNever(int32_t token) const;
  // The best tokens behind one text.
  void Collect(std::span<const float> logits, int32_t text, std::vector<Candidate>& all) const;
  void End(const std::vector<int32_t>& text, double sum, bool ended);

  BeamOptions options_;
  int32_t end_;
  std::vector<int32_t> never_;
  std::vector<std::vector<int32_t>> open_;
  std::vector<double> sums_;  // of open_
  std::vector<int32_t> parents_;
  std::vector<BeamText> found_;
  bool done_ = false;
};

}  // namespace hone::engine::text
