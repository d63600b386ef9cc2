#!/usr/bin/env python3
"""Makes first_updates_of_agent.json: the first four updates of deep Q-learning by PyTorch in float64, the truth of
tests/engine/q_learning_golden_test.cc. Numbers and measures are those of first_step.py.

    ~/.cache/hone/torch/bin/python tests/golden/first_updates_of_agent.py > tests/golden/first_updates_of_agent.json

Two copies of Gymnasium's CartPole-v1 act at random, by the random numbers that Hone has (counter_random.py). Returns of three steps go into a
replay that forgets and from which is drawn by errors (Schaul et al. 2016), values are dueling (Wang et al. 2016) and the action after is chosen by
the network and valued by its target (van Hasselt et al. 2016); Huber's loss, rewards cut to ± CLIP, Adam. Before the third update the target is copied
anew. Kept are the losses and how far each parameter of both networks has moved.
"""
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

import counter_random
import first_step

SEED, COPIES, ROUNDS, STARTS, UPDATES, BATCH, UNITS, ACTIONS = 5, 2, 2, 64, 4, 16, 12, 2
CAPACITY, N_STEP, TARGET_EVERY, ALPHA, BETA = 50, 3, 8, 0.6, 0.4
DISCOUNT, DELTA, CLIP = first_step.f32(0.9), first_step.f32(1.75), first_step.f32(0.8)
STEPS = STARTS + (UPDATES - 1) * COPIES * ROUNDS


def advance(state, action):
    """Gymnasium's cartpole.py, its Euler integrator; and whether the episode has ended."""
    x, velocity, angle, angular = state
    force, total, pole, half = (10.0 if action == 1 else -10.0), 1.1, 0.1, 0.5
    cosine, sine = math.cos(angle), math.sin(angle)
    temp = (force + pole * half * angular**2 * sine) / total
    turned = (9.8 * sine - cosine * temp) / (half * (4.0 / 3.0 - pole * cosine**2 / total))
    pushed = temp - pole * half * turned * cosine / total
    after = (x + 0.02 * velocity, velocity + 0.02 * pushed, angle + 0.02 * angular, angular + 0.02 * turned)
    return after, abs(after[0]) > 2.4 or abs(after[2]) > 12 * 2 * math.pi / 360


class Replay:
    """Transitions (before, action, return, discount, after), the oldest forgotten, and their priorities."""

    def __init__(self):
        self.rows, self.priorities, self.next, self.most = [], [], 0, 1.0

    def add(self, row):
        if len(self.rows) < CAPACITY:
            self.rows.append(row)
            self.priorities.append(self.most)
        else:
            self.rows[self.next], self.priorities[self.next] = row, self.most
        self.next = (self.next + 1) % CAPACITY

    def draw(self, random, beta):
        sums = np.cumsum(self.priorities)
        wanted = np.array([sums[-1] / BATCH * (i + random.unit()) for i in range(BATCH)])
        assert abs(sums[:, None] - wanted).min() > 1e-5, "a draw is too near to its neighbour for float32"
        places = np.searchsorted(sums, wanted, side="right")
        weights = (len(self.rows) * np.array(self.priorities)[places] / sums[-1]) ** -beta
        return places, torch.tensor(weights / weights.max())

    def set_errors(self, places, errors):
        for place, error in zip(places, errors):
            self.priorities[place] = (abs(error) + 1e-6) ** ALPHA
            self.most = max(self.most, self.priorities[place])


class Actors:
    def __init__(self, replay):
        self.replay, self.begun, self.steps, self.ended = replay, 0, 0, 0
        self.states, self.waiting = [self.begin() for _ in range(COPIES)], [[] for _ in range(COPIES)]

    def begin(self):
        seed = counter_random.RandomStream(SEED, "episode", self.begun).wide()
        self.begun += 1
        random = counter_random.RandomStream(seed, "episode")
        return tuple(-0.05 + 0.1 * random.unit() for _ in range(4))

    def act(self):
        random = counter_random.RandomStream(SEED, "act", self.steps)
        actions = []
        for _ in range(COPIES):
            random.unit()  # whether to explore: always
            actions.append(random.below(ACTIONS))
        for copy, action in enumerate(actions):
            waiting, before = self.waiting[copy], self.states[copy]
            after, ended = advance(before, action)
            self.steps += 1
            waiting.append((before, action, min(max(1.0, -CLIP), CLIP)))
            while waiting and (ended or len(waiting) == N_STEP):
                total = sum(DISCOUNT**i * reward for i, (_, _, reward) in enumerate(waiting))
                self.replay.add((waiting[0][0], waiting[0][1], total, 0.0 if ended else DISCOUNT ** len(waiting), after))
                waiting.pop(0)
            self.ended += ended
            self.states[copy] = self.begin() if ended else after


def seen(states):
    return torch.tensor(np.array(states, dtype=np.float32).astype(np.float64))


def values(tensors, x):
    x = torch.tanh(x @ tensors["dense_1.weight"] + tensors["dense_1.bias"])
    x = x @ tensors["dense_2.weight"] + tensors["dense_2.bias"]
    return x[:, :1] + x[:, 1:] - x[:, 1:].mean(1, keepdim=True)


def main():
    torch.set_num_threads(2)
    net = first_step.Net()
    net.dense(torch.tanh(net.dense(torch.zeros((1, 4), dtype=torch.float64), "dense_1", UNITS)), "dense_2", 1 + ACTIONS)
    copy_of = lambda: {name: tensor.detach().clone() for name, tensor in net.tensors.items()}
    start, target, copied = copy_of(), None, 0
    optimizer = torch.optim.Adam(net.tensors.values(), 0.01, eps=1e-12)
    replay = Replay()
    actors = Actors(replay)
    losses, huber_ends, weighed = [], 0, 0
    for step in range(1, STEPS // (COPIES * ROUNDS) + 1):
        for _ in range(ROUNDS):
            actors.act()
        if actors.steps < STARTS:
            continue
        if target is None or actors.steps - copied >= TARGET_EVERY:
            target, copied = copy_of(), actors.steps
        places, weights = replay.draw(counter_random.RandomStream(SEED, "replay", step), BETA + (1 - BETA) * actors.steps / STEPS)
        before, taken, returns, discounts, after = zip(*(replay.rows[place] for place in places))
        with torch.no_grad():
            choosing = values(net.tensors, seen(after))
            assert (choosing[:, 0] - choosing[:, 1]).abs().min() > 1e-4
            worth = values(target, seen(after)).gather(1, choosing.argmax(1, keepdim=True))[:, 0]
            wanted = torch.tensor(returns) + torch.tensor(discounts) * worth
        said = values(net.tensors, seen(before)).gather(1, torch.tensor(taken)[:, None])[:, 0]
        loss = (weights * F.huber_loss(said, wanted, reduction="none", delta=DELTA)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors = (said - wanted).detach()
        replay.set_errors(places, errors.tolist())
        losses.append(loss.item())
        huber_ends += int((errors.abs() > DELTA).sum())
        weighed += int((weights < 0.999).sum())
        print(f"update {len(losses)}: {huber_ends} errors beyond delta, {weighed} weights below 1, {discounts.count(0.0)} last ones", file=sys.stderr)
    for row in net.rows:
        row["moved"] = first_step.measure(net.tensors[row["name"]].detach() - start[row["name"]])
        row["target_moved"] = first_step.measure(target[row["name"]] - start[row["name"]])
    first_step.write({"dqn": {"losses": losses, "episodes": actors.ended, "parameters": net.rows}})


main()
