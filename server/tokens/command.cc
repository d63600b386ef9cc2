#include "server/tokens/command.h"

#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/status.h"
#include "hone/v1/access.grpc.pb.h"
#include "server/access/role.h"
#include "server/access/tokens.h"
#include "server/artifacts/control_socket.h"
#include "server/artifacts/data_directory.h"
#include "server/command_line/parse.h"
#include "server/store/job_store.h"
#include "server/store/sqlite_store.h"

namespace hone::server::tokens {
namespace {

constexpr auto kDeadline = std::chrono::seconds(30);

struct Wanted {
  std::string id;
  access::Role role = access::Role::kViewer;
  std::string project;
  absl::Time expires = absl::InfiniteFuture();
};

// Who keeps the tokens: a server that runs, or the store.
class Keeper {
 public:
  virtual ~Keeper() = default;
  // The token itself.
  virtual absl::StatusOr<std::string> Create(const Wanted& wanted) = 0;
  virtual absl::StatusOr<std::vector<store::Token>> List() = 0;
  virtual absl::Status Revoke(const std::string& id) = 0;
};

class StoreKeeper final : public Keeper {
 public:
  StoreKeeper(std::unique_ptr<artifacts::DataDirectory> directory,
              std::unique_ptr<store::JobStore> store)
      : directory_(std::move(directory)), store_(std::move(store)) {}

  absl::StatusOr<std::string> Create(const Wanted& wanted) override {
    HONE_ASSIGN_OR_RETURN(
        access::NewToken made,
        access::MakeToken(wanted.id, wanted.role, wanted.project, wanted.expires, absl::Now()));
    HONE_RETURN_IF_ERROR(Write([&] { return store_->tokens().Insert(made.token); }));
    return std::move(made.secret);
  }
  absl::StatusOr<std::vector<store::Token>> List() override { return store_->tokens().All(); }
  absl::Status Revoke(const std::string& id) override {
    return Write([&] { return store_->tokens().Revoke(id, absl::Now()).status(); });
  }

 private:
  absl::Status Write(absl::FunctionRef<absl::Status()> write) {
    absl::Status status;
    const absl::Status committed = store_->Commit([&] { status = write(); }).status();
    return committed.ok() ? status : committed;
  }

  const std::unique_ptr<artifacts::DataDirectory> directory_;  // its lock
  const std::unique_ptr<store::JobStore> store_;
};

absl::Status Answer(const grpc::Status& status) {
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

class ServerKeeper final : public Keeper {
 public:
  explicit ServerKeeper(artifacts::ControlSocket socket)
      : socket_(std::move(socket)),
        stub_(v1::AccessService::NewStub(
            grpc::CreateChannel(socket_.address(), grpc::InsecureChannelCredentials()))) {}

  absl::StatusOr<std::string> Create(const Wanted& wanted) override {
    v1::CreateTokenRequest request;
    request.set_token_id(wanted.id);
    request.set_role(
        static_cast<v1::Token::Role>(static_cast<int>(wanted.role) + v1::Token::VIEWER));
    request.set_project(wanted.project);
    if (wanted.expires != absl::InfiniteFuture()) {
      *request.mutable_expire_time() = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
          absl::ToUnixNanos(wanted.expires));
    }
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    v1::CreateTokenResponse response;
    HONE_RETURN_IF_ERROR(Answer(stub_->CreateToken(&context, request, &response)));
    return response.secret();
  }

  absl::StatusOr<std::vector<store::Token>> List() override {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    v1::ListTokensResponse response;
    HONE_RETURN_IF_ERROR(Answer(stub_->ListTokens(&context, v1::ListTokensRequest(), &response)));
    std::vector<store::Token> tokens;
    for (const v1::Token& proto : response.tokens()) {
      store::Token& token = tokens.emplace_back();
      token.id = store::TokenId(proto.name()).value_or("");
      token.role = std::string(access::RoleName(
          static_cast<access::Role>(static_cast<int>(proto.role()) - v1::Token::VIEWER)));
      token.project = proto.project();
      token.created = ToTime(proto.create_time());
      token.expires = proto.has_expire_time() ? ToTime(proto.expire_time()) : token.expires;
      token.revoked = proto.has_revoke_time() ? ToTime(proto.revoke_time()) : token.revoked;
      token.used = proto.has_last_use_time() ? ToTime(proto.last_use_time()) : token.used;
    }
    return tokens;
  }

  absl::Status Revoke(const std::string& id) override {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    v1::RevokeTokenRequest request;
    request.set_name(store::TokenName(id));
    v1::Token token;
    return Answer(stub_->RevokeToken(&context, request, &token));
  }

 private:
  const artifacts::ControlSocket socket_;  // stays open as long as the channel
  const std::unique_ptr<v1::AccessService::Stub> stub_;
};

// `make`: the folder, if there is none.
absl::StatusOr<std::unique_ptr<Keeper>> FindKeeper(const std::string& data_directory, bool make) {
  std::error_code error;
  if (!make && !std::filesystem::exists(data_directory + "/store.db", error)) {
    return absl::NotFoundError(
        absl::StrCat(data_directory, ": there is no store.db; is it a server's --data-dir?"));
  }
  absl::StatusOr<std::unique_ptr<artifacts::DataDirectory>> directory =
      artifacts::DataDirectory::Open(data_directory);
  if (directory.ok()) {
    if (!make) {  // else a look at it would shut out the older server that it is of
      HONE_RETURN_IF_ERROR(store::CheckSqliteVersion((*directory)->store_path()));
    }
    HONE_ASSIGN_OR_RETURN(auto store, store::OpenSqliteStore((*directory)->store_path()));
    return std::make_unique<StoreKeeper>(*std::move(directory), std::move(store));
  }
  if (!absl::IsFailedPrecondition(directory.status())) {
    return directory.status();
  }
  HONE_ASSIGN_OR_RETURN(artifacts::ControlSocket socket,
                        artifacts::ControlSocket::Open(data_directory));
  return std::make_unique<ServerKeeper>(std::move(socket));
}

// 90d, 12h, 30m.
std::optional<absl::Duration> ParseTime(absl::string_view text) {
  double days = 0;
  absl::Duration duration;
  if (absl::string_view number = text;
      absl::ConsumeSuffix(&number, "d") && absl::SimpleAtod(number, &days)) {
    duration = days * absl::Hours(24);
  } else if (!absl::ParseDuration(text, &duration)) {
    return std::nullopt;
  }
  return duration > absl::ZeroDuration() && duration <= absl::Hours(24 * 36500)
             ? std::optional(duration)
             : std::nullopt;
}

std::string When(absl::Time time) {
  return time == absl::InfiniteFuture() || time == absl::InfinitePast()
             ? "never"
             : absl::FormatTime("%Y-%m-%d %H:%M", time, absl::LocalTimeZone());
}

void Print(const std::vector<store::Token>& tokens) {
  std::printf("%-24s %-10s %-16s %-17s %-17s %-17s %s\n", "NAME", "ROLE", "PROJECT", "CREATED",
              "EXPIRES", "LAST USED", "STATE");
  for (const store::Token& token : tokens) {
    const char* const state = token.revoked != absl::InfiniteFuture() ? "revoked"
                              : token.expires <= absl::Now()          ? "expired"
                                                                      : "counts";
    std::printf("%-24s %-10s %-16s %-17s %-17s %-17s %s\n", token.id.c_str(), token.role.c_str(),
                token.project.empty() ? "-" : token.project.c_str(), When(token.created).c_str(),
                When(token.expires).c_str(), When(token.used).c_str(), state);
  }
}

}  // namespace

int Main(int argc, const char* const* argv) {
  std::string data_directory, role, lifetime;
  Wanted wanted;
  CLI::App app("Says who may call a server: tokens that callers show.", "honed token");
  app.require_subcommand(1);
  app.add_option("--data-dir", data_directory, "The server's folder")
      ->envname("HONED_DATA_DIR")
      ->required();
  std::vector<std::string> roles;
  for (const access::Role one : access::kRoles) {
    roles.emplace_back(access::RoleName(one));
  }
  CLI::App& create = *app.add_subcommand(
      "create",
      "Makes a token and prints it, this once. With the first one, a server asks who calls");
  create.add_option("--name", wanted.id, "What it is called")->required();
  create.add_option("--role", role, "What its holder may do")
      ->required()
      ->check(CLI::IsMember(roles));
  create.add_option("--project", wanted.project,
                    "In which its holder works; '*': in any, which each call names; default: "
                    "default");
  create
      .add_option("--expires", lifetime,
                  "After what time it counts no more: 90d, 12h; default: never")
      ->check([](const std::string& text) {
        return ParseTime(text).has_value() ? "" : "must be a time such as 90d or 12h";
      });
  CLI::App& list = *app.add_subcommand("list", "Lists all tokens, also those that count no more");
  CLI::App& revoke = *app.add_subcommand("revoke", "From now on the token is refused");
  revoke.add_option("name", wanted.id, "The token's name")->required();
  for (CLI::App* command : {&create, &list, &revoke}) {
    command->fallthrough();
  }
  if (const std::optional<int> exit = command_line::Parse(app, argc, argv); exit.has_value()) {
    return *exit;
  }
  const auto run = [&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Keeper> keeper,
                          FindKeeper(data_directory, create.parsed()));
    if (list.parsed()) {
      HONE_ASSIGN_OR_RETURN(const std::vector<store::Token> tokens, keeper->List());
      Print(tokens);
      return absl::OkStatus();
    }
    if (revoke.parsed()) {
      HONE_RETURN_IF_ERROR(keeper->Revoke(wanted.id));
      std::fprintf(stderr, "%s is refused from now on\n", wanted.id.c_str());
      return absl::OkStatus();
    }
    wanted.role = access::RoleOfName(role).value_or(access::Role::kViewer);
    if (const auto time = ParseTime(lifetime); time.has_value()) {
      wanted.expires = absl::Now() + *time;
    }
    HONE_ASSIGN_OR_RETURN(const std::string secret, keeper->Create(wanted));
    std::fprintf(stderr, "the token of %s, which nobody can ask for again:\n", wanted.id.c_str());
    std::printf("%s\n", secret.c_str());
    return std::fflush(stdout) == 0
               ? absl::OkStatus()
               : absl::DataLossError(absl::StrCat("the token could not be printed; revoke ",
                                                  wanted.id, " and make another one"));
  };
  const absl::Status status = run();
  if (!status.ok()) {
    std::fprintf(stderr, "honed token: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}

}  // namespace hone::server::tokens
