#pragma once

namespace hone::server::http {

// The metadata by which HTTP's side tells the gate who called it. They count in calls that are made
// within this process alone (rpc/admit.cc): whoever sends them over a connection says nothing.
inline constexpr char kPeerMetadata[] = "hone-peer";
inline constexpr char kCertificateMetadata[] = "hone-certificate-bin";  // its name, may be ""

}  // namespace hone::server::http
