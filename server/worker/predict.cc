#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "server/translate/prediction.h"
#include "server/worker/answer.h"
#include "server/worker/failure.h"
#include "server/worker/modes.h"
#include "server/worker_process/frames.h"

namespace hone::server::worker {

using engine::predict::Example;
using engine::predict::Prediction;
using engine::predict::Predictor;

namespace {

absl::StatusOr<std::vector<Prediction>> PredictInputs(const v1::WorkerRequest& request) {
  const int threads = request.threads() > 0 ? request.threads() : AvailableThreads();
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Predictor> predictor,
                        Predictor::Load(request.model_directory(), threads));
  HONE_ASSIGN_OR_RETURN(const std::vector<Example> examples,
                        ToExamples(request.inputs(), *predictor));
  return predictor->Predict(examples);
}

}  // namespace

absl::StatusOr<std::vector<Example>> ToExamples(
    const google::protobuf::RepeatedPtrField<v1::PredictInput>& inputs,
    const Predictor& predictor) {
  std::vector<Example> examples;
  for (int i = 0; i < inputs.size(); ++i) {
    const std::string name = absl::StrCat("inputs[", i, "]");
    HONE_ASSIGN_OR_RETURN(const engine::tasks::Question question,
                          translate::ToQuestion(inputs[i], name));
    HONE_ASSIGN_OR_RETURN(Example example, predictor.Read(question, name));
    examples.push_back(std::move(example));
  }
  return examples;
}

v1::WorkerFrame ToAnswer(const absl::StatusOr<std::vector<Prediction>>& result) {
  absl::Status status = result.status();
  v1::WorkerFrame frame;
  if (result.ok()) {
    for (const Prediction& prediction : *result) {
      *frame.mutable_predictions()->add_predictions() = translate::ToProto(prediction);
    }
    // The answer goes to a client, whose messages have the frames' limit.
    if (frame.ByteSizeLong() <= worker_process::kMaxFrameBytes) {
      return frame;
    }
    status = absl::InvalidArgumentError(
        absl::StrCat("inputs: the answer to ", result->size(), " inputs has ", frame.ByteSizeLong(),
                     " bytes, at most ", worker_process::kMaxFrameBytes,
                     " are allowed; send fewer inputs at a time"));
  }
  // What was wrong is the model's folder or an input: both are data.
  *frame.mutable_failure() = ToFailure(status, engine::job::Phase::kLoading, 0);
  return frame;
}

bool Predict(const v1::WorkerRequest& request, FrameWriter& writer) {
  writer.SetProgress("predicting", -1);
  const v1::WorkerFrame answer = ToAnswer(PredictInputs(request));
  writer.Send(answer);
  if (answer.has_failure()) {
    return false;
  }
  writer.SendFinished("COMPLETED");
  return true;
}

}  // namespace hone::server::worker
