#include "engine/tasks/drawing_answers.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/tasks/drawing.h"

namespace hone::engine::tasks {
namespace {

class DrawingAnswerer final : public Answerer {
 public:
  DrawingAnswerer(const ImageGenerationOptions& options, const data::Preprocessing& preprocessing)
      : latent_(options.latent), conditional_(options.conditional), preprocessing_(preprocessing) {}

  absl::Status CheckOutputs(int64_t outputs) const override {
    const int64_t wanted = preprocessing_.image.elements();
    return outputs == wanted
               ? absl::OkStatus()
               : absl::InvalidArgumentError(absl::StrCat("the model draws ", outputs,
                                                         " numbers, its pictures have ", wanted));
  }

  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const override {
    const auto* wish = std::get_if<DrawingQuestion>(&question);
    if (wish == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": the model draws pictures, this is ",
                                                     NameOf(question), ": use `hone generate`"));
    }
    std::vector<float> noise(static_cast<size_t>(latent_));
    FillNoise(wish->seed, wish->number, noise);
    if (wish->to_seed.has_value()) {
      std::vector<float> other(noise.size()), between(noise.size());
      FillNoise(*wish->to_seed, wish->number, other);
      Interpolate(noise, other, std::clamp(wish->share, 0.0, 1.0), between);
      noise = std::move(between);
    }
    Example example = {{kNoiseInput, std::move(noise)}};
    if (conditional_) {
      HONE_ASSIGN_OR_RETURN(const int64_t which, ClassOf(*wish, name));
      std::vector<float> classes(preprocessing_.class_names.size());
      FillClass(which, classes);
      example[kClassesInput] = std::move(classes);
    } else if (!wish->class_name.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": the model does not draw by class, so it draws no ", wish->class_name, " alone"));
    }
    return example;
  }

 private:
  absl::StatusOr<int64_t> ClassOf(const DrawingQuestion& wish, absl::string_view name) const {
    const std::vector<std::string>& known = preprocessing_.class_names;
    if (wish.class_name.empty()) {
      const auto count = static_cast<int64_t>(known.size());
      return (wish.number % count + count) % count;
    }
    const auto found = std::ranges::find(known, wish.class_name);
    if (found == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": there is no class ", wish.class_name,
                                                     "; there are: ", absl::StrJoin(known, ", ")));
    }
    return found - known.begin();
  }
  Prediction ReadOutput(std::span<const float> output) const override {
    Prediction drawn;
    drawn.picture = PictureOf(output.data(), preprocessing_);
    return drawn;
  }

  const int64_t latent_;
  const bool conditional_;
  const data::Preprocessing& preprocessing_;
};

}  // namespace

std::unique_ptr<Answerer> NewDrawingAnswerer(const ImageGenerationOptions& options,
                                             const data::Preprocessing& preprocessing) {
  return std::make_unique<DrawingAnswerer>(options, preprocessing);
}

}  // namespace hone::engine::tasks
