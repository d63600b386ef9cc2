#include "server/retention/clock.h"

namespace hone::server::retention {

bool ClockTrust::Trusts(absl::Time wall, absl::Duration steady) {
  if (even_since_.has_value()) {
    const absl::Duration apart = (wall - even_since_->wall) - (steady - even_since_->steady);
    if (absl::AbsDuration(apart) > kTolerance) {
      even_since_.reset();
    }
  }
  if (!even_since_.has_value()) {
    even_since_ = Reading{.wall = wall, .steady = steady};
  }
  return steady - even_since_->steady >= kTrustAfter;
}

}  // namespace hone::server::retention
