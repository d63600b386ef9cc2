#include "server/http/metadata.h"

#include <openssl/crypto.h>
#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

namespace hone::server::http {
namespace {

constexpr size_t kKeyBytes = 32;

std::string RandomBytes() {
  std::string bytes(kKeyBytes, '\0');
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t got = ::getrandom(bytes.data() + done, bytes.size() - done, 0);
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      std::abort();  // never a key that somebody may guess
    }
  }
  return bytes;
}

}  // namespace

const std::string& Key() {
  static const auto* const key = new std::string(RandomBytes());
  return *key;
}

bool IsKey(absl::string_view key) {
  return key.size() == kKeyBytes && ::CRYPTO_memcmp(key.data(), Key().data(), kKeyBytes) == 0;
}

}  // namespace hone::server::http
