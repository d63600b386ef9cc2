#!/usr/bin/env python3
"""One update of deep Q-learning in PyTorch, timed: the peer of hone-bench-agent's.

    torch_agent.py MODE THREADS [SECONDS]

A net of 4-128-128-2, batches of 128 drawn from a replay of 10,000 transitions in tensors, a target network, the Huber loss, Adam. MODE:
eager; compile, the two networks; compile_loss, all from the drawn rows to the loss as one piece. Prints one line of JSON: the median in milliseconds over chunks of steps.
"""
import json
import statistics
import sys
import time

import torch
from torch import nn


def make_net():
    return nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))


def main():
    mode = sys.argv[1]
    threads = int(sys.argv[2])
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 2.0
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    net, target = make_net(), make_net()
    target.load_state_dict(net.state_dict())
    size, batch = 10_000, 128
    before, after = torch.randn(size, 4), torch.randn(size, 4)
    actions, rewards, ends = torch.randint(0, 2, (size, 1)), torch.ones(size), (torch.rand(size) < 0.01).float()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)
    if mode == "compile":
        net, target = torch.compile(net), torch.compile(target)

    def loss_of(rows):
        with torch.no_grad():
            wanted = rewards[rows] + 0.99 * target(after[rows]).max(dim=1).values * (1 - ends[rows])
        values = net(before[rows]).gather(1, actions[rows]).squeeze(1)
        return nn.functional.smooth_l1_loss(values, wanted)

    if mode == "compile_loss":
        loss_of = torch.compile(loss_of)

    def step():
        rows = torch.randint(0, size, (batch,))
        loss = loss_of(rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    for _ in range(50):
        step()
    chunks, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(chunks) < 5:
        begin = time.perf_counter()
        for _ in range(50):
            step()
        chunks.append((time.perf_counter() - begin) / 50)
    print(json.dumps({"mode": mode, "threads": threads, "learn_ms": 1e3 * statistics.median(chunks), "torch": torch.__version__}))


main()
