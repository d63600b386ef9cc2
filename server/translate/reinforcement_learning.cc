#include "server/translate/reinforcement_learning.h"

#include "engine/base/status.h"
#include "server/jobs/reinforcement_learning.h"
#include "server/translate/as_written.h"

namespace hone::server::translate {
namespace {

namespace environments = engine::environments;
using engine::tasks::ReinforcementLearningOptions;

// `maze` has every default.
absl::StatusOr<environments::MazeOptions> ToMaze(const v1::MazeWorld& maze) {
  using View = environments::MazeOptions::View;
  environments::MazeOptions options;
  options.shape = {.height = maze.height(),
                   .width = maze.width(),
                   .loops = AsWritten(maze.loops()),
                   .walls = AsWritten(maze.walls()),
                   .traps = maze.traps()};
  if (!maze.text().empty()) {
    HONE_ASSIGN_OR_RETURN(options.own,
                          environments::ParseMaze(maze.text(), "reinforcement_learning.maze.text"));
    options.shape.height = options.own->height;
    options.shape.width = options.own->width;
  }
  options.seed = maze.seed();
  options.unseen = maze.unseen();
  options.any_start = maze.any_start();
  options.view = maze.view() == v1::MazeWorld::PLANES ? View::kPlanes : View::kCell;
  options.goal_reward = maze.goal_reward();
  options.step_reward = -maze.step_cost();
  options.trap_reward = -maze.trap_cost();
  options.most_steps = maze.most_steps();
  return options;
}

absl::StatusOr<environments::EnvironmentOptions> ToEnvironment(
    const v1::ReinforcementLearning& task) {
  switch (task.environment_case()) {
    case v1::ReinforcementLearning::kMaze: {
      HONE_ASSIGN_OR_RETURN(environments::MazeOptions maze, ToMaze(task.maze()));
      return maze;
    }
    case v1::ReinforcementLearning::kMountainCar:
      return environments::Control::kMountainCar;
    case v1::ReinforcementLearning::kAcrobot:
      return environments::Control::kAcrobot;
    case v1::ReinforcementLearning::kCartPole:
    case v1::ReinforcementLearning::ENVIRONMENT_NOT_SET:
      break;
  }
  return environments::Control::kCartPole;
}

}  // namespace

absl::StatusOr<ReinforcementLearningOptions> ToReinforcementLearning(const v1::JobSpec& spec) {
  v1::ReinforcementLearning task = spec.reinforcement_learning();
  jobs::ResolveReinforcementLearning(spec.training(), task);
  ReinforcementLearningOptions options;
  HONE_ASSIGN_OR_RETURN(options.environment, ToEnvironment(task));
  options.steps = spec.training().steps();
  options.episodes = spec.training().episodes();
  options.copies = task.copies();
  options.discount = task.discount();
  options.reward_clip = task.reward_clip();
  options.evaluate_every = task.evaluate_every();
  options.evaluation_episodes = task.evaluation_episodes();
  options.final_episodes = task.final_episodes();
  if (task.has_ppo()) {
    const v1::ReinforcementLearning::ProximalPolicy& policy = task.ppo();
    options.policy =
        engine::tasks::PolicyOptions{.rollout = policy.rollout(),
                                     .epochs = policy.epochs(),
                                     .clip = policy.clip(),
                                     .lambda = AsWritten(policy.lambda()),
                                     .value_coefficient = policy.value_coefficient(),
                                     .entropy_coefficient = policy.entropy_coefficient(),
                                     .normalize_advantages = policy.normalize_advantages()};
    return options;
  }
  options.train_every = task.train_every();
  options.learning_starts = task.learning_starts();
  options.replay = {.capacity = task.replay().capacity(),
                    .prioritized = task.replay().prioritized(),
                    .alpha = AsWritten(task.replay().alpha()),
                    .beta = AsWritten(task.replay().beta())};
  options.target_every = task.target().copy_every();
  options.target_rate = task.target().rate();
  options.double_q = task.double_q();
  options.dueling = task.dueling();
  options.n_step = task.n_step();
  options.loss = task.loss() == v1::ReinforcementLearning::MSE
                     ? ReinforcementLearningOptions::Loss::kSquared
                     : ReinforcementLearningOptions::Loss::kHuber;
  options.huber_delta = task.huber_delta();
  options.exploration = {.start = AsWritten(task.exploration().start()),
                         .end = AsWritten(task.exploration().end()),
                         .share = AsWritten(task.exploration().share()),
                         .decay = AsWritten(task.exploration().decay())};
  return options;
}

}  // namespace hone::server::translate
