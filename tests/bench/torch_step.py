#!/usr/bin/env python3
"""One training step of PyTorch, timed: the peer that our step is held against.

    torch_step.py NET BATCH PRECISION MODE [SECONDS]

NET: s1 (the CNN) or s9 (the MLP); PRECISION: f32 or bf16 (autocast); MODE: eager, channels_last or compile. Two threads, Adam, made-up
data, the loss read at the end of the timing only. Prints one line of JSON: the step's median in milliseconds over chunks of steps.
"""
import json
import sys
import time

import torch
from torch import nn

from timing import peak_rss_mb, timing_of


def make_net(name):
    if name == "s1":
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(1600, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


def main():
    net_name, batch, precision, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    seconds = float(sys.argv[5]) if len(sys.argv) > 5 else 2.0
    torch.set_num_threads(2)
    torch.manual_seed(1)
    net = make_net(net_name)
    images = torch.randint(0, 256, (batch, 1, 28, 28), dtype=torch.uint8)
    labels = torch.randint(0, 10, (batch,))
    if mode == "channels_last":
        net = net.to(memory_format=torch.channels_last)
    if mode == "compile":
        net = torch.compile(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-7, fused=True)
    criterion = nn.CrossEntropyLoss()

    def step():
        x = images.float().div_(255)
        if mode == "channels_last":
            x = x.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = criterion(net(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(20):
        step()
    chunks, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(chunks) < 5:
        begin = time.perf_counter()
        for _ in range(10):
            loss = step()
        chunks.append(time.perf_counter() - begin)
    print(json.dumps({"net": net_name, "batch": batch, "precision": precision, "mode": mode,
                      **timing_of(chunks, steps_each=10), "loss": loss.item(), "peak_rss_mb": peak_rss_mb(), "torch": torch.__version__}))


main()
