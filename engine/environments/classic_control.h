#pragma once

#include <array>
#include <memory>

#include "engine/environments/environment.h"

// Classic problems of control, by their published equations. All numbers are in SI units and
// radians. The constants, the bounds of episodes and the random starts are those of Gymnasium's
// CartPole-v1, MountainCar-v0 and Acrobot-v1, with whose first steps the tests compare.
namespace hone::engine::environments {

// A pole stands on a cart that is pushed to the left or to the right with 10 N. Barto, Sutton and
// Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems", IEEE
// Transactions on Systems, Man, and Cybernetics, 1983; without friction, Euler's method, 0.02 s.
// Reward 1 for each step; it ends when the pole leans by more than 12° or the cart is more than
// 2.4 m away, and is solved by 500 steps.
struct CartPole {
  using State = std::array<double, 4>;  // position, velocity, angle, angular velocity
  static State Advance(const State& state, int64_t action);  // 0: left, 1: right
  static bool Ends(const State& state);
};

// A car in a valley whose engine is too weak for the hill: it must swing. Moore, "Efficient
// memory-based learning for robot control", 1990. Reward −1 for each of at most 200 steps.
struct MountainCar {
  using State = std::array<double, 2>;                       // position, velocity
  static State Advance(const State& state, int64_t action);  // 0: left, 1: none, 2: right
  static bool Ends(const State& state);                      // is on the hill
};

// Two links hang from a joint; the motor between them must swing the end above a line. Sutton,
// "Generalization in reinforcement learning: successful examples using sparse coarse coding", 1996,
// with the equations as in Sutton and Barto's book; Runge-Kutta of 4th order, 0.2 s. Reward −1 for
// each of at most 500 steps, 0 for the last.
struct Acrobot {
  using State = std::array<double, 4>;  // angle 1, angle 2 (from the first link), their velocities
  static State Advance(const State& state, int64_t action);  // torque −1, 0, 1
  static bool Ends(const State& state);
};

enum class Control { kCartPole, kMountainCar, kAcrobot };
std::unique_ptr<Environment> MakeControlEnvironment(Control control);

}  // namespace hone::engine::environments
