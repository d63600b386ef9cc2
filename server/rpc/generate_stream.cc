#include "server/rpc/generate_stream.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/job.h"
#include "server/jobs/unknown_fields.h"
#include "server/rpc/transfer_stream.h"
#include "server/rpc/unary.h"

namespace hone::server::rpc {
namespace {

using Drawings = v1::GenerateRequest::Drawings;

constexpr int kMostPictures = 4096;
// A client that takes long to read is not waited for for ever.
constexpr absl::Duration kMostWritingTime = absl::Hours(1);
// Drawn at a time: what fits a frame of the worker's, if pictures are not very large.
constexpr int kTogether = 32;

// What the model is asked for picture `index`.
v1::PredictInput InputOf(const Drawings& drawings, int index) {
  v1::PredictInput input;
  v1::Drawing& drawing = *input.mutable_drawing();
  drawing.set_seed(drawings.has_seed() ? drawings.seed() : 1);
  drawing.set_class_(drawings.class_());
  if (drawings.has_to_seed()) {
    drawing.set_to_seed(drawings.to_seed());
    drawing.set_share(drawings.count() > 1 ? static_cast<double>(index) / (drawings.count() - 1)
                                           : 0);
  } else {
    drawing.set_number(index);
  }
  return input;
}

// The model, where the request is sound.
absl::StatusOr<v1::Model> Check(const v1::GenerateRequest& request, const Deps& deps) {
  HONE_RETURN_IF_ERROR(jobs::CheckFieldsAreKnown(request));
  HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(request.name()));
  HONE_ASSIGN_OR_RETURN(v1::Model model, deps.store.GetModel(id));
  if (request.has_text()) {
    return request.text().has_state() ? absl::InvalidArgumentError(
                                            "text.state: must not be given: all of a text is "
                                            "written, from its prompt on")
                                      : absl::StatusOr<v1::Model>(std::move(model));
  }
  if (!request.has_drawings()) {
    return absl::InvalidArgumentError("must have `drawings` or `text`");
  }
  const int count = request.drawings().count();
  if (count < 1 || count > kMostPictures) {
    return absl::InvalidArgumentError(
        absl::StrCat("drawings.count: must be 1 to ", kMostPictures, ", got ", count));
  }
  return model;
}

// A question to the model, then its answers one by one, then the next question. A text is a
// question for each of its pieces, which says where the one before ended: so a text whose client
// has left, or does not read, takes nothing of the model's time, and those that are written at the
// same time go to the model together (predict::ModelCache).
class Generation final : public SendingStream<v1::GenerateResponse> {
 public:
  Generation(grpc::CallbackServerContext* context, const v1::GenerateRequest& request,
             const access::Caller& caller, Deps& deps)
      : SendingStream(context,
                      {.method = "Generate",
                       .caller = caller.name,
                       .project = caller.project,
                       .resource = request.name()},
                      deps),
        request_(request),
        deadline_(SteadyNow() +
                  TimeLeft(*context, request.has_text() ? kMostWritingTime : kMostTime)) {
    *writing_.mutable_name() = request.name();
    if (request.has_text()) {
      *writing_.add_inputs()->mutable_writing() = request.text();
    }
  }

  void Open() {
    absl::StatusOr<v1::Model> model = Check(request_, deps_);
    if (model.ok()) {
      model_ = *std::move(model);
    }
    Begin(model.status());
  }

 private:
  void Next() override {
    if (ClientHasLeft()) {
      return End(absl::CancelledError("the client has left"));
    }
    if (request_.has_text()) {
      return ended_ ? End(absl::OkStatus()) : AskForText();
    }
    if (sent_ == request_.drawings().count()) {
      return End(absl::OkStatus());
    }
    if (taken_ == answer_.predictions_size()) {
      return Ask();
    }
    response_.set_index(sent_++);
    response_.mutable_picture()->swap(
        *answer_.mutable_predictions(taken_++)->mutable_picture()->mutable_png());
    Send(response_);
  }

  void Ask() {
    v1::PredictRequest question;
    question.set_name(request_.name());
    const Drawings& drawings = request_.drawings();
    for (int i = sent_; i < std::min(drawings.count(), sent_ + kTogether); ++i) {
      *question.add_inputs() = InputOf(drawings, i);
    }
    deps_.predictors.Predict(
        model_, question, deadline_ - SteadyNow(),
        [this, self = shared_from_this()](absl::StatusOr<v1::PredictResponse> answer) {
          Take(std::move(answer));
        });
  }

  void Take(absl::StatusOr<v1::PredictResponse> answer) {
    if (!answer.ok()) {
      return End(answer.status());
    }
    answer_ = *std::move(answer);
    taken_ = 0;
    Next();
  }

  void AskForText() {
    deps_.predictors.Predict(
        model_, writing_, std::min(deadline_ - SteadyNow(), kMostTime),
        [this, self = shared_from_this()](absl::StatusOr<v1::PredictResponse> answer) {
          TakeText(std::move(answer));
        });
  }

  void TakeText(absl::StatusOr<v1::PredictResponse> answer) {
    if (!answer.ok()) {
      return End(absl::Status(
          answer.status().code(),
          absl::StrReplaceAll(answer.status().message(), {{"inputs[0]: ", "text: "}})));
    }
    if (!answer->predictions(0).has_writing()) {
      return End(absl::InternalError("the model's process answered with no text"));
    }
    v1::Prediction::Written& written = *answer->mutable_predictions(0)->mutable_writing();
    v1::Writing& wish = *writing_.mutable_inputs(0)->mutable_writing();
    wish.clear_prompt();  // it is in the state, and so are they
    wish.clear_messages();
    wish.mutable_state()->Swap(written.mutable_state());
    ended_ = written.end() != v1::Writing::END_UNSPECIFIED;
    if (written.text().empty() && !ended_) {
      return Next();
    }
    response_.mutable_text()->swap(*written.mutable_text());
    response_.set_end(written.end());
    response_.set_tokens(wish.state().written());
    Send(response_);
  }

  const v1::GenerateRequest request_;
  const absl::Duration deadline_;  // SteadyNow()
  v1::Model model_;
  v1::PredictResponse answer_;  // some pictures
  int taken_ = 0;               // of them
  int sent_ = 0;                // of all
  v1::PredictRequest writing_;  // the next question for a text
  bool ended_ = false;          // the text
  v1::GenerateResponse response_;
};

}  // namespace

grpc::ServerWriteReactor<v1::GenerateResponse>* OpenGeneration(grpc::CallbackServerContext* context,
                                                               const v1::GenerateRequest& request,
                                                               const access::Caller& caller,
                                                               Deps& deps) {
  const auto generation = std::make_shared<Generation>(context, request, caller, deps);
  generation->Open();
  return generation.get();
}

}  // namespace hone::server::rpc
