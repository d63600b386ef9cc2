#include "server/translate/prediction.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::server::translate {

absl::StatusOr<engine::predict::Example> ToExample(const v1::PredictInput& input,
                                                   const engine::predict::Predictor& predictor,
                                                   const std::string& name) {
  switch (input.kind_case()) {
    case v1::PredictInput::kImage:
      return predictor.FromPicture(input.image(), name);
    case v1::PredictInput::kRecord: {
      auto example =
          predictor.FromRecord({input.record().cells().begin(), input.record().cells().end()});
      return example.ok() ? std::move(example) : Annotate(example.status(), name);
    }
    case v1::PredictInput::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat(name, ": must be an image or a record"));
}

v1::Prediction ToProto(const engine::predict::Prediction& prediction) {
  v1::Prediction out;
  for (const engine::predict::Prediction::Class& c : prediction.classes) {
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
