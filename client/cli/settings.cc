#include "client/cli/settings.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "client/cli/contexts.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

constexpr const char* kNames[] = {"--context",  "--server",  "--tls",        "--tls-ca",
                                  "--tls-cert", "--tls-key", "--token-file", "--project"};

bool IsGiven(const CLI::App& app, const std::string& name) {
  return app.get_option(name)->count() > 0;
}

bool HasToken() {
  const char* const token = std::getenv("HONE_TOKEN");
  return token != nullptr && *token != '\0';
}

// A flag, or the variable where that says the same.
std::string SourceOf(const CLI::Option& option) {
  const char* const variable = std::getenv(option.get_envname().c_str());
  return variable != nullptr && !option.results().empty() && option.results().front() == variable
             ? absl::StrCat("variable ", option.get_envname())
             : option.get_name();
}

absl::Status TakeContext(const CLI::App& app, Globals& globals) {
  const CLI::Option& named = *app.get_option("--context");
  if (named.count() == 0 && IsGiven(app, "--server")) {
    return absl::OkStatus();
  }
  const absl::StatusOr<std::string> folder = ConfigFolder();
  if (!folder.ok()) {
    return named.count() == 0 ? absl::OkStatus() : folder.status();
  }
  HONE_ASSIGN_OR_RETURN(const Contexts contexts, ReadContexts(*folder));
  const std::string name = named.count() > 0 ? globals.context : contexts.current;
  if (name.empty()) {
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(const Context context, FindContext(contexts, name));
  const std::string server = context.server.empty() ? Access().address : context.server;
  if (IsGiven(app, "--server") && globals.access.address != server) {
    return absl::InvalidArgumentError(
        absl::StrCat(SourceOf(*app.get_option("--server")), " says ", globals.access.address,
                     ", and the context ", name, " is of ", server, "; name one of the two"));
  }
  globals.context = name;
  Access& access = globals.access;
  access.address = server;
  const auto take = [&](const char* option, const std::string& value, std::string& into) {
    if (!IsGiven(app, option) && !value.empty()) {
      into = value;
    }
  };
  access.tls = IsGiven(app, "--tls") ? access.tls : context.tls;
  take("--tls-ca", context.tls_ca, access.ca_file);
  if (!IsGiven(app, "--tls-cert") && !IsGiven(app, "--tls-key")) {
    take("--tls-cert", context.tls_cert, access.certificate_file);
    take("--tls-key", context.tls_key, access.key_file);
  }
  if (!HasToken()) {
    take("--token-file", context.token_file, globals.token_file);
  }
  take("--project", context.project, access.project);
  return absl::OkStatus();
}

}  // namespace

void AddSettings(CLI::App& app, Globals& globals) {
  app.add_option("--context", globals.context,
                 "a server that `hone config` knows by name; default: the current one, unless "
                 "--server names a server")
      ->envname("HONE_CONTEXT");
  app.add_option("--server", globals.access.address, "address of the server, host:port")
      ->envname("HONE_SERVER")
      ->check([](const std::string& address) {
        return address.empty() ? "must be host:port, such as 127.0.0.1:50051" : "";
      })
      ->capture_default_str();
  app.add_flag("--tls", globals.access.tls,
               "the server has TLS; the system's authorities vouch for it")
      ->envname("HONE_TLS");
  app.add_option("--tls-ca", globals.access.ca_file,
                 "the authority that vouches for the server, in PEM form; means --tls")
      ->envname("HONE_TLS_CA");
  app.add_option("--tls-cert", globals.access.certificate_file,
                 "your certificate, in PEM form, for a server that asks for one; means --tls")
      ->envname("HONE_TLS_CERT");
  app.add_option("--tls-key", globals.access.key_file, "its private key, in PEM form")
      ->envname("HONE_TLS_KEY");
  app.add_option("--token-file", globals.token_file,
                 "a file that only you may read, with the token that says who you are; default: "
                 "the token in HONE_TOKEN, if there is one")
      ->envname("HONE_TOKEN_FILE");
  app.add_option("--project", globals.access.project,
                 "the project to work in; default: that of the token, else default")
      ->envname("HONE_PROJECT");
  app.parse_complete_callback(
      [&app, &globals] { globals.context_error = TakeContext(app, globals); });
}

std::vector<Setting> SettingsOf(const CLI::App& app, const Globals& globals) {
  const Access& access = globals.access;
  const bool by_variable = globals.token_file.empty() && HasToken();
  const std::string values[] = {
      globals.context,         access.address,  globals.tls() ? "yes" : "no", access.ca_file,
      access.certificate_file, access.key_file, globals.token_file,           access.project};
  std::vector<Setting> settings;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    const CLI::Option& option = *app.get_option(kNames[i]);
    const std::string name = std::string(kNames[i]).substr(2);
    const bool from_context = !globals.context.empty() && !values[i].empty();
    std::string source = option.count() > 0                  ? SourceOf(option)
                         : from_context && name == "context" ? "config.yaml"
                         : from_context ? absl::StrCat("context ", globals.context)
                                        : "default";
    if (name == "token-file" && by_variable) {
      settings.push_back({"token", "(not shown)", "variable HONE_TOKEN"});
    } else {
      settings.push_back({name, values[i].empty() ? "-" : values[i], std::move(source)});
    }
  }
  return settings;
}

}  // namespace hone::client::cli
