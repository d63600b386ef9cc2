#pragma once

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/jobs/validate.h"

namespace hone::server::jobs {

inline constexpr Limits kServer = {.max_threads = 4, .bf16 = false};

inline v1::JobSpec Sound() {
  v1::JobSpec spec;
  spec.mutable_classification();
  spec.mutable_data()->set_dataset("mnist");
  spec.mutable_model()->add_layers()->mutable_flatten();
  spec.mutable_model()->add_layers()->mutable_dense()->set_units(10);
  spec.mutable_training()->set_epochs(1);
  return spec;
}

// A sound spec with the given fields merged in; `layers` are added to its two.
inline v1::JobSpec With(const std::string& text) {
  v1::JobSpec spec = Sound();
  v1::JobSpec change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
  spec.MergeFrom(change);
  return spec;
}

// Of the fields that are wrong.
inline std::vector<std::string> Paths(const v1::JobSpec& spec) {
  std::vector<std::string> paths;
  const FieldErrors errors = CheckSpec(spec, kServer);
  for (const FieldError& error : errors.all()) {
    paths.push_back(error.path);
  }
  return paths;
}

}  // namespace hone::server::jobs
