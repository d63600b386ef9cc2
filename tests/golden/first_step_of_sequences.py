#!/usr/bin/env python3
"""Makes first_step_of_sequences.json: the first training step of nets over sequences by PyTorch in float64, the truth of
tests/engine/sequence_golden_test.cc. Numbers and measures are those of first_step.py.

    ~/.cache/hone/torch/bin/python tests/golden/first_step_of_sequences.py > tests/golden/first_step_of_sequences.json

PyTorch computes rectangles: the sequences are padded, and packed by their lengths. Hone computes rows of tokens; token i of all sequences one
behind the other is number i of its stream. PyTorch's weights are [gates, in], Hone's transposed; an LSTM's second bias is zero.
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import first_step

TOKENS, LABELS = first_step.PIXELS, first_step.LABELS
VOCABULARY, WIDTH, UNITS, CLASSES, HEADS = 50, 24, 20, 3, 4
LENGTHS = [5, 1, 9, 3, 4, 1]


class Net(first_step.Net):
    """`x` is all tokens, one sequence behind the other, [tokens, width]."""

    def embedding(self, tokens):
        return self.parameter("embedding_1.weight", (VOCABULARY, WIDTH), 0, 1)[tokens]

    def recurrent(self, x, name, kind, layers=1, bidirectional=False):
        """All states of the last layer, and what each direction ends with."""
        gates = {"lstm": 4, "gru": 3, "simple_rnn": 1}[kind] * UNITS
        width = x.shape[1]
        module = {"lstm": nn.LSTM, "gru": nn.GRU, "simple_rnn": nn.RNN}[kind](
            width, UNITS, layers, bidirectional=bidirectional, batch_first=True).double()
        given = {}
        for layer in range(layers):
            for direction in range(1 + bidirectional):
                scope = name + (f".layer_{layer + 1}" if layers > 1 else "")
                scope += ("", ".forward", ".backward")[bidirectional + direction]
                end = f"_l{layer}" + ("_reverse" if direction else "")
                fan = width if layer == 0 else UNITS * (1 + bidirectional)
                given["weight_ih" + end] = self.parameter(f"{scope}.weight", (fan, gates), 0, 0.4).T
                given["weight_hh" + end] = self.parameter(f"{scope}.recurrent_weight", (UNITS, gates), 0, 0.4).T
                given["bias_ih" + end] = self.parameter(f"{scope}.bias", (gates,), 0, 0.25)
                given["bias_hh" + end] = self.parameter(f"{scope}.recurrent_bias", (gates,), 0, 0.25) if kind == "gru" else torch.zeros(
                    gates, dtype=torch.float64)
        packed = nn.utils.rnn.pack_sequence(x.split(LENGTHS), enforce_sorted=False)
        states, ends = torch.func.functional_call(module, given, (packed,))
        padded, lengths = nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
        ends = ends[0] if kind == "lstm" else ends
        last = torch.cat(list(ends[-2:] if bidirectional else ends[-1:]), 1)
        return torch.cat([rows[:n] for rows, n in zip(padded, lengths)]), last

    def product(self, x, name, units):
        return x @ self.parameter(f"{name}.weight", (x.shape[1], units), 0, (3 / x.shape[1]) ** 0.5)

    def layer_norm(self, x, name, bias=True, epsilon=1e-5):
        scale = self.parameter(f"{name}.weight", (x.shape[1],), 1, 0.25)
        shift = self.parameter(f"{name}.bias", (x.shape[1],), 0, 0.125) if bias else None
        return F.layer_norm(x, (x.shape[1],), scale, shift, first_step.f32(epsilon))

    def rms_norm(self, x, name):
        return F.rms_norm(x, (x.shape[1],), self.parameter(f"{name}.weight", (x.shape[1],), 1, 0.25), first_step.f32(1e-6))

    def attention(self, x, name, kv_heads=HEADS, causal=False, window=0, rotary=False, bias=True):
        dim = WIDTH // HEADS
        multiply = self.dense if bias else self.product

        def project(part, units):
            return multiply(x, f"{name}.{part}", units).unflatten(1, (-1, dim))

        q, k, v = project("query", WIDTH), project("key", kv_heads * dim), project("value", kv_heads * dim)
        if rotary:
            angles = places()[:, None] * 10000.0**(-torch.arange(0, dim, 2).double() / dim)
            angles = torch.cat([angles, angles], 1)[:, None]
            q, k = (y * angles.cos() + torch.cat([-y[..., dim // 2:], y[..., :dim // 2]], 2) * angles.sin() for y in (q, k))
        rows = []
        for queries, keys, values in zip(*(y.split(LENGTHS) for y in (q, k, v))):
            keys, values = (y.repeat_interleave(HEADS // kv_heads, 1) for y in (keys, values))
            n = len(queries)
            seen = torch.ones(n, n, dtype=torch.bool)
            seen = seen.tril() if causal else seen
            seen = seen.triu(1 - window) if window else seen
            scale = float(np.float32(1) / np.sqrt(np.float32(dim)))  # the float that Hone's is
            rows.append(F.scaled_dot_product_attention(*(y.transpose(0, 1) for y in (queries, keys, values)), attn_mask=seen,
                                                       scale=scale).transpose(0, 1))
        return multiply(torch.cat(rows).flatten(1), f"{name}.output", WIDTH)


def places():
    return torch.cat([torch.arange(n) for n in LENGTHS]).double()


def sinusoids():
    angles = places()[:, None] * 10000.0**(-torch.arange(0, WIDTH, 2).double() / WIDTH)
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


def pooled(x):
    return torch.stack([rows.mean(0) for rows in x.split(LENGTHS)])


def last_state(kind):
    return lambda net, tokens: net.dense(net.recurrent(net.embedding(tokens), f"{kind}_1", kind)[1], "dense_1", CLASSES)


def bidirectional(net, tokens):
    states, _ = net.recurrent(net.embedding(tokens), "lstm_1", "lstm", layers=2, bidirectional=True)
    _, ends = net.recurrent(states, "gru_1", "gru", bidirectional=True)
    return net.dense(torch.cat([ends, pooled(states)], 1), "dense_1", CLASSES)


def gpt(net, tokens):
    """Learned positions, the norms first, a label for each token."""
    x = net.embedding(tokens)
    x = x + net.parameter("positions_1.weight", (max(LENGTHS), WIDTH), 0, 0.5)[places().long()]
    for i in (1, 3):
        x = x + net.attention(net.layer_norm(x, f"layer_norm_{i}"), f"attention_{(i + 1) // 2}", causal=True)
        y = F.gelu(net.dense(net.layer_norm(x, f"layer_norm_{i + 1}"), f"dense_{i}", 4 * WIDTH))
        x = x + net.dense(y, f"dense_{i + 1}", WIDTH)
    return net.dense(net.layer_norm(x, "layer_norm_5"), "dense_5", CLASSES)


def gpt_preset(net, tokens):
    """The preset: no biases, and the table of the tokens is the last product's weight."""
    table = net.parameter("token_embedding.weight", (VOCABULARY, WIDTH), 0, 0.5)
    x = table[tokens] + net.parameter("positions.weight", (max(LENGTHS), WIDTH), 0, 0.5)[places().long()]
    for block in ("block_1", "block_2"):
        y = net.layer_norm(x, f"{block}.norm_1", bias=False)
        x = x + net.attention(y, f"{block}.attention", causal=True, bias=False)
        y = F.gelu(net.product(net.layer_norm(x, f"{block}.norm_2", bias=False), f"{block}.up", 4 * WIDTH))
        x = x + net.product(y, f"{block}.down", WIDTH)
    return net.layer_norm(x, "norm", bias=False) @ table.T


def encoder(net, tokens):
    """Sinusoidal positions, the norms behind, a label for each sequence."""
    x = net.embedding(tokens) + sinusoids()
    x = net.layer_norm(x + net.attention(x, "attention_1"), "layer_norm_1")
    y = F.relu(net.dense(x, "dense_1", 4 * WIDTH))
    x = net.layer_norm(x + net.dense(y, "dense_2", WIDTH), "layer_norm_2")
    return net.dense(pooled(x), "dense_3", CLASSES)


def encoder_preset(net, tokens):
    """The preset as BERT: learned positions, the norms behind, the first token of a text and what is made of it."""
    def norm(x, name):
        return net.layer_norm(x, name, epsilon=1e-6)

    x = net.parameter("token_embedding.weight", (VOCABULARY, WIDTH), 0, 0.5)[tokens]
    x = norm(x + net.parameter("positions.weight", (max(LENGTHS), WIDTH), 0, 0.5)[places().long()], "embedding_norm")
    for block in ("block_1", "block_2"):
        x = norm(x + net.attention(x, f"{block}.attention"), f"{block}.norm_1")
        y = F.gelu(net.dense(x, f"{block}.up", 3 * WIDTH))
        x = norm(x + net.dense(y, f"{block}.down", WIDTH), f"{block}.norm_2")
    first = torch.stack([rows[0] for rows in x.split(LENGTHS)])
    return net.dense(net.dense(first, "pooler", WIDTH).tanh(), "classifier", CLASSES)


def masked_preset(net, tokens):
    """The preset where it foretells tokens: sinusoidal positions, the norms first, and the table of the tokens for the last product."""
    table = net.parameter("token_embedding.weight", (VOCABULARY, WIDTH), 0, 0.5)
    x = table[tokens] * WIDTH**0.5 + sinusoids()
    for block in ("block_1", "block_2"):
        x = x + net.attention(net.layer_norm(x, f"{block}.norm_1"), f"{block}.attention")
        y = F.gelu(net.dense(net.layer_norm(x, f"{block}.norm_2"), f"{block}.up", 4 * WIDTH))
        x = x + net.dense(y, f"{block}.down", WIDTH)
    x = F.gelu(net.dense(net.layer_norm(x, "norm"), "transform", WIDTH))
    return net.layer_norm(x, "transform_norm") @ table.T + net.parameter("output.bias", (VOCABULARY,), 0, 0.125)


def rotary(net, tokens):
    """Grouped heads with rotary positions and a window."""
    x = net.embedding(tokens)
    x = x + net.attention(net.rms_norm(x, "rms_norm_1"), "attention_1", kv_heads=2, causal=True, window=3, rotary=True)
    return net.dense(net.rms_norm(x, "rms_norm_2"), "dense_1", CLASSES)


def first_step_of(build, of_tokens=False):
    """A label for each token, or for each sequence."""
    numbers = (first_step.stream(TOKENS, sum(LENGTHS)) % VOCABULARY).astype("int64")
    count = sum(LENGTHS) if of_tokens else len(LENGTHS)
    labels = torch.tensor((first_step.stream(LABELS, count) % CLASSES).astype("int64"))
    net = Net()
    loss = F.cross_entropy(build(net, torch.tensor(numbers)), labels, reduction="sum")
    loss.backward()
    for row in net.rows:
        row["gradient"] = first_step.measure(net.tensors[row["name"]].grad)
    return {"lengths": LENGTHS, "of_tokens": of_tokens, "loss_sum": loss.item(), "parameters": net.rows}


def main():
    torch.set_num_threads(2)
    first_step.write({
        "lstm": first_step_of(last_state("lstm")),
        "gru": first_step_of(last_state("gru")),
        "simple_rnn": first_step_of(last_state("simple_rnn")),
        "bidirectional": first_step_of(bidirectional),
        "gpt": first_step_of(gpt, of_tokens=True),
        "gpt_preset": first_step_of(gpt_preset, of_tokens=True),
        "encoder": first_step_of(encoder),
        "encoder_preset": first_step_of(encoder_preset),
        "masked_preset": first_step_of(masked_preset, of_tokens=True),
        "rotary": first_step_of(rotary, of_tokens=True),
    })


main()
