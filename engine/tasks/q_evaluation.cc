#include "engine/tasks/q_evaluation.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/environments/maze_path.h"
#include "engine/tasks/agent.h"
#include "engine/tasks/task_programs.h"

namespace hone::engine::tasks {
namespace {

using environments::MazeOptions;

// Those after the training are others than those by which the best weights were chosen.
constexpr int64_t kFirstFinalEpisode = 1'000'000;

struct Played {
  double sum = 0;
  int64_t length = 0;
  int64_t fewest = -1;
  bool solved = false;
};

class Evaluator {
 public:
  Evaluator(const ReinforcementLearningOptions& options, const EvaluationContext& context)
      : options_(options), context_(context), final_(context.split == "test") {}

  absl::StatusOr<Evaluation> Run() {
    HONE_ASSIGN_OR_RETURN(program_, context_.programs.forward(
                                        kEvaluateProgram, {.batch = EvaluationBatch(options_)}));
    HONE_RETURN_IF_ERROR(Play());
    Evaluation result = Summary();
    if (const auto* maze = std::get_if<MazeOptions>(&options_.environment)) {
      HONE_RETURN_IF_ERROR(DrawPath(*maze, result));
    }
    return result;
  }

 private:
  int64_t episodes(const environments::EnvironmentSpec& spec) const {
    if (spec.evaluation_episodes > 0) {
      return spec.evaluation_episodes;
    }
    return final_ && options_.final_episodes > 0 ? options_.final_episodes
                                                 : options_.evaluation_episodes;
  }

  // Several episodes side by side; where one ends, the next begins.
  absl::Status Play() {
    struct Seat {
      std::unique_ptr<environments::Environment> environment;
      int64_t episode = -1;
    };
    std::vector<Seat> seats(static_cast<size_t>(EvaluationBatch(options_)));
    int64_t next = 0;
    const auto sit = [&](Seat& seat) {
      if (next == static_cast<int64_t>(played_.size())) {
        seat.episode = -1;
        return;
      }
      seat.environment->ResetForEvaluation((final_ ? kFirstFinalEpisode : 0) + next);
      seat.episode = next++;
      played_[static_cast<size_t>(seat.episode)].fewest = seat.environment->fewest_steps();
    };
    for (Seat& seat : seats) {
      seat.environment = environments::MakeEnvironment(options_.environment);
      const environments::EnvironmentSpec& spec = seat.environment->spec();
      if (played_.empty()) {
        played_.resize(static_cast<size_t>(episodes(spec)));
      }
      sit(seat);
    }
    const environments::EnvironmentSpec& spec = seats.front().environment->spec();
    const auto size = static_cast<size_t>(spec.observation_size());
    const auto actions = static_cast<int64_t>(spec.actions.size());
    std::vector<std::byte> record(static_cast<size_t>(spec.record_bytes));
    auto* seen = static_cast<float*>(program_->input(kFeaturesInput));
    size_t done = 0;
    while (done < played_.size()) {
      for (size_t i = 0; i < seats.size(); ++i) {
        seats[i].environment->Record(record);
        seats[i].environment->Observe(record, {seen + i * size, size});
      }
      HONE_RETURN_IF_ERROR(context_.programs.Run(*program_, {}));
      const auto* values = static_cast<const float*>(program_->fetched(0));
      for (size_t i = 0; i < seats.size(); ++i) {
        Seat& seat = seats[i];
        if (seat.episode < 0) {
          continue;
        }
        const float* row = values + static_cast<int64_t>(i) * actions;
        const environments::Outcome outcome =
            seat.environment->Step(std::max_element(row, row + actions) - row);
        Played& played = played_[static_cast<size_t>(seat.episode)];
        played.sum += double{outcome.reward};
        ++played.length;
        if (outcome.terminated || outcome.truncated) {
          played.solved = outcome.solved;
          ++done;
          sit(seat);
        }
      }
      context_.progress(static_cast<double>(done) / static_cast<double>(played_.size()));
    }
    return absl::OkStatus();
  }

  Evaluation Summary() const {
    double sum = 0, length = 0, solved = 0, ratio = 0, measured = 0;
    for (const Played& played : played_) {
      sum += played.sum;
      length += static_cast<double>(played.length);
      solved += played.solved ? 1 : 0;
      if (played.solved && played.fewest > 0) {
        ratio += static_cast<double>(played.length) / static_cast<double>(played.fewest);
        ++measured;
      }
    }
    const auto count = static_cast<double>(played_.size());
    Evaluation result;
    result.best_by = "mean_return";
    result.metrics = {{"mean_return", sum / count},
                      {"episode_length", length / count},
                      {"success_rate", solved / count}};
    if (measured > 0) {
      result.metrics["path_ratio"] = ratio / measured;
    }
    return result;
  }

  // The values of all actions in all cells of a maze, [cells, moves].
  absl::StatusOr<std::vector<float>> ValuesOf(const MazeOptions& options,
                                              const environments::Maze& maze) {
    const environments::MazeSight sight(options.view, maze.height, maze.width);
    const auto size = static_cast<size_t>(sight.observation_size());
    std::vector<std::byte> record(static_cast<size_t>(sight.record_bytes()));
    const int64_t batch = EvaluationBatch(options_);
    std::vector<float> all;
    auto* seen = static_cast<float*>(program_->input(kFeaturesInput));
    for (int64_t begin = 0; begin < maze.size(); begin += batch) {
      const int64_t count = std::min(batch, maze.size() - begin);
      for (int64_t i = 0; i < count; ++i) {
        sight.Record(maze, begin + i, record);
        sight.Observe(record, {seen + static_cast<size_t>(i) * size, size});
      }
      HONE_RETURN_IF_ERROR(context_.programs.Run(*program_, {}));
      const auto* values = static_cast<const float*>(program_->fetched(0));
      all.insert(all.end(), values, values + count * 4);
    }
    return all;
  }

  absl::Status DrawPath(const MazeOptions& options, Evaluation& result) {
    const environments::Maze maze =
        environments::EvaluationMaze(options, final_ ? kFirstFinalEpisode : 0);
    HONE_ASSIGN_OR_RETURN(const std::vector<float> values, ValuesOf(options, maze));
    const environments::MazePath path = environments::FollowBest(maze, values);
    HONE_ASSIGN_OR_RETURN(const std::string png, image::EncodePng(environments::Paint(path)));
    HONE_RETURN_IF_ERROR(
        context_.artifacts.Write("path",
                                 final_ ? std::string("paths/final.png")
                                        : absl::StrFormat("paths/step-%08d.png", context_.step),
                                 png));
    result.note = absl::StrCat(
        environments::ToText(path),
        absl::StrFormat("%.0f %% of the starts are solved; the way above ",
                        100 * result.metrics.at("success_rate")),
        path.solved ? absl::StrCat("has ", path.length(), " steps, the shortest ", path.fewest)
                    : "does not lead to the goal");
    return absl::OkStatus();
  }

  const ReinforcementLearningOptions& options_;
  const EvaluationContext& context_;
  const bool final_;
  const Program* program_ = nullptr;
  std::vector<Played> played_;
};

}  // namespace

int64_t EvaluationBatch(const ReinforcementLearningOptions& options) {
  constexpr int64_t kMost = 64;
  const int64_t named =
      environments::MakeEnvironment(options.environment)->spec().evaluation_episodes;
  return std::min(kMost, named > 0 ? named : options.evaluation_episodes);
}

absl::StatusOr<Evaluation> EvaluateAgent(const ReinforcementLearningOptions& options,
                                         const EvaluationContext& context) {
  return Evaluator(options, context).Run();
}

}  // namespace hone::engine::tasks
