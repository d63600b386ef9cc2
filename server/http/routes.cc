#include "server/http/routes.h"

#include <algorithm>
#include <iterator>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "google/api/annotations.pb.h"

namespace hone::server::http {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  c = absl::ascii_tolower(static_cast<unsigned char>(c));
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// `jobs/*` → `job`: what a person calls the part that is `*`.
std::string Singular(absl::string_view collection) {
  return std::string(absl::StripSuffix(collection, "s"));
}

std::pair<std::string, std::string> MethodAndPath(const google::api::HttpRule& rule) {
  switch (rule.pattern_case()) {
    case google::api::HttpRule::kGet:
      return {"GET", rule.get()};
    case google::api::HttpRule::kPut:
      return {"PUT", rule.put()};
    case google::api::HttpRule::kPost:
      return {"POST", rule.post()};
    case google::api::HttpRule::kDelete:
      return {"DELETE", rule.delete_()};
    case google::api::HttpRule::kPatch:
      return {"PATCH", rule.patch()};
    default:
      return {"", ""};
  }
}

}  // namespace

std::optional<std::string> PercentDecode(absl::string_view text, bool plus) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (plus && text[i] == '+') {
      decoded += ' ';
    } else if (text[i] != '%') {
      decoded += text[i];
    } else {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return std::nullopt;
      }
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  if (Utf8Prefix(decoded) != decoded.size() || absl::StrContains(decoded, '\0')) {
    return std::nullopt;
  }
  return decoded;
}

absl::StatusOr<std::vector<Binding>> ParseQuery(absl::string_view query) {
  std::vector<Binding> parameters;
  for (const absl::string_view part : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    std::optional<std::string> name = PercentDecode(halves.first, /*plus=*/true);
    std::optional<std::string> value = PercentDecode(halves.second, /*plus=*/true);
    if (!name.has_value() || !value.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the query's part number ", parameters.size() + 1,
          ": must be NAME=VALUE in UTF-8, where % is followed by two hexadecimal digits"));
    }
    parameters.emplace_back(*std::move(name), *std::move(value));
  }
  return parameters;
}

absl::StatusOr<PathTemplate> PathTemplate::Parse(absl::string_view text) {
  const auto wrong = [text] {
    return absl::InvalidArgumentError(absl::StrCat(text, ": is no path of google.api.http"));
  };
  PathTemplate parsed;
  absl::string_view rest = text;
  if (!absl::ConsumePrefix(&rest, "/")) {
    return wrong();
  }
  const size_t colon = rest.rfind(':');
  if (colon != absl::string_view::npos && rest.find('}', colon) == absl::string_view::npos) {
    parsed.verb_ = std::string(rest.substr(colon + 1));
    rest = rest.substr(0, colon);
  }
  const auto add = [&parsed](absl::string_view segments) {
    for (const absl::string_view segment : absl::StrSplit(segments, '/')) {
      if (segment == "*" || segment == "**") {
        parsed.segments_.push_back({segment == "*" ? Kind::kOne : Kind::kAll, ""});
      } else {
        parsed.segments_.push_back({Kind::kLiteral, std::string(segment)});
        ++parsed.literals_;
      }
    }
  };
  for (;;) {
    if (absl::ConsumePrefix(&rest, "{")) {
      const size_t end = rest.find('}');
      if (end == absl::string_view::npos) {
        return wrong();
      }
      const std::pair<absl::string_view, absl::string_view> variable =
          absl::StrSplit(rest.substr(0, end), absl::MaxSplits('=', 1));
      const size_t begin = parsed.segments_.size();
      add(variable.second.empty() ? "*" : variable.second);
      parsed.variables_.push_back({std::string(variable.first), begin, parsed.segments_.size()});
      rest = rest.substr(end + 1);
    } else {
      const size_t end = std::min(rest.find('/'), rest.size());
      add(rest.substr(0, end));
      rest = rest.substr(end);
    }
    if (rest.empty()) {
      break;
    }
    if (!absl::ConsumePrefix(&rest, "/")) {
      return wrong();
    }
  }
  for (size_t i = 0; i + 1 < parsed.segments_.size(); ++i) {
    if (parsed.segments_[i].kind == Kind::kAll) {
      return wrong();
    }
  }
  return parsed;
}

std::optional<std::vector<Binding>> PathTemplate::Match(absl::string_view path) const {
  if (!absl::ConsumePrefix(&path, "/")) {
    return std::nullopt;
  }
  if (!verb_.empty() && !absl::ConsumeSuffix(&path, absl::StrCat(":", verb_))) {
    return std::nullopt;
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/');
  const bool all = segments_.back().kind == Kind::kAll;
  if (all ? parts.size() < segments_.size() : parts.size() != segments_.size()) {
    return std::nullopt;
  }
  std::vector<std::string> decoded;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Segment& segment = segments_[std::min(i, segments_.size() - 1)];
    std::optional<std::string> text = PercentDecode(parts[i]);
    const bool last = i + 1 == parts.size();
    if (!text.has_value() || (segment.kind == Kind::kLiteral && *text != segment.text) ||
        (segment.kind != Kind::kLiteral && text->empty()) ||
        (segment.kind == Kind::kOne && last && verb_.empty() && absl::StrContains(*text, ':'))) {
      return std::nullopt;
    }
    decoded.push_back(*std::move(text));
  }
  std::vector<Binding> bindings;
  for (const Variable& variable : variables_) {
    const size_t end = all && variable.end == segments_.size() ? decoded.size() : variable.end;
    bindings.emplace_back(variable.field,
                          absl::StrJoin(decoded.begin() + static_cast<int64_t>(variable.begin),
                                        decoded.begin() + static_cast<int64_t>(end), "/"));
  }
  return bindings;
}

std::string PathTemplate::ForOpenApi(std::vector<std::string>& names) const {
  std::string path;
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].kind == Kind::kLiteral) {
      absl::StrAppend(&path, "/", segments_[i].text);
      continue;
    }
    std::string name = "path";
    if (segments_[i].kind == Kind::kOne) {
      name = i > 0 ? Singular(segments_[i - 1].text) : "name";
    }
    absl::StrAppend(&path, "/{", name, "}");
    names.push_back(std::move(name));
  }
  if (!verb_.empty()) {
    absl::StrAppend(&path, ":", verb_);
  }
  return path;
}

std::vector<std::string> PathTemplate::fields() const {
  std::vector<std::string> fields;
  for (const Variable& variable : variables_) {
    fields.push_back(variable.field);
  }
  return fields;
}

std::string Route::RpcPath() const {
  return absl::StrCat("/", rpc->service()->full_name(), "/", rpc->name());
}

absl::StatusOr<Routes> Routes::Of(const std::vector<std::string>& services) {
  Routes routes;
  for (const std::string& name : services) {
    const google::protobuf::ServiceDescriptor* const service =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    if (service == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": there is no such service here"));
    }
    for (int i = 0; i < service->method_count(); ++i) {
      const google::protobuf::MethodDescriptor* const rpc = service->method(i);
      if (!rpc->options().HasExtension(google::api::http)) {
        continue;
      }
      const google::api::HttpRule& rule = rpc->options().GetExtension(google::api::http);
      std::vector<const google::api::HttpRule*> rules = {&rule};
      for (const google::api::HttpRule& more : rule.additional_bindings()) {
        rules.push_back(&more);
      }
      for (const google::api::HttpRule* const one : rules) {
        const auto [method, path] = MethodAndPath(*one);
        HONE_ASSIGN_OR_RETURN(PathTemplate parsed, PathTemplate::Parse(path));
        routes.routes_.push_back(
            {.method = method, .path = std::move(parsed), .body = one->body(), .rpc = rpc});
      }
    }
  }
  std::ranges::stable_sort(routes.routes_, [](const Route& a, const Route& b) {
    return a.path.literals() > b.path.literals();
  });
  return routes;
}

Routes::Found Routes::Find(absl::string_view method, absl::string_view path) const {
  Found found;
  for (const Route& route : routes_) {
    std::optional<std::vector<Binding>> bindings = route.path.Match(path);
    if (!bindings.has_value()) {
      continue;
    }
    if (!absl::c_linear_search(found.allowed, route.method)) {
      found.allowed.push_back(route.method);
    }
    if (found.route == nullptr && route.method == method) {
      found.route = &route;
      found.bindings = *std::move(bindings);
    }
  }
  return found;
}

}  // namespace hone::server::http
