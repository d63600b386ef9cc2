#include "client/cli/once.h"

#include <random>

#include "absl/strings/str_format.h"
#include "client/errors.h"

namespace hone::client::cli {

std::string NewRequestId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

absl::StatusOr<v1::Job> TryAgain(Client& client,
                                 absl::FunctionRef<absl::StatusOr<v1::Job>()> call) {
  absl::StatusOr<v1::Job> job = call();
  for (int i = 0; i < 3 && IsBrokenLine(job.status()); ++i) {
    client.Wait(absl::Milliseconds(200 << i));
    job = call();
  }
  return job;
}

}  // namespace hone::client::cli
