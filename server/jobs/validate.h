#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "hone/v1/job.pb.h"
#include "server/jobs/field_errors.h"

namespace hone::server::jobs {

// What the place that runs the job allows.
struct Limits {
  int max_threads = 1;
  bool bf16 = false;        // the processor has it
  bool local_paths = true;  // `data.path` may be used: for `hone run`, never for a server
};

// Every field that is wrong by itself or against another field of the spec. Pure: reads no file,
// knows no shapes (whether layers fit is found by the worker's PLAN mode). Works for any bytes that
// parse as a JobSpec.
FieldErrors CheckSpec(const v1::JobSpec& spec, const Limits& limits);

// OK, or INVALID_ARGUMENT that names every wrong field.
absl::Status Validate(const v1::JobSpec& spec, const Limits& limits);

// 1 to 64 letters, digits, '-', '_' or '.', the first no '-' or '.'.
bool IsDatasetName(absl::string_view name);

// The part of CheckSpec for `model`.
// With a pretrained model the layers may be none; whether they fit its own only a worker can say.
void CheckModel(const v1::ModelSpec& model, bool local_paths, FieldErrors& errors);

}  // namespace hone::server::jobs
