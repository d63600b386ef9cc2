#!/usr/bin/env python3
"""One step of PyTorch's on two networks against each other, timed: the peer of hone-bench-gan.

    torch_gan.py NET BATCH PRECISION MODE [SECONDS]

NET: dcgan or gan, those of gan_nets.py; PRECISION: f32 or bf16 (autocast); MODE: eager, channels_last or compile. Two threads, Adam,
made-up data; the losses are not read. Prints one line of JSON: the step's median in milliseconds.
"""
import json
import sys
import time

import torch
from torch import nn

from gan_nets import LATENT, make_nets
from timing import peak_rss_mb, timing_of


def main():
    name, batch, precision, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    seconds = float(sys.argv[5]) if len(sys.argv) > 5 else 2.0
    torch.set_num_threads(2)
    torch.manual_seed(1)
    generator, discriminator = make_nets(name)
    images = torch.randint(0, 256, (batch, 1, 28, 28), dtype=torch.uint8)
    if mode == "channels_last":
        generator, discriminator = (net.to(memory_format=torch.channels_last) for net in (generator, discriminator))
    # The optimizers move the networks' own parameters, compiled or not.
    of_generator, of_discriminator = (
        torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999), eps=1e-7, fused=True) for net in (generator, discriminator))
    frozen = list(discriminator.parameters())
    if mode == "compile":
        generator, discriminator = torch.compile(generator), torch.compile(discriminator)
    criterion = nn.BCEWithLogitsLoss()
    real_labels, drawn_labels = torch.ones(batch, 1), torch.zeros(batch, 1)

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            real = images.float().div_(127.5).sub_(1)
            if mode == "channels_last":
                real = real.contiguous(memory_format=torch.channels_last)
            of_discriminator.zero_grad(set_to_none=True)
            with torch.no_grad():
                drawn = generator(torch.randn(batch, LATENT))
            loss = criterion(discriminator(real), real_labels) + criterion(discriminator(drawn), drawn_labels)
        loss.backward()
        of_discriminator.step()
        for parameter in frozen:  # their gradients are of no use to the generator
            parameter.requires_grad_(False)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            of_generator.zero_grad(set_to_none=True)
            fooled = criterion(discriminator(generator(torch.randn(batch, LATENT))), real_labels)
        fooled.backward()
        of_generator.step()
        for parameter in frozen:
            parameter.requires_grad_(True)

    for _ in range(20):
        step()
    chunks, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(chunks) < 5:
        begin = time.perf_counter()
        for _ in range(10):
            step()
        chunks.append(time.perf_counter() - begin)
    print(json.dumps({"net": name, "batch": batch, "precision": precision, "mode": mode, **timing_of(chunks, steps_each=10),
                      "peak_rss_mb": peak_rss_mb(), "torch": torch.__version__}))


main()
