#include "engine/base/loopback.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace hone {

bool IsLoopback(absl::string_view address) {
  const absl::string_view host = address.substr(0, address.rfind(':'));
  // Four numbers: a name that begins with 127. may lead anywhere.
  const bool four = std::count(host.begin(), host.end(), '.') == 3 &&
                    host.find_first_not_of("0123456789.") == absl::string_view::npos;
  return (four && absl::StartsWith(host, "127.")) || host == "localhost" || host == "[::1]";
}

}  // namespace hone
