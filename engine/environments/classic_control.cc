#include "engine/environments/classic_control.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "engine/base/rng.h"

namespace hone::engine::environments {
namespace {

using std::numbers::pi;

template <size_t N>
std::array<double, N> Uniform(RandomStream& random, double low, double high) {
  std::array<double, N> values;
  for (double& value : values) {
    value = low + (high - low) * double{random.NextUnit()};
  }
  return values;
}

// What an environment is beside its equations.
template <class Equations>
struct Rules;

template <>
struct Rules<CartPole> {
  static EnvironmentSpec Spec() {
    return {.observation = {4},
            .observation_names = {"position", "velocity", "angle", "angular_velocity"},
            .actions = {"left", "right"},
            .most_steps = 500};
  }
  static CartPole::State Start(RandomStream& random) { return Uniform<4>(random, -0.05, 0.05); }
  static float Reward(bool) { return 1; }
  static bool Solved(bool ended) { return !ended; }  // it still stands
  static void See(const CartPole::State& state, float* out) {
    std::ranges::transform(state, out, [](double value) { return static_cast<float>(value); });
  }
};

template <>
struct Rules<MountainCar> {
  static EnvironmentSpec Spec() {
    return {.observation = {2},
            .observation_names = {"position", "velocity"},
            .actions = {"left", "none", "right"},
            .most_steps = 200};
  }
  static MountainCar::State Start(RandomStream& random) {
    return {Uniform<1>(random, -0.6, -0.4)[0], 0};
  }
  static float Reward(bool) { return -1; }
  static bool Solved(bool ended) { return ended; }
  static void See(const MountainCar::State& state, float* out) {
    out[0] = static_cast<float>(state[0]);
    out[1] = static_cast<float>(state[1]);
  }
};

template <>
struct Rules<Acrobot> {
  static EnvironmentSpec Spec() {
    return {.observation = {6},
            .observation_names = {"cos_1", "sin_1", "cos_2", "sin_2", "velocity_1", "velocity_2"},
            .actions = {"back", "none", "forth"},
            .most_steps = 500};
  }
  static Acrobot::State Start(RandomStream& random) { return Uniform<4>(random, -0.1, 0.1); }
  static float Reward(bool ended) { return ended ? 0 : -1; }
  static bool Solved(bool ended) { return ended; }
  static void See(const Acrobot::State& state, float* out) {
    const double seen[] = {std::cos(state[0]), std::sin(state[0]), std::cos(state[1]),
                           std::sin(state[1]), state[2],           state[3]};
    std::ranges::transform(seen, out, [](double value) { return static_cast<float>(value); });
  }
};

template <class Equations>
class ControlEnvironment final : public Environment {
 public:
  ControlEnvironment() {
    spec_.record_bytes = spec_.observation_size() * static_cast<int64_t>(sizeof(float));
  }

  const EnvironmentSpec& spec() const override { return spec_; }

  void Reset(uint64_t seed) override {
    RandomStream random(seed, "episode");
    Begin(random);
  }
  void ResetForEvaluation(int64_t episode) override {
    RandomStream random(0, "evaluated episode", static_cast<uint64_t>(episode));
    Begin(random);
  }

  Outcome Step(int64_t action) override {
    running_.state = Equations::Advance(running_.state, action);
    ++running_.steps;
    const bool ends = Equations::Ends(running_.state);
    const bool last = running_.steps >= spec_.most_steps;
    return {.reward = Rules<Equations>::Reward(ends),
            .terminated = ends,
            .truncated = last && !ends,
            .solved = (ends || last) && Rules<Equations>::Solved(ends)};
  }

  void Record(std::span<std::byte> record) const override {
    std::array<float, 8> seen;
    Rules<Equations>::See(running_.state, seen.data());
    std::memcpy(record.data(), seen.data(), record.size());
  }
  void Observe(std::span<const std::byte> record, std::span<float> observation) const override {
    std::memcpy(observation.data(), record.data(), record.size());
  }

  std::string Save() const override {
    return {reinterpret_cast<const char*>(&running_), sizeof(running_)};
  }
  absl::Status Restore(const std::string& bytes) override {
    if (bytes.size() != sizeof(running_)) {
      return absl::InvalidArgumentError("the saved episode is not one of this environment");
    }
    std::memcpy(&running_, bytes.data(), sizeof(running_));
    return absl::OkStatus();
  }

 private:
  void Begin(RandomStream& random) {
    running_ = {.state = Rules<Equations>::Start(random), .steps = 0};
  }

  struct Episode {
    typename Equations::State state;
    int64_t steps;
  };

  EnvironmentSpec spec_ = Rules<Equations>::Spec();
  Episode running_ = {};
};

// The angle between −π and π.
double Wrap(double angle) {
  while (angle > pi) {
    angle -= 2 * pi;
  }
  while (angle < -pi) {
    angle += 2 * pi;
  }
  return angle;
}

// Both links have mass and length 1, their centres in the middle and moments of inertia of 1.
Acrobot::State AcrobotDerivative(const Acrobot::State& state, double torque) {
  constexpr double kMass = 1, kLength = 1, kCentre = 0.5, kInertia = 1, kGravity = 9.8;
  const auto [angle1, angle2, velocity1, velocity2] = state;
  const double d1 =
      kMass * kCentre * kCentre +
      kMass * (kLength * kLength + kCentre * kCentre + 2 * kLength * kCentre * std::cos(angle2)) +
      kInertia + kInertia;
  const double d2 = kMass * (kCentre * kCentre + kLength * kCentre * std::cos(angle2)) + kInertia;
  const double phi2 = kMass * kCentre * kGravity * std::cos(angle1 + angle2 - pi / 2);
  const double phi1 = -kMass * kLength * kCentre * velocity2 * velocity2 * std::sin(angle2) -
                      2 * kMass * kLength * kCentre * velocity2 * velocity1 * std::sin(angle2) +
                      (kMass * kCentre + kMass * kLength) * kGravity * std::cos(angle1 - pi / 2) +
                      phi2;
  const double acceleration2 =
      (torque + d2 / d1 * phi1 -
       kMass * kLength * kCentre * velocity1 * velocity1 * std::sin(angle2) - phi2) /
      (kMass * kCentre * kCentre + kInertia - d2 * d2 / d1);
  const double acceleration1 = -(d2 * acceleration2 + phi1) / d1;
  return {velocity1, velocity2, acceleration1, acceleration2};
}

}  // namespace

CartPole::State CartPole::Advance(const State& state, int64_t action) {
  constexpr double kGravity = 9.8, kPoleMass = 0.1, kMass = 1.0 + kPoleMass, kHalfLength = 0.5;
  constexpr double kForce = 10, kSeconds = 0.02;
  const auto [x, velocity, angle, angular] = state;
  const double force = action == 1 ? kForce : -kForce;
  const double cosine = std::cos(angle), sine = std::sin(angle);
  const double pushed = (force + kPoleMass * kHalfLength * angular * angular * sine) / kMass;
  const double angular_acceleration =
      (kGravity * sine - cosine * pushed) /
      (kHalfLength * (4.0 / 3.0 - kPoleMass * cosine * cosine / kMass));
  const double acceleration =
      pushed - kPoleMass * kHalfLength * angular_acceleration * cosine / kMass;
  return {x + kSeconds * velocity, velocity + kSeconds * acceleration, angle + kSeconds * angular,
          angular + kSeconds * angular_acceleration};
}

bool CartPole::Ends(const State& state) {
  constexpr double kFarthest = 2.4, kMostAngle = 12 * 2 * pi / 360;
  return std::abs(state[0]) > kFarthest || std::abs(state[2]) > kMostAngle;
}

MountainCar::State MountainCar::Advance(const State& state, int64_t action) {
  constexpr double kForce = 0.001, kGravity = 0.0025, kFastest = 0.07;
  constexpr double kLeft = -1.2, kRight = 0.6;
  double velocity =
      state[1] + static_cast<double>(action - 1) * kForce - std::cos(3 * state[0]) * kGravity;
  velocity = std::clamp(velocity, -kFastest, kFastest);
  const double position = std::clamp(state[0] + velocity, kLeft, kRight);
  if (position == kLeft && velocity < 0) {
    velocity = 0;  // the left end is a wall
  }
  return {position, velocity};
}

bool MountainCar::Ends(const State& state) { return state[0] >= 0.5 && state[1] >= 0; }

Acrobot::State Acrobot::Advance(const State& state, int64_t action) {
  constexpr double kSeconds = 0.2, kFastest1 = 4 * pi, kFastest2 = 9 * pi;
  const auto torque = static_cast<double>(action - 1);
  const auto ahead = [&](const State& slope, double seconds) {
    State next = state;
    for (size_t i = 0; i < next.size(); ++i) {
      next[i] += seconds * slope[i];
    }
    return AcrobotDerivative(next, torque);
  };
  const State k1 = AcrobotDerivative(state, torque);
  const State k2 = ahead(k1, kSeconds / 2), k3 = ahead(k2, kSeconds / 2);
  const State k4 = ahead(k3, kSeconds);
  State next = state;
  for (size_t i = 0; i < next.size(); ++i) {
    next[i] += kSeconds / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
  }
  return {Wrap(next[0]), Wrap(next[1]), std::clamp(next[2], -kFastest1, kFastest1),
          std::clamp(next[3], -kFastest2, kFastest2)};
}

bool Acrobot::Ends(const State& state) {
  return -std::cos(state[0]) - std::cos(state[1] + state[0]) > 1;
}

std::unique_ptr<Environment> MakeControlEnvironment(Control control) {
  switch (control) {
    case Control::kCartPole:
      return std::make_unique<ControlEnvironment<CartPole>>();
    case Control::kMountainCar:
      return std::make_unique<ControlEnvironment<MountainCar>>();
    case Control::kAcrobot:
      return std::make_unique<ControlEnvironment<Acrobot>>();
  }
  return nullptr;
}

}  // namespace hone::engine::environments
