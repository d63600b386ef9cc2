#!/usr/bin/env python3
"""A training step over sequences in PyTorch, timed: the peer of hone-bench-sequences, whose nets these are.

    torch_sequences.py NET PRECISION MODE [SECONDS]

NET: lstm, gru, gpt128, gpt256, minilm, minilm_lengths, seq2seq; PRECISION: f32 or bf16 (autocast); MODE: eager or compile. Sequences of one
length are rectangles; those of several are padded to the longest of the batch and masked. Attention is scaled_dot_product_attention. Two threads,
fused Adam over all parameters, made-up tokens, the loss read at the end of the timing only. minilm_lengths takes its batches in turn, all equally
often, after each was there once. Prints one line of JSON.
"""
import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

from timing import peak_rss_mb, timing_of

BATCHES, SENTENCES = 16, 16  # of minilm_lengths


def sentence_lengths(count):
    """24 ± 9, normal but for the tails, cut to 6–128: those of sequence_nets.cc, number for number."""
    state, lengths = 1, []
    for _ in range(count):
        total = 0
        for _ in range(12):
            state = (state * 1664525 + 1013904223) % 2 ** 32
            total += state >> 16
        lengths.append(min(max((24 * 65536 + 9 * (total - 6 * 65535) + 32768) >> 16, 6), 128))
    return lengths


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.embedding = nn.Embedding(10_000, 64)
        self.recurrent = kind(64, 128, batch_first=True)
        self.head = nn.Linear(128, 2)

    def forward(self, tokens, mask):
        return self.head(self.recurrent(self.embedding(tokens))[0][:, -1])


class Block(nn.Module):
    def __init__(self, width, heads, causal, dropout):
        super().__init__()
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attention(self, x, mask):
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, 2))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.dropout, is_causal=self.causal)
        return F.dropout(self.output(y.transpose(1, 2).flatten(2)), self.dropout)

    def dense(self, x):
        return F.dropout(self.narrow(F.gelu(self.wide(x))), self.dropout)

    def forward(self, x, mask):
        if self.causal:
            x = x + self.attention(self.norm1(x), mask)
            return x + self.dense(self.norm2(x))
        x = self.norm1(x + self.attention(x, mask))
        return self.norm2(x + self.dense(x))


class Transformer(nn.Module):
    """GPT-2's blocks and a token's logits, or BERT's and two classes of a sequence."""

    def __init__(self, layers, width, heads, tokens, vocabulary, causal, dropout):
        super().__init__()
        self.causal, self.dropout = causal, dropout
        self.embedding, self.positions = nn.Embedding(vocabulary, width), nn.Parameter(torch.randn(tokens, width) * 0.05)
        self.blocks = nn.ModuleList(Block(width, heads, causal, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.pooler = None if causal else nn.Linear(width, width)
        self.head = nn.Linear(width, vocabulary if causal else 2)

    def forward(self, tokens, mask):
        x = self.embedding(tokens) + self.positions[:tokens.shape[1]]
        if not self.causal:
            x = F.dropout(self.norm(x), self.dropout)
        for block in self.blocks:
            x = block(x, mask)
        if self.causal:
            return self.head(self.norm(x)).flatten(0, 1)
        return self.head(F.dropout(torch.tanh(self.pooler(x[:, 0])), self.dropout))


class Seq2Seq(nn.Module):
    """That of PyTorch's tutorial, with a mask and over a whole batch; the last product over all steps at once."""

    def __init__(self, units, source_vocabulary, vocabulary, dropout):
        super().__init__()
        self.source, self.target = nn.Embedding(source_vocabulary, units), nn.Embedding(vocabulary, units)
        self.encoder, self.decoder = nn.GRU(units, units, batch_first=True), nn.GRUCell(2 * units, units)
        self.query, self.key, self.score = nn.Linear(units, units), nn.Linear(units, units), nn.Linear(units, 1)
        self.output, self.dropout = nn.Linear(units, vocabulary), nn.Dropout(dropout)

    def forward(self, tokens, lengths):
        source, target = tokens
        memory, _ = self.encoder(self.dropout(self.source(source)))
        hidden = memory[torch.arange(len(source)), lengths - 1]
        keys, embedded = self.key(memory), self.dropout(self.target(target))
        behind = torch.arange(source.shape[1])[None] >= lengths[:, None]
        states = []
        for t in range(target.shape[1]):
            scores = self.score(torch.tanh(self.query(hidden)[:, None] + keys))[..., 0].masked_fill(behind, float("-inf"))
            context = (scores.softmax(1)[:, None] @ memory)[:, 0]
            hidden = self.decoder(torch.cat([embedded[:, t], context], 1), hidden)
            states.append(hidden)
        return self.output(torch.stack(states, 1)).flatten(0, 1)


def padded(lengths):
    """A batch of MiniLM's: tokens, a mask where lengths differ, labels."""
    longest = max(lengths)
    mask = (torch.arange(longest)[None] < torch.tensor(lengths)[:, None])[:, None, None] if min(lengths) < longest else None
    return torch.randint(0, 30_522, (len(lengths), longest)), mask, torch.randint(0, 2, (len(lengths),))


def make(name):
    """The net; batches of tokens, mask (of seq2seq lengths) and labels; tokens of a mean batch without padding, and with it."""
    if name == "seq2seq":
        sources, targets = torch.arange(64) % 9 + 2, torch.arange(64) % 10 + 3
        source, target = torch.randint(0, 7_000, (64, 10)), torch.randint(0, 12_000, (64, 12))
        labels = torch.randint(0, 12_000, (64, 12)).masked_fill(torch.arange(12)[None] >= targets[:, None], -100)
        return (Seq2Seq(256, 7_000, 12_000, 0.1), [((source, target), sources, labels.flatten())], int(sources.sum() + targets.sum()),
                source.numel() + target.numel())
    if name in ("lstm", "gru"):
        net = Recurrent(nn.LSTM if name == "lstm" else nn.GRU)
        return net, [(torch.randint(0, 10_000, (32, 120)), None, torch.randint(0, 2, (32,)))], 32 * 120, 32 * 120
    if name.startswith("gpt"):
        width, batch, tokens = (128, 12, 64) if name == "gpt128" else (256, 8, 256)
        return (Transformer(4, width, 4, tokens, 65, True, 0.0),
                [(torch.randint(0, 65, (batch, tokens)), None, torch.randint(0, 65, (batch * tokens,)))], batch * tokens, batch * tokens)
    lengths = [128] * SENTENCES if name == "minilm" else sentence_lengths(BATCHES * SENTENCES)
    parts = [lengths[i:i + SENTENCES] for i in range(0, len(lengths), SENTENCES)]
    batches = [padded(part) for part in parts]
    return (Transformer(6, 384, 12, 128, 30_522, False, 0.1), batches, sum(lengths) / len(parts),
            sum(tokens.numel() for tokens, _, _ in batches) / len(parts))


def main():
    name, precision, mode = sys.argv[1:4]
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 2.0
    torch.set_num_threads(2)
    torch.manual_seed(1)
    net, batches, tokens, rows = make(name)
    if mode == "compile":
        net = torch.compile(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def step(batch):
        tokens, mask, labels = batch
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(net(tokens, mask), labels)
        loss.backward()
        optimizer.step()
        return loss

    kinds, warmed = len(batches), 0
    while warmed < 3 or warmed % kinds:
        step(batches[warmed % kinds])
        warmed += 1
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5 or len(times) % kinds:
        begin = time.perf_counter()
        loss = step(batches[len(times) % kinds])
        times.append(time.perf_counter() - begin)
    print(json.dumps({"net": name, "mode": mode, "precision": precision, **timing_of(times, kinds), "tokens": tokens,
                      "rows_over_tokens": rows / tokens, "loss": loss.item(), "peak_rss_mb": peak_rss_mb(), "torch": torch.__version__}))


main()
