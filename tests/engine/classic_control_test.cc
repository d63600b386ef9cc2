#include "engine/environments/classic_control.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "engine/base/files.h"
#include "engine/environments/table.h"

namespace hone::engine::environments {
namespace {

using nlohmann::json;

json Golden() {
  const std::string path = std::string(HONE_SOURCE_DIR) + "/tests/golden/environments.json";
  return json::parse(ReadFile(path).value());
}

// Every step of Gymnasium's, each from the state that its own steps before have led to.
template <class Equations>
void ExpectGoldenSteps(const std::string& name) {
  const json golden = Golden();
  for (const json& episode : golden.at(name)) {
    auto state = episode.at("start").get<typename Equations::State>();
    for (const json& step : episode.at("steps")) {
      state = Equations::Advance(state, step.at("action").get<int64_t>());
      const auto wanted = step.at("state").get<typename Equations::State>();
      for (size_t i = 0; i < state.size(); ++i) {
        EXPECT_NEAR(state[i], wanted[i], 1e-6) << name << ", number " << i << " of " << step;
      }
      EXPECT_EQ(Equations::Ends(state), step.at("ended").get<bool>()) << name << ", " << step;
    }
  }
}

TEST(CartPole, TakesTheFirstStepsOfGymnasium) { ExpectGoldenSteps<CartPole>("cart_pole"); }
TEST(MountainCar, TakesTheFirstStepsOfGymnasium) { ExpectGoldenSteps<MountainCar>("mountain_car"); }
TEST(Acrobot, TakesTheFirstStepsOfGymnasium) { ExpectGoldenSteps<Acrobot>("acrobot"); }

std::vector<float> Seen(const Environment& environment) {
  std::vector<std::byte> record(static_cast<size_t>(environment.spec().record_bytes));
  std::vector<float> seen(static_cast<size_t>(environment.spec().observation_size()));
  environment.Record(record);
  environment.Observe(record, seen);
  return seen;
}

// What an agent is told of the same steps. A saved episode is its state and how many steps it has.
template <class Equations>
void ExpectGoldenOutcomes(Control control, const std::string& name) {
  const json golden = Golden();
  for (const json& episode : golden.at(name)) {
    struct {
      typename Equations::State state;
      int64_t steps = 0;
    } begun{.state = episode.at("start").get<typename Equations::State>()};
    const std::unique_ptr<Environment> environment = MakeEnvironment(control);
    ASSERT_TRUE(environment->Restore({reinterpret_cast<const char*>(&begun), sizeof(begun)}).ok());
    for (const json& step : episode.at("steps")) {
      const Outcome outcome = environment->Step(step.at("action").get<int64_t>());
      EXPECT_EQ(outcome.reward, step.at("reward").get<float>()) << name << ", " << step;
      EXPECT_EQ(outcome.terminated, step.at("ended").get<bool>()) << name << ", " << step;
      EXPECT_FALSE(outcome.truncated);
      EXPECT_THAT(Seen(*environment),
                  ::testing::Pointwise(::testing::FloatNear(1e-6f),
                                       step.at("seen").get<std::vector<float>>()))
          << name << ", " << step;
    }
  }
}

TEST(CartPole, TellsOfItsFirstStepsWhatGymnasiumDoes) {
  ExpectGoldenOutcomes<CartPole>(Control::kCartPole, "cart_pole");
}
TEST(MountainCar, TellsOfItsFirstStepsWhatGymnasiumDoes) {
  ExpectGoldenOutcomes<MountainCar>(Control::kMountainCar, "mountain_car");
}
TEST(Acrobot, TellsOfItsFirstStepsWhatGymnasiumDoes) {
  ExpectGoldenOutcomes<Acrobot>(Control::kAcrobot, "acrobot");
}

// The rewards of an episode in which the action is always the same one.
Outcome LastOutcome(Control control, int64_t action, float& sum, int64_t& steps) {
  const std::unique_ptr<Environment> environment = MakeEnvironment(control);
  environment->Reset(7);
  Outcome outcome;
  do {
    outcome = environment->Step(action);
    sum += outcome.reward;
    ++steps;
  } while (!outcome.terminated && !outcome.truncated);
  return outcome;
}

TEST(ControlEnvironment, EndsTheEpisodeOfAPoleThatFalls) {
  float sum = 0;
  int64_t steps = 0;
  const Outcome outcome = LastOutcome(Control::kCartPole, 1, sum, steps);
  EXPECT_TRUE(outcome.terminated);
  EXPECT_FALSE(outcome.solved);
  EXPECT_EQ(sum, static_cast<float>(steps));
  EXPECT_LT(steps, 15);
}

TEST(ControlEnvironment, CutsAnEpisodeShortAndDoesNotCallThatItsEnd) {
  float sum = 0;
  int64_t steps = 0;
  const Outcome outcome = LastOutcome(Control::kMountainCar, 1, sum, steps);
  EXPECT_FALSE(outcome.terminated);
  EXPECT_TRUE(outcome.truncated);
  EXPECT_FALSE(outcome.solved);
  EXPECT_EQ(steps, 200);
  EXPECT_EQ(sum, -200);
}

TEST(ControlEnvironment, SavedAndRestoredGoesOnAsIfNothingHadBeen) {
  for (const Control control : {Control::kCartPole, Control::kMountainCar, Control::kAcrobot}) {
    const std::unique_ptr<Environment> one = MakeEnvironment(control);
    const std::unique_ptr<Environment> other = MakeEnvironment(control);
    one->Reset(3);
    one->Step(0);
    ASSERT_TRUE(other->Restore(one->Save()).ok());
    one->Step(1);
    other->Step(1);
    EXPECT_EQ(Seen(*one), Seen(*other));
  }
}

TEST(ControlEnvironment, BeginsDifferentlyAfterEachSeedAndEquallyAfterTheSame) {
  const std::unique_ptr<Environment> environment = MakeEnvironment(Control::kAcrobot);
  environment->Reset(3);
  const std::vector<float> first = Seen(*environment);
  environment->Reset(4);
  EXPECT_NE(Seen(*environment), first);
  environment->Reset(3);
  EXPECT_EQ(Seen(*environment), first);
}

}  // namespace
}  // namespace hone::engine::environments
