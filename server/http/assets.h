// The files of the web page (client/web, and the libraries that it uses), which are part of the
// program.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace hone::server::http {

struct Asset {
  absl::string_view path;          // as a browser asks for it: "/", "/main.js", "/pages/job.js"
  absl::string_view content_type;  // with its charset
  absl::string_view bytes;
  absl::string_view etag;  // in quotes; of other bytes another one
};

// All of them by path. They live as long as the program.
absl::Span<const Asset> Assets();

// The one of exactly this path, without a query; nullptr: there is none. "/" is index.html.
const Asset* FindAsset(absl::string_view path);

}  // namespace hone::server::http
