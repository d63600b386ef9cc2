#!/usr/bin/env python3
"""Makes first_step.json: the first training step of three nets by PyTorch in float64, the truth of tests/engine/golden_test.cc.

    ~/.cache/hone/torch/bin/python tests/golden/first_step.py > tests/golden/first_step.json

Pictures, labels and starting weights come from a formula that both sides compute: number i of stream s is mix(s · 2³² + i), splitmix64's
last step. A parameter's number is offset + scale · u with u in [-1, 1), rounded to float32. Everything is in Hone's layout: a dense weight
is [in, out], PyTorch's transposed.

A gradient is not stored but measured: its norm and its sums under 64 patterns of signs, pattern k giving element i the sign of bit k of
mix(i). For a difference d of two tensors the mean of (pattern · d)² is |d|² in expectation, and the root of the mean over 64 patterns is
within an eleventh of |d| (one deviation); an error e in one element alone moves every sum by exactly e. So no wrong element can hide, in 60 KB instead of 6 MB.
"""
import json

import numpy as np
import torch
import torch.nn.functional as F

PIXELS, LABELS = 1, 2  # streams; parameters follow


def mix(x):
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def stream(number, count):
    return mix((np.uint64(number) << np.uint64(32)) + np.arange(count, dtype=np.uint64))


def f32(x):
    """The double that a float of ours stands for."""
    return float(np.float32(x))


class Net:
    """Parameters in the order of Hone's graph, and layers that use PyTorch alone."""

    def __init__(self):
        self.rows, self.tensors = [], {}

    def parameter(self, name, shape, offset, scale):
        count = int(np.prod(shape))
        row = {"name": name, "shape": list(shape), "stream": 3 + len(self.rows), "offset": offset, "scale": scale}
        u = (stream(row["stream"], count) >> np.uint64(40)).astype(np.float64) / 2**23 - 1
        values = (offset + scale * u).astype(np.float32).astype(np.float64).reshape(shape)
        self.rows.append(row)
        self.tensors[name] = torch.tensor(values, requires_grad=True)
        return self.tensors[name]

    def dense(self, x, name, units):
        fan_in = x.shape[1]
        weight = self.parameter(f"{name}.weight", (fan_in, units), 0, (3 / fan_in) ** 0.5)
        return x @ weight + self.parameter(f"{name}.bias", (units,), 0, 0.125)

    def conv(self, x, name, filters, kernel, stride=1, same=False, bias=False):
        fan_in = x.shape[1] * kernel * kernel
        weight = self.parameter(f"{name}.weight", (filters, x.shape[1], kernel, kernel), 0, (3 / fan_in) ** 0.5)
        offset = self.parameter(f"{name}.bias", (filters,), 0, 0.125) if bias else None
        if same:  # as TensorFlow's: just enough, the odd row and column behind
            extent = x.shape[2]
            total = max((-(-extent // stride) - 1) * stride + kernel - extent, 0)
            x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, weight, offset, stride)

    def norm(self, x, name):
        scale = self.parameter(f"{name}.weight", (x.shape[1],), 1, 0.25)
        shift = self.parameter(f"{name}.bias", (x.shape[1],), 0, 0.125)
        return F.batch_norm(x, None, None, scale, shift, training=True, eps=f32(1e-5))


def cnn(net, x):
    x = F.max_pool2d(F.relu(net.conv(x, "conv2d_1", 32, 3, bias=True)), 2)
    x = F.max_pool2d(F.relu(net.conv(x, "conv2d_2", 64, 3, bias=True)), 2)
    x = F.relu(net.dense(x.flatten(1), "dense_1", 64))
    return net.dense(x, "dense_2", 10)


def mlp(net, x):
    x = F.relu(net.dense(x.flatten(1), "dense_1", 512))
    return net.dense(F.relu(net.dense(x, "dense_2", 256)), "dense_3", 10)


def residual(net, x):
    def block(x, name, filters, stride=1, shortcut=False):
        y = F.relu(net.norm(net.conv(x, f"{name}1", filters, 3, stride, same=True), f"{name}1_norm"))
        y = net.norm(net.conv(y, f"{name}2", filters, 3, same=True), f"{name}2_norm")
        if shortcut:
            x = net.norm(net.conv(x, f"{name}_short", filters, 1, stride, same=True), f"{name}_short_norm")
        return F.relu(y + x)

    x = F.relu(net.norm(net.conv(x, "stem", 16, 3, same=True), "stem_norm"))
    x = block(x, "a", 16)
    x = block(x, "b", 32, stride=2, shortcut=True)
    x = block(x, "c", 64, stride=2, shortcut=True)
    x = block(x, "d", 64)
    return net.dense(x.mean((2, 3)), "dense_1", 10)


def measure(gradient):
    flat = gradient.numpy().ravel()
    bits = stream(0, flat.size)
    sums = [float(np.where((bits >> np.uint64(k)) & np.uint64(1), -flat, flat).sum()) for k in range(64)]
    return {"norm": float(np.linalg.norm(flat)), "sums": sums}


def first_step(build, batch, picture, mean=None, std=None, smoothing=0.0):
    count = batch * int(np.prod(picture))
    pixels = (stream(PIXELS, count) & np.uint64(255)).astype(np.float64).reshape(batch, *picture)
    labels = torch.tensor((stream(LABELS, batch) % np.uint64(10)).astype(np.int64))
    x = torch.tensor(pixels * f32(1 / 255))
    if mean is not None:
        channels = (1, -1, 1, 1)
        x = (x - torch.tensor([f32(m) for m in mean]).double().view(channels)) / torch.tensor(
            [f32(s) for s in std]).double().view(channels)
    net = Net()
    loss = F.cross_entropy(build(net, x), labels, reduction="sum", label_smoothing=f32(smoothing))
    loss.backward()
    for row in net.rows:
        row["gradient"] = measure(net.tensors[row["name"]].grad)
    return {"batch": batch, "loss_sum": loss.item(), "parameters": net.rows}


def write(nets):
    lines = []
    for name, net in nets.items():
        rows = ",\n".join("  " + json.dumps(row) for row in net.pop("parameters"))
        lines.append(f'"{name}": {{{json.dumps(net)[1:-1]}, "parameters": [\n{rows}]}}')
    print("{" + ",\n".join(lines) + "}")


def main():
    torch.set_num_threads(2)
    nets = {
        "cnn": first_step(cnn, 16, (1, 28, 28)),
        "mlp": first_step(mlp, 16, (1, 28, 28)),
        "residual": first_step(residual, 6, (3, 32, 32), mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262), smoothing=0.05),
    }
    write(nets)


if __name__ == "__main__":
    main()
