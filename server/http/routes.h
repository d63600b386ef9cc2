#pragma once

#include <google/protobuf/descriptor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::server::http {

// A field of a request by its path (`job.name`), and its value as text.
using Binding = std::pair<std::string, std::string>;

// A path of google.api.http: `/v1/{name=jobs/*}/artifacts/{path=**}`, `/v1/{name=jobs/*}:cancel`.
class PathTemplate {
 public:
  // INVALID_ARGUMENT: it is none. `**` is the last segment, with a verb behind it or without.
  static absl::StatusOr<PathTemplate> Parse(absl::string_view text);

  // What the variables are in `path`, which is as HTTP has it, percent signs included. Nothing: it
  // is another path. A segment of `*` is not empty, and where the template has no verb there is no
  // colon in its last one.
  std::optional<std::vector<Binding>> Match(absl::string_view path) const;

  // The same with the segments of each variable in words: `/v1/jobs/{job}/artifacts/{path}`, and
  // the names in it.
  std::string ForOpenApi(std::vector<std::string>& names) const;

  // The request's fields that the path says.
  std::vector<std::string> fields() const;

  // The more there are, the sooner it is tried.
  int literals() const { return literals_; }

 private:
  enum class Kind { kLiteral, kOne, kAll };
  struct Segment {
    Kind kind;
    std::string text;  // of a literal
  };
  struct Variable {
    std::string field;
    size_t begin, end;  // of segments_
  };

  std::vector<Segment> segments_;
  std::vector<Variable> variables_;
  std::string verb_;
  int literals_ = 0;
};

// One way to call an RPC.
struct Route {
  std::string method;  // GET and so on
  PathTemplate path;
  std::string body;  // the field that the body is; "*": all of the request; "": there is no body
  const google::protobuf::MethodDescriptor* rpc = nullptr;

  // As gRPC has it: /hone.v1.TrainingService/GetJob.
  std::string RpcPath() const;
};

// The routes of services, as their options google.api.http say.
class Routes {
 public:
  // `services` are full names. INVALID_ARGUMENT: there is no such service here, or an option is
  // wrong.
  static absl::StatusOr<Routes> Of(const std::vector<std::string>& services);

  struct Found {
    const Route* route = nullptr;  // null: none of this method
    std::vector<Binding> bindings;
    std::vector<std::string> allowed;  // the methods of the path; empty: there is no such path
  };
  Found Find(absl::string_view method, absl::string_view path) const;

  const std::vector<Route>& all() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

// `text` without percent signs: %2F is /. Nothing: one of them is followed by no two hexadecimal
// digits, or the result is not UTF-8 or has a NUL. With `plus`, as in a query, + is a space.
std::optional<std::string> PercentDecode(absl::string_view text, bool plus = false);

// The parameters of a query, in their order. INVALID_ARGUMENT: as PercentDecode.
absl::StatusOr<std::vector<Binding>> ParseQuery(absl::string_view query);

}  // namespace hone::server::http
