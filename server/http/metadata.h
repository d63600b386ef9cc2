#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace hone::server::http {

// The metadata by which HTTP's side tells the gate who called it. They count only beside the key,
// which a call of this process alone has: whoever sends them over a connection says nothing.
inline constexpr char kKeyMetadata[] = "hone-http-key-bin";
inline constexpr char kPeerMetadata[] = "hone-peer";
inline constexpr char kCertificateMetadata[] = "hone-certificate-bin";  // its name, may be ""

// 32 random bytes, others in every process.
const std::string& Key();

// Takes as long for every key of its length.
bool IsKey(absl::string_view key);

}  // namespace hone::server::http
