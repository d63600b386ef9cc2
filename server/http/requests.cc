#include "server/http/requests.h"

#include <arpa/inet.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "hone/v1/dataset_service.pb.h"
#include "hone/v1/training_service.pb.h"
#include "server/http/assets.h"
#include "server/http/call.h"
#include "server/http/open_api.h"
#include "server/http/openai.h"
#include "server/http/transcode.h"

namespace hone::server::http {

const char kUploadRpc[] = "/hone.v1.DatasetService/UploadDataset";

namespace {

constexpr char kOpenApiPath[] = "/v1/openapi.json";
constexpr char kChatPath[] = "/v1/chat/completions";
constexpr char kEmbeddingsPath[] = "/v1/embeddings";

struct Target {
  absl::string_view path, query;
};

Target Split(absl::string_view target) {
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  return question == absl::string_view::npos
             ? Target{target, ""}
             : Target{target.substr(0, question), target.substr(question + 1)};
}

Failure NotAllowed(const std::string& method, std::vector<std::string> allowed) {
  allowed.emplace_back("OPTIONS");
  if (absl::c_linear_search(allowed, "GET")) {
    allowed.emplace_back("HEAD");
  }
  std::ranges::sort(allowed);
  Failure failure =
      FailureOf(405, absl::UnimplementedError(absl::StrCat("this path has no ", method, "; it has ",
                                                           absl::StrJoin(allowed, ", "))));
  failure.allow = absl::StrJoin(allowed, ", ");
  return failure;
}

Failure NotFound(absl::string_view path) {
  return FailureOf(
      404, absl::NotFoundError(absl::StrCat(path.substr(0, 200), ": there is no such path; ",
                                            kOpenApiPath, " says which ones there are")));
}

bool IsJson(absl::string_view content_type) {
  const absl::string_view type =
      absl::StripAsciiWhitespace(content_type.substr(0, content_type.find(';')));
  return absl::EqualsIgnoreCase(type, "application/json");
}

Failure NotJson(absl::string_view content_type) {
  return FailureOf(
      415, absl::InvalidArgumentError(absl::StrCat("Content-Type: must be application/json, got \"",
                                                   content_type.substr(0, 100), "\"")));
}

// `part` and not the whole: of a name like datasets/x:upload.
bool UploadName(absl::string_view path, std::string& id) {
  if (!absl::ConsumePrefix(&path, "/v1/datasets/") || !absl::ConsumeSuffix(&path, ":upload") ||
      absl::StrContains(path, '/')) {
    return false;
  }
  std::optional<std::string> decoded = PercentDecode(path);
  id = decoded.value_or("");
  return !id.empty();
}

std::unique_ptr<Answer> AnswerFor(const google::protobuf::MethodDescriptor& rpc,
                                  absl::string_view accept) {
  if (!rpc.server_streaming()) {
    return JsonAnswer(*rpc.output_type());
  }
  if (rpc.output_type() == v1::DownloadArtifactResponse::descriptor()) {
    return FileAnswer();
  }
  return absl::StrContains(accept, "text/event-stream") ? EventsAnswer(*rpc.output_type())
                                                        : LinesAnswer(*rpc.output_type());
}

// Where a client of events goes on.
void Resume(const std::string& last_event_id, google::protobuf::Message& request) {
  const google::protobuf::FieldDescriptor* const token =
      request.GetDescriptor()->FindFieldByName("resume_token");
  if (token != nullptr && !last_event_id.empty() &&
      request.GetReflection()->GetString(request, token).empty()) {
    request.GetReflection()->SetString(&request, token, last_event_id);
  }
}

Reply PageOf(const Asset& asset, const RequestHead& head) {
  Reply reply{
      .head = {.content_type = std::string(asset.content_type),
               .fields = {{"ETag", std::string(asset.etag)}, {"Cache-Control", "no-cache"}}},
      .is_page = true};
  if (!head.if_none_match.empty() && absl::StrContains(head.if_none_match, asset.etag)) {
    reply.code = 304;
  } else {
    reply.shared_body = asset.bytes;
  }
  return reply;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Requests>> Requests::Of(const std::vector<std::string>& services) {
  HONE_ASSIGN_OR_RETURN(Routes routes, Routes::Of(services));
  std::string open_api = OpenApi(routes);
  return std::unique_ptr<Requests>(new Requests(std::move(routes), std::move(open_api)));
}

Decision Requests::Decide(const RequestHead& head) const {
  if (head.target == "*" && head.method == "OPTIONS") {
    return Reply{.code = 204};
  }
  if (!absl::StartsWith(head.target, "/")) {
    return FailureOf(
        400, absl::InvalidArgumentError("the request's target: must be a path that begins with /"));
  }
  const Target target = Split(head.target);
  const std::string method = head.method == "HEAD" ? "GET" : head.method;
  const Routes::Found found = routes_.Find(method, target.path);
  if (!found.allowed.empty()) {
    if (head.method == "OPTIONS") {
      return Reply{.code = 204,
                   .head = {.fields = {{"Allow", NotAllowed("", found.allowed).allow}}}};
    }
    if (found.route == nullptr) {
      return NotAllowed(head.method, found.allowed);
    }
    // What goes on for ever has no length and no end.
    if (head.method == "HEAD" && found.route->rpc->server_streaming()) {
      return NotAllowed(head.method, {});
    }
    return DecideCall(head, found, target.query);
  }
  return DecideOther(head, target.path);
}

Decision Requests::DecideCall(const RequestHead& head, const Routes::Found& found,
                              absl::string_view query_text) const {
  absl::StatusOr<std::vector<Binding>> query = ParseQuery(query_text);
  if (!query.ok()) {
    return FailureOf(query.status());
  }
  const bool json = IsJson(head.content_type);
  return WantsBody{
      .then = [route = found.route, path = found.bindings, query = *std::move(query), json,
               content_type = head.content_type, accept = head.accept,
               last = head.last_event_id](absl::string_view body) -> std::variant<Ask, Failure> {
        if (!body.empty() && !json) {
          return NotJson(content_type);
        }
        const absl::StatusOr<std::unique_ptr<google::protobuf::Message>> request =
            MakeRequest(*route, path, query, body);
        if (!request.ok()) {
          return absl::IsOutOfRange(request.status()) ? FailureOf(413, request.status())
                                                      : FailureOf(request.status());
        }
        Resume(last, **request);
        return Ask{.rpc = route->RpcPath(),
                   .request = Serialize(**request),
                   .answer = AnswerFor(*route->rpc, accept)};
      }};
}

Decision Requests::DecideOther(const RequestHead& head, absl::string_view path) const {
  const auto only = [&head](const char* method) -> std::optional<Decision> {
    if (head.method == "OPTIONS") {
      return Reply{.code = 204, .head = {.fields = {{"Allow", NotAllowed("", {method}).allow}}}};
    }
    const bool fits =
        head.method == method || (head.method == "HEAD" && absl::string_view(method) == "GET");
    return fits ? std::nullopt : std::optional<Decision>(NotAllowed(head.method, {method}));
  };
  WantsUpload upload;
  if (UploadName(path, upload.dataset_id)) {
    if (std::optional<Decision> other = only("PUT"); other.has_value()) {
      return *std::move(other);
    }
    absl::StatusOr<std::vector<Binding>> query = ParseQuery(Split(head.target).query);
    if (!query.ok()) {
      return FailureOf(query.status());
    }
    upload.query = *std::move(query);
    return upload;
  }
  if (path == kOpenApiPath) {
    return only("GET").value_or(Reply{.shared_body = open_api_});
  }
  if (path == kChatPath || path == kEmbeddingsPath) {
    if (std::optional<Decision> other = only("POST"); other.has_value()) {
      return *std::move(other);
    }
    return WantsBody{.then = [chat = path == kChatPath, json = IsJson(head.content_type),
                              content_type = head.content_type](
                                 absl::string_view body) -> std::variant<Ask, Failure> {
                       if (!json) {
                         return NotJson(content_type);
                       }
                       absl::StatusOr<Ask> ask =
                           chat ? openai::Chat(body) : openai::Embeddings(body);
                       if (!ask.ok()) {
                         return FailureOf(ask.status());
                       }
                       return *std::move(ask);
                     },
                     .error_body = openai::ErrorBody};
  }
  const std::optional<std::string> decoded = PercentDecode(path);
  const Asset* const asset = decoded.has_value() ? FindAsset(*decoded) : nullptr;
  if (asset == nullptr) {
    return NotFound(path);
  }
  return only("GET").value_or(PageOf(*asset, head));
}

bool IsFromElsewhere(absl::string_view origin, absl::string_view host) {
  if (origin.empty()) {
    return false;
  }
  const size_t scheme = origin.find("://");
  return scheme == absl::string_view::npos ||
         !absl::EqualsIgnoreCase(origin.substr(scheme + 3), host);
}

bool IsOwnHost(absl::string_view host) {
  if (absl::ConsumePrefix(&host, "[")) {
    in6_addr address{};
    const std::string text(host.substr(0, host.find(']')));
    return ::inet_pton(AF_INET6, text.c_str(), &address) == 1;
  }
  const std::string name(host.substr(0, host.rfind(':')));
  in_addr address{};
  return absl::EqualsIgnoreCase(name, "localhost") ||
         absl::EndsWithIgnoreCase(name, ".localhost") ||
         ::inet_pton(AF_INET, name.c_str(), &address) == 1;
}

absl::StatusOr<grpc::ByteBuffer> UploadBegin(const WantsUpload& upload, int64_t bytes) {
  v1::UploadDatasetRequest request;
  v1::UploadHeader& header = *request.mutable_header();
  for (const auto& [name, value] : upload.query) {
    if (name != "format" && name != "sha256" && name != "offset") {
      return absl::InvalidArgumentError(
          absl::StrCat(name.substr(0, 100),
                       ": there is no such parameter of an upload; there are format, sha256, "
                       "offset"));
    }
    HONE_RETURN_IF_ERROR(SetField(header, name, value));
  }
  if (header.sha256().empty()) {
    return absl::InvalidArgumentError(
        "sha256: must be in the query: the SHA-256 of the whole data set in 64 lower-case "
        "hexadecimal digits");
  }
  if (header.offset() < 0 || header.offset() > std::numeric_limits<int64_t>::max() - bytes) {
    return absl::InvalidArgumentError("offset: must be the bytes that the server has already");
  }
  header.set_dataset_id(upload.dataset_id);
  header.set_bytes(header.offset() + bytes);
  return Serialize(request);
}

std::unique_ptr<Answer> UploadAnswer() { return JsonAnswer(*v1::Dataset::descriptor()); }

grpc::ByteBuffer UploadChunk(std::string bytes) {
  v1::UploadDatasetRequest request;
  request.set_chunk(std::move(bytes));
  return Serialize(request);
}

}  // namespace hone::server::http
