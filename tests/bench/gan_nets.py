"""The networks of engine/models/gan_presets.cc in PyTorch, layer for layer: of the step that is timed and of the whole runs.

Weights start as PyTorch starts them; `begin_as_hone` starts them as Hone does.
"""
import torch
from torch import nn

LATENT = 100
# The presets of the timed step: the course's.
PRESETS = {"dcgan": {"generator_filters": [128, 64], "discriminator_filters": [32, 64]},
           "gan": {"generator_units": [128, 128, 128], "discriminator_units": [128, 128]}}
SIDE = 28  # of the pictures


class SamePadding(nn.Module):
    """TensorFlow's for a kernel of 3 and a stride of 2: a row and a column behind, of an odd size also before."""
    def forward(self, x):
        before = x.shape[-1] % 2
        return nn.functional.pad(x, (before, 1, before, 1))


def dcgan_generator(inputs, filters, batch_norm):
    side = SIDE >> len(filters)
    layers = [nn.Linear(inputs, filters[0] * side * side), nn.Unflatten(1, (filters[0], side, side))]
    for a, b in zip(filters, [*filters[1:], 1]):
        layers += [nn.BatchNorm2d(a)] if batch_norm else []
        layers += [nn.LeakyReLU(0.2), nn.ConvTranspose2d(a, b, 4, 2, 1, bias=b == 1 or not batch_norm)]
    return nn.Sequential(*layers, nn.Tanh())


def dcgan_discriminator(channels, filters):
    layers, side = [], SIDE
    for a, b in zip([channels, *filters], filters):
        layers += [SamePadding(), nn.Conv2d(a, b, 3, 2), nn.LeakyReLU(0.2)]
        side = (side + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(filters[-1] * side * side, 1))


def make_nets(name, latent=LATENT, classes=0, preset=None):
    """(generator, discriminator) of a job's preset, by the names of its fields. With classes the first reads so many numbers more, the
    second so many channels. TypeError: a field is missing, or not known here."""
    preset = preset or PRESETS[name]
    nets = {"dcgan": dcgan_nets, "gan": gan_nets}[name]
    return nets(latent + classes, 1 + classes, **preset)


def dcgan_nets(inputs, channels, *, generator_filters, discriminator_filters, batch_norm=False):
    return dcgan_generator(inputs, generator_filters, batch_norm), dcgan_discriminator(channels, discriminator_filters)


def gan_nets(inputs, channels, *, generator_units, discriminator_units):
    dense = lambda *units: [layer for a, b in zip(units, units[1:]) for layer in (nn.Linear(a, b), nn.ReLU())][:-1]  # noqa: E731
    return (nn.Sequential(*dense(inputs, *generator_units, SIDE * SIDE), nn.Tanh(), nn.Unflatten(1, (1, SIDE, SIDE))),
            nn.Sequential(nn.Flatten(), *dense(SIDE * SIDE * channels, *discriminator_units, 1)))


def begin_as_hone(net):
    """Weights ± sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010), a convolution's fans with the kernel's area; biases 0."""
    for layer in net:
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def read_hone(net, tensors, prefix):
    """Takes the weights of a network of a Hone model, `prefix` its name and a dot, from its safetensors."""
    kinds = {nn.Linear: "dense", nn.Conv2d: "conv2d", nn.ConvTranspose2d: "conv2d_transpose", nn.BatchNorm2d: "batch_norm"}
    counts = {}
    with torch.no_grad():
        for layer in net:
            kind = kinds.get(type(layer))
            if kind is None:
                continue
            counts[kind] = counts.get(kind, 0) + 1
            tensor = lambda part, place=f"{prefix}{kind}_{counts[kind]}": tensors[f"{place}.{part}"]  # noqa: E731
            layer.weight.copy_(tensor("weight").T if kind == "dense" else tensor("weight"))
            if layer.bias is not None:
                layer.bias.copy_(tensor("bias"))
            if kind == "batch_norm":
                layer.running_mean.copy_(tensor("running_mean"))
                layer.running_var.copy_(tensor("running_variance"))
