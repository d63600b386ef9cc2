#include "server/rpc/generate_stream.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/job.h"
#include "server/jobs/unknown_fields.h"
#include "server/rpc/observed_stream.h"
#include "server/rpc/unary.h"

namespace hone::server::rpc {
namespace {

using Drawings = v1::GenerateRequest::Drawings;

constexpr int kMostPictures = 4096;
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
  if (!request.has_drawings()) {
    return absl::InvalidArgumentError("must have `drawings`");
  }
  const int count = request.drawings().count();
  if (count < 1 || count > kMostPictures) {
    return absl::InvalidArgumentError(
        absl::StrCat("drawings.count: must be 1 to ", kMostPictures, ", got ", count));
  }
  return model;
}

// A question to the model, then its answers one by one, then the next question: never two things at
// once, so only the end needs a lock.
class Generation final : public grpc::ServerWriteReactor<v1::GenerateResponse>,
                         public std::enable_shared_from_this<Generation> {
 public:
  Generation(grpc::CallbackServerContext* context, const v1::GenerateRequest& request, Deps& deps)
      : context_(context),
        deps_(deps),
        request_(request),
        deadline_(SteadyNow() + TimeLeft(*context, kMostTime)),
        observed_({.method = "Generate", .resource = request.name()}, deps) {}

  void Begin() {
    self_ = shared_from_this();
    absl::StatusOr<v1::Model> model = Check(request_, deps_);
    if (!model.ok()) {
      return End(model.status());
    }
    model_ = *std::move(model);
    transfer_ = deps_.transfers.Open(SteadyNow(), [weak = std::weak_ptr<Generation>(self_)] {
      if (const auto generation = weak.lock()) {
        generation->EndIdle();
      }
    });
    if (!transfer_.ok()) {
      return End(transfer_.status());
    }
    Ask();
  }

  void OnWriteDone(bool ok) override {
    {
      const std::lock_guard lock(mutex_);
      writing_ = false;
      if (ending_) {
        return;
      }
    }
    if (!ok) {
      return End(absl::CancelledError("the client has left"));
    }
    deps_.transfers.Moved(*transfer_, SteadyNow());
    Next();
  }

  void OnDone() override {
    if (transfer_.ok()) {
      deps_.transfers.Close(*transfer_);
    }
    // Others may hold it for a moment longer.
    const std::shared_ptr<Generation> last = std::move(self_);
  }

 private:
  void End(const absl::Status& status) { Finish(observed_.End(status)); }

  // While it waits for its client: as a download (download_stream.cc).
  void EndIdle() {
    {
      const std::lock_guard lock(mutex_);
      if (!writing_ || ending_) {
        return;
      }
      ending_ = true;
    }
    context_->TryCancel();
    End(absl::UnavailableError("nothing was read for too long while others wait"));
  }

  void Ask() {
    v1::PredictRequest question;
    question.set_name(request_.name());
    const Drawings& drawings = request_.drawings();
    for (int i = sent_; i < std::min(drawings.count(), sent_ + kTogether); ++i) {
      *question.add_inputs() = InputOf(drawings, i);
    }
    deps_.predictors.Predict(model_, question, deadline_ - SteadyNow(),
                             [self = self_](absl::StatusOr<v1::PredictResponse> answer) {
                               self->Take(std::move(answer));
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

  void Next() {
    if (context_->IsCancelled()) {
      return End(absl::CancelledError("the client has left"));
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
    const std::lock_guard lock(mutex_);
    writing_ = true;
    StartWrite(&response_);
  }

  grpc::CallbackServerContext* const context_;
  Deps& deps_;
  const v1::GenerateRequest request_;
  const absl::Duration deadline_;  // SteadyNow()
  ObservedStream observed_;
  std::shared_ptr<Generation> self_;  // until OnDone
  absl::StatusOr<int64_t> transfer_ = absl::UnknownError("not begun");
  v1::Model model_;
  v1::PredictResponse answer_;  // some pictures
  int taken_ = 0;               // of them
  int sent_ = 0;                // of all
  v1::GenerateResponse response_;
  std::mutex mutex_;
  bool writing_ = false;  // guarded by mutex_
  bool ending_ = false;   // by EndIdle; guarded by mutex_
};

}  // namespace

grpc::ServerWriteReactor<v1::GenerateResponse>* OpenGeneration(grpc::CallbackServerContext* context,
                                                               const v1::GenerateRequest& request,
                                                               Deps& deps) {
  const auto generation = std::make_shared<Generation>(context, request, deps);
  generation->Begin();
  return generation.get();
}

}  // namespace hone::server::rpc
