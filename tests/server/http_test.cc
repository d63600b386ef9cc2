// Paths, queries and JSON as requests, and errors as answers: without a network.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "hone/v1/model_service.pb.h"
#include "hone/v1/training_service.pb.h"
#include "nlohmann/json.hpp"
#include "server/http/call.h"
#include "server/http/errors.h"
#include "server/http/openai.h"
#include "server/http/requests.h"
#include "server/http/routes.h"
#include "server/http/transcode.h"
#include "tests/support/status_matchers.h"

namespace hone::server::http {
namespace {

using hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

MATCHER_P(IsOkAndHolds, value, "is OK and has the value") {
  *result_listener << (arg.ok() ? *arg : arg.status().ToString());
  return arg.ok() && *arg == value;
}

const std::vector<std::string> kServices = {"hone.v1.TrainingService", "hone.v1.ModelService",
                                            "hone.v1.DatasetService"};

std::vector<Binding> Matched(const char* path_template, const char* path) {
  const auto parsed = PathTemplate::Parse(path_template);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed->Match(path).value_or(std::vector<Binding>{{"no match", ""}});
}

TEST(PathTemplateTest, AVariableIsItsSegments) {
  EXPECT_THAT(Matched("/v1/{name=jobs/*}", "/v1/jobs/a1"), ElementsAre(Pair("name", "jobs/a1")));
  EXPECT_THAT(Matched("/v1/{job.name=jobs/*}", "/v1/jobs/a%2Db"),
              ElementsAre(Pair("job.name", "jobs/a-b")));
  EXPECT_THAT(Matched("/v1/server", "/v1/server"), IsEmpty());
}

TEST(PathTemplateTest, TwoStarsAreAllThatIsLeft) {
  EXPECT_THAT(Matched("/v1/{name=jobs/*}/artifacts/{path=**}", "/v1/jobs/a/artifacts/s/b:c.png"),
              ElementsAre(Pair("name", "jobs/a"), Pair("path", "s/b:c.png")));
}

TEST(PathTemplateTest, AVerbIsBehindTheLastSegment) {
  EXPECT_THAT(Matched("/v1/{name=jobs/*}:cancel", "/v1/jobs/a:cancel"),
              ElementsAre(Pair("name", "jobs/a")));
  EXPECT_THAT(Matched("/v1/datasets:beginUpload", "/v1/datasets:beginUpload"), IsEmpty());
  EXPECT_THAT(Matched("/v1/{name=jobs/*}", "/v1/jobs/a:cancel"), ElementsAre(Pair("no match", "")));
}

TEST(PathTemplateTest, OtherPathsDoNotMatch) {
  for (const char* const path :
       {"", "/", "/v1/jobs", "/v1/jobs/", "/v1/jobs/a/b", "/v1/models/a", "v1/jobs/a",
        "/v1/jobs/%zz", "/v1/jobs/%00", "/v1/jobs/%ff", "/v1/jobs/%"}) {
    EXPECT_THAT(Matched("/v1/{name=jobs/*}", path), ElementsAre(Pair("no match", ""))) << path;
  }
}

TEST(PathTemplateTest, WhatIsNoTemplateIsRefused) {
  for (const char* const text : {"", "v1", "/{name", "/{a=**}/b", "/{a}b"}) {
    EXPECT_FALSE(PathTemplate::Parse(text).ok()) << text;
  }
}

class RoutesTest : public ::testing::Test {
 protected:
  // The request that comes of it, as JSON.
  absl::StatusOr<std::string> Request(const char* method, const char* path, const char* query,
                                      const char* body) {
    const Routes::Found found = routes_->Find(method, path);
    if (found.route == nullptr) {
      return absl::NotFoundError(path);
    }
    const auto parameters = ParseQuery(query);
    if (!parameters.ok()) {
      return parameters.status();
    }
    const auto request = MakeRequest(*found.route, found.bindings, *parameters, body);
    return request.ok() ? ToJson(**request) : absl::StatusOr<std::string>(request.status());
  }

  const absl::StatusOr<Routes> routes_ = Routes::Of(kServices);
};

TEST_F(RoutesTest, TheBodyAndThePathMakeARequest) {
  EXPECT_THAT(Request("POST", "/v1/jobs", "", R"({"spec": {"display_name": "a"}})"),
              IsOkAndHolds(R"({"spec":{"displayName":"a"}})"));
  EXPECT_THAT(Request("POST", "/v1/jobs/a:cancel", "", ""), IsOkAndHolds(R"({"name":"jobs/a"})"));
  EXPECT_THAT(Request("PATCH", "/v1/models/a", "update_mask=pinned", R"({"pinned": true})"),
              IsOkAndHolds(R"({"model":{"name":"models/a","pinned":true},"updateMask":"pinned"})"));
}

TEST_F(RoutesTest, AChangeWithoutAMaskIsOfWhatItsBodyHas) {
  EXPECT_THAT(Request("PATCH", "/v1/models/a", "", R"({"displayName": "b"})"),
              IsOkAndHolds(
                  R"({"model":{"name":"models/a","displayName":"b"},"updateMask":"displayName"})"));
}

TEST_F(RoutesTest, AQuerySetsFieldsOfEveryKind) {
  EXPECT_THAT(
      Request("GET", "/v1/jobs", "pageSize=5&states=QUEUED&states=RUNNING&labels[a]=b+c&task=x",
              ""),
      IsOkAndHolds(
          R"({"pageSize":5,"states":["QUEUED","RUNNING"],"task":"x","labels":{"a":"b c"}})"));
  EXPECT_THAT(Request("GET", "/v1/jobs", "labels%5Bd%5D=%C3%A4", ""),
              IsOkAndHolds(R"({"labels":{"d":"ä"}})"));
  EXPECT_THAT(Request("GET", "/v1/models", "pinned=false", ""),
              IsOkAndHolds(R"({"pinned":false})"));
  EXPECT_THAT(Request("DELETE", "/v1/datasets/a", "force=true", ""),
              IsOkAndHolds(R"({"name":"datasets/a","force":true})"));
}

TEST_F(RoutesTest, WhatAQueryCannotSayIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"nonsense=1", "nonsense: there is no such field"},
      {"page_size=1.5", "page_size: must be a whole number"},
      {"page_size=99999999999", "page_size: must be a whole number"},
      {"oldest_first=yes", "oldest_first: must be true or false"},
      {"states=SLEEPING", "states: must be one of STATE_UNSPECIFIED, QUEUED"},
      {"labels=a", "labels: is a map"},
      {"task[a]=b", "task is no map"},
      {"labels[a=b", "must be FIELD[KEY]"},
      {"task.a=b", "has no fields that a query can set"},
      {"task=a&task=b", "task: is said twice"},
      {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r=1", "is no name of a field"},
      {"task=%zz", "hexadecimal"},
  };
  for (const auto& [query, says] : cases) {
    EXPECT_THAT(Request("GET", "/v1/jobs", query, ""),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(says)))
        << query;
  }
}

TEST_F(RoutesTest, WhatABodyCannotSayIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"spec": {"nonsense": 1}})", "nonsense"},
      {R"({"validateOnly": "maybe"})", "maybe"},
      {R"([])", "the JSON"},
      {R"({"spec":)", "the JSON"},
      {"{\"requestId\": \"\xff\"}", "UTF-8"},
  };
  for (const auto& [body, says] : cases) {
    EXPECT_THAT(Request("POST", "/v1/jobs", "", body),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(says)))
        << body;
  }
}

TEST_F(RoutesTest, WhatIsSaidTwiceIsRefused) {
  EXPECT_THAT(Request("POST", "/v1/jobs/a:cancel", "", R"({"name": "jobs/b"})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("said by the path")));
  EXPECT_THAT(Request("POST", "/v1/jobs", "requestId=a", "{}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("belongs into the body")));
  EXPECT_THAT(Request("GET", "/v1/jobs/a", "name=jobs/b", ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("said by the path")));
  EXPECT_THAT(Request("GET", "/v1/jobs", "", "{}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has no body")));
}

TEST_F(RoutesTest, JsonThatIsNestedTooDeepIsRefused) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) {
    deep += R"({"spec":)";
  }
  EXPECT_THAT(Request("POST", "/v1/jobs", "", deep.c_str()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
}

TEST_F(RoutesTest, ARequestThatGrpcWouldNotTakeIsTooLarge) {
  const std::string body =
      absl::StrCat(R"({"jobFile": ")", std::string(kMostRequestBytes, 'a'), R"("})");
  EXPECT_THAT(Request("POST", "/v1/jobs", "", body.c_str()),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("")));
}

TEST_F(RoutesTest, APathWithoutTheMethodSaysWhichThereAre) {
  const Routes::Found found = routes_->Find("PUT", "/v1/jobs/a");
  EXPECT_EQ(found.route, nullptr);
  EXPECT_THAT(found.allowed, ::testing::UnorderedElementsAre("GET", "PATCH", "DELETE"));
  EXPECT_THAT(routes_->Find("GET", "/v1/nothing").allowed, IsEmpty());
}

TEST(RequestsTest, EveryRouteIsInTheOpenApiFile) {
  const auto requests = Requests::Of(kServices);
  ASSERT_TRUE(requests.ok());
  const Decision decision = (*requests)->Decide({.method = "GET", .target = "/v1/openapi.json"});
  const auto file = nlohmann::json::parse(std::get<Reply>(decision).shared_body);
  size_t operations = 0;
  for (const auto& [path, methods] : file["paths"].items()) {
    operations += methods.size();
  }
  EXPECT_EQ(operations, Routes::Of(kServices)->all().size() + 4);
}

TEST(RequestsTest, AnOriginIsAnotherUnlessItIsTheHost) {
  EXPECT_FALSE(IsFromElsewhere("", "a:1"));
  EXPECT_FALSE(IsFromElsewhere("http://a:1", "A:1"));
  for (const char* const origin : {"http://b:1", "http://a", "null", "a:1", "http://a:1.evil"}) {
    EXPECT_TRUE(IsFromElsewhere(origin, "a:1")) << origin;
  }
}

TEST(RequestsTest, OnlyThisMachineHasTheseNames) {
  for (const char* const host :
       {"localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:1", "a.localhost", "192.168.1.1"}) {
    EXPECT_TRUE(IsOwnHost(host)) << host;
  }
  for (const char* const host : {"evil", "localhost.evil", "127.0.0.1.evil:1", "[evil]", ""}) {
    EXPECT_FALSE(IsOwnHost(host)) << host;
  }
}

TEST(ErrorsTest, AnErrorHasItsDetailsAndWhenToTryAgain) {
  google::rpc::Status details;
  details.set_code(8);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  retry.mutable_retry_delay()->set_nanos(1);
  details.add_details()->PackFrom(retry);
  const Failure failure =
      FailureOf(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue \"a\" is full",
                             details.SerializeAsString()));
  EXPECT_EQ(failure.http_code, 429);
  EXPECT_EQ(RetryAfterSeconds(failure), 3);
  const auto error = nlohmann::json::parse(ErrorJson(failure))["error"];
  EXPECT_EQ(error["status"], "RESOURCE_EXHAUSTED");
  EXPECT_EQ(error["message"], "the queue \"a\" is full");
  EXPECT_EQ(error["details"][0]["@type"], "type.googleapis.com/google.rpc.RetryInfo");
}

TEST(MetadataTest, BytesThatGrpcDoesNotTakeAreReplaced) {
  EXPECT_EQ(ForMetadata(" Bearer a\x01\xff\n "), "Bearer a??");
}

TEST(OpenAiTest, AChatBecomesACallOfGenerate) {
  const auto ask = openai::Chat(R"({"model": "models/a", "messages": [
      {"role": "developer", "content": "Be short."},
      {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]}],
      "max_tokens": 5, "temperature": 0, "top_p": 0.5, "stop": "x", "seed": 7, "n": 1})");
  ASSERT_TRUE(ask.ok()) << ask.status();
  EXPECT_EQ(ask->rpc, "/hone.v1.ModelService/Generate");
  v1::GenerateRequest request;
  ASSERT_TRUE(Parse(ask->request, request));
  EXPECT_THAT(
      ToJson(request),
      IsOkAndHolds(
          R"({"name":"models/a","text":{"count":"5","temperature":0,"topP":0.5,"seed":"7","stop":["x"],)"
          R"("messages":[{"role":"system","content":"Be short."},{"role":"user","content":"Hello"}]}})"));
}

TEST(OpenAiTest, WhatThisServerDoesNotDoIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "the body"},
      {R"({"messages": []})", "model"},
      {R"({"model": "a"})", "messages"},
      {R"({"model": "a", "messages": [{"role": "tool", "content": ""}]})", "messages[0].role"},
      {R"({"model": "a", "messages": [{"role": "user", "content": 1}]})", "messages[0].content"},
      {R"({"model": "a", "messages": [{"role": "user", "content": "b"}], "n": 2})", "n: must be 1"},
      {R"({"model": "a", "messages": [{"role": "user", "content": "b"}], "tools": [{}]})", "tools"},
      {R"({"model": "a", "messages": [{"role": "user", "content": "b"}], "max_tokens": 0})",
       "max_tokens"},
      {R"({"model": "a", "messages": [{"role": "user", "content": "b"}], "nonsense": 0})",
       "nonsense"},
  };
  for (const auto& [body, says] : cases) {
    EXPECT_THAT(openai::Chat(body).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(says)))
        << body;
  }
}

TEST(OpenAiTest, ADisplayNameIsFoundFirst) {
  auto ask = openai::Embeddings(R"({"model": "mini", "input": ["a", "b"]})");
  ASSERT_TRUE(ask.ok()) << ask.status();
  EXPECT_EQ(ask->rpc, "/hone.v1.ModelService/ListModels");
  v1::ListModelsResponse none;
  EXPECT_THAT(ask->next(Serialize(none)).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("")));
  v1::ListModelsResponse one;
  one.add_models()->set_name("models/m");
  const auto next = ask->next(Serialize(one));
  ASSERT_TRUE(next.ok());
  v1::PredictRequest request;
  ASSERT_TRUE(Parse(next->request, request));
  EXPECT_EQ(request.name(), "models/m");
  EXPECT_EQ(request.inputs_size(), 2);
}

TEST(OpenAiTest, AnErrorNamesItsParameter) {
  const auto error = nlohmann::json::parse(
      openai::ErrorBody(FailureOf(absl::InvalidArgumentError("top_p: must be a number"))))["error"];
  EXPECT_EQ(error["param"], "top_p");
  EXPECT_EQ(error["type"], "invalid_request_error");
}

}  // namespace
}  // namespace hone::server::http
