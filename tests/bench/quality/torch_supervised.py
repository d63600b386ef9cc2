#!/usr/bin/env python3
"""A classification or regression in PyTorch, trained by a job file of Hone: the same net, first weights, split, optimizer and schedule.

    torch_supervised.py JOB --seed N [--first JOB] [--set a.b=c …]

With --first that job is trained first, and JOB goes on with its net as `model.pretrained` says. Prints one line of JSON.
"""
import copy
import math
import pathlib
import sys

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import datasets  # noqa: E402
import job as jobs  # noqa: E402


def make_layers(described, shape):
    """Layers for examples of this shape, as Hone starts them: Glorot's or Kaiming's uniform numbers, biases 0."""
    layers = []
    for layer in described:
        (kind, given), = layer.items()
        if kind == "dense":
            layers.append(nn.Linear(math.prod(shape), given["units"]))
        elif kind == "conv2d":
            layers.append(nn.Conv2d(shape[0], given["filters"], given["kernel"]))
        elif kind == "max_pool2d":
            layers.append(nn.MaxPool2d(given["size"]))
        else:
            assert kind == "flatten", kind
            layers.append(nn.Flatten())
        if kind in ("dense", "conv2d"):
            how = given.get("initializer", {}).get("kind", "GLOROT_UNIFORM")
            begin = {"GLOROT_UNIFORM": nn.init.xavier_uniform_,
                     "KAIMING_UNIFORM": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu")}[how]
            begin(layers[-1].weight)
            nn.init.zeros_(layers[-1].bias)
        shape = layers[-1](torch.zeros(1, *shape)).shape[1:]
        if given.get("activation"):
            assert given["activation"] == "RELU"
            layers.append(nn.ReLU())
    return layers


def rate_factor(schedule, step, total):
    """engine/optim/schedule.cc."""
    warmup = schedule.get("warmup_steps", 0)
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(total - warmup - 1, 1)
    if "linear" in schedule:
        return 1 + (schedule["linear"].get("final_factor", 0) - 1) * share
    if "cosine" in schedule:
        final = schedule["cosine"].get("final_factor", 0)
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * share))
    assert not set(schedule) - {"warmup_steps", "constant"}, schedule
    return 1.0


def read_data(job, seed):
    spec, classification = job["data"], "classification" in job
    if spec["dataset"] in ("mnist", "fashion-mnist"):
        train, labels, test, test_labels = datasets.pictures(spec["dataset"], spec.get("classes", ()))
        return {"train": (train, labels), "test": (test, test_labels)}, (0.0, 1.0)
    return datasets.table(spec["dataset"], spec, seed, classification)


def as_numbers(x):
    return x.float() / 255 if x.dtype == torch.uint8 else x


def train(job, net, parts):
    training = job["training"]
    criterion = nn.CrossEntropyLoss() if "classification" in job else {"HUBER": nn.HuberLoss, "MSE": nn.MSELoss}[job["regression"]["loss"]]()
    x, y = parts["train"]
    batch = training["batch_size"]
    total = training["epochs"] * math.ceil(len(x) / batch)
    optimizer = jobs.optimizer(net.parameters(), training["optimizer"])
    schedule = training.get("schedule", {})
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(schedule, step, total))
    best, best_weights, without = math.inf, None, 0
    for _ in range(training["epochs"]):
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            criterion(net(as_numbers(x[rows])), y[rows]).backward()
            optimizer.step()
            rates.step()
        if "early_stopping" in training:
            with torch.no_grad():
                loss = criterion(net(as_numbers(parts["validation"][0])), parts["validation"][1]).item()
            best, best_weights, without = (loss, copy.deepcopy(net.state_dict()), 0) if loss < best else (best, best_weights, without + 1)
            if without >= training["early_stopping"]["patience"]:
                break
    if best_weights:
        net.load_state_dict(best_weights)


@torch.no_grad()
def evaluate(job, net, parts, back):
    x, y = parts["test"]
    output = torch.cat([net(as_numbers(part)) for part in x.split(1000)])
    if "classification" in job:
        return {"test_accuracy": (output.argmax(1) == y).double().mean().item()}
    error, real = (output - y).double() * back[1], y.double() * back[1] + back[0]
    squares = (error ** 2).mean().item()
    return {"test_r2": 1 - squares / ((real - real.mean()) ** 2).mean().item(), "test_rmse": math.sqrt(squares)}


def run(job, seed, earlier=None):
    """Trains; the net and its metrics. `earlier` is the net that a pretrained model stands for."""
    parts, back = read_data(job, seed)
    shape, layers = parts["train"][0].shape[1:], []
    if earlier is not None:
        of_earlier = job["model"]["pretrained"]
        weighted = [at for at, layer in enumerate(earlier) if hasattr(layer, "weight")]
        layers = list(earlier[:weighted[-of_earlier["drop_layers"]]])
        # Its convolutions are frozen, and nothing else that has weights is left.
        for layer in layers:
            layer.requires_grad_(False)
            assert not isinstance(layer, nn.Linear)
        shape = nn.Sequential(*layers)(torch.zeros(1, *shape)).shape[1:]
    net = nn.Sequential(*layers, *make_layers(job["model"]["layers"], shape))
    train(job, net, parts)
    return net, evaluate(job, net, parts, back)


def main():
    options, job = jobs.arguments(__doc__)
    earlier = run(jobs.read(options.first), options.seed)[0] if options.first else None
    jobs.report(run(job, options.seed, earlier)[1])


main()
