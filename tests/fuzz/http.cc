// A request's line, headers and body as HTTP's side takes them apart: routes, queries, JSON,
// OpenAI's two paths. What the parser of HTTP itself reads is Beast's.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "hone/v1/access.pb.h"
#include "hone/v1/admin.pb.h"
#include "hone/v1/dataset_service.pb.h"
#include "hone/v1/model_service.pb.h"
#include "hone/v1/project.pb.h"
#include "hone/v1/sweep.pb.h"
#include "hone/v1/training_service.pb.h"
#include "hone/v1/webhook.pb.h"
#include "server/http/requests.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace hone::server::http;  // NOLINT

namespace v1 = hone::v1;

// The service that takes such requests: asking for its description links it.
template <typename Request>
std::string ServiceOf() {
  return Request::descriptor()->file()->service(0)->full_name();
}

// The bytes to the next `end`, which is taken away with them.
absl::string_view Next(absl::string_view& text, char end) {
  const size_t at = std::min(text.find(end), text.size());
  const absl::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

}  // namespace

// METHOD TARGET\nContent-Type\nAccept\nBODY
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::unique_ptr<Requests> requests =
      *Requests::Of({ServiceOf<v1::CreateJobRequest>(), ServiceOf<v1::ListModelsRequest>(),
                     ServiceOf<v1::BeginUploadRequest>(), ServiceOf<v1::CreateSweepRequest>(),
                     ServiceOf<v1::CreateTokenRequest>(), ServiceOf<v1::GetProjectRequest>(),
                     ServiceOf<v1::CreateBackupRequest>(), ServiceOf<v1::CreateWebhookRequest>()});
  absl::string_view rest = hone::fuzz::Text(data, size);
  RequestHead head{.method = std::string(Next(rest, ' ')), .target = std::string(Next(rest, '\n'))};
  head.content_type = std::string(Next(rest, '\n'));
  head.accept = std::string(Next(rest, '\n'));
  head.last_event_id = head.accept;
  IsFromElsewhere(head.accept, head.content_type);
  IsOwnHost(head.content_type);
  const Decision decision = requests->Decide(head);
  if (const auto* const wants = std::get_if<WantsBody>(&decision); wants != nullptr) {
    const std::variant<Ask, Failure> asked = wants->then(rest);
    if (const auto* const failure = std::get_if<Failure>(&asked); failure != nullptr) {
      ErrorJson(*failure);
    }
  } else if (const auto* const upload = std::get_if<WantsUpload>(&decision); upload != nullptr) {
    UploadBegin(*upload, static_cast<int64_t>(size)).status().IgnoreError();
  }
  return 0;
}
