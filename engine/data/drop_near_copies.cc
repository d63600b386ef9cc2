#include "engine/data/drop_near_copies.h"

#include "absl/strings/str_cat.h"
#include "engine/text/corpus.h"
#include "engine/text/near_copies.h"

namespace hone::engine::data {

void DropNearCopies(const ComparedTexts& texts, double threshold, TextOptions::Keep which,
                    std::vector<bool>& keep, DataReport& report) {
  if (threshold == 0) {
    return;
  }
  std::vector<int64_t> kept;
  for (size_t i = 0; i < keep.size(); ++i) {
    if (keep[i]) {
      kept.push_back(static_cast<int64_t>(i));
    }
  }
  const auto text = [&](int64_t k) { return texts.text(kept[static_cast<size_t>(k)]); };
  const std::vector<int32_t> groups =
      text::FindNearCopies({static_cast<int64_t>(kept.size()), text}, threshold);
  // By the first of its group, the one that stays.
  std::vector<int64_t> stays = kept;
  for (size_t k = 0; k < kept.size() && which == TextOptions::Keep::kLongest; ++k) {
    int64_t& best = stays[static_cast<size_t>(groups[k])];
    if (texts.part(kept[k]) == texts.part(best) &&
        texts.text(kept[k]).size() > texts.text(best).size()) {
      best = kept[k];
    }
  }
  for (size_t k = 0; k < kept.size(); ++k) {
    if (const int64_t other = stays[static_cast<size_t>(groups[k])]; other != kept[k]) {
      keep[static_cast<size_t>(kept[k])] = false;
      report.Drop(absl::StrCat("near copy of another ", texts.what),
                  {.where = texts.where(kept[k]), .why = absl::StrCat("as ", texts.where(other))});
    }
  }
}

}  // namespace hone::engine::data
