#!/usr/bin/env python3
"""Translation in PyTorch, trained by a job file of Hone: the same net (a GRU with Bahdanau's attention, or a Transformer), pairs, first weights,
optimizer and schedule.

    torch_translation.py JOB --seed N [--set a.b=c …]

Batches are those that PyTorch draws. Translations are greedy, and judged by sacreBLEU. Prints one line of JSON.
"""
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "support")]
import environments  # noqa: E402
import job as jobs  # noqa: E402
import pairs  # noqa: E402
from schedule import rate_factor  # noqa: E402

PAD = -1  # beside the tokens of a batch


def begin(module):
    """Glorot's numbers and zeros, a block for each product; recurrent weights orthogonal."""
    for name, parameter in module.named_parameters():
        if parameter.dim() < 2:
            if "norm" not in name:
                nn.init.zeros_(parameter)
        elif "weight_hh" in name:
            nn.init.orthogonal_(parameter)
        elif "in_proj" in name:
            for block in parameter.chunk(3):
                nn.init.xavier_uniform_(block)
        else:
            nn.init.xavier_uniform_(parameter)


class Seq2Seq(nn.Module):
    def __init__(self, given, source_vocabulary, vocabulary):
        super().__init__()
        assert not set(given) - {"cell", "units", "embedding", "attention", "dropout"}, given
        assert given.get("cell", "GRU") == "GRU" and given.get("attention", "BAHDANAU") == "BAHDANAU"
        units = given.get("units", 256)
        width = given.get("embedding") or units
        self.encoder, self.cell = nn.GRU(width, units, batch_first=True), nn.GRUCell(width + units, units)
        self.query, self.key, self.score = nn.Linear(units, units, bias=False), nn.Linear(units, units), nn.Linear(units, 1, bias=False)
        self.output = nn.Linear(units, vocabulary)
        begin(self)
        self.source, self.target = nn.Embedding(source_vocabulary, width), nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(given.get("dropout", 0.1))

    def forward(self, source, target):
        """Logits [batch, tokens, vocabulary] of what follows each token."""
        mask = source != PAD
        packed = pack_padded_sequence(self.dropout(self.source(source.clamp(min=0))), mask.sum(1), batch_first=True, enforce_sorted=False)
        states, state = self.encoder(packed)
        states, state = pad_packed_sequence(states, batch_first=True)[0], state[0]
        keys, embedded, rows = self.key(states), self.dropout(self.target(target.clamp(min=0))), []
        for t in range(target.shape[1]):
            scores = self.score(torch.tanh(self.query(state)[:, None] + keys))[..., 0].masked_fill(~mask, -math.inf)
            context = (scores.softmax(1)[:, None] @ states)[:, 0]
            state = self.cell(torch.cat([embedded[:, t], context], 1), state)
            rows.append(state)
        return self.output(torch.stack(rows, 1))


class Transformer(nn.Module):
    def __init__(self, given, source_vocabulary, vocabulary):
        super().__init__()
        assert not set(given) - {"layers", "heads", "width", "feed_forward", "dropout", "norm_first"}, given
        self.width, layers, dropout = given.get("width", 256), given.get("layers", 3), given.get("dropout", 0.1)
        self.net = nn.Transformer(self.width, given.get("heads", 8), layers, layers, given.get("feed_forward") or 4 * self.width, dropout,
                                  batch_first=True, norm_first=given.get("norm_first", False))
        self.output, self.dropout = nn.Linear(self.width, vocabulary), nn.Dropout(dropout)
        begin(self)
        self.source, self.target = nn.Embedding(source_vocabulary, self.width), nn.Embedding(vocabulary, self.width)
        for table in (self.source, self.target):
            nn.init.normal_(table.weight, std=self.width ** -0.5)

    def embed(self, table, tokens):
        angles = torch.arange(tokens.shape[1])[:, None] * torch.exp(torch.arange(0, self.width, 2) * (-math.log(10000) / self.width))
        return self.dropout(table(tokens.clamp(min=0)) * math.sqrt(self.width) + torch.stack([angles.sin(), angles.cos()], 2).flatten(1))

    def forward(self, source, target):
        none, later = source == PAD, nn.Transformer.generate_square_subsequent_mask(target.shape[1]).isinf()
        return self.output(self.net(self.embed(self.source, source), self.embed(self.target, target), tgt_mask=later,
                                    src_key_padding_mask=none, memory_key_padding_mask=none, tgt_is_causal=True))


def batch_of(rows):
    """Padded sources, and targets between begin and end."""
    return (pad_sequence([torch.tensor(source) for source, _ in rows], True, PAD),
            pad_sequence([torch.tensor([pairs.BEGIN, *target, pairs.END]) for _, target in rows], True, PAD))


def loss_of(net, rows, smoothing=0.0, reduction="mean"):
    source, target = batch_of(rows)
    labels = target[:, 1:]
    known = labels != PAD
    return F.cross_entropy(net(source, target[:, :-1])[known], labels[known], label_smoothing=smoothing, reduction=reduction)


def train(job, net, rows):
    training = job["training"]
    size, smoothing = training["batch_size"], job["translation"].get("label_smoothing", 0.0)
    optimizer = jobs.optimizer(net.parameters(), training["optimizer"])
    total = training["epochs"] * math.ceil(len(rows) / size)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(training.get("schedule", {}), step, total))
    net.train()
    for _ in range(training["epochs"]):
        order = torch.randperm(len(rows)).tolist()
        for first in range(0, len(rows), size):
            optimizer.zero_grad(set_to_none=True)
            loss_of(net, [rows[i] for i in order[first:first + size]], smoothing).backward()
            nn.utils.clip_grad_norm_(net.parameters(), training["clip_norm"])
            optimizer.step()
            rates.step()
    net.eval()


@torch.no_grad()
def translate(net, sources, longest):
    """The most probable token each time, but neither the unknown one nor that which begins."""
    results = [None] * len(sources)
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    for first in range(0, len(order), 64):
        at = order[first:first + 64]
        source = pad_sequence([torch.tensor(sources[i]) for i in at], True, PAD)
        most = torch.tensor([min(longest, 2 * len(sources[i]) + 10) for i in at])
        written, ended = torch.full((len(at), 1), pairs.BEGIN), torch.zeros(len(at), dtype=torch.bool)
        while not (ended := ended | (written.shape[1] > most)).all():
            logits = net(source, written)[:, -1]
            logits[:, [pairs.UNKNOWN, pairs.BEGIN]] = -math.inf
            token = torch.where(ended, pairs.END, logits.argmax(1))
            written, ended = torch.cat([written, token[:, None]], 1), ended | (token == pairs.END)
        for i, row in zip(at, written[:, 1:].tolist()):
            results[i] = row[:row.index(pairs.END)] if pairs.END in row else row
    return results


def main():
    options, job = jobs.arguments(__doc__)
    environments.make("sacrebleu")
    environments.add_to_path("sacrebleu")
    import sacrebleu
    data = pairs.read(job["data"], options.seed)
    (kind, given), = job["model"]["preset"].items()
    net = {"seq2seq": Seq2Seq, "transformer_translation": Transformer}[kind](given, *(pairs.texts.SPECIAL + len(v) for v in data.vocabularies))
    train(job, net, data.train)
    with torch.no_grad():
        loss = sum(loss_of(net, data.test[first:first + 64], reduction="sum").item() for first in range(0, len(data.test), 64))
    words = {number: word for word, number in data.vocabularies[1].items()}
    found = translate(net, [source for source, _ in data.references], job["translation"].get("longest", 100))
    lines = [" ".join(words[token] for token in tokens) for tokens in found]
    widest = max(len(known) for _, known in data.references)
    references = [[known[i] if i < len(known) else None for _, known in data.references] for i in range(widest)]
    jobs.report({"test_loss": loss / sum(len(target) + 1 for _, target in data.test),
                 "test_bleu": sacrebleu.corpus_bleu(lines, references).score, "test_chrf": sacrebleu.corpus_chrf(lines, references).score})


if __name__ == "__main__":
    main()
