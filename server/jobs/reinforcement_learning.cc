#include "server/jobs/reinforcement_learning.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace hone::server::jobs {
namespace {

constexpr int64_t kMostSteps = 1'000'000'000;
constexpr int64_t kMostTransitions = 10'000'000;
constexpr int64_t kLeastSide = 2, kMostSide = 32, kLeastUnseenSide = 5;

void CheckMaze(const v1::MazeWorld& maze, FieldErrors& errors) {
  const std::string path = "reinforcement_learning.maze";
  if (!maze.text().empty()) {
    for (const auto& [name, given] : {std::pair{"height", maze.height() != 0},
                                      {"width", maze.width() != 0},
                                      {"loops", maze.has_loops()},
                                      {"walls", maze.has_walls()},
                                      {"traps", maze.traps() != 0},
                                      {"unseen", maze.unseen()}}) {
      if (given) {
        errors.Add(absl::StrCat(path, ".", name), "must not be given beside `text`, a whole maze");
      }
    }
  }
  // 0: the default.
  const int64_t least = maze.unseen() ? kLeastUnseenSide : kLeastSide;
  for (const auto& [name, side] : {std::pair{"height", maze.height()}, {"width", maze.width()}}) {
    if (side != 0) {
      errors.CheckInt(absl::StrCat(path, ".", name), side, least, kMostSide);
    }
  }
  errors.CheckFloat(path + ".loops", maze.loops(), Closed(0, 1));
  errors.CheckFloat(path + ".walls", maze.walls(), Closed(0, 1));
  errors.CheckInt(path + ".traps", maze.traps(), 0, kMostSide * kMostSide);
  if (!v1::MazeWorld::View_IsValid(maze.view())) {
    errors.Add(path + ".view", "must be one of CELL, PLANES");
  } else if (maze.unseen() && maze.view() == v1::MazeWorld::CELL) {
    errors.Add(path + ".view",
               "must be PLANES with `unseen`: a cell's number says nothing of another maze");
  }
  for (const auto& [name, value] : {std::pair{"goal_reward", maze.goal_reward()},
                                    {"step_cost", maze.step_cost()},
                                    {"trap_cost", maze.trap_cost()}}) {
    errors.CheckFloat(absl::StrCat(path, ".", name), value, Closed(-1e6, 1e6));
  }
  errors.CheckInt(path + ".most_steps", maze.most_steps(), 0, 1'000'000);
}

void CheckLength(const v1::TrainingSpec& training, FieldErrors& errors) {
  errors.CheckInt("training.steps", training.steps(), 0, kMostSteps);
  errors.CheckInt("training.episodes", training.episodes(), 0, 1'000'000);
  if (training.epochs() != 0) {
    errors.Add("training.epochs",
               "must not be given: reinforcement learning has `steps` of the environment or "
               "`episodes`");
  } else if ((training.steps() == 0) == (training.episodes() == 0)) {
    errors.Add("training", absl::StrCat("must have either `steps` or `episodes`, at least 1, got ",
                                        training.steps() == 0 ? "none" : "both"));
  }
  if (training.stop_after() != 0 && training.episodes() != 0) {
    errors.Add("training.stop_after", "must not be given beside `episodes`, only beside `steps`");
  } else {
    errors.CheckInt("training.stop_after", training.stop_after(), 0, training.steps());
  }
  if (training.accumulate_batches() > 1) {
    errors.Add("training.accumulate_batches", "must be 1: a replay gives batches of any size");
  }
}

// Of Q-learning, which must not be given beside `ppo`.
void CheckNothingOfQLearning(const v1::ReinforcementLearning& task, FieldErrors& errors) {
  for (const auto& [name, given] :
       {std::pair{"train_every", task.train_every() != 0},
        {"learning_starts", task.has_learning_starts()},
        {"replay", task.has_replay()},
        {"target", task.has_target()},
        {"double_q", task.double_q()},
        {"dueling", task.dueling()},
        {"n_step", task.n_step() != 0},
        {"loss", task.loss() != v1::ReinforcementLearning::LOSS_UNSPECIFIED},
        {"huber_delta", task.has_huber_delta()},
        {"exploration", task.has_exploration()}}) {
    if (given) {
      errors.Add(absl::StrCat("reinforcement_learning.", name),
                 "must not be given beside `ppo`: it is of Q-learning");
    }
  }
}

void CheckPolicy(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::ReinforcementLearning& task = spec.reinforcement_learning();
  const v1::ReinforcementLearning::ProximalPolicy& policy = task.ppo();
  const std::string path = "reinforcement_learning.ppo";
  CheckNothingOfQLearning(task, errors);
  constexpr int64_t kMostRollout = 100'000, kMostCopies = 1024;
  errors.CheckInt(path + ".rollout", policy.rollout(), 0, kMostRollout);
  errors.CheckInt(path + ".epochs", policy.epochs(), 0, 1000);
  if (policy.has_clip()) {
    errors.CheckFloat(path + ".clip", policy.clip(), Above(0, 1e3));
  }
  errors.CheckFloat(path + ".lambda", policy.lambda(), Closed(0, 1));
  errors.CheckFloat(path + ".value_coefficient", policy.value_coefficient(), Closed(0, 1e6));
  errors.CheckFloat(path + ".entropy_coefficient", policy.entropy_coefficient(), Closed(0, 1e6));
  // As they are with their defaults.
  v1::ReinforcementLearning resolved = task;
  ResolveReinforcementLearning(spec.training(), resolved);
  const int64_t batch = spec.training().has_batch_size() ? spec.training().batch_size() : 32;
  const int64_t copies = resolved.copies(), rollout = resolved.ppo().rollout();
  if (rollout < 1 || rollout > kMostRollout || copies < 1 || copies > kMostCopies) {
    return;  // is told
  }
  if (rollout * copies > kMostTransitions) {
    errors.Add(path + ".rollout",
               absl::StrCat("must be at most ", kMostTransitions,
                            " steps of all copies together, got ", rollout * copies));
  } else if (batch > 0 && rollout * copies % batch != 0) {
    errors.Add("training.batch_size", absl::StrCat("must divide the steps of a rollout, ", rollout,
                                                   " of each of ", copies, " copies, got ", batch));
  }
}

}  // namespace

void CheckReinforcementLearning(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::ReinforcementLearning& task = spec.reinforcement_learning();
  const std::string path = "reinforcement_learning";
  if (task.environment_case() == v1::ReinforcementLearning::ENVIRONMENT_NOT_SET) {
    errors.Add(path, "must have an environment: one of maze, cart_pole, mountain_car, acrobot");
  } else if (task.has_maze()) {
    CheckMaze(task.maze(), errors);
  }
  errors.CheckInt(path + ".copies", task.copies(), 0, 1024);
  if (task.has_ppo()) {
    CheckPolicy(spec, errors);
  }
  if (task.has_discount()) {
    errors.CheckFloat(path + ".discount", task.discount(), Closed(0, 1));
  }
  errors.CheckInt(path + ".train_every", task.train_every(), 0, 1'000'000);
  errors.CheckInt(path + ".learning_starts", task.learning_starts(), 0, kMostSteps);
  errors.CheckInt(path + ".replay.capacity", task.replay().capacity(), 0, kMostTransitions);
  errors.CheckFloat(path + ".replay.alpha", task.replay().alpha(), Closed(0, 1));
  errors.CheckFloat(path + ".replay.beta", task.replay().beta(), Closed(0, 1));
  errors.CheckInt(path + ".target.copy_every", task.target().copy_every(), 0, kMostSteps);
  errors.CheckFloat(path + ".target.rate", task.target().rate(), Closed(0, 1));
  if (task.target().rate() > 0 && task.target().copy_every() > 0) {
    errors.Add(path + ".target", "must have either `copy_every` or `rate`, got both");
  }
  errors.CheckInt(path + ".n_step", task.n_step(), 0, 1000);
  if (!v1::ReinforcementLearning::Loss_IsValid(task.loss())) {
    errors.Add(path + ".loss", "must be one of HUBER, MSE");
  }
  if (task.has_huber_delta()) {
    errors.CheckFloat(path + ".huber_delta", task.huber_delta(), Above(0, 1e9));
  }
  errors.CheckFloat(path + ".reward_clip", task.reward_clip(), Closed(0, 1e9));
  const v1::ReinforcementLearning::Exploration& exploration = task.exploration();
  for (const auto& [name, value] : {std::pair{"start", exploration.start()},
                                    {"end", exploration.end()},
                                    {"share", exploration.share()},
                                    {"decay", exploration.decay()}}) {
    errors.CheckFloat(absl::StrCat(path, ".exploration.", name), value, Closed(0, 1));
  }
  if (exploration.decay() > 0 && exploration.has_share()) {
    errors.Add(path + ".exploration", "must have either `share` or `decay`, got both");
  }
  errors.CheckInt(path + ".evaluate_every", task.evaluate_every(), 0, kMostSteps);
  errors.CheckInt(path + ".evaluation_episodes", task.evaluation_episodes(), 0, 100'000);
  errors.CheckInt(path + ".final_episodes", task.final_episodes(), 0, 100'000);
  CheckLength(spec.training(), errors);
}

void ResolveReinforcementLearning(const v1::TrainingSpec& training,
                                  v1::ReinforcementLearning& task) {
// Sets a number or an enum that was not given.
#define HONE_DEFAULT(message, field, value) \
  if ((message).field() == 0) {             \
    (message).set_##field(value);           \
  }
// The same for a field of presence.
#define HONE_OPTIONAL_DEFAULT(message, field, value) \
  if (!(message).has_##field()) {                    \
    (message).set_##field(value);                    \
  }
  if (task.has_maze()) {
    v1::MazeWorld& maze = *task.mutable_maze();
    if (maze.text().empty()) {
      HONE_DEFAULT(maze, height, 8);
      HONE_DEFAULT(maze, width, 8);
      HONE_OPTIONAL_DEFAULT(maze, loops, 0.3f);
      HONE_OPTIONAL_DEFAULT(maze, walls, 1);
    }
    HONE_OPTIONAL_DEFAULT(maze, seed, 1);
    HONE_OPTIONAL_DEFAULT(maze, any_start, true);
    HONE_DEFAULT(maze, view, maze.unseen() ? v1::MazeWorld::PLANES : v1::MazeWorld::CELL);
    HONE_OPTIONAL_DEFAULT(maze, goal_reward, 1);
    HONE_OPTIONAL_DEFAULT(maze, step_cost, 0.01f);
    HONE_OPTIONAL_DEFAULT(maze, trap_cost, 1);
  }
  HONE_DEFAULT(task, copies, task.has_ppo() ? 8 : 1);
  HONE_OPTIONAL_DEFAULT(task, discount, 0.99f);
  HONE_DEFAULT(task, evaluate_every,
               training.steps() > 0 ? std::max<int64_t>(1, training.steps() / 20) : 10'000);
  HONE_DEFAULT(task, evaluation_episodes, 100);
  HONE_DEFAULT(task, final_episodes, task.evaluation_episodes());
  if (task.has_ppo()) {
    v1::ReinforcementLearning::ProximalPolicy& policy = *task.mutable_ppo();
    HONE_DEFAULT(policy, rollout, 128);
    HONE_DEFAULT(policy, epochs, 4);
    HONE_OPTIONAL_DEFAULT(policy, clip, 0.2f);
    HONE_OPTIONAL_DEFAULT(policy, lambda, 0.95f);
    HONE_OPTIONAL_DEFAULT(policy, value_coefficient, 0.5f);
    HONE_OPTIONAL_DEFAULT(policy, entropy_coefficient, 0.01f);
    HONE_OPTIONAL_DEFAULT(policy, normalize_advantages, true);
    return;
  }
  HONE_DEFAULT(task, train_every, 4);
  HONE_OPTIONAL_DEFAULT(task, learning_starts, 1000);
  v1::ReinforcementLearning::Replay& replay = *task.mutable_replay();
  HONE_DEFAULT(replay, capacity, 10'000);
  HONE_OPTIONAL_DEFAULT(replay, alpha, 0.6f);
  HONE_OPTIONAL_DEFAULT(replay, beta, 0.4f);
  v1::ReinforcementLearning::TargetNetwork& target = *task.mutable_target();
  if (target.rate() == 0) {
    HONE_DEFAULT(target, copy_every, 500);
  }
  HONE_DEFAULT(task, n_step, 1);
  HONE_DEFAULT(task, loss, v1::ReinforcementLearning::HUBER);
  HONE_OPTIONAL_DEFAULT(task, huber_delta, 1);
  v1::ReinforcementLearning::Exploration& exploration = *task.mutable_exploration();
  HONE_OPTIONAL_DEFAULT(exploration, start, 1);
  HONE_OPTIONAL_DEFAULT(exploration, end, 0.05f);
  if (exploration.decay() == 0) {
    HONE_OPTIONAL_DEFAULT(exploration, share, 0.5f);
  }
#undef HONE_OPTIONAL_DEFAULT
#undef HONE_DEFAULT
}

}  // namespace hone::server::jobs
