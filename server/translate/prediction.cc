#include "server/translate/prediction.h"

#include "absl/strings/str_cat.h"

namespace hone::server::translate {

absl::StatusOr<engine::tasks::Question> ToQuestion(const v1::PredictInput& input,
                                                   const std::string& name) {
  switch (input.kind_case()) {
    case v1::PredictInput::kImage:
      return engine::tasks::PictureQuestion{input.image()};
    case v1::PredictInput::kRecord:
      return engine::tasks::RecordQuestion{
          {input.record().cells().begin(), input.record().cells().end()}};
    case v1::PredictInput::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat(name, ": must be an image or a record"));
}

v1::Prediction ToProto(const engine::tasks::Prediction& prediction) {
  v1::Prediction out;
  for (const engine::tasks::Prediction::Class& c : prediction.classes) {
    v1::Prediction::Class& row = *out.mutable_classification()->add_classes();
    row.set_name(c.name);
    row.set_probability(c.probability);
  }
  if (!prediction.values.empty()) {
    out.mutable_regression()->mutable_values()->Add(prediction.values.begin(),
                                                    prediction.values.end());
  }
  return out;
}

}  // namespace hone::server::translate
