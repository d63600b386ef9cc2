#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::client::cli {

// How one server is reached, under a name. Files are absolute paths; "": not said. A token is never
// a part of it, only the name of the file that has it.
struct Context {
  std::string server = "";
  bool tls = false;
  std::string tls_ca = "", tls_cert = "", tls_key = "";
  std::string token_file = "";
  std::string project = "";
};

// The servers of one person, as they stand in config.yaml:
//   current: lab
//   contexts:
//     lab: {server: "train.example.org:50051", tls: true, token-file: /home/anna/.config/hone/…}
struct Contexts {
  std::string current = "";  // the one that counts where none is named; "": none
  std::map<std::string, Context> all = {};
};

// $XDG_CONFIG_HOME/hone, else ~/.config/hone. NOT_FOUND: neither variable is set.
absl::StatusOr<std::string> ConfigFolder();

// 1 to 64 of a-z, A-Z, 0-9, '.', '_', '-', and no '.' at the beginning. INVALID_ARGUMENT.
absl::Status CheckContextName(absl::string_view name);

// Where there is no file there are no contexts. INVALID_ARGUMENT: `FILE:LINE:COLUMN: …`: a syntax
// error, an unknown key, a token in the file; or others than its owner may change the file, so that
// they could have a token sent to a server of their own.
absl::StatusOr<Contexts> ReadContexts(const std::string& folder);

// Reads, changes and writes, while others wait who want the same. Makes the folder, which only its
// owner may enter. An error of `change` leaves the file as it is; comments in it are lost.
absl::Status ChangeContexts(const std::string& folder,
                            absl::FunctionRef<absl::Status(Contexts&)> change);

// NOT_FOUND: there is none of that name; says which there are.
absl::StatusOr<Context> FindContext(const Contexts& contexts, const std::string& name);

// As it stands in the file, for tests and for `hone config show`.
std::string Print(const Contexts& contexts);

// The token's file of a context, in the same folder, with nothing for others to read.
std::string TokenFileOf(const std::string& folder, const std::string& context);
// Writes it: nobody but its owner may read it at any moment.
absl::Status WriteToken(const std::string& path, const std::string& token);

}  // namespace hone::client::cli
