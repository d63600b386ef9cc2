#include "server/access/tokens.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "server/rpc/calls.h"

namespace hone::server::rpc {
namespace {

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(time));
}

v1::Token ToProto(const store::Token& token) {
  v1::Token proto;
  proto.set_name(store::TokenName(token.id));
  for (const access::Role role : access::kRoles) {
    if (access::RoleName(role) == token.role) {
      proto.set_role(static_cast<v1::Token::Role>(static_cast<int>(role) + v1::Token::VIEWER));
    }
  }
  proto.set_project(token.project);
  *proto.mutable_create_time() = ToTimestamp(token.created);
  if (token.expires != absl::InfiniteFuture()) {
    *proto.mutable_expire_time() = ToTimestamp(token.expires);
  }
  if (token.revoked != absl::InfiniteFuture()) {
    *proto.mutable_revoke_time() = ToTimestamp(token.revoked);
  }
  if (token.used != absl::InfinitePast()) {
    *proto.mutable_last_use_time() = ToTimestamp(token.used);
  }
  return proto;
}

absl::StatusOr<access::NewToken> Asked(const v1::CreateTokenRequest& request) {
  if (request.role() < v1::Token::VIEWER || request.role() > v1::Token::ADMIN) {
    return absl::InvalidArgumentError("role: must be VIEWER, SUBMITTER, OPERATOR or ADMIN");
  }
  absl::Time expires = absl::InfiniteFuture();
  if (request.has_expire_time()) {
    const google::protobuf::Timestamp& time = request.expire_time();
    using Limits = google::protobuf::util::TimeUtil;
    if (time.seconds() < Limits::kTimestampMinSeconds ||
        time.seconds() > Limits::kTimestampMaxSeconds || time.nanos() < 0 ||
        time.nanos() > 999'999'999) {
      return absl::InvalidArgumentError("expire_time: must be a time of the years 1 to 9999");
    }
    expires = absl::FromUnixSeconds(request.expire_time().seconds()) +
              absl::Nanoseconds(request.expire_time().nanos());
  }
  return access::MakeToken(request.token_id(),
                           static_cast<access::Role>(request.role() - v1::Token::VIEWER),
                           request.project(), expires, absl::Now());
}

}  // namespace

void CreateToken(const v1::CreateTokenRequest& request, Deps& deps,
                 Done<v1::CreateTokenResponse> done) {
  absl::StatusOr<access::NewToken> made = Asked(request);
  if (!made.ok()) {
    return done(made.status());
  }
  deps.tokens.Add(std::move(made->token),
                  [secret = std::move(made->secret),
                   done = std::move(done)](const absl::StatusOr<store::Token>& added) {
                    if (!added.ok()) {
                      return done(added.status());
                    }
                    v1::CreateTokenResponse response;
                    *response.mutable_token() = ToProto(*added);
                    response.set_secret(secret);
                    done(std::move(response));
                  });
}

absl::StatusOr<v1::ListTokensResponse> ListTokens(const v1::ListTokensRequest&, Deps& deps) {
  v1::ListTokensResponse response;
  for (const store::Token& token : deps.tokens.List()) {
    *response.add_tokens() = ToProto(token);
  }
  return response;
}

void RevokeToken(const v1::RevokeTokenRequest& request, Deps& deps, Done<v1::Token> done) {
  const absl::StatusOr<std::string> id = store::TokenId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  deps.tokens.Revoke(*id, absl::Now(),
                     [done = std::move(done)](const absl::StatusOr<store::Token>& revoked) {
                       revoked.ok() ? done(ToProto(*revoked)) : done(revoked.status());
                     });
}

}  // namespace hone::server::rpc
