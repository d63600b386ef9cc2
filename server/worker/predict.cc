#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/predict/predictor.h"
#include "server/translate/prediction.h"
#include "server/worker/failure.h"
#include "server/worker/modes.h"

namespace hone::server::worker {
namespace {

using engine::predict::Example;
using engine::predict::Prediction;
using engine::predict::Predictor;

absl::StatusOr<std::vector<Prediction>> PredictInputs(const v1::WorkerRequest& request) {
  const int threads = request.threads() > 0 ? request.threads() : AvailableThreads();
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Predictor> predictor,
                        Predictor::Load(request.model_directory(), threads));
  std::vector<Example> examples;
  for (int i = 0; i < request.inputs_size(); ++i) {
    HONE_ASSIGN_OR_RETURN(Example example, translate::ToExample(request.inputs(i), *predictor,
                                                                absl::StrCat("inputs[", i, "]")));
    examples.push_back(std::move(example));
  }
  return predictor->Predict(examples);
}

}  // namespace

bool Predict(const v1::WorkerRequest& request, FrameWriter& writer) {
  writer.SetProgress("predicting", -1);
  const absl::StatusOr<std::vector<Prediction>> predictions = PredictInputs(request);
  if (!predictions.ok()) {
    // What was wrong is the model's folder or an input: both are data.
    SendFailure(ToFailure(predictions.status(), engine::train::Phase::kLoading, 0), writer);
    return false;
  }
  v1::WorkerFrame frame;
  for (const Prediction& prediction : *predictions) {
    *frame.mutable_predictions()->add_predictions() = translate::ToProto(prediction);
  }
  writer.Send(frame);
  writer.SendFinished("COMPLETED");
  return true;
}

}  // namespace hone::server::worker
