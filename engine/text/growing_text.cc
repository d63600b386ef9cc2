#include "engine/text/growing_text.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

namespace hone::engine::text {

absl::Status CheckStops(const std::vector<std::string>& stops) {
  for (size_t i = 0; i < stops.size(); ++i) {
    const std::string name = absl::StrCat("stop[", i, "]");
    if (stops[i].empty()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": must not be empty"));
    }
    HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(stops[i]), name));
  }
  return absl::OkStatus();
}

GrowingText::GrowingText(const Tokenizer& tokenizer, int32_t before, std::vector<std::string> stops,
                         std::string held)
    : tokenizer_(tokenizer), before_(before), stops_(std::move(stops)), held_(std::move(held)) {}

bool GrowingText::Add(int32_t token) {
  const std::string alone = tokenizer_.DecodeBytes({&before_, 1});
  const int32_t both[] = {before_, token};
  const std::string text = tokenizer_.DecodeBytes(both);
  absl::string_view piece = text;
  // A token that changes what stands before it is taken for itself.
  if (!absl::ConsumePrefix(&piece, alone)) {
    held_ += tokenizer_.DecodeBytes({&token, 1});
  } else {
    absl::StrAppend(&held_, piece);
  }
  before_ = token;
  size_t end = std::string::npos;
  for (const std::string& stop : stops_) {
    end = std::min(end, held_.find(stop));
  }
  if (end != std::string::npos) {
    held_.resize(end);
    stopped_ = true;
  }
  return !stopped_;
}

size_t GrowingText::MayStop() const {
  size_t most = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > most; --n) {
      if (absl::EndsWith(held_, absl::string_view(stop).substr(0, n))) {
        most = n;
      }
    }
  }
  return most;
}

std::string GrowingText::Take() {
  size_t ready = stopped_ ? held_.size() : held_.size() - MayStop();
  ready = Utf8Prefix(absl::string_view(held_).substr(0, ready));
  std::string text = held_.substr(0, ready);
  held_.erase(0, ready);
  return text;
}

std::string GrowingText::Finish() { return WholeUtf8(std::exchange(held_, {})); }

}  // namespace hone::engine::text
