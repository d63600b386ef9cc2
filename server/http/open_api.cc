#include "server/http/open_api.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"

namespace hone::server::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::ordered_json;

// The paths that are no RPC's.
constexpr char kMore[] = R"json({
  "/v1/datasets/{dataset}:upload": {
    "put": {
      "operationId": "DatasetService_Upload",
      "tags": ["DatasetService"],
      "description": "Takes the bytes of a data set. `sha256` is that of all of it. Where an upload was cut, POST /v1/datasets:beginUpload says the offset, and the body is what follows.",
      "parameters": [
        {"name": "dataset", "in": "path", "required": true, "schema": {"type": "string"}},
        {"name": "format", "in": "query", "schema": {"$ref": "#/components/schemas/Dataset.Format"}},
        {"name": "sha256", "in": "query", "required": true, "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
        {"name": "offset", "in": "query", "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"}}
      ],
      "requestBody": {"required": true, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
      "responses": {"200": {"description": "The data set.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Dataset"}}}}}
    }
  },
  "/v1/chat/completions": {
    "post": {
      "operationId": "OpenAI_Chat",
      "tags": ["OpenAI"],
      "description": "As OpenAI's chat completions: `model` is models/<id> or a display name. With `stream` the answer is server-sent events.",
      "requestBody": {"required": true, "content": {"application/json": {"schema": {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
          "model": {"type": "string", "minLength": 1},
          "messages": {"type": "array", "minItems": 1, "items": {
            "type": "object",
            "required": ["role", "content"],
            "properties": {
              "role": {"type": "string", "enum": ["system", "developer", "user", "assistant"]},
              "content": {"type": "string"}
            }}},
          "stream": {"type": "boolean"},
          "max_tokens": {"type": "integer", "minimum": 1, "maximum": 1048576},
          "max_completion_tokens": {"type": "integer", "minimum": 1, "maximum": 1048576},
          "temperature": {"type": "number", "minimum": 0, "maximum": 100},
          "top_p": {"type": "number", "minimum": 0.001, "maximum": 1},
          "stop": {"type": "array", "maxItems": 16, "items": {"type": "string", "minLength": 1}},
          "seed": {"type": "integer"},
          "n": {"type": "integer", "enum": [1]}
        }}}}},
      "responses": {"200": {"description": "The completion.", "content": {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {"schema": {"type": "string"}}}}}
    }
  },
  "/v1/embeddings": {
    "post": {
      "operationId": "OpenAI_Embeddings",
      "tags": ["OpenAI"],
      "description": "As OpenAI's embeddings: `model` is models/<id> or a display name.",
      "requestBody": {"required": true, "content": {"application/json": {"schema": {
        "type": "object",
        "required": ["model", "input"],
        "properties": {
          "model": {"type": "string", "minLength": 1},
          "input": {"type": "array", "minItems": 1, "maxItems": 256, "items": {"type": "string"}},
          "encoding_format": {"type": "string", "enum": ["float", "base64"]}
        }}}}},
      "responses": {"200": {"description": "The vectors.", "content": {"application/json": {"schema": {"type": "object"}}}}}
    }
  },
  "/v1/openapi.json": {
    "get": {
      "operationId": "OpenApi",
      "tags": ["OpenAPI"],
      "description": "This file.",
      "responses": {"200": {"description": "OpenAPI 3.0.3.", "content": {"application/json": {"schema": {"type": "object"}}}}}
    }
  }
})json";

constexpr char kError[] = R"json({
  "type": "object",
  "required": ["error"],
  "properties": {
    "error": {
      "type": "object",
      "required": ["message"],
      "properties": {
        "code": {"description": "HTTP's; of OpenAI's two paths a word", "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "status": {"type": "string", "description": "google.rpc.Code"},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}, "description": "ErrorInfo, BadRequest and RetryInfo of google.rpc"},
        "type": {"type": "string"},
        "param": {"type": "string", "nullable": true}
      }
    }
  }
})json";

// What may be answered beside 200, and why.
constexpr std::pair<const char*, const char*> kErrors[] = {
    {"400",
     "What is asked is wrong, or does not fit the present state: `details` say which field."},
    {"401", "It is not known who calls, or the token does not count."},
    {"403", "The caller has not the role that the call needs, or is a page of another server."},
    {"404", "There is no such thing."},
    {"405", "The path has no such method: `Allow` has those that there are."},
    {"408", "The request did not come in time."},
    {"409", "Something of that name is there already, or a newer call has taken over."},
    {"411", "The length of an upload is not said."},
    {"413", "The request is too large."},
    {"415", "The body is not application/json."},
    {"421",
     "The server takes everybody on its machine, and was asked by a name that is not the "
     "machine's."},
    {"429", "A queue, a quota or the disk is full: `Retry-After` says when it may work."},
    {"431", "The head of the request is too large."},
    {"500", "The server's own fault."},
    {"501", "The server does not do this."},
    {"503", "The server is not able to just now: `Retry-After` says when it may be."},
    {"504", "The server did not answer in time."},
};

std::string NameOf(absl::string_view full_name) {
  return std::string(absl::StripPrefix(full_name, "hone.v1."));
}

Json Reference(absl::string_view full_name) {
  return {{"$ref", absl::StrCat("#/components/schemas/", NameOf(full_name))}};
}

// Makes the schemas of messages, and of all that they have in them.
class Schemas {
 public:
  Json Of(const Descriptor& type) {
    if (type.full_name() == "google.protobuf.Timestamp") {
      return {{"type", "string"}, {"format", "date-time"}};
    }
    if (type.full_name() == "google.protobuf.Duration") {
      return {{"type", "string"}, {"pattern", "^-?[0-9]+(\\.[0-9]{1,9})?s$"}};
    }
    if (type.full_name() == "google.protobuf.FieldMask") {
      return {{"type", "string"}, {"description", "names of fields, with commas between them"}};
    }
    const std::string name = NameOf(type.full_name());
    if (begun_.insert(name).second) {
      all_[name] = Object(type, {});
    }
    return Reference(type.full_name());
  }

  // With the fields of `type` but those of `without`.
  Json Object(const Descriptor& type, const std::set<std::string>& without) {
    Json properties = Json::object();
    for (int i = 0; i < type.field_count(); ++i) {
      if (!without.contains(type.field(i)->name())) {
        properties[type.field(i)->json_name()] = Of(*type.field(i));
      }
    }
    return {
        {"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
  }

  Json Of(const FieldDescriptor& field) {
    if (field.is_map()) {
      return {{"type", "object"},
              {"additionalProperties", One(*field.message_type()->map_value())}};
    }
    return field.is_repeated() ? Json{{"type", "array"}, {"items", One(field)}} : One(field);
  }

  Json One(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return {{"type", "integer"}, {"format", "int32"}};
      case FieldDescriptor::CPPTYPE_UINT32:
        return {{"type", "integer"}, {"minimum", 0}, {"maximum", 4294967295}};
      case FieldDescriptor::CPPTYPE_INT64:
        return {{"type", "string"}, {"format", "int64"}, {"pattern", "^-?[0-9]{1,18}$"}};
      case FieldDescriptor::CPPTYPE_UINT64:
        return {{"type", "string"}, {"format", "uint64"}, {"pattern", "^[0-9]{1,20}$"}};
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT:
        return {{"anyOf",
                 Json::array({Json{{"type", "number"}},
                              Json{{"type", "string"},
                                   {"enum", Json::array({"NaN", "Infinity", "-Infinity"})}}})}};
      case FieldDescriptor::CPPTYPE_BOOL:
        return {{"type", "boolean"}};
      case FieldDescriptor::CPPTYPE_ENUM:
        return Enum(*field.enum_type());
      case FieldDescriptor::CPPTYPE_STRING:
        return field.type() == FieldDescriptor::TYPE_BYTES
                   ? Json{{"type", "string"}, {"format", "byte"}}
                   : Json{{"type", "string"}};
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Of(*field.message_type());
    }
    return Json::object();
  }

  Json Take() { return std::move(all_); }

 private:
  Json Enum(const google::protobuf::EnumDescriptor& type) {
    const std::string name = NameOf(type.full_name());
    if (begun_.insert(name).second) {
      Json values = Json::array();
      for (int i = 0; i < type.value_count(); ++i) {
        values.push_back(type.value(i)->name());
      }
      all_[name] = {{"type", "string"}, {"enum", std::move(values)}};
    }
    return Reference(type.full_name());
  }

  std::set<std::string> begun_;
  Json all_ = Json::object();
};

// Fields of the request that a query sets: those of messages by their paths, two deep.
void AddQuery(const Descriptor& type, const std::string& prefix,
              const std::set<std::string>& without, Schemas& schemas, Json& parameters) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (without.contains(field.name())) {
      continue;
    }
    Json parameter = {{"name", absl::StrCat(prefix, field.json_name())}, {"in", "query"}};
    if (field.is_map()) {
      parameter["style"] = "deepObject";
      parameter["explode"] = true;
      parameter["description"] = absl::StrCat(field.json_name(), "[KEY]=VALUE");
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
               !absl::StartsWith(field.message_type()->full_name(), "google.protobuf.")) {
      if (prefix.empty()) {
        AddQuery(*field.message_type(), absl::StrCat(field.json_name(), "."), {}, schemas,
                 parameters);
      }
      continue;
    }
    parameter["schema"] = schemas.Of(field);
    parameters.push_back(std::move(parameter));
  }
}

Json Answers(const google::protobuf::MethodDescriptor& rpc, Schemas& schemas) {
  Json content;
  if (!rpc.server_streaming()) {
    content["application/json"]["schema"] = schemas.Of(*rpc.output_type());
  } else if (rpc.output_type()->name() == "DownloadArtifactResponse") {
    content["*/*"]["schema"] = {{"type", "string"}, {"format", "binary"}};
  } else {
    content["application/x-ndjson"]["schema"] = schemas.Of(*rpc.output_type());
    content["text/event-stream"]["schema"] = {{"type", "string"}};
  }
  return {{"200", {{"description", "The answer."}, {"content", std::move(content)}}}};
}

void AddErrors(Json& responses) {
  for (const auto& [code, why] : kErrors) {
    responses[code] = {{"$ref", absl::StrCat("#/components/responses/", code)}};
    static_cast<void>(why);
  }
}

Json Operation(const Route& route, const std::vector<std::string>& names, Schemas& schemas) {
  const Descriptor& request = *route.rpc->input_type();
  std::set<std::string> bound;        // fields of the request that the path says
  std::set<std::string> bound_below;  // the same, of the field that is the body
  for (const std::string& field : route.path.fields()) {
    const size_t dot = field.find('.');
    if (dot == std::string::npos) {
      bound.insert(field);
    } else if (field.substr(0, dot) == route.body) {
      bound_below.insert(field.substr(dot + 1));
    }
  }
  Json parameters = Json::array();
  for (const std::string& name : names) {
    parameters.push_back({{"name", name},
                          {"in", "path"},
                          {"required", true},
                          {"schema", {{"type", "string"}, {"minLength", 1}}}});
  }
  Json operation = {
      {"operationId", absl::StrCat(route.rpc->service()->name(), "_", route.rpc->name())},
      {"tags", Json::array({route.rpc->service()->name()})}};
  if (route.body == "*") {
    operation["requestBody"]["content"]["application/json"]["schema"] =
        schemas.Object(request, bound);
  } else {
    if (!route.body.empty()) {
      const FieldDescriptor* const body = request.FindFieldByName(route.body);
      operation["requestBody"]["required"] = true;
      operation["requestBody"]["content"]["application/json"]["schema"] =
          schemas.Object(*body->message_type(), bound_below);
      bound.insert(route.body);
    }
    AddQuery(request, "", bound, schemas, parameters);
  }
  operation["parameters"] = std::move(parameters);
  operation["responses"] = Answers(*route.rpc, schemas);
  return operation;
}

}  // namespace

std::string OpenApi(const Routes& routes) {
  Schemas schemas;
  Json paths = Json::object();
  for (const Route& route : routes.all()) {
    std::vector<std::string> names;
    const std::string path = route.path.ForOpenApi(names);
    paths[path][absl::AsciiStrToLower(route.method)] = Operation(route, names, schemas);
  }
  const Json more = Json::parse(kMore);
  for (const auto& [path, operations] : more.items()) {
    paths[path].update(operations);
  }
  for (auto& [path, operations] : paths.items()) {
    for (auto& [method, operation] : operations.items()) {
      AddErrors(operation["responses"]);
    }
  }
  Json responses = Json::object();
  for (const auto& [code, why] : kErrors) {
    Json& response = responses[code];
    response["description"] = why;
    response["content"]["application/json"]["schema"] = Reference("Error");
    if (absl::string_view(code) == "429" || absl::string_view(code) == "503") {
      response["headers"]["Retry-After"] = {{"description", "seconds"},
                                            {"schema", {{"type", "integer"}}}};
    }
  }
  Json all = schemas.Take();
  all["Error"] = Json::parse(kError);
  const Json file = {
      {"openapi", "3.0.3"},
      {"info",
       {{"title", "Hone"},
        {"version", "v1"},
        {"description",
         "Trains neural networks on CPUs. The calls are those of the services in proto/hone/v1, "
         "where every field is described. 64-bit integers are text; what has its default is left "
         "out of an answer."}}},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", std::move(all)},
        {"responses", std::move(responses)},
        {"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
      {"security", Json::array({Json{{"token", Json::array()}}, Json::object()})}};
  return file.dump();
}

}  // namespace hone::server::http
