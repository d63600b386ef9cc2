#pragma once

namespace hone::server::tokens {

// `honed token create|list|revoke`: whoever owns the server's folder says who may call. Where a
// server uses the folder it is asked, through the socket there, and what changes counts at once;
// else the store is changed. Returns the exit code.
int Main(int argc, const char* const* argv);

}  // namespace hone::server::tokens
