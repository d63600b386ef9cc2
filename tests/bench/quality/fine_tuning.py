"""How a checkpoint is gone on with in PyTorch: what Hone draws at the start, its order of the examples, its rates, and the loop."""
import numpy as np
import torch
from torch import nn

import hone_random
import job as jobs
from linear_schedule import rate_factor

FIRST = 10  # steps whose losses are reported


def uniform(shape, limit, seed, name):
    """The numbers that a parameter of this name begins with, uniform from −limit to limit (engine/params/initializer.cc)."""
    count, limit = int(np.prod(shape)), np.float32(limit)
    units = (hone_random.words(seed, name, 0, count) >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
    return torch.tensor((-limit + (limit + limit) * units).reshape(shape))


def normal(shape, deviation, seed, name):
    """The same of a normal distribution, by Box and Muller."""
    count = int(np.prod(shape))
    words = hone_random.words(seed, name, 0, 2 * count).astype(np.float64)
    u, v = (words[0::2] + 0.5) * 2.0**-32, words[1::2] * 2.0**-32
    drawn = (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)).astype(np.float32)
    return torch.tensor((deviation * drawn.astype(np.float64)).astype(np.float32).reshape(shape))


class EpochStream(hone_random.Stream):
    """A stream of which there is one for each epoch."""

    def __init__(self, seed, name, epoch):
        super().__init__(seed, name)
        self.epoch = epoch

    def next64(self):
        if self.used + 2 > len(self.words):
            self.words = hone_random.words(self.seed, self.name, self.epoch, 2 * len(self.words) + 4096).tolist()
        high, low = self.words[self.used:self.used + 2]
        self.used += 2
        return high << 32 | low


def order(size, seed, epoch):
    """Of the training examples in an epoch (engine/data/batches.cc)."""
    rows, stream = list(range(size)), EpochStream(seed, "shuffle", epoch)
    for left in range(size, 1, -1):
        other = stream.below(left)
        rows[left - 1], rows[other] = rows[other], rows[left - 1]
    return rows


def autocast(job):
    """Products in bf16 where the job asks for it; what is learned is f32 in any case."""
    return torch.autocast("cpu", torch.bfloat16, enabled=job["training"].get("precision", "F32") == "BF16")


def train(job, parameters, size, loss_of, seed, epoch_ended=lambda: None):
    """Trains as the job says; the losses of the first steps. loss_of(rows) is a batch's mean loss; rows are numbers of training examples."""
    training = job["training"]
    assert not set(training) - {"epochs", "batch_size", "optimizer", "schedule", "clip_norm", "seed", "precision"}, training
    parameters, batch = [p for p in parameters if p.requires_grad], training["batch_size"]
    optimizer = jobs.optimizer(parameters, training["optimizer"])
    of_epoch = -(-size // batch)
    total = training["epochs"] * of_epoch
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(training["schedule"], step, total))
    losses = []
    for step in range(total):
        if step % of_epoch == 0:
            rows = order(size, seed, step // of_epoch)
        optimizer.zero_grad(set_to_none=True)
        first = step % of_epoch * batch
        with autocast(job):
            loss = loss_of(rows[first:first + batch])
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, training["clip_norm"])
        optimizer.step()
        rates.step()
        if step < FIRST:
            losses.append(loss.item())
        if (step + 1) % of_epoch == 0:
            epoch_ended()
    return losses
