#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "hone/v1/job.pb.h"
#include "server/jobs/field_errors.h"

namespace hone::server::jobs {

// What the place that runs the job allows.
struct Limits {
  int max_threads = 1;
  bool bf16 = false;  // the processor has it
  // What the job learns from and begins with is given beside the spec: `data.path` and
  // `model.pretrained.path` of a job file.
  bool has_data = false;
  bool has_model = false;
};

// Every field that is wrong by itself or against another field of the spec. Pure: reads no file,
// knows no shapes (whether layers fit is found by the worker's PLAN mode). Works for any bytes that
// parse as a JobSpec.
FieldErrors CheckSpec(const v1::JobSpec& spec, const Limits& limits);

// The part of CheckSpec that says nothing about what is trained: name, labels, priority, deadline.
FieldErrors CheckAttributes(const v1::JobSpec& spec);

// OK, or INVALID_ARGUMENT that names every wrong field.
absl::Status Validate(const v1::JobSpec& spec, const Limits& limits);

// 1 to 64 letters, digits, '-', '_' or '.', the first no '-' or '.'.
bool IsDatasetName(absl::string_view name);

// The part of CheckSpec for `model`, whose first layers read `inputs`. Which of layers, networks
// and presets there are, the task says. With a pretrained model the layers may be none; whether
// they fit its own only a worker can say.
void CheckModel(const v1::JobSpec& spec, const std::vector<std::string>& inputs, bool has_model,
                FieldErrors& errors);

}  // namespace hone::server::jobs
