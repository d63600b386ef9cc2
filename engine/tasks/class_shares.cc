#include "engine/tasks/class_shares.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace hone::engine::tasks {
namespace {

constexpr float kSure = 0.9f;
// Of an even share: below it a class counts as left out.
constexpr double kLeastShare = 0.1;

std::string QuoteCsv(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) {
    return text;
  }
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

}  // namespace

ClassShares::ClassShares(std::vector<std::string> names)
    : names_(std::move(names)), drawn_(names_.size()), sure_(names_.size()) {}

void ClassShares::Add(std::span<const float> probabilities) {
  for (size_t i = 0; i + names_.size() <= probabilities.size(); i += names_.size()) {
    const std::span<const float> of_one = probabilities.subspan(i, names_.size());
    const auto most = std::ranges::max_element(of_one);
    const auto taken = static_cast<size_t>(most - of_one.begin());
    ++drawn_[taken];
    sure_[taken] += *most >= kSure ? 1 : 0;
    confidence_ += *most;
    ++count_;
  }
}

void ClassShares::AddTo(Evaluation& result) const {
  result.own_metrics["class_share_min"] = Share(*std::ranges::min_element(drawn_));
  result.own_metrics["class_share_min_confident"] = Share(*std::ranges::min_element(sure_));
  result.own_metrics["classifier_confidence"] = confidence_ / std::max(count_, 1.0);
  std::vector<std::string> missed;
  for (size_t c = 0; c < names_.size(); ++c) {
    if (Share(drawn_[c]) * static_cast<double>(names_.size()) < kLeastShare) {
      missed.push_back(absl::StrFormat("%s (%.2f %%)", names_[c], 100 * Share(drawn_[c])));
    }
  }
  if (!missed.empty()) {
    result.warnings.push_back(absl::StrCat(
        "the generator leaves out classes, it has collapsed to the others: less than a tenth of "
        "an even share of its drawings are taken for ",
        absl::StrJoin(missed, ", ")));
  }
}

std::string ClassShares::ToCsv() const {
  std::string csv = "class,share,share_confident\n";
  for (size_t c = 0; c < names_.size(); ++c) {
    absl::StrAppend(&csv, QuoteCsv(names_[c]), ",", Share(drawn_[c]), ",", Share(sure_[c]), "\n");
  }
  return csv;
}

double ClassShares::Share(double count) const { return count / std::max(count_, 1.0); }

}  // namespace hone::engine::tasks
