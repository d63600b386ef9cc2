#pragma once

#include <string>
#include <vector>

#include "client/cli/text.h"
#include "hone/v1/job_resource.pb.h"
#include "hone/v1/training_service.pb.h"

namespace hone::client::cli {

// A job and its curves, to be set beside others.
struct Compared {
  v1::Job job;
  v1::MetricHistory history;
};

// A field of the job file in which jobs differ.
struct Difference {
  std::string field;                // as `--set` names it: "model.layers[0].dense.units"
  std::vector<std::string> values;  // one for each job; "": the field is not there
};

// The fields of the resolved job files whose values are not the same in all, in the files' order;
// without name, labels and priority. Of a job without a resolved file the file as it was sent. Jobs
// of different tasks differ in "task" first, and the fields of a task's own, which the others
// cannot have, are left out.
std::vector<Difference> Differences(const std::vector<Compared>& jobs);

// A final number by name.
struct FinalNumber {
  std::string name;                 // of the evaluation, such as "test_accuracy"; or "parameters",
                                    // "depth", "steps", "training_seconds"
  std::vector<std::string> values;  // one for each job, as a person reads it; "": it has none
};
std::vector<FinalNumber> FinalNumbersOf(const std::vector<Compared>& jobs);

// What `hone jobs compare` shows: who is compared, the settings that differ, the curves of
// `metrics` over one another, the final numbers. `width` is that of the plots.
std::vector<Line> RenderComparison(const std::vector<Compared>& jobs,
                                   const std::vector<std::string>& metrics, int width);

// The same as one JSON object: "jobs", "differences" and "metrics" by name, each a list in the
// order of the jobs, null where a job has no value; "history" of each job.
std::string ComparisonJson(const std::vector<Compared>& jobs);

}  // namespace hone::client::cli
