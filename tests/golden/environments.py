#!/usr/bin/env python3
"""Makes environments.json, the golden numbers of tests/engine/classic_control_test.cc: the first steps of Gymnasium's CartPole-v1,
MountainCar-v0 and Acrobot-v1 from given states, with the state after each step, what is seen of it, the reward, and whether it ended the episode.

    python3 tests/support/environments.py gymnasium
    ~/.cache/hone/gymnasium/bin/python tests/golden/environments.py > tests/golden/environments.json
"""
import json
import random

import gymnasium
import numpy

# Name: the environment, its number of actions, and states to begin from: at rest, and near a bound of the episode or of the state.
ENVIRONMENTS = {
    "cart_pole": ("CartPole-v1", 2, [[0.01, -0.02, 0.03, 0.04], [2.3, 1.5, -0.1, -0.8]]),
    "mountain_car": ("MountainCar-v0", 3, [[-0.5, 0.0], [-1.19, -0.06], [0.45, 0.06]]),
    "acrobot": ("Acrobot-v1", 3, [[0.05, -0.02, 0.01, 0.08], [2.9, 1.4, 7.0, -20.0]]),
}
STEPS = 40


def steps_from(name, actions, start, draw):
    env = gymnasium.make(name).unwrapped
    env.reset(seed=1)
    env.state = numpy.array(start, dtype=numpy.float64)
    steps = []
    for _ in range(STEPS):
        action = draw.randrange(actions)
        seen, reward, ended, _, _ = env.step(action)
        steps.append({"action": action, "state": [float(x) for x in env.state], "seen": [float(x) for x in seen], "reward": float(reward), "ended": bool(ended)})
        if ended:
            break
    return {"start": start, "steps": steps}


golden = {}
for key, (name, actions, starts) in ENVIRONMENTS.items():
    draw = random.Random(key)
    golden[key] = [steps_from(name, actions, start, draw) for start in starts]
print(json.dumps(golden))
