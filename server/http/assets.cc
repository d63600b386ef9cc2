#include "server/http/assets.h"

#include <algorithm>

namespace hone::server::http {

const Asset* FindAsset(absl::string_view path) {
  const absl::Span<const Asset> all = Assets();
  const auto found = std::ranges::lower_bound(all, path, {}, &Asset::path);
  return found != all.end() && found->path == path ? &*found : nullptr;
}

}  // namespace hone::server::http
