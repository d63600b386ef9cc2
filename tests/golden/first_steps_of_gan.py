#!/usr/bin/env python3
"""Makes first_steps_of_gan.json: three steps of two networks against each other by PyTorch in float64, the truth of
tests/engine/image_generation_golden_test.cc. Numbers and measures are those of first_step.py.

    ~/.cache/hone/torch/bin/python tests/golden/first_steps_of_gan.py > tests/golden/first_steps_of_gan.json

A step is one update of the discriminator, then one of the generator against the discriminator that came of it, each by an Adam of its own on random
numbers of its own (counter_random.py). Every step sees all pictures, so that their order does not matter. After the generator's n-th update its mean
keeps the share min(decay, (1 + n) / (10 + n)); the mean that is measured is the one that a third step begins with.

Of each loss are kept both losses of the three steps, and of each parameter how far it has moved.
"""
import torch
import torch.nn.functional as F

import counter_random
import first_step

SEED, BATCH, SIDE, LATENT, UNITS, STEPS = 3, 12, 4, 5, 9, 3
SMOOTHING, DECAY, CLIP = first_step.f32(0.1), 0.22, 0.25
GENERATOR_RATE, DISCRIMINATOR_RATE = 0.02, 0.03


def bce(x, target):
    return F.binary_cross_entropy_with_logits(x, torch.full_like(x, target))


# Of what the discriminator says of real pictures, of drawings, and of drawings that shall fool it: Goodfellow et al. 2014; Mao et al. 2017, equation 8
# with a = 0, b = c = 1; Lim and Ye 2017; Arjovsky, Chintala, Bottou 2017, algorithm 1.
LOSSES = {
    "non_saturating": (lambda x: bce(x, 1 - SMOOTHING), lambda x: bce(x, 0.0), lambda x: bce(x, 1.0)),
    "least_squares": (lambda x: F.mse_loss(x, torch.full_like(x, 1 - SMOOTHING)) / 2, lambda x: F.mse_loss(x, torch.zeros_like(x)) / 2,
                      lambda x: F.mse_loss(x, torch.ones_like(x)) / 2),
    "hinge": (lambda x: F.relu(1 - x).mean(), lambda x: F.relu(1 + x).mean(), lambda x: -x.mean()),
    "wasserstein": (lambda x: -x.mean(), lambda x: x.mean(), lambda x: -x.mean()),
}


def generator(net, noise):
    x = torch.tanh(net.dense(noise, "generator.dense_1", UNITS))
    return torch.tanh(net.dense(x, "generator.dense_2", SIDE * SIDE))


def discriminator(net, pictures):
    return net.dense(torch.tanh(net.dense(pictures, "discriminator.dense_1", UNITS)), "discriminator.dense_2", 1)


class Again:
    """Layers once more, with the parameters that a net has by now."""

    def __init__(self, tensors):
        self.tensors = tensors

    def dense(self, x, name, _):
        return x @ self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]


def latent(update, step):
    numbers = counter_random.normals(counter_random.seed_of_update(SEED, update), step, "latent/random_normal0", BATCH * LATENT)
    return torch.tensor(numbers, dtype=torch.float64).view(BATCH, LATENT)


def steps_of(loss):
    of_real, of_drawn, of_fooling = LOSSES[loss]
    pixels = torch.tensor((first_step.stream(first_step.PIXELS, BATCH * SIDE * SIDE) % 256).astype("float64")).view(BATCH, SIDE * SIDE)
    real = (pixels / 255 - 0.5) / 0.5
    net = first_step.Net()
    discriminator(net, generator(net, latent(0, 0)))  # makes the parameters
    start = {name: tensor.detach().clone() for name, tensor in net.tensors.items()}
    of = lambda network: [tensor for name, tensor in net.tensors.items() if name.startswith(f"{network}.")]
    optimizers = [torch.optim.Adam(of("discriminator"), DISCRIMINATOR_RATE, (0.5, 0.999), 1e-12),
                  torch.optim.Adam(of("generator"), GENERATOR_RATE, (0.5, 0.999), 1e-12)]
    play = Again(net.tensors)
    losses = {"discriminator": [], "generator": []}
    mean = {}
    for step in range(STEPS):
        keep = 0 if step == 0 else min(DECAY, (1 + step) / (10 + step))
        for name, tensor in net.tensors.items():
            if name.startswith("generator."):
                mean[name] = keep * mean.get(name, 0) + (1 - keep) * tensor.detach()
        for update, (network, optimizer) in enumerate(zip(losses, optimizers)):
            drawn = generator(play, latent(update, step))
            if network == "discriminator":
                value = of_real(discriminator(play, real)) + of_drawn(discriminator(play, drawn.detach()))
            else:
                value = of_fooling(discriminator(play, drawn))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses[network].append(value.item())
            if network == "discriminator" and loss == "wasserstein":
                with torch.no_grad():
                    for tensor in of("discriminator"):
                        tensor.clamp_(-CLIP, CLIP)
    for row in net.rows:
        name = row["name"]
        row["moved"] = first_step.measure(net.tensors[name].detach() - start[name])
        if name in mean:
            row["mean_moved"] = first_step.measure(mean[name] - start[name])
    return {"losses": losses, "parameters": net.rows}


def main():
    torch.set_num_threads(2)
    first_step.write({loss: steps_of(loss) for loss in LOSSES})


main()
