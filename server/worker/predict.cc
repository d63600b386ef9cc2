#include "server/worker/failure.h"
#include "server/worker/modes.h"

namespace hone::server::worker {

bool Predict(const v1::WorkerRequest& request, FrameWriter& writer) {
  (void)request;
  SendFailure(ToFailure(absl::UnimplementedError("predict"), engine::train::Phase::kEvaluating, 0),
              writer);
  return false;
}

}  // namespace hone::server::worker
