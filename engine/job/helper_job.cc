#include "engine/job/helper_job.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/job/trainer.h"

namespace hone::engine::job {
namespace {

// Of a helper job is told how far it is, and what it came to.
class HelperObserver final : public DeafTrainingObserver {
 public:
  HelperObserver(TrainingObserver& to, const std::string& name) : to_(to), name_(name) {}
  void OnMetrics(const train::Metrics& metrics) override {
    to_.OnProgress("evaluating",
                   static_cast<double>(metrics.step) /
                       static_cast<double>(std::max<int64_t>(metrics.total_steps, 1)));
  }
  void OnEvaluation(const tasks::Evaluation& evaluation) override {
    const auto accuracy = evaluation.metrics.find("test_accuracy");
    if (accuracy != evaluation.metrics.end()) {
      to_.OnLog(train::Severity::kInfo,
                absl::StrFormat("the %s: test accuracy %.2f %%", name_, 100 * accuracy->second));
    }
  }

 private:
  TrainingObserver& to_;
  const std::string name_;
};

}  // namespace

absl::StatusOr<train::EndReason> RunHelperJob(const tasks::Task& task,
                                              const tasks::TrainingConfig& config,
                                              const std::atomic<bool>& stop,
                                              TrainingObserver& observer,
                                              std::string& model_directory) {
  HONE_ASSIGN_OR_RETURN(std::optional<tasks::TrainingConfig> helper, task.HelperJob(config));
  if (!helper.has_value()) {
    return train::EndReason::kCompleted;
  }
  helper->run_directory = absl::StrCat(config.run_directory, "/helper");
  model_directory = absl::StrCat(helper->run_directory, "/model");
  std::error_code error;
  if (std::filesystem::exists(absl::StrCat(model_directory, "/model.json"), error)) {
    return train::EndReason::kCompleted;  // it appears whole, or not at all
  }
  helper->resume = true;
  observer.OnLog(train::Severity::kInfo,
                 absl::StrCat("a ", helper->display_name, " is trained first, for the evaluation"));
  HelperObserver quiet(observer, helper->display_name);
  Trainer trainer(*helper, stop, quiet);
  absl::StatusOr<train::EndReason> end = trainer.Run();
  HONE_RETURN_IF_ERROR(Annotate(end.status(), helper->display_name));
  return end;
}

}  // namespace hone::engine::job
