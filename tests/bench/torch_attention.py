#!/usr/bin/env python3
"""Attention alone in PyTorch, forward and backward, timed: the peer of hone-bench-attention, whose shapes these are.

    torch_attention.py SHAPE PRECISION MODE [SECONDS]

SHAPE: gpt128, gpt256, minilm; PRECISION: f32 or bf16, of the tensors; MODE: eager or compile. scaled_dot_product_attention without dropout, heads
apart already; the backward pass gives the gradients of queries, keys and values. Two threads. Prints one line of JSON.
"""
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

from timing import timing_of

SHAPES = {"gpt128": (12, 4, 64, 32, True), "gpt256": (8, 4, 256, 64, True), "minilm": (16, 12, 128, 32, False)}  # [sequences, heads, tokens, dim], causal


def main():
    name, precision, mode = sys.argv[1:4]
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 2.0
    torch.set_num_threads(2)
    torch.manual_seed(1)
    *shape, causal = SHAPES[name]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    q, k, v = (torch.rand(shape).sub(0.5).to(dtype).requires_grad_() for _ in range(3))
    dy = torch.rand(shape).sub(0.5).to(dtype)

    def attend(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    if mode == "compile":
        attend = torch.compile(attend)
    forward, backward, both = [], [], []

    def step():
        begin = time.perf_counter()
        y = attend(q, k, v)
        middle = time.perf_counter()
        torch.autograd.grad(y, (q, k, v), dy)
        end = time.perf_counter()
        return middle - begin, end - middle, end - begin

    for _ in range(5):
        step()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(both) < 20:
        for times, one in zip((forward, backward, both), step()):
            times.append(one)
    print(json.dumps({"net": name, "mode": mode, "precision": precision, **timing_of(both), "forward_ms": 1e3 * statistics.median(forward),
                      "backward_ms": 1e3 * statistics.median(backward), "torch": torch.__version__}))


main()
