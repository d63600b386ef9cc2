#!/usr/bin/env python3
"""Makes first_step_of_translation.json: the first training step of nets that translate by PyTorch in float64, the truth of
tests/engine/translation_golden_test.cc. Numbers and measures are those of first_step.py.

    ~/.cache/hone/torch/bin/python tests/golden/first_step_of_translation.py > tests/golden/first_step_of_translation.json

The nets are those of PyTorch's tutorials, sentence by sentence: of "NLP From Scratch: Translation with a Sequence to Sequence Network and
Attention", of the "Chatbot Tutorial", and nn.Transformer. Hone computes rows of tokens: token i of all sources one behind the other is number
i of its stream, and those of the targets follow. PyTorch's weights are [gates, in], Hone's transposed; an LSTM's second bias is zero, and so
are biases that change nothing.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

import first_step

TOKENS, LABELS = first_step.PIXELS, first_step.LABELS
SOURCE_VOCABULARY, VOCABULARY = 50, 40
EMBEDDING, UNITS = 24, 20
WIDTH, HEADS, LAYERS, FEED_FORWARD = 24, 6, 2, 32  # four numbers a head: the scale is a half on both sides
SOURCES, TARGETS = [5, 1, 9, 3, 4, 1], [4, 2, 7, 1, 5, 3]


class Seq2Seq(first_step.Net):
    def __init__(self, cell, attention, bidirectional, layers=1, feeding=False):
        super().__init__()
        self.cell, self.attention, self.bidirectional, self.layers, self.feeding = cell, attention, bidirectional, layers, feeding
        self.gates = {"lstm": 4, "gru": 3}[cell] * UNITS
        self.memory = UNITS * (1 + bidirectional)

    def layer_of(self, scope, layer):
        return scope if self.layers == 1 else f"{scope}.layer_{layer + 1}"

    def recurrent(self, scope, end, rows):
        """PyTorch's parameters of a layer whose input's weight is given, or of `rows` rows."""
        weight = self.parameter(f"{scope}.weight", (rows, self.gates), 0, 0.4) if isinstance(rows, int) else rows
        return {
            "weight_ih" + end: weight.T,
            "weight_hh" + end: self.parameter(f"{scope}.recurrent_weight", (UNITS, self.gates), 0, 0.4).T,
            "bias_ih" + end: self.parameter(f"{scope}.bias", (self.gates,), 0, 0.25),
            "bias_hh" + end: (self.parameter(f"{scope}.recurrent_bias", (self.gates,), 0, 0.25) if self.cell == "gru" else
                              torch.zeros(self.gates, dtype=torch.float64)),
        }

    def encode(self, tokens):
        """For each sentence its states, [tokens, memory], and what the decoder begins with, of an LSTM states and cells: [layers, units] each."""
        table = self.parameter("source_embedding.weight", (SOURCE_VOCABULARY, EMBEDDING), 0, 1)
        module = {"lstm": nn.LSTM, "gru": nn.GRU}[self.cell](EMBEDDING, UNITS, self.layers, bidirectional=self.bidirectional).double()
        directions = [(".forward", ""), (".backward", "_reverse")] if self.bidirectional else [("", "")]
        given = {}
        for layer in range(self.layers):
            for scope, end in directions:
                given |= self.recurrent(self.layer_of("encoder", layer) + scope, f"_l{layer}{end}", EMBEDDING if layer == 0 else self.memory)
        sentences = []
        for sentence in tokens:
            states, ends = torch.func.functional_call(module, given, (table[sentence],))
            ends = ends if self.cell == "lstm" else (ends,)
            sentences.append((states, [end.reshape(self.layers, self.memory) for end in ends]))
        if self.bidirectional:
            names = ["bridge", "cell_bridge"][:len(sentences[0][1])]
            bridges = [[(self.parameter(f"{self.layer_of(name, layer)}.weight", (2 * UNITS, UNITS), 0, 0.3),
                         self.parameter(f"{self.layer_of(name, layer)}.bias", (UNITS,), 0, 0.125)) for layer in range(self.layers)]
                       for name in names]
            for _, ends in sentences:
                ends[:] = [torch.stack([row @ weight + bias for row, (weight, bias) in zip(end, of_layers)])
                           for end, of_layers in zip(ends, bridges)]
                ends[0] = ends[0].tanh()
        return sentences

    def __call__(self, sources, targets):
        sentences = self.encode(sources)
        table = self.parameter("target_embedding.weight", (VOCABULARY, EMBEDDING), 0, 1)
        first = self.layer_of("decoder", 0)
        weight = self.parameter(f"{first}.weight", (EMBEDDING, self.gates), 0, 0.4)
        if self.attention == "bahdanau":
            weight = torch.cat([weight, self.parameter(f"{first}.context_weight", (self.memory, self.gates), 0, 0.4)])
            query = self.parameter("attention.query_weight", (UNITS, UNITS), 0, 0.5)
            key = self.parameter("attention.key_weight", (self.memory, UNITS), 0, 0.5)
            bias = self.parameter("attention.bias", (UNITS,), 0, 0.25)
            score = self.parameter("attention.score_weight", (UNITS,), 0, 1)
        else:
            general = self.parameter("attention.weight", (UNITS, self.memory), 0, 0.5)
            combine = self.parameter("combine.weight", (UNITS + self.memory, UNITS), 0, 0.3)
            combine_bias = self.parameter("combine.bias", (UNITS,), 0, 0.125)
        if self.feeding:
            weight = torch.cat([weight, self.parameter("decoder.feed_weight", (UNITS, self.gates), 0, 0.4)])
        layers = []
        for layer in range(self.layers):
            cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[self.cell](UNITS if layer else weight.shape[0], UNITS).double()
            layers.append((cell, self.recurrent(self.layer_of("decoder", layer), "", UNITS if layer else weight)))
        rows = []
        for (states, begin), sentence in zip(sentences, targets):
            state = [[end[layer][None] for end in begin] for layer in range(self.layers)]
            h = torch.zeros(1, UNITS, dtype=torch.float64)
            for token in sentence:
                x = table[token][None]
                if self.attention == "bahdanau":
                    scores = torch.tanh(state[0][0] @ query + (states @ key + bias)) @ score
                    x = torch.cat([x, (scores.softmax(0) @ states)[None]], 1)
                if self.feeding:
                    x = torch.cat([x, h], 1)
                for layer, (cell, given) in enumerate(layers):
                    out = torch.func.functional_call(cell, given, (x, tuple(state[layer]) if self.cell == "lstm" else state[layer][0]))
                    state[layer] = list(out) if self.cell == "lstm" else [out]
                    x = state[layer][0]
                h = x
                if self.attention == "luong":
                    context = ((h @ general) @ states.T).softmax(1) @ states
                    h = torch.tanh(torch.cat([h, context], 1) @ combine + combine_bias)
                rows.append(h)
        return self.dense(torch.cat(rows), "output", VOCABULARY)


class Transformer(first_step.Net):
    def __init__(self, norm_first=False, tied=False):
        super().__init__()
        self.norm_first, self.tied = norm_first, tied

    def weights(self, name, rows, columns):
        return (self.parameter(f"{name}.weight", (rows, columns), 0, (3 / rows) ** 0.5).T, self.parameter(f"{name}.bias", (columns,), 0, 0.125))

    def dense_of(self, given, to, name, rows, columns):
        given[f"{to}.weight"], given[f"{to}.bias"] = self.weights(name, rows, columns)

    def attention_of(self, given, to, name):
        parts = [self.weights(f"{name}.{part}", WIDTH, WIDTH) for part in ("query", "key", "value")]
        given[f"{to}.in_proj_weight"] = torch.cat([weight for weight, _ in parts])
        given[f"{to}.in_proj_bias"] = torch.cat([bias for _, bias in parts])
        self.dense_of(given, f"{to}.out_proj", f"{name}.output", WIDTH, WIDTH)

    def norm_of(self, given, to, name):
        given[f"{to}.weight"] = self.parameter(f"{name}.weight", (WIDTH,), 1, 0.25)
        given[f"{to}.bias"] = self.parameter(f"{name}.bias", (WIDTH,), 0, 0.125)

    def embed(self, table, tokens):
        places = torch.arange(len(tokens)).double()[:, None]
        angles = places * torch.exp(-torch.arange(0, WIDTH, 2).double() * math.log(10000) / WIDTH)
        return table[tokens] * math.sqrt(WIDTH) + torch.stack([angles.sin(), angles.cos()], 2).flatten(1)

    def __call__(self, sources, targets):
        module = nn.Transformer(WIDTH, HEADS, LAYERS, LAYERS, FEED_FORWARD, dropout=0.0, batch_first=True, norm_first=self.norm_first,
                                layer_norm_eps=first_step.f32(1e-5)).double()
        source_table = self.parameter("source_embedding.weight", (SOURCE_VOCABULARY, WIDTH), 0, 0.25)
        given = {}
        for i in range(LAYERS):
            to, name = f"encoder.layers.{i}", f"encoder_{i + 1}"
            self.attention_of(given, f"{to}.self_attn", f"{name}.attention")
            self.norm_of(given, f"{to}.norm1", f"{name}.norm_1")
            self.dense_of(given, f"{to}.linear1", f"{name}.up", WIDTH, FEED_FORWARD)
            self.dense_of(given, f"{to}.linear2", f"{name}.down", FEED_FORWARD, WIDTH)
            self.norm_of(given, f"{to}.norm2", f"{name}.norm_2")
        self.norm_of(given, "encoder.norm", "encoder_norm")
        table = self.parameter("target_embedding.weight", (VOCABULARY, WIDTH), 0, 0.25)
        for i in range(LAYERS):
            to, name = f"decoder.layers.{i}", f"decoder_{i + 1}"
            self.attention_of(given, f"{to}.self_attn", f"{name}.attention")
            self.norm_of(given, f"{to}.norm1", f"{name}.norm_1")
            self.attention_of(given, f"{to}.multihead_attn", f"{name}.cross_attention")
            self.norm_of(given, f"{to}.norm2", f"{name}.norm_2")
            self.dense_of(given, f"{to}.linear1", f"{name}.up", WIDTH, FEED_FORWARD)
            self.dense_of(given, f"{to}.linear2", f"{name}.down", FEED_FORWARD, WIDTH)
            self.norm_of(given, f"{to}.norm3", f"{name}.norm_3")
        self.norm_of(given, "decoder.norm", "decoder_norm")
        assert set(given) == {name for name, _ in module.named_parameters()}
        rows = []
        for source, target in zip(sources, targets):
            mask = nn.Transformer.generate_square_subsequent_mask(len(target), dtype=torch.float64)
            pair = (self.embed(source_table, source)[None], self.embed(table, target)[None])
            rows.append(torch.func.functional_call(module, given, pair, {"tgt_mask": mask})[0])
        if self.tied:
            return torch.cat(rows) @ table.T + self.parameter("output.bias", (VOCABULARY,), 0, 0.125)
        return self.dense(torch.cat(rows), "output", VOCABULARY)


def first_step_of(net):
    numbers = first_step.stream(TOKENS, sum(SOURCES) + sum(TARGETS))
    sources = torch.tensor((numbers[:sum(SOURCES)] % SOURCE_VOCABULARY).astype("int64"))
    targets = torch.tensor((numbers[sum(SOURCES):] % VOCABULARY).astype("int64"))
    labels = torch.tensor((first_step.stream(LABELS, sum(TARGETS)) % VOCABULARY).astype("int64"))
    loss = F.cross_entropy(net(sources.split(SOURCES), targets.split(TARGETS)), labels, reduction="sum")
    loss.backward()
    for row in net.rows:
        row["gradient"] = first_step.measure(net.tensors[row["name"]].grad)
    return {"sources": SOURCES, "targets": TARGETS, "loss_sum": loss.item(), "parameters": net.rows}


def main():
    torch.set_num_threads(1)
    first_step.write({
        "gru_bahdanau": first_step_of(Seq2Seq("gru", "bahdanau", False)),
        "lstm_bahdanau_bidirectional": first_step_of(Seq2Seq("lstm", "bahdanau", True)),
        "gru_luong_bidirectional": first_step_of(Seq2Seq("gru", "luong", True)),
        "lstm_luong": first_step_of(Seq2Seq("lstm", "luong", False)),
        "gru_luong_two_layers": first_step_of(Seq2Seq("gru", "luong", False, layers=2)),
        "lstm_bahdanau_bidirectional_two_layers": first_step_of(Seq2Seq("lstm", "bahdanau", True, layers=2)),
        "gru_luong_bidirectional_fed": first_step_of(Seq2Seq("gru", "luong", True, feeding=True)),
        "lstm_luong_fed": first_step_of(Seq2Seq("lstm", "luong", False, feeding=True)),
        "transformer": first_step_of(Transformer()),
        "transformer_norm_first_tied": first_step_of(Transformer(norm_first=True, tied=True)),
    })


main()
