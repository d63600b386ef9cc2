#!/usr/bin/env python3
"""A language model of the preset gpt in PyTorch, trained by a job file of Hone: the same net, text, first weights, optimizer and schedule.

    torch_language.py JOB --seed N [--set a.b=c …]

The windows begin where PyTorch draws them. Prints one line of JSON.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import job as jobs  # noqa: E402
from data_files import find  # noqa: E402
from schedule import rate_factor  # noqa: E402

SPECIAL = 3  # tokens beside the characters


class Block(nn.Module):
    def __init__(self, width, heads, layers, dropout):
        super().__init__()
        self.heads, self.rate, self.dropout = heads, dropout, nn.Dropout(dropout)
        self.norm_1, self.norm_2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.output, self.down = nn.Linear(width, width, bias=False), nn.Linear(4 * width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        for part, deviation in ((self.project, 1), (self.up, 1), (self.output, (2 * layers) ** -0.5), (self.down, (2 * layers) ** -0.5)):
            nn.init.normal_(part.weight, std=0.02 * deviation)

    def forward(self, x):
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.project(self.norm_1(x)).chunk(3, 2))
        seen = F.scaled_dot_product_attention(q, k, v, dropout_p=self.rate if self.training else 0.0, is_causal=True)
        x = x + self.dropout(self.output(seen.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm_2(x)))))


class Gpt(nn.Module):
    def __init__(self, given, vocabulary, window):
        super().__init__()
        assert not set(given) - {"layers", "heads", "width", "dropout"}, given
        layers, width = given.get("layers", 4), given.get("width", 128)
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(window, width)
        dropout = given.get("dropout", 0.0)
        self.blocks = nn.Sequential(*(Block(width, given.get("heads", 4), layers, dropout) for _ in range(layers)))
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, bias=False)
        for table in (self.tokens, self.places):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.places.weight[:tokens.shape[1]]
        return self.norm(self.blocks(self.dropout(x))) @ self.tokens.weight.T


def read_text(job):
    """Tokens of the training part and of the validation part, and how many tokens there are."""
    assert job["data"]["text"] == {"tokenizer": {"characters": {}}}
    text = find(job["data"]["dataset"])[0].read_text(encoding="utf-8")
    cut = int(len(text) * (1 - job["data"].get("validation_fraction", 0.1)))
    ids = {character: SPECIAL + i for i, character in enumerate(sorted(set(text[:cut])))}
    return *(torch.tensor([ids.get(c, 0) for c in part]) for part in (text[:cut], text[cut:])), SPECIAL + len(ids)


def train(job, net, tokens, window):
    training = job["training"]
    optimizer = jobs.optimizer(net.parameters(), training["optimizer"])
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(training["schedule"], step, training["steps"]))
    for _ in range(training["steps"]):
        begins = torch.randint(len(tokens) - window, (training["batch_size"],))
        windows = tokens[begins[:, None] + torch.arange(window + 1)]
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(net.parameters(), training["clip_norm"])
        optimizer.step()
        rates.step()


@torch.no_grad()
def evaluate(net, tokens, window):
    """Nats a token, over all windows one behind the other; the last one is as short as it comes out."""
    net.eval()
    total = 0
    for begin in range(0, len(tokens) - 1, window):
        part = tokens[begin:begin + window + 1]
        total += F.cross_entropy(net(part[None, :-1])[0], part[1:], reduction="sum").item()
    return total / (len(tokens) - 1)


def main():
    options, job = jobs.arguments(__doc__)
    window = job["language_modeling"]["window"]
    learned, held_out, vocabulary = read_text(job)
    net = Gpt(job["model"]["preset"]["gpt"], vocabulary, window)
    train(job, net, learned, window)
    jobs.report({"validation_loss": evaluate(net, held_out, window)})


main()
