#include "server/access/clients.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "server/jobs/validate.h"
#include "server/log/log.h"

namespace hone::server::access {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 20;
constexpr absl::Duration kLookEvery = absl::Seconds(1);

absl::Status Wrong(int line, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("line ", line, ": ", what,
                   "; a line is NAME = ROLE@PROJECT or NAME = ROLE, with the role viewer, "
                   "submitter, operator or admin"));
}

}  // namespace

absl::StatusOr<absl::flat_hash_map<std::string, Client>> ParseClients(absl::string_view text) {
  absl::flat_hash_map<std::string, Client> clients;
  int line = 0;
  for (absl::string_view rest : absl::StrSplit(text, '\n')) {
    ++line;
    rest = absl::StripAsciiWhitespace(rest);
    if (rest.empty() || rest[0] == '#') {
      continue;
    }
    // A name may have an equals sign in it, a role has none.
    const size_t equals = rest.rfind('=');
    if (equals == absl::string_view::npos) {
      return Wrong(line, "there is no =");
    }
    const std::string name(absl::StripAsciiWhitespace(rest.substr(0, equals)));
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(
        absl::StripAsciiWhitespace(rest.substr(equals + 1)), absl::MaxSplits('@', 1));
    const std::optional<Role> role = RoleOfName(parts.first);
    if (name.empty()) {
      return Wrong(line, "there is no name");
    }
    if (!role.has_value()) {
      return Wrong(line, absl::StrCat("there is no role \"",
                                      absl::CHexEscape(parts.first.substr(0, 80)), "\""));
    }
    Client client{.role = *role};
    if (rest.substr(equals + 1).find('@') != absl::string_view::npos) {
      client.project = std::string(parts.second);
      if (client.project != "*" && !jobs::IsDatasetName(client.project)) {
        return Wrong(line, absl::StrCat("there can be no project \"",
                                        absl::CHexEscape(parts.second.substr(0, 80)), "\""));
      }
    }
    if (!clients.emplace(name, std::move(client)).second) {
      return Wrong(line, absl::StrCat("the name ", absl::CHexEscape(name), " is there twice"));
    }
  }
  return clients;
}

absl::StatusOr<std::unique_ptr<Clients>> Clients::Open(const std::string& path) {
  std::unique_ptr<Clients> clients(new Clients(path));
  clients->print_ = clients->PrintOfFile();
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostBytes));
  auto parsed = ParseClients(text);
  HONE_RETURN_IF_ERROR(Annotate(parsed.status(), path));
  clients->by_name_ = *std::move(parsed);
  return clients;
}

std::string Clients::PrintOfFile() const {
  struct stat file {};
  return ::stat(path_.c_str(), &file) == 0
             ? absl::StrCat(file.st_dev, ".", file.st_ino, ".", file.st_size, ".",
                            file.st_mtim.tv_sec, ".", file.st_mtim.tv_nsec, ".",
                            file.st_ctim.tv_sec, ".", file.st_ctim.tv_nsec)
             : "";
}

void Clients::ReadAgain() {
  const std::string print = PrintOfFile();
  if (print == print_) {
    return;
  }
  print_ = print;
  const absl::StatusOr<std::string> text = ReadFile(path_, kMostBytes);
  auto parsed = text.ok() ? ParseClients(*text) : text.status();
  if (!parsed.ok()) {
    log::Warning("the names of clients are not read; those of before stay",
                 {{"file", path_}, {"error", parsed.status().message()}});
    return;
  }
  by_name_ = *std::move(parsed);
  log::Info("the names of clients are read again",
            {{"file", path_}, {"names", static_cast<int64_t>(by_name_.size())}});
}

std::optional<Client> Clients::Find(const std::string& name, absl::Duration now) {
  const std::lock_guard lock(mutex_);
  if (now - looked_at_ >= kLookEvery) {
    looked_at_ = now;
    ReadAgain();
  }
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace hone::server::access
