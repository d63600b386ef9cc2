#include "server/rpc/page_token.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/jobs/reason.h"

namespace hone::server::rpc {
namespace {

constexpr char kPrefix[] = "row:";

}  // namespace

std::string PageToken(int64_t row) {
  return row == 0 ? "" : absl::WebSafeBase64Escape(absl::StrCat(kPrefix, row));
}

absl::StatusOr<int64_t> ParsePageToken(const std::string& token) {
  if (token.empty()) {
    return 0;
  }
  std::string text;
  int64_t row = 0;
  if (token.size() <= 64 && absl::WebSafeBase64Unescape(token, &text)) {
    absl::string_view number = text;
    if (absl::ConsumePrefix(&number, kPrefix) && absl::SimpleAtoi(number, &row) && row > 0) {
      return row;
    }
  }
  return jobs::WithReason(
      absl::InvalidArgumentError(
          "page_token: must be the next_page_token of the previous answer, unchanged"),
      jobs::reason::kInvalidPageToken);
}

absl::StatusOr<int> PageSize(int32_t page_size) {
  if (page_size < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_size: must be between 0 and 1000, got ", page_size));
  }
  return page_size == 0 ? 50 : std::min(page_size, 1000);
}

}  // namespace hone::server::rpc
