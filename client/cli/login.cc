#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/contexts.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

constexpr size_t kMostToken = 4096;

// A line of stdin; where a person types it, nobody sees it. An interrupt meanwhile ends the process
// by the loop below, so that the terminal shows again what is typed.
absl::StatusOr<std::string> AskForToken(const Globals& globals) {
  const bool terminal = isatty(STDIN_FILENO) == 1;
  const Interrupts::Handler interrupts(*globals.interrupts);
  termios before{};
  if (terminal && tcgetattr(STDIN_FILENO, &before) == 0) {
    termios silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    // An interrupt ends the wait for a line, which the signal alone would not: another thread has
    // it.
    silent.c_lflag &= ~static_cast<tcflag_t>(ICANON);
    silent.c_cc[VMIN] = 0;
    silent.c_cc[VTIME] = 1;
    // What was typed before is dropped, so the question comes behind.
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    std::fprintf(stderr, "token: ");
  }
  const absl::Cleanup restore = [&] {
    if (terminal) {
      tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
      std::fprintf(stderr, "\n");
    }
  };
  std::string token;
  while (token.size() <= kMostToken) {
    if (interrupts.count() > 0) {
      return absl::CancelledError("no token was kept");
    }
    char byte = 0;
    const ssize_t count = read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "cannot read the token");
    }
    if (count == 0 && terminal) {
      continue;
    }
    constexpr char kEndOfTransmission = 4;
    if (count == 0 || byte == '\n' || byte == '\r' || byte == kEndOfTransmission) {
      break;
    }
    if (terminal && (byte == '\x7f' || byte == '\b')) {
      token.resize(token.empty() ? 0 : token.size() - 1);
    } else if (count > 0) {
      token.push_back(byte);
    }
  }
  token = std::string(absl::StripAsciiWhitespace(token));
  if (token.empty() || token.size() > kMostToken) {
    return absl::InvalidArgumentError(
        "stdin: must have one line, the token that `honed token create` has printed");
  }
  return token;
}

// A context for who has none.
constexpr char kDefault[] = "default";

absl::Status Login(Globals& globals) {
  HONE_RETURN_IF_ERROR(globals.context_error);
  HONE_ASSIGN_OR_RETURN(const std::string folder, ConfigFolder());
  HONE_ASSIGN_OR_RETURN(const Contexts contexts, ReadContexts(folder));
  const std::string name = globals.context.empty() ? kDefault : globals.context;
  // A context of that name may be of another server than the one that is named now.
  if (const auto found = contexts.all.find(name); globals.context.empty() &&
                                                  found != contexts.all.end() &&
                                                  found->second.server != globals.access.address) {
    return absl::InvalidArgumentError(
        absl::StrCat("the context ", name, " is of ", found->second.server, ", not of ",
                     globals.access.address, "; say `hone config set-context NAME --server ",
                     globals.access.address, "`, then `hone --context NAME login`"));
  }
  Access access = globals.access;
  access.tls = globals.tls();
  HONE_ASSIGN_OR_RETURN(access.token, AskForToken(globals));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, Client::For(access));
  HONE_RETURN_IF_ERROR(client->GetServerInfo().status());
  const std::string file = TokenFileOf(folder, name);
  HONE_RETURN_IF_ERROR(WriteToken(file, access.token));
  const absl::Status changed = ChangeContexts(folder, [&](Contexts& all) {
    const bool is_new = !all.all.contains(name);
    Context& context = all.all[name];
    context.token_file = file;
    if (is_new) {
      const auto absolute = [](const std::string& path) {
        std::error_code error;
        return path.empty() ? "" : std::filesystem::absolute(path, error).string();
      };
      context.server = access.address;
      context.tls = access.tls;
      context.tls_ca = absolute(access.ca_file);
      context.tls_cert = absolute(access.certificate_file);
      context.tls_key = absolute(access.key_file);
      context.project = access.project;
    }
    all.current = all.current.empty() ? name : all.current;
    return absl::OkStatus();
  });
  HONE_RETURN_IF_ERROR(changed);
  std::fprintf(stderr, "the token is kept for the context %s (%s)\n", name.c_str(),
               access.address.c_str());
  return absl::OkStatus();
}

absl::Status Logout(const Globals& globals) {
  HONE_RETURN_IF_ERROR(globals.context_error);
  HONE_ASSIGN_OR_RETURN(const std::string folder, ConfigFolder());
  const std::string name = globals.context.empty() ? kDefault : globals.context;
  const std::string file = TokenFileOf(folder, name);
  const absl::Status changed = ChangeContexts(folder, [&](Contexts& contexts) {
    HONE_RETURN_IF_ERROR(FindContext(contexts, name).status());
    std::string& named = contexts.all[name].token_file;
    named = named == file ? "" : named;
    return absl::OkStatus();
  });
  HONE_RETURN_IF_ERROR(changed);
  std::error_code error;
  const bool removed = std::filesystem::remove(file, error);
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("cannot remove ", file));
  }
  std::fprintf(stderr,
               removed ? "the token of %s is forgotten here; `honed token revoke` ends it\n"
                       : "no token was kept for %s\n",
               name.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddLogin(CLI::App& app, Globals& globals) {
  const auto add = [&](const char* name, const char* help, std::function<absl::Status()> call) {
    AddCommand(app, globals, name, help, [call = std::move(call), &globals] {
      const absl::Status status = call();
      return status.ok() ? kSuccess : Fail(status, globals);
    });
  };
  add("login",
      "Try a token, which stdin has in one line, and keep it for the context in a file that only "
      "you may read.",
      [&globals] { return Login(globals); });
  add("logout", "Forget the token that login has kept for the context.",
      [&globals] { return Logout(globals); });
}

}  // namespace hone::client::cli
