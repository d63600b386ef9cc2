#!/usr/bin/env python3
"""An epoch of matrix factorisation in PyTorch, timed: the peer that `hone run client/examples/ratings.yaml` is held against.

    torch_ratings.py BATCH WIDTH MODE [SECONDS]

100,000 made-up ratings of 400 items by 600 users, factors of WIDTH and biases, mean squared error. MODE: eager or compile (dense
gradients, fused AdamW), or sparse (nn.Embedding(sparse=True) with SparseAdam, which moves the rows of a batch alone, as ours does). An epoch is a permutation, the
columns in its order, and slices of them: forward, backward and update; the loss is read once an epoch. With one thread and with two, whichever is faster: so small
steps gain little by a second. Prints one line of JSON: the epoch's median in milliseconds.
"""
import json
import statistics
import sys
import time

import torch
from torch import nn

RATINGS, USERS, ITEMS = 100_000, 600, 400


class Factors(nn.Module):
    def __init__(self, width, sparse):
        super().__init__()
        self.user_factors = nn.Embedding(USERS, width, sparse=sparse)
        self.item_factors = nn.Embedding(ITEMS, width, sparse=sparse)
        self.user_bias = nn.Embedding(USERS, 1, sparse=sparse)
        self.item_bias = nn.Embedding(ITEMS, 1, sparse=sparse)
        for table in (self.user_factors, self.item_factors):
            nn.init.normal_(table.weight, std=0.05)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)

    def forward(self, user, item):
        match = (self.user_factors(user) * self.item_factors(item)).sum(1)
        return match + self.user_bias(user).squeeze(1) + self.item_bias(item).squeeze(1)


def measure(batch, width, mode, threads, seconds):
    """The median of an epoch's seconds, and the last loss."""
    torch.set_num_threads(threads)
    torch._dynamo.reset()  # what is compiled knows for how many threads
    torch.manual_seed(1)
    users, items = torch.randint(0, USERS, (RATINGS,)), torch.randint(0, ITEMS, (RATINGS,))
    ratings = torch.randn(RATINGS)
    net = Factors(width, sparse=mode == "sparse")
    criterion = nn.MSELoss()

    def loss_of(users, items, ratings):
        return criterion(net(users, items), ratings)

    if mode == "compile":
        loss_of = torch.compile(loss_of)
    optimizer = torch.optim.SparseAdam(list(net.parameters()), lr=0.01) if mode == "sparse" \
        else torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1, fused=True)

    def epoch():
        order = torch.randperm(RATINGS)
        for part in zip(*(column[order].split(batch) for column in (users, items, ratings))):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(*part)
            loss.backward()
            optimizer.step()
        return loss.item()

    epoch()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        begin = time.perf_counter()
        loss = epoch()
        times.append(time.perf_counter() - begin)
    return statistics.median(times), loss


def main():
    batch, width, mode = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 2.0
    times = {threads: measure(batch, width, mode, threads, seconds / 2) for threads in (1, 2)}
    best = min(times, key=times.get)
    print(json.dumps({"batch": batch, "mode": mode, "threads": best, "epoch_ms": 1e3 * times[best][0], "loss": times[best][1],
                      "torch": torch.__version__}))


main()
