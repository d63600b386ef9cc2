"""The networks of engine/models/gan_presets.cc in PyTorch, layer for layer: of the step that is timed and of the whole runs.

Weights start as PyTorch starts them; `begin_as_hone` starts them as Hone does.
"""
import torch
from torch import nn

LATENT = 100
# The sizes of the hidden layers that the job files name, the generator's and the discriminator's.
SIZES = {"dcgan": ([128, 64], [32, 64]), "gan": ([128, 128, 128], [128, 128])}


class SamePadding(nn.Module):
    """TensorFlow's for a kernel of 3 and a stride of 2 on an even size: one row and one column behind."""
    def forward(self, x):
        return nn.functional.pad(x, (0, 1, 0, 1))


def make_nets(name, latent=LATENT, classes=0):
    """(generator, discriminator). With classes the first reads so many numbers more, the second so many channels."""
    if name == "dcgan":
        generator = nn.Sequential(
            nn.Linear(latent + classes, 128 * 49), nn.Unflatten(1, (128, 7, 7)), nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh())
        discriminator = nn.Sequential(
            SamePadding(), nn.Conv2d(1 + classes, 32, 3, 2), nn.LeakyReLU(0.2), SamePadding(), nn.Conv2d(32, 64, 3, 2), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(64 * 49, 1))
        return generator, discriminator
    dense = lambda *units: [layer for a, b in zip(units, units[1:]) for layer in (nn.Linear(a, b), nn.ReLU())][:-1]  # noqa: E731
    return (nn.Sequential(*dense(latent + classes, 128, 128, 128, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28))),
            nn.Sequential(nn.Flatten(), *dense(784 * (1 + classes), 128, 128, 1)))


def begin_as_hone(net):
    """Weights ± sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010), a convolution's fans with the kernel's area; biases 0."""
    for layer in net:
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def read_hone(net, tensors, prefix):
    """Takes the weights of a network of a Hone model, `prefix` its name and a dot, from its safetensors."""
    counts = {}
    with torch.no_grad():
        for layer in net:
            kind = {nn.Linear: "dense", nn.Conv2d: "conv2d", nn.ConvTranspose2d: "conv2d_transpose"}.get(type(layer))
            if kind:
                counts[kind] = counts.get(kind, 0) + 1
                weight = tensors[f"{prefix}{kind}_{counts[kind]}.weight"]
                layer.weight.copy_(weight.T if kind == "dense" else weight)
                layer.bias.copy_(tensors[f"{prefix}{kind}_{counts[kind]}.bias"])
