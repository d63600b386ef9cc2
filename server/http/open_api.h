#pragma once

#include <string>

#include "server/http/routes.h"

namespace hone::server::http {

// What the routes are, with every message that goes over them, as OpenAPI 3.0.3
// (https://spec.openapis.org/oas/v3.0.3), and the paths that are no RPC's: an upload, OpenAI's two.
std::string OpenApi(const Routes& routes);

}  // namespace hone::server::http
