#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/access/role.h"

namespace hone::server::access {

// What a name stands for. `project` "*": any, which each call names.
struct Client {
  Role role = Role::kViewer;
  std::string project = "*";

  bool operator==(const Client&) const = default;
};

// One line for each name, as certificates have it: `NAME = ROLE@PROJECT`, or `NAME = ROLE` for any
// project; `#` begins a comment. INVALID_ARGUMENT names the line and what would be right.
absl::StatusOr<absl::flat_hash_map<std::string, Client>> ParseClients(absl::string_view text);

// The names of a file, which is read again when it has changed: looked at once a second at most, by
// whoever asks. A file that is wrong or gone is logged, and the names of before stay. Any thread.
class Clients {
 public:
  // Errors of the file, and of ParseClients.
  static absl::StatusOr<std::unique_ptr<Clients>> Open(const std::string& path);

  // Nothing: there is no such name. `now` is SteadyNow().
  std::optional<Client> Find(const std::string& name, absl::Duration now);

 private:
  explicit Clients(std::string path) : path_(std::move(path)) {}
  // What a file is told from another by. "": it cannot be looked at.
  std::string PrintOfFile() const;
  void ReadAgain();  // with mutex_ held

  const std::string path_;
  std::mutex mutex_;
  absl::flat_hash_map<std::string, Client> by_name_;      // guarded by mutex_, as all below
  std::string print_;                                     // of the file that was read last
  absl::Duration looked_at_ = -absl::InfiniteDuration();  // SteadyNow()
};

}  // namespace hone::server::access
