#!/usr/bin/env python3
"""Makes carried_state.json: three windows of recurrent nets that carry their state by PyTorch in float64, the truth of
tests/engine/carried_state_golden_test.cc. Numbers and measures are those of first_step.py.

    ~/.cache/hone/torch/bin/python tests/golden/carried_state.py > tests/golden/carried_state.json

STREAMS texts are read side by side, WINDOW tokens of each at a time; each window begins with the detached state that the one before has left, the
first with zeros. Of each window the sum of its losses is kept; gradients are those of the last one. Token i of stream s in window w, and its label,
is number (w · STREAMS + s) · WINDOW + i of its stream of numbers.
"""
import torch
import torch.nn.functional as F
from torch import nn

import first_step

TOKENS, LABELS = first_step.PIXELS, first_step.LABELS
VOCABULARY, WIDTH, UNITS, LAYERS, STREAMS, WINDOW, WINDOWS = 30, 12, 10, 2, 3, 5, 3
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}
MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "simple_rnn": nn.RNN}


def parameters(kind):
    """In the order of Hone's graph: the net, the module's own tensors, the rest."""
    net, given, gates = first_step.Net(), {}, GATES[kind] * UNITS
    net.parameter("embedding_1.weight", (VOCABULARY, WIDTH), 0, 1)
    for layer in range(LAYERS):
        scope, fan = f"{kind}_1.layer_{layer + 1}", UNITS if layer else WIDTH
        given[f"weight_ih_l{layer}"] = net.parameter(f"{scope}.weight", (fan, gates), 0, 0.4).T
        given[f"weight_hh_l{layer}"] = net.parameter(f"{scope}.recurrent_weight", (UNITS, gates), 0, 0.4).T
        given[f"bias_ih_l{layer}"] = net.parameter(f"{scope}.bias", (gates,), 0, 0.25)
        given[f"bias_hh_l{layer}"] = (net.parameter(f"{scope}.recurrent_bias", (gates,), 0, 0.25) if kind == "gru"
                                      else torch.zeros(gates, dtype=torch.float64))
    net.parameter("dense_1.weight", (UNITS, VOCABULARY), 0, (3 / UNITS) ** 0.5)
    net.parameter("dense_1.bias", (VOCABULARY,), 0, 0.125)
    return net, given


def numbers(stream, window):
    of_window = first_step.stream(stream, (window + 1) * STREAMS * WINDOW)[window * STREAMS * WINDOW:]
    return torch.tensor((of_window % VOCABULARY).astype("int64")).view(STREAMS, WINDOW)


def windows_of(kind):
    net, given = parameters(kind)
    module = MODULES[kind](WIDTH, UNITS, LAYERS, batch_first=True).double()
    state, losses = None, []
    for window in range(WINDOWS):
        x = net.tensors["embedding_1.weight"][numbers(TOKENS, window)]
        arguments = (x,) if state is None else (x, state)
        states, state = torch.func.functional_call(module, given, arguments)
        state = tuple(part.detach() for part in state) if kind == "lstm" else state.detach()
        logits = states @ net.tensors["dense_1.weight"] + net.tensors["dense_1.bias"]
        loss = F.cross_entropy(logits.flatten(0, 1), numbers(LABELS, window).flatten(), reduction="sum")
        losses.append(loss.item())
    loss.backward()
    for row in net.rows:
        row["gradient"] = first_step.measure(net.tensors[row["name"]].grad)
    return {"losses": losses, "parameters": net.rows}


def main():
    torch.set_num_threads(2)
    first_step.write({kind: windows_of(kind) for kind in GATES})


main()
