#!/usr/bin/env python3
"""Two networks against each other in PyTorch, trained by a job file of Hone: the same nets, first weights, batches, optimizer and mean.

    torch_pictures.py JOB --seed N --features MODEL [--set a.b=c …]
    torch_pictures.py JOB --hone MODEL --features MODEL

MODEL of --features is the classifier that judges the drawings on both sides. With --hone nothing is trained: the generator that Hone
published draws here, from the numbers that Hone evaluated it with, and the metrics must be those that Hone reported. Prints one line of JSON.
"""
import copy
import functools
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import datasets  # noqa: E402
import hone_random  # noqa: E402
import job as jobs  # noqa: E402
from gan_nets import begin_as_hone, make_nets, read_hone  # noqa: E402
from judge import Classifier, judge  # noqa: E402
from schedule import rate_factor  # noqa: E402

DRAWINGS = 10_000


@torch.no_grad()
def draw(generator, latent, classes):
    noise = hone_random.drawing_noise(DRAWINGS, latent)
    if classes:
        noise = np.concatenate([noise, np.eye(classes, dtype=np.float32)[np.arange(DRAWINGS) % classes]], axis=1)
    generator.eval()
    return torch.cat([generator(part) for part in torch.tensor(noise).split(500)])


def train(job, nets, latent, classes, pictures, labels):
    """The mean of the generator's weights, as a network."""
    task, training = job["image_generation"], job["training"]
    decay, smoothing = task.get("average_decay", 0.999), task.get("label_smoothing", 0.0)
    generator, discriminator = nets()
    for net in (generator, discriminator):
        begin_as_hone(net)
    average = copy.deepcopy(generator)
    of_generator, of_discriminator = (
        jobs.optimizer(net.parameters(), task.get(f"{side}_optimizer", training["optimizer"]))
        for side, net in (("generator", generator), ("discriminator", discriminator)))
    # Running statistics of batch norms are averaged as weights are; what counts batches is no number of the net.
    own, mean = ([value for value in net.state_dict().values() if value.is_floating_point()] for net in (generator, average))
    frozen = list(discriminator.parameters())
    steps = training["epochs"] * -(-len(pictures) // training["batch_size"])
    rates = [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(training.get("schedule", {}), step, steps))
             for optimizer in (of_generator, of_discriminator)]
    criterion = nn.BCEWithLogitsLoss()
    one_hot = torch.eye(classes) if classes else None
    updates = 0
    for _ in range(training["epochs"]):
        for rows in torch.randperm(len(pictures)).split(training["batch_size"]):
            with torch.no_grad():
                keep = 0.0 if updates == 0 else min(decay, (1 + updates) / (10 + updates))
                torch._foreach_lerp_(mean, own, 1 - keep)
            batch = len(rows)
            real = pictures[rows].float().div_(127.5).sub_(1)
            known = one_hot[labels[rows]] if classes else torch.zeros(batch, 0)
            planes = known[:, :, None, None].expand(-1, -1, 28, 28)
            shown = lambda x: torch.cat([x, planes], 1) if classes else x  # noqa: E731
            noise = lambda: torch.cat([torch.randn(batch, latent), known], 1)  # noqa: E731
            yes, no = torch.full((batch, 1), 1.0), torch.zeros(batch, 1)
            of_discriminator.zero_grad(set_to_none=True)
            with torch.no_grad():
                drawn = generator(noise())
            loss = criterion(discriminator(shown(real)), yes - smoothing) + criterion(discriminator(shown(drawn)), no)
            loss.backward()
            of_discriminator.step()
            for parameter in frozen:  # their gradients are of no use to the generator
                parameter.requires_grad_(False)
            of_generator.zero_grad(set_to_none=True)
            criterion(discriminator(shown(generator(noise()))), yes).backward()
            of_generator.step()
            for parameter in frozen:
                parameter.requires_grad_(True)
            updates += 1
            for rate in rates:
                rate.step()
    return average


def main():
    options, job = jobs.arguments(__doc__)
    task = job["image_generation"]
    (name, preset), = job["model"]["preset"].items()
    assert set(task) <= {"latent", "label_smoothing", "conditional", "average_decay", "generator_optimizer", "discriminator_optimizer",
                         "evaluation"}, "the job has a setting that is not here"
    latent = task.get("latent", 100)
    pictures, labels, test, _ = datasets.pictures(job["data"]["dataset"])
    classes = int(labels.max()) + 1 if task.get("conditional") else 0
    nets = functools.partial(make_nets, name, latent, classes, preset)
    if options.hone:
        generator, _ = nets()
        tensors = load_file(f"{options.hone}/model.safetensors")
        averaged = any(key.startswith("generator_average.") for key in tensors)
        read_hone(generator, tensors, "generator_average." if averaged else "generator.")
    else:
        generator = train(job, nets, latent, classes, pictures, labels)
    jobs.report(judge(Classifier(options.features), draw(generator, latent, classes), test[:DRAWINGS]))


main()
