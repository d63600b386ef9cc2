#include "server/http/assets.h"

namespace hone::server::http {

absl::Span<const Asset> Assets() { return {}; }

}  // namespace hone::server::http
