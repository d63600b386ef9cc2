#pragma once

#include "hone/v1/job.pb.h"

namespace hone::server::jobs {

// The spec with every default of job.proto and model.proto written out, so that a version with
// other defaults trains the job as this one would. What only the data or the earlier model decide
// (the size of pictures, the names of layers) stays as it is, and so do the threads, which are the
// job's own number beside its spec. Resolving what is resolved changes nothing.
v1::JobSpec Resolve(const v1::JobSpec& spec);

}  // namespace hone::server::jobs
