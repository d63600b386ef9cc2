#!/usr/bin/env python3
"""Makes lora_step.json: the first training step of a net with low-rank adapters by PyTorch in float64, the truth of tests/engine/lora_test.cc.

    ~/.cache/hone/torch/bin/python tests/golden/lora_step.py > tests/golden/lora_step.json

The arithmetic is that of peft (tuners/lora/layer.py): base(x) + lora_B(lora_A(x)) * scaling, scaling alpha / r, or alpha / sqrt(r) with rsLoRA, A [r, in]
and B [out, r]. The net is a gated feed-forward part as Llama has it, whose three products have adapters of their own ranks, and a dense layer without
one. Weights are [out, in]. B is not zero here, so that A has a gradient, too. Numbers and measures are explained in first_step.py.
"""
import json

import numpy as np
import torch
import torch.nn.functional as F

import first_step

ROWS, WIDTH, HIDDEN, CLASSES = 6, 10, 14, 5
RANKS = {"feed_forward.gate": (3, 6.0), "feed_forward.up": (2, 5.0), "feed_forward.down": (3, 6.0)}


def product(net, x, name, units, adapter, rslora):
    weight = net.parameter(f"{name}.weight", (units, x.shape[1]), 0, (3 / x.shape[1]) ** 0.5)
    y = F.linear(x, weight, net.parameter(f"{name}.bias", (units,), 0, 0.125))
    if adapter:
        rank, alpha = RANKS[name]
        a = net.parameter(f"{name}.lora_A.weight", (rank, x.shape[1]), 0, (3 / x.shape[1]) ** 0.5)
        b = net.parameter(f"{name}.lora_B.weight", (units, rank), 0, 0.5)
        y = y + F.linear(F.linear(x, a), b) * (alpha / (rank**0.5 if rslora else rank))
    return y


def step(rslora):
    net = first_step.Net()
    numbers = first_step.stream(first_step.PIXELS, ROWS * WIDTH)
    x = torch.tensor((numbers % np.uint64(256)).astype(np.float64).reshape(ROWS, WIDTH) / 128 - 1)
    labels = torch.tensor((first_step.stream(first_step.LABELS, ROWS) % np.uint64(CLASSES)).astype(np.int64))
    gate = product(net, x, "feed_forward.gate", HIDDEN, True, rslora)
    up = product(net, x, "feed_forward.up", HIDDEN, True, rslora)
    y = product(net, F.silu(gate) * up, "feed_forward.down", WIDTH, True, rslora)
    loss = F.cross_entropy(product(net, y, "head", CLASSES, False, rslora), labels, reduction="sum")
    loss.backward()
    rows = [row | {"gradient": first_step.measure(net.tensors[row["name"]].grad)} for row in net.rows]
    return {"loss_sum": loss.item(), "parameters": rows}


def main():
    print(json.dumps({"lora": step(False), "rslora": step(True)}))


if __name__ == "__main__":
    main()
