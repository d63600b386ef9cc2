// A job file as a person wrote it, and what the server thinks of what it says.

#include "client/jobfile/job_file.h"

#include "server/jobs/validate.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  const auto file = client::jobfile::ParseJobFile(fuzz::Text(data, size), "job.yaml");
  if (file.ok()) {
    server::jobs::Validate(file->spec, {.max_threads = 2, .bf16 = true}).IgnoreError();
  }
  return 0;
}
