#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/http/answers.h"
#include "server/http/errors.h"
#include "server/http/routes.h"

namespace hone::server::http {

// What a request's head says, as far as it matters here.
struct RequestHead {
  std::string method;
  std::string target;             // path and query
  std::string content_type = "";  // "": none
  std::string accept = "";
  std::string last_event_id = "";
  std::string if_none_match = "";
};

// An answer that needs no call.
struct Reply {
  int code = 200;
  Head head = {};
  std::string body = "";               // or
  absl::string_view shared_body = {};  // one that is always there
  bool is_page = false;                // what a browser may run
};

// The request wants a body that is JSON, or none; `then` is called with it ("" for none).
struct WantsBody {
  std::function<std::variant<Ask, Failure>(absl::string_view body)> then;
  std::function<std::string(const Failure& failure)> error_body = nullptr;  // else ErrorJson
};

// The request's body are the bytes of a data set.
struct WantsUpload {
  std::string dataset_id;
  std::vector<Binding> query;
};

// What is to be done for a request, by its head alone.
using Decision = std::variant<Reply, Failure, WantsBody, WantsUpload>;

// What a server answers to, and what it answers without a call. Any thread.
class Requests {
 public:
  // `services` are full names. Errors of Routes::Of.
  static absl::StatusOr<std::unique_ptr<Requests>> Of(const std::vector<std::string>& services);

  Decision Decide(const RequestHead& head) const;

 private:
  Requests(Routes routes, std::string open_api)
      : routes_(std::move(routes)), open_api_(std::move(open_api)) {}

  Decision DecideCall(const RequestHead& head, const Routes::Found& found,
                      absl::string_view query) const;
  Decision DecideOther(const RequestHead& head, absl::string_view path) const;

  const Routes routes_;
  const std::string open_api_;
};

// Whether a request may be from a page that this server has not sent: its Origin is another host
// than that which it asks. `origin` and `host` are the headers, "" where there is none.
bool IsFromElsewhere(absl::string_view origin, absl::string_view host);

// Whether `host`, a Host header, is a name that only this machine has: localhost, or an address. A
// page of another machine reaches a server on loopback by a name that its owner has led there.
bool IsOwnHost(absl::string_view host);

// The first message of an upload, by the query's `format`, `sha256` and `offset`, with `bytes` of
// the body. INVALID_ARGUMENT names the parameter.
absl::StatusOr<grpc::ByteBuffer> UploadBegin(const WantsUpload& upload, int64_t bytes);
// One of the others.
grpc::ByteBuffer UploadChunk(std::string bytes);
// The path of the call, and its answer.
extern const char kUploadRpc[];
std::unique_ptr<Answer> UploadAnswer();

}  // namespace hone::server::http
