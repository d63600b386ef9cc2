#pragma once

#include <cstdint>
#include <vector>

#include "engine/text/corpus.h"

namespace hone::engine::text {

// Two texts are near copies where their sets of three words in a row (lower case; a text of fewer
// words is one such piece) have a Jaccard similarity, common ÷ all, of at least `threshold`, above
// 0 and at most 1. Which pairs are compared follows from MinHash signatures of 128 numbers, cut
// into bands: those that agree in a whole band. Of the pairs that are just as similar as the
// threshold about 1 in 100 is missed. Sources: Broder, "On the Resemblance and Containment of
// Documents", 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", chapter 3.
//
// Near copies of near copies are of one group. Returns for each text the first of its group, its
// own number where it has no copies. The same texts give the same result.
std::vector<int32_t> FindNearCopies(const Corpus& corpus, double threshold);

}  // namespace hone::engine::text
