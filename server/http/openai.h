#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/http/answers.h"

// What OpenAI's clients send, and what they are answered:
// https://platform.openai.com/docs/api-reference. `model` is models/<id>, or a display name, which
// is that of the newest model that has it. Errors have OpenAI's form:
// {"error": {"message", "type", "param", "code"}}.
namespace hone::server::http::openai {

// POST /v1/chat/completions: a call of Generate. INVALID_ARGUMENT names the parameter.
absl::StatusOr<Ask> Chat(absl::string_view body);

// POST /v1/embeddings: a call of Predict. INVALID_ARGUMENT names the parameter.
absl::StatusOr<Ask> Embeddings(absl::string_view body);

// An error's body.
std::string ErrorBody(const Failure& failure);

}  // namespace hone::server::http::openai
