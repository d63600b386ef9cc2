#pragma once

#include "absl/status/statusor.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::job {

// What the machine can do with the run's threads, measured.
struct MachineRates {
  double flops_per_second = 0;  // of a product of square matrices in the job's precision
  double bytes_per_second = 0;  // read and written, of arrays beyond the caches
};
absl::StatusOr<MachineRates> MeasureRates(int threads, DType compute);

}  // namespace hone::engine::job
