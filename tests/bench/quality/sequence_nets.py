"""Nets over sequences in PyTorch, described by a job file of Hone and begun as Hone begins them, and the loop that trains them."""
import copy
import math

import torch
from torch import nn

import job as jobs


def begin_recurrent(layer):
    """Glorot's uniform numbers for inputs, orthogonal rows for states; of an LSTM ones for the forget gate, and one bias in place of two."""
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
    if isinstance(layer, nn.LSTM):
        with torch.no_grad():
            layer.bias_ih_l0[layer.hidden_size:2 * layer.hidden_size] = 1
        layer.bias_hh_l0.requires_grad_(False)
    return layer


class SequenceNet(nn.Module):
    """Sequences as [batch, longest] tokens, or [batch, length, width] points, and their true lengths → [batch, units of the last layer]."""

    def __init__(self, described, vocabulary=0, width=0):
        super().__init__()
        self.layers, self.kinds = nn.ModuleList(), []
        for layer in described:
            (kind, given), = layer.items()
            if kind == "embedding":
                assert set(given) == {"width"}, given
                self.layers.append(nn.Embedding(vocabulary, given["width"]))
                nn.init.normal_(self.layers[-1].weight, std=0.05)
                width = given["width"]
            elif kind in ("lstm", "gru"):
                assert set(given) == {"units"}, given
                self.layers.append(begin_recurrent((nn.LSTM if kind == "lstm" else nn.GRU)(width, given["units"], batch_first=True)))
                width = given["units"]
            elif kind == "sequence_pool":
                assert given == {"kind": "MEAN"}, given
                self.layers.append(nn.Identity())
            else:
                assert kind == "dense" and not set(given) - {"units", "activation"} and given.get("activation", "RELU") == "RELU", layer
                dense = nn.Linear(width, given["units"])
                nn.init.xavier_uniform_(dense.weight)
                nn.init.zeros_(dense.bias)
                self.layers.append(nn.Sequential(dense, nn.ReLU()) if "activation" in given else dense)
                width = given["units"]
            self.kinds.append(kind)

    def forward(self, x, lengths):
        for kind, layer in zip(self.kinds, self.layers):
            if kind in ("lstm", "gru"):
                x = layer(x)[0][torch.arange(len(lengths)), lengths - 1]  # the state behind the last true element
            elif kind == "sequence_pool":
                true = torch.arange(x.shape[1])[None, :, None] < lengths[:, None, None]
                x = (x * true).sum(1) / lengths[:, None]
            else:
                x = layer(x)
        return x


def train(job, net, batch_of, sizes, criterion):
    """Trains as the job says; the weights with the lowest validation loss stay, where there is a validation part.

    batch_of(part, rows) gives what the net reads of these rows, (x, lengths), and their targets; criterion is a mean over a batch.
    """
    training = job["training"]
    assert not set(training) - {"epochs", "batch_size", "optimizer", "early_stopping", "seed"}, training
    optimizer = jobs.optimizer(net.parameters(), training["optimizer"])
    best, best_weights, without = math.inf, None, 0
    for _ in range(training["epochs"]):
        for rows in torch.randperm(sizes["train"]).split(training["batch_size"]):
            read, targets = batch_of("train", rows)
            optimizer.zero_grad(set_to_none=True)
            criterion(net(*read), targets).backward()
            optimizer.step()
        if sizes["validation"]:
            loss = loss_of(net, batch_of, sizes, "validation", criterion)
            best, best_weights, without = (loss, copy.deepcopy(net.state_dict()), 0) if loss < best else (best, best_weights, without + 1)
            if "early_stopping" in training and without >= training["early_stopping"]["patience"]:
                break
    if best_weights:
        net.load_state_dict(best_weights)


def answers(net, batch_of, sizes, part):
    """(outputs, targets) of all rows of a part."""
    outputs, targets = [], []
    with torch.no_grad():
        for rows in torch.arange(sizes[part]).split(256):
            read, wanted = batch_of(part, rows)
            outputs.append(net(*read))
            targets.append(wanted)
    return torch.cat(outputs), torch.cat(targets)


def loss_of(net, batch_of, sizes, part, criterion):
    return criterion(*answers(net, batch_of, sizes, part)).item()
