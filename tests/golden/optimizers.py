#!/usr/bin/env python3
"""Makes optimizers.json, the golden numbers of tests/engine/optim_golden_test.cc: three updates of each optimizer by torch.optim in
float64.

    ~/.cache/hone/torch/bin/python tests/golden/optimizers.py > tests/golden/optimizers.json
"""
import json

import torch

START = [0.5, -1.25, 2.0]
GRADIENTS = [[0.1, -0.7, 0.3], [-0.4, 0.25, 0.9], [1.5, 0.05, -0.6]]
OPTIMIZERS = {
    "Sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "Momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01, eps=1e-12, weight_decay=0.02),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, eps=1e-12, weight_decay=0.1),
    "RmsProp": lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-7),
    "RmsPropCentered": lambda p: torch.optim.RMSprop(
        p, lr=0.01, alpha=0.9, eps=1e-7, momentum=0.9, centered=True, weight_decay=0.02),
}

golden = {}
for name, make in OPTIMIZERS.items():
    weight = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = make([weight])
    for gradient in GRADIENTS:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    golden[name] = weight.tolist()
print(json.dumps(golden, indent=1))
