#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/command.h"
#include "client/cli/contexts.h"
#include "client/cli/live_view.h"
#include "client/cli/settings.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

// What `hone config set-context` was told; no value: it stays as it is.
struct Changes {
  std::string name;
  std::optional<std::string> server, tls_ca, tls_cert, tls_key, token_file, project;
  bool tls = false;
  const CLI::Option* tls_flag = nullptr;  // whether it was said: CLI11 sets a flag that was not
};

void PrintJson(const nlohmann::ordered_json& object) {
  std::printf(
      "%s\n",
      object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

nlohmann::ordered_json ToJson(const std::string& name, const Context& context, bool current) {
  return {{"name", name},
          {"current", current},
          {"server", context.server},
          {"tls", context.tls},
          {"tls_ca", context.tls_ca},
          {"tls_cert", context.tls_cert},
          {"tls_key", context.tls_key},
          {"token_file", context.token_file},
          {"project", context.project}};
}

// A context is used from other folders, too.
absl::Status TakePath(const char* flag, const std::optional<std::string>& given,
                      std::string& into) {
  if (!given.has_value()) {
    return absl::OkStatus();
  }
  into.clear();
  if (given->empty()) {
    return absl::OkStatus();
  }
  std::error_code error;
  into = std::filesystem::absolute(*given, error).lexically_normal();
  if (error || !std::filesystem::exists(into, error)) {
    return absl::NotFoundError(absl::StrCat(flag, ": there is no file ", *given));
  }
  return absl::OkStatus();
}

absl::Status Apply(const Changes& changes, Context& context) {
  if (changes.server.has_value()) {
    context.server = *changes.server;
  }
  if (changes.project.has_value()) {
    context.project = *changes.project;
  }
  HONE_RETURN_IF_ERROR(TakePath("--tls-ca", changes.tls_ca, context.tls_ca));
  HONE_RETURN_IF_ERROR(TakePath("--tls-cert", changes.tls_cert, context.tls_cert));
  HONE_RETURN_IF_ERROR(TakePath("--tls-key", changes.tls_key, context.tls_key));
  HONE_RETURN_IF_ERROR(TakePath("--token-file", changes.token_file, context.token_file));
  if (!context.token_file.empty()) {
    HONE_RETURN_IF_ERROR(ReadToken(context.token_file).status());
  }
  context.tls = changes.tls_flag->count() > 0 ? changes.tls : context.tls;
  Access access{.ca_file = context.tls_ca,
                .certificate_file = context.tls_cert,
                .key_file = context.tls_key,
                .project = context.project};
  return Check(access);
}

// What every command below does with an error.
int Done(const absl::Status& status, const Globals& globals) {
  return status.ok() ? kSuccess : Fail(status, globals);
}

absl::Status SetContext(const Changes& changes, const Globals& globals) {
  HONE_RETURN_IF_ERROR(CheckContextName(changes.name));
  HONE_ASSIGN_OR_RETURN(const std::string folder, ConfigFolder());
  Context context;
  bool current = false;
  const absl::Status changed = ChangeContexts(folder, [&](Contexts& contexts) {
    if (!contexts.all.contains(changes.name) && !changes.server.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--server: must be given for `", changes.name, "`, which is new"));
    }
    context = contexts.all[changes.name];
    HONE_RETURN_IF_ERROR(Apply(changes, context));
    contexts.all[changes.name] = context;
    // The first one is what a person has.
    if (contexts.all.size() == 1) {
      contexts.current = changes.name;
    }
    current = contexts.current == changes.name;
    return absl::OkStatus();
  });
  HONE_RETURN_IF_ERROR(changed);
  if (globals.json) {
    PrintJson(ToJson(changes.name, context, current));
  } else {
    std::printf("%s is %s%s\n", changes.name.c_str(),
                context.server.empty() ? "a context" : context.server.c_str(),
                current
                    ? ", and the current context"
                    : absl::StrCat("; to use it: hone config use-context ", changes.name).c_str());
  }
  return absl::OkStatus();
}

absl::Status UseContext(const std::string& name, const Globals& globals) {
  HONE_ASSIGN_OR_RETURN(const std::string folder, ConfigFolder());
  Context context;
  const absl::Status changed = ChangeContexts(folder, [&](Contexts& contexts) {
    HONE_ASSIGN_OR_RETURN(context, FindContext(contexts, name));
    contexts.current = name;
    return absl::OkStatus();
  });
  HONE_RETURN_IF_ERROR(changed);
  if (globals.json) {
    PrintJson(ToJson(name, context, true));
  } else {
    std::printf("%s is the current context\n", name.c_str());
  }
  return absl::OkStatus();
}

absl::Status DeleteContext(const std::string& name, const Globals& globals) {
  HONE_ASSIGN_OR_RETURN(const std::string folder, ConfigFolder());
  bool was_current = false;
  const absl::Status changed = ChangeContexts(folder, [&](Contexts& contexts) {
    HONE_RETURN_IF_ERROR(FindContext(contexts, name).status());
    contexts.all.erase(name);
    was_current = contexts.current == name;
    contexts.current = was_current ? "" : contexts.current;
    return absl::OkStatus();
  });
  HONE_RETURN_IF_ERROR(changed);
  // A token that `hone login` has kept; others' files stay.
  std::error_code error;
  std::filesystem::remove(TokenFileOf(folder, name), error);
  if (globals.json) {
    PrintJson({{"name", name}});
  } else {
    std::printf("%s is deleted%s\n", name.c_str(),
                was_current ? "; no context is the current one now" : "");
  }
  return absl::OkStatus();
}

absl::Status ListContexts(const Globals& globals) {
  HONE_ASSIGN_OR_RETURN(const std::string folder, ConfigFolder());
  HONE_ASSIGN_OR_RETURN(const Contexts contexts, ReadContexts(folder));
  if (globals.json) {
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const auto& [name, context] : contexts.all) {
      all.push_back(ToJson(name, context, name == contexts.current));
    }
    PrintJson({{"contexts", std::move(all)}});
    return absl::OkStatus();
  }
  if (contexts.all.empty()) {
    std::printf("no contexts; `hone config set-context NAME --server HOST:PORT` makes one\n");
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {
      {"", "context", "server", "tls", "token", "project"}};
  for (const auto& [name, context] : contexts.all) {
    const bool tls = context.tls || !context.tls_ca.empty() || !context.tls_cert.empty();
    rows.push_back({name == contexts.current ? "*" : "", name, context.server, tls ? "yes" : "no",
                    context.token_file.empty() ? "-" : context.token_file,
                    context.project.empty() ? "-" : context.project});
  }
  PrintLines(Table(rows));
  return absl::OkStatus();
}

absl::Status Show(const CLI::App& app, const Globals& globals) {
  HONE_RETURN_IF_ERROR(globals.context_error);
  std::vector<std::vector<std::string>> rows = {{"setting", "value", "said by"}};
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const Setting& setting : SettingsOf(app, globals)) {
    rows.push_back({setting.name, setting.value, setting.source});
    all[setting.name] = {{"value", setting.value == "-" ? "" : setting.value},
                         {"source", setting.source}};
  }
  if (globals.json) {
    PrintJson(all);
  } else {
    PrintLines(Table(rows));
  }
  return absl::OkStatus();
}

void DeclareChanges(CLI::App& command, Changes& changes) {
  command.add_option("CONTEXT", changes.name, "its name")->required();
  command.add_option("--server", changes.server, "address of the server, host:port")
      ->check([](const std::string& address) {
        return address.empty() ? "must be host:port, such as 127.0.0.1:50051" : "";
      });
  changes.tls_flag =
      command.add_flag("--tls", changes.tls, "the server has TLS; --tls=false: it has not");
  command.add_option(
      "--tls-ca", changes.tls_ca,
      "the authority that vouches for the server; \"\" takes this and the like away");
  command.add_option("--tls-cert", changes.tls_cert, "your certificate, in PEM form");
  command.add_option("--tls-key", changes.tls_key, "its private key, in PEM form");
  command.add_option("--token-file", changes.token_file,
                     "a file that only you may read, with a token; `hone login` makes one");
  command.add_option("--project", changes.project, "what calls are about");
}

}  // namespace

void AddConfig(CLI::App& app, Globals& globals) {
  CLI::App* config = app.add_subcommand(
      "config", "Servers under names of your own, and what counts for the next call.");
  config->require_subcommand(1);
  config->fallthrough();
  const auto changes = std::make_shared<Changes>();
  DeclareChanges(
      *AddCommand(*config, globals, "set-context",
                  "Make a context, or change what is said of it; the rest stays.",
                  [changes, &globals] { return Done(SetContext(*changes, globals), globals); }),
      *changes);
  const auto name = std::make_shared<std::string>();
  AddCommand(*config, globals, "use-context", "Make a context the current one.",
             [name, &globals] { return Done(UseContext(*name, globals), globals); })
      ->add_option("CONTEXT", *name, "its name")
      ->required();
  AddCommand(*config, globals, "get-contexts", "List the contexts; a star marks the current one.",
             [&globals] { return Done(ListContexts(globals), globals); })
      ->alias("list");
  AddCommand(*config, globals, "delete-context",
             "Forget a context, and the token that `hone login` has kept for it.",
             [name, &globals] { return Done(DeleteContext(*name, globals), globals); })
      ->add_option("CONTEXT", *name, "its name")
      ->required();
  AddCommand(*config, globals, "show", "What counts for the next call, and by whom it was said.",
             [&app, &globals] { return Done(Show(app, globals), globals); });
}

}  // namespace hone::client::cli
