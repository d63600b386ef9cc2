#include "server/http/openai.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "hone/v1/model_service.pb.h"
#include "nlohmann/json.hpp"
#include "server/http/call.h"
#include "server/jobs/job.h"

namespace hone::server::http::openai {
namespace {

using nlohmann::json;

constexpr char kGenerate[] = "/hone.v1.ModelService/Generate";
constexpr char kPredict[] = "/hone.v1.ModelService/Predict";
constexpr char kListModels[] = "/hone.v1.ModelService/ListModels";
// OpenAI's has no limit of its own.
constexpr int64_t kDefaultTokens = 1024;

std::string Dump(const json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

absl::Status Wrong(absl::string_view parameter, absl::string_view right) {
  return absl::InvalidArgumentError(absl::StrCat(parameter, ": must be ", right));
}

// The parameters of a request. What is asked for is taken out; what is left at the end nobody
// knows.
class Parameters {
 public:
  static absl::StatusOr<Parameters> Read(absl::string_view body) {
    json parsed = json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_object()) {
      return absl::InvalidArgumentError("the body: must be a JSON object");
    }
    return Parameters(std::move(parsed));
  }

  // null: it is not there, or is null.
  json Take(const std::string& name) {
    known_.insert(name);
    const auto found = all_.find(name);
    return found == all_.end() ? json() : *found;
  }

  absl::StatusOr<std::string> TakeText(const std::string& name) {
    const json value = Take(name);
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
      return Wrong(name, "a text that is not empty");
    }
    return value.get<std::string>();
  }

  // Says nothing where it is not there.
  template <typename Set>
  absl::Status TakeNumber(const std::string& name, const Set& set) {
    const json value = Take(name);
    if (value.is_null()) {
      return absl::OkStatus();
    }
    if (!value.is_number()) {
      return Wrong(name, "a number");
    }
    set(value.get<double>());
    return absl::OkStatus();
  }

  absl::StatusOr<bool> TakeFlag(const std::string& name) {
    const json value = Take(name);
    if (!value.is_null() && !value.is_boolean()) {
      return Wrong(name, "true or false");
    }
    return value.is_boolean() && value.get<bool>();
  }

  // What this server does not do, where a client says that it is not wanted.
  absl::Status RefuseUnless(const std::string& name, std::initializer_list<json> fine,
                            absl::string_view why) {
    const json value = Take(name);
    return value.is_null() || std::ranges::find(fine, value) != fine.end()
               ? absl::OkStatus()
               : absl::InvalidArgumentError(absl::StrCat(name, ": ", why));
  }

  // Who is asked about a request that this server takes for nothing.
  void Ignore(std::initializer_list<const char*> names) {
    known_.insert(names.begin(), names.end());
  }

  absl::Status CheckAllKnown() const {
    for (const auto& [name, value] : all_.items()) {
      if (!known_.contains(name)) {
        return absl::InvalidArgumentError(
            absl::StrCat(CutUtf8(name, 100), ": this server knows no such parameter"));
      }
    }
    return absl::OkStatus();
  }

 private:
  explicit Parameters(json all) : all_(std::move(all)) {}

  json all_;
  std::set<std::string> known_;
};

// The call of `rpc` for `model`, with its name put into the request; first another one that finds
// the newest model of a display name.
template <typename Request>
absl::StatusOr<Ask> AskModel(const char* rpc, const std::string& model, Request request,
                             std::function<std::unique_ptr<Answer>()> answer) {
  if (absl::StartsWith(model, "models/")) {
    request.set_name(model);
    return Ask{.rpc = rpc, .request = Serialize(request), .answer = answer()};
  }
  v1::ListModelsRequest list;
  list.set_display_name(model);
  list.set_page_size(1);
  return Ask{.rpc = kListModels,
             .request = Serialize(list),
             .answer = nullptr,
             .next = [rpc, model, request = std::move(request), answer = std::move(answer)](
                         const grpc::ByteBuffer& message) mutable -> absl::StatusOr<Ask> {
               v1::ListModelsResponse models;
               if (!Parse(message, models) || models.models().empty()) {
                 return absl::NotFoundError(
                     absl::StrCat("model: there is none with the display name \"",
                                  CutUtf8(model, 128), "\"; must be that of one, or models/<id>"));
               }
               request.set_name(models.models(0).name());
               return Ask{.rpc = rpc, .request = Serialize(request), .answer = answer()};
             }};
}

const char* FinishReason(v1::Writing::End end) {
  return end == v1::Writing::COUNT ? "length" : "stop";
}

// What is the same in all parts of a chat's answer.
struct Completion {
  std::string id = absl::StrCat("chatcmpl-", jobs::NewId());
  int64_t created = absl::ToUnixSeconds(absl::Now());
  std::string model;

  json Part(const char* object, json choices) const {
    return {{"id", id},
            {"object", object},
            {"created", created},
            {"model", model},
            {"choices", std::move(choices)}};
  }
  // The tokens of the prompt are not told by a model's process.
  static json Usage(int64_t tokens) {
    return {{"prompt_tokens", 0}, {"completion_tokens", tokens}, {"total_tokens", tokens}};
  }
};

class ChatAnswer : public Answer {
 public:
  explicit ChatAnswer(Completion completion) : completion_(std::move(completion)) {}
  std::string ErrorBody(const Failure& failure) const override {
    return openai::ErrorBody(failure);
  }

 protected:
  absl::Status Take(const grpc::ByteBuffer& message) {
    if (!Parse(message, response_)) {
      return absl::InternalError("the server's answer cannot be read");
    }
    if (response_.end() != v1::Writing::END_UNSPECIFIED) {
      end_ = response_.end();
    }
    tokens_ = std::max(tokens_, response_.tokens());
    return absl::OkStatus();
  }

  const Completion completion_;
  v1::GenerateResponse response_;  // the newest
  v1::Writing::End end_ = v1::Writing::END_UNSPECIFIED;
  int64_t tokens_ = 0;
};

class WholeChat final : public ChatAnswer {
 public:
  using ChatAnswer::ChatAnswer;
  bool streamed() const override { return false; }
  Head head() const override { return {}; }
  absl::StatusOr<std::string> Add(const grpc::ByteBuffer& message) override {
    HONE_RETURN_IF_ERROR(Take(message));
    text_ += response_.text();
    return "";
  }
  absl::StatusOr<std::string> End() override {
    const json choice = {
        {"index", 0},
        {"message", {{"role", "assistant"}, {"content", text_}, {"refusal", nullptr}}},
        {"logprobs", nullptr},
        {"finish_reason", FinishReason(end_)}};
    json whole = completion_.Part("chat.completion", json::array({choice}));
    whole["usage"] = Completion::Usage(tokens_);
    return Dump(whole);
  }

 private:
  std::string text_;
};

class StreamedChat final : public ChatAnswer {
 public:
  StreamedChat(Completion completion, bool usage)
      : ChatAnswer(std::move(completion)), usage_(usage) {}
  bool streamed() const override { return true; }
  Head head() const override { return {.content_type = "text/event-stream"}; }
  absl::StatusOr<std::string> Add(const grpc::ByteBuffer& message) override {
    HONE_RETURN_IF_ERROR(Take(message));
    std::string events = Greeting();
    if (!response_.text().empty()) {
      absl::StrAppend(&events, Chunk({{"content", response_.text()}}, nullptr));
    }
    return events;
  }
  absl::StatusOr<std::string> End() override {
    std::string events = absl::StrCat(Greeting(), Chunk(json::object(), FinishReason(end_)));
    if (usage_) {
      json last = completion_.Part("chat.completion.chunk", json::array());
      last["usage"] = Completion::Usage(tokens_);
      absl::StrAppend(&events, Event(last));
    }
    absl::StrAppend(&events, "data: [DONE]\n\n");
    return events;
  }
  std::optional<std::string> Fail(const Failure& failure) override {
    return absl::StrCat("data: ", ErrorBody(failure), "\n\n");
  }

 private:
  static std::string Event(const json& data) { return absl::StrCat("data: ", Dump(data), "\n\n"); }

  std::string Greeting() {
    return std::exchange(greeted_, true) ? ""
                                         : Chunk({{"role", "assistant"}, {"content", ""}}, nullptr);
  }

  std::string Chunk(json delta, json finish_reason) const {
    const json choice = {{"index", 0},
                         {"delta", std::move(delta)},
                         {"logprobs", nullptr},
                         {"finish_reason", std::move(finish_reason)}};
    return Event(completion_.Part("chat.completion.chunk", json::array({choice})));
  }

  const bool usage_;
  bool greeted_ = false;
};

// A message's content: a text, or a list of parts that are texts.
absl::StatusOr<std::string> ContentOf(const json& content, const std::string& where) {
  if (content.is_string()) {
    return content.get<std::string>();
  }
  const absl::Status wrong = Wrong(
      where, "a text, or a list of {\"type\": \"text\", \"text\": …}; this server reads no others");
  if (!content.is_array()) {
    return wrong;
  }
  std::string text;
  for (const json& part : content) {
    if (!part.is_object() || part.value("type", json()) != "text" ||
        !part.value("text", json()).is_string()) {
      return wrong;
    }
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

absl::Status TakeMessages(Parameters& parameters, v1::Writing& writing) {
  const json messages = parameters.Take("messages");
  if (!messages.is_array() || messages.empty()) {
    return Wrong("messages", "a list of messages, one at least");
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    const json& message = messages[i];
    const std::string where = absl::StrCat("messages[", i, "]");
    if (!message.is_object()) {
      return Wrong(where, "an object with role and content");
    }
    const json role = message.value("role", json());
    if (role != "system" && role != "developer" && role != "user" && role != "assistant") {
      return Wrong(absl::StrCat(where, ".role"),
                   "system, developer, user or assistant; this server calls no tools");
    }
    v1::Writing::Message& added = *writing.add_messages();
    added.set_role(role == "developer" ? "system" : role.get<std::string>());
    HONE_ASSIGN_OR_RETURN(*added.mutable_content(), ContentOf(message.value("content", json()),
                                                              absl::StrCat(where, ".content")));
  }
  return absl::OkStatus();
}

absl::Status TakeStop(Parameters& parameters, v1::Writing& writing) {
  const json stop = parameters.Take("stop");
  const json list = stop.is_string() ? json::array({stop}) : stop;
  if (list.is_null()) {
    return absl::OkStatus();
  }
  if (!list.is_array()) {
    return Wrong("stop", "a text or a list of texts");
  }
  for (const json& one : list) {
    if (!one.is_string()) {
      return Wrong("stop", "a text or a list of texts");
    }
    writing.add_stop(one.get<std::string>());
  }
  return absl::OkStatus();
}

// `max_completion_tokens`, or `max_tokens` as it was called before.
absl::Status TakeCount(Parameters& parameters, v1::Writing& writing) {
  int64_t count = kDefaultTokens;
  for (const char* const name : {"max_tokens", "max_completion_tokens"}) {
    const json value = parameters.Take(name);
    if (value.is_null()) {
      continue;
    }
    if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > 1'048'576) {
      return Wrong(name, "a whole number from 1 to 1048576");
    }
    count = value.get<int64_t>();
  }
  writing.set_count(count);
  return absl::OkStatus();
}

absl::Status RefuseWhatThereIsNot(Parameters& parameters) {
  constexpr char kNoTools[] = "this server calls no tools; leave them out";
  HONE_RETURN_IF_ERROR(parameters.RefuseUnless("tools", {json::array()}, kNoTools));
  HONE_RETURN_IF_ERROR(parameters.RefuseUnless("tool_choice", {"none", "auto"}, kNoTools));
  HONE_RETURN_IF_ERROR(parameters.RefuseUnless("functions", {json::array()}, kNoTools));
  HONE_RETURN_IF_ERROR(parameters.RefuseUnless("function_call", {"none", "auto"}, kNoTools));
  HONE_RETURN_IF_ERROR(
      parameters.RefuseUnless("n", {1}, "must be 1: this server writes one answer at a time"));
  for (const char* const penalty : {"frequency_penalty", "presence_penalty"}) {
    HONE_RETURN_IF_ERROR(parameters.RefuseUnless(penalty, {0, 0.0}, "must be 0"));
  }
  HONE_RETURN_IF_ERROR(parameters.RefuseUnless("logit_bias", {json::object()}, "must be empty"));
  HONE_RETURN_IF_ERROR(parameters.RefuseUnless("logprobs", {false}, "must be false"));
  HONE_RETURN_IF_ERROR(parameters.RefuseUnless("top_logprobs", {0}, "must be 0"));
  HONE_RETURN_IF_ERROR(parameters.RefuseUnless("response_format", {json{{"type", "text"}}},
                                               "must be {\"type\": \"text\"}"));
  HONE_RETURN_IF_ERROR(
      parameters.RefuseUnless("modalities", {json::array({"text"})}, "must be [\"text\"]"));
  parameters.Ignore({"user", "store", "metadata", "service_tier", "parallel_tool_calls",
                     "safety_identifier", "prompt_cache_key", "stream_options"});
  return parameters.CheckAllKnown();
}

// Of the OpenAI error's kinds, by the HTTP code.
const char* TypeOf(int http_code) {
  switch (http_code) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return http_code < 500 ? "invalid_request_error" : "server_error";
  }
}

// What stands before the colon of "top_p: must be …", if it is a parameter.
json ParameterOf(absl::string_view message) {
  const absl::string_view name = message.substr(0, message.find(':'));
  const bool is_name = name.size() < message.size() && !name.empty() && name.size() <= 64 &&
                       std::ranges::all_of(name, [](char c) {
                         return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' ||
                                c == '.' || c == '[' || c == ']';
                       });
  return is_name ? json(std::string(name)) : json();
}

class EmbeddingsAnswer final : public Answer {
 public:
  EmbeddingsAnswer(std::string model, bool base64) : model_(std::move(model)), base64_(base64) {}
  bool streamed() const override { return false; }
  Head head() const override { return {}; }
  std::string ErrorBody(const Failure& failure) const override {
    return openai::ErrorBody(failure);
  }
  absl::StatusOr<std::string> Add(const grpc::ByteBuffer& message) override {
    v1::PredictResponse response;
    if (!Parse(message, response)) {
      return absl::InternalError("the server's answer cannot be read");
    }
    json data = json::array();
    for (int i = 0; i < response.predictions_size(); ++i) {
      if (!response.predictions(i).has_embedded()) {
        return absl::InvalidArgumentError("model: must be one that makes vectors of texts");
      }
      data.push_back({{"object", "embedding"},
                      {"index", i},
                      {"embedding", Vector(response.predictions(i).embedded())}});
    }
    return Dump({{"object", "list"},
                 {"data", std::move(data)},
                 {"model", model_},
                 {"usage", {{"prompt_tokens", 0}, {"total_tokens", 0}}}});
  }

 private:
  json Vector(const v1::Prediction::Embedded& embedded) const {
    if (!base64_) {
      return std::vector<float>(embedded.values().begin(), embedded.values().end());
    }
    static_assert(std::endian::native == std::endian::little);
    std::string bytes(embedded.values().size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), embedded.values().data(), bytes.size());
    return absl::Base64Escape(bytes);
  }

  const std::string model_;
  const bool base64_;
};

}  // namespace

absl::StatusOr<Ask> Chat(absl::string_view body) {
  HONE_ASSIGN_OR_RETURN(Parameters parameters, Parameters::Read(body));
  HONE_ASSIGN_OR_RETURN(const std::string model, parameters.TakeText("model"));
  v1::GenerateRequest request;
  v1::Writing& writing = *request.mutable_text();
  HONE_RETURN_IF_ERROR(TakeMessages(parameters, writing));
  HONE_RETURN_IF_ERROR(TakeStop(parameters, writing));
  HONE_RETURN_IF_ERROR(TakeCount(parameters, writing));
  HONE_RETURN_IF_ERROR(parameters.TakeNumber(
      "temperature", [&writing](double value) { writing.set_temperature(value); }));
  HONE_RETURN_IF_ERROR(
      parameters.TakeNumber("top_p", [&writing](double value) { writing.set_top_p(value); }));
  if (const json seed = parameters.Take("seed"); !seed.is_null()) {
    if (!seed.is_number_integer()) {
      return Wrong("seed", "a whole number");
    }
    writing.set_seed(static_cast<uint64_t>(seed.get<int64_t>()));
  }
  HONE_ASSIGN_OR_RETURN(const bool stream, parameters.TakeFlag("stream"));
  const json options = parameters.Take("stream_options");
  const bool usage = options.is_object() && options.value("include_usage", json()) == true;
  HONE_RETURN_IF_ERROR(RefuseWhatThereIsNot(parameters));
  return AskModel(kGenerate, model, std::move(request),
                  [model, stream, usage]() -> std::unique_ptr<Answer> {
                    Completion completion{.model = model};
                    if (stream) {
                      return std::make_unique<StreamedChat>(std::move(completion), usage);
                    }
                    return std::make_unique<WholeChat>(std::move(completion));
                  });
}

absl::StatusOr<Ask> Embeddings(absl::string_view body) {
  HONE_ASSIGN_OR_RETURN(Parameters parameters, Parameters::Read(body));
  HONE_ASSIGN_OR_RETURN(const std::string model, parameters.TakeText("model"));
  const json input = parameters.Take("input");
  v1::PredictRequest request;
  const json list = input.is_string() ? json::array({input}) : input;
  if (!list.is_array() || list.empty()) {
    return Wrong("input", "a text, or a list of 1 to 256 texts");
  }
  for (const json& one : list) {
    if (!one.is_string()) {
      return Wrong("input", "a text, or a list of texts; tokens are not read");
    }
    request.add_inputs()->set_text(one.get<std::string>());
  }
  const json format = parameters.Take("encoding_format");
  if (!format.is_null() && format != "float" && format != "base64") {
    return Wrong("encoding_format", "float or base64");
  }
  HONE_RETURN_IF_ERROR(parameters.RefuseUnless(
      "dimensions", {}, "must not be given: a vector is as long as the model makes it"));
  parameters.Ignore({"user"});
  HONE_RETURN_IF_ERROR(parameters.CheckAllKnown());
  return AskModel(kPredict, model, std::move(request),
                  [model, base64 = format == "base64"]() -> std::unique_ptr<Answer> {
                    return std::make_unique<EmbeddingsAnswer>(model, base64);
                  });
}

std::string ErrorBody(const Failure& failure) {
  return Dump({{"error",
                {{"message", failure.status.message()},
                 {"type", TypeOf(failure.http_code)},
                 {"param", ParameterOf(failure.status.message())},
                 {"code", absl::AsciiStrToLower(absl::StatusCodeToString(
                              static_cast<absl::StatusCode>(failure.status.code())))}}}});
}

}  // namespace hone::server::http::openai
