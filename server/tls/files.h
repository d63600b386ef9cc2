#pragma once

#include <string>

namespace hone::server::tls {

// Files in PEM form.
struct Files {
  std::string certificate = "";  // the server's, then those that lead to its authority
  std::string key = "";          // of the certificate, without a password
  std::string client_ca =
      "";  // whose certificates clients may show; "": they are not asked for one
};

}  // namespace hone::server::tls
