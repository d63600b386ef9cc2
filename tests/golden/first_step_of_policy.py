#!/usr/bin/env python3
"""Makes first_step_of_policy.json: the first step of proximal policy optimisation by PyTorch in float64, the truth of
tests/engine/policy_learning_test.cc. Numbers and measures are those of first_step.py; the streams of the inputs stand behind those of the
parameters.

    ~/.cache/hone/torch/bin/python tests/golden/first_step_of_policy.py > tests/golden/first_step_of_policy.json
"""
import numpy as np
import torch
import torch.nn.functional as F

import first_step

FEATURES, TAKEN, LOG_TAKEN, ADVANTAGES, RETURNS = 101, 102, 103, 104, 105
BATCH, OBSERVATION, ACTIONS, UNITS = 24, 4, 2, 16
CLIP, VALUE, ENTROPY = first_step.f32(0.2), 0.5, first_step.f32(0.05)


def numbers(stream, shape, offset, scale):
    u = (first_step.stream(stream, int(np.prod(shape))) >> np.uint64(40)).astype(np.float64) / 2**23 - 1
    return torch.tensor((offset + scale * u).astype(np.float32).astype(np.float64).reshape(shape))


def network(net, x, name, units):
    x = torch.tanh(net.dense(x, f"{name}.dense_1", UNITS))
    return net.dense(x, f"{name}.dense_2", units)


def main():
    x = numbers(FEATURES, (BATCH, OBSERVATION), 0, 2)
    taken = torch.tensor((first_step.stream(TAKEN, BATCH) % ACTIONS).astype("int64"))
    log_taken, advantages = numbers(LOG_TAKEN, (BATCH,), -0.8, 0.4), numbers(ADVANTAGES, (BATCH,), 0, 2)
    returns = numbers(RETURNS, (BATCH, 1), 1, 3)
    net = first_step.Net()
    logs = F.log_softmax(network(net, x, "policy", ACTIONS), 1)
    ratio = torch.exp(logs.gather(1, taken[:, None])[:, 0] - log_taken)
    objective = torch.minimum(ratio * advantages, torch.clamp(ratio, 1 - CLIP, 1 + CLIP) * advantages)
    entropy = -(logs.exp() * logs).sum(1)
    values = network(net, x, "value", 1)
    loss = (-objective - ENTROPY * entropy).sum() + VALUE * F.mse_loss(values, returns, reduction="sum")
    loss.backward()
    for row in net.rows:
        row["gradient"] = first_step.measure(net.tensors[row["name"]].grad)
    outside = int(((ratio < 1 - CLIP) | (ratio > 1 + CLIP)).sum())
    first_step.write({"ppo": {"batch": BATCH, "loss_sum": loss.item(), "entropy": entropy.sum().item(), "clipped": outside,
                              "divergence": (ratio - 1 - ratio.log()).sum().item(), "parameters": net.rows}})


main()
