#!/usr/bin/env python3
"""Texts written token by token in PyTorch with a key/value cache, timed: the peer of hone-bench-writing, whose net and texts these are.

    torch_writing.py TEXTS MODE THREADS [SECONDS]

MODE: eager (attention over the keys that there are), or compile (one shape for all places: attention over the whole cache, with a mask). The
cache's memory is made once; nothing is computed again. Tokens are drawn with temperature 1, special ones left out. Prints one line of JSON.
"""
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

LAYERS, WIDTH, HEADS, WINDOW, SPECIAL, CHARACTERS = 4, 128, 4, 64, 3, 65


class Block(nn.Module):
    def __init__(self, texts):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.project = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(texts, HEADS, WINDOW, WIDTH // HEADS))

    def forward(self, x, place, mask, count):
        """x [texts, width] of the tokens at `place`, a tensor of one number; `count` keys are there, or None and a mask over all."""
        q, k, v = (part.unflatten(1, (HEADS, 1, -1)) for part in self.project(self.norm_1(x)).chunk(3, 1))
        self.keys.index_copy_(2, place, k)
        self.values.index_copy_(2, place, v)
        seen = F.scaled_dot_product_attention(q, self.keys[:, :, :count], self.values[:, :, :count], attn_mask=mask)
        x = x + self.output(seen.flatten(1))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class Gpt(nn.Module):
    def __init__(self, texts):
        super().__init__()
        self.tokens, self.places = nn.Embedding(SPECIAL + CHARACTERS, WIDTH), nn.Embedding(WINDOW, WIDTH)
        self.blocks = nn.ModuleList(Block(texts) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, place, mask, count):
        x = self.tokens(tokens) + self.places(place)
        for block in self.blocks:
            x = block(x, place, mask, count)
        return self.norm(x) @ self.tokens.weight.T


@torch.inference_mode()
def write(net, texts, turn, masked, places, masks):
    tokens = SPECIAL + (turn * texts + torch.arange(texts)) % CHARACTERS
    for number in range(WINDOW - 1):
        logits = net(tokens, places[number], masks[number] if masked else None, None if masked else number + 1)
        tokens = SPECIAL + torch.multinomial(torch.softmax(logits[:, SPECIAL:], 1), 1)[:, 0]


def main():
    texts, mode, threads = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 2.0
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    net, masked = Gpt(texts).eval(), mode == "compile"
    if masked:
        net = torch.compile(net)
    places = [torch.tensor([number]) for number in range(WINDOW)]
    masks = [(torch.arange(WINDOW) <= number)[None, None, None] for number in range(WINDOW)]
    for turn in range(3):
        write(net, texts, turn, masked, places, masks)
    begin, turns = time.perf_counter(), 0
    while turns == 0 or time.perf_counter() - begin < seconds:
        turns += 1
        write(net, texts, turns, masked, places, masks)
    rate = turns * texts * (WINDOW - 1) / (time.perf_counter() - begin)
    print(json.dumps({"texts": texts, "mode": mode, "threads": threads, "tokens_per_second": rate,
                      "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "torch": torch.__version__}))


main()
