#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hone::engine::text {

// A part of a JSON document that knows its path. What is missing or wrong becomes the document's
// error, of which the first counts, and the value asked for is an empty one, so that whoever reads
// needs to look at the error only at the end. Refers to the document and to the error.
class JsonPart {
 public:
  JsonPart(const nlohmann::json& value, std::string path, absl::Status& error)
      : value_(value), path_(std::move(path)), error_(error) {}

  bool ok() const { return error_.ok(); }
  const nlohmann::json& value() const { return value_; }
  const std::string& path() const { return path_; }
  // "pre_tokenizer.pretokenizers[1]: WHAT".
  void Fail(absl::string_view what) const;

  bool IsObject() const { return value_.is_object(); }
  // Is there and not null.
  bool Has(absl::string_view key) const;
  JsonPart At(absl::string_view key) const;
  // Of an array; none of anything else, which is an error.
  std::vector<JsonPart> Items() const;

  std::string String(absl::string_view key) const;
  // One that may be missing or null.
  std::string String(absl::string_view key, absl::string_view otherwise) const;
  bool Bool(absl::string_view key) const;
  bool Bool(absl::string_view key, bool otherwise) const;
  // 0 or more and at most `most`.
  int64_t Count(absl::string_view key, int64_t most) const;
  // One of the names, by its place among them.
  size_t OneOf(absl::string_view key, std::initializer_list<absl::string_view> names) const;
  // The part itself.
  std::string AsString() const;
  int64_t AsCount(int64_t most) const;
  // An error where it has other keys than these.
  void KnowsOnly(std::initializer_list<absl::string_view> keys) const;

 private:
  const nlohmann::json& value_;
  std::string path_;
  absl::Status& error_;
};

}  // namespace hone::engine::text
