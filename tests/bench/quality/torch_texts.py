#!/usr/bin/env python3
"""A classifier of texts in PyTorch, trained by a job file of Hone: the same net, tokens, split, first weights and optimizer.

    torch_texts.py JOB --seed N [--set a.b=c …]

A batch is padded to its longest text; what stands behind a text's end changes nothing. Prints one line of JSON.
"""
import pathlib
import sys

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import job as jobs  # noqa: E402
import texts  # noqa: E402
from sequence_nets import SequenceNet, answers, train  # noqa: E402


def macro_f1(taken, labels, classes):
    """The mean over the classes; one that is neither there nor taken has 0."""
    both = torch.bincount(labels * classes + taken, minlength=classes * classes).view(classes, classes).double()
    return (2 * both.diagonal() / (both.sum(0) + both.sum(1)).clamp(min=1)).mean().item()


def main():
    options, job = jobs.arguments(__doc__)
    binary = job["classification"].get("binary", False)
    assert not set(job["classification"]) - {"binary"}
    parts, vocabulary, classes = texts.read(job["data"], options.seed)
    tokens = {part: [torch.tensor(row) for row in rows] for part, (rows, _) in parts.items()}
    labels = {part: torch.tensor(known) for part, (_, known) in parts.items()}

    def batch_of(part, rows):
        of_rows = [tokens[part][row] for row in rows.tolist()]
        targets = labels[part][rows]
        return ((nn.utils.rnn.pad_sequence(of_rows, batch_first=True), torch.tensor([len(row) for row in of_rows])),
                targets.float()[:, None] if binary else targets)

    sizes = {part: len(rows) for part, rows in tokens.items()}
    net = SequenceNet(job["model"]["layers"], vocabulary)
    train(job, net, batch_of, sizes, nn.BCEWithLogitsLoss() if binary else nn.CrossEntropyLoss())
    outputs, _ = answers(net, batch_of, sizes, "test")
    taken = (outputs[:, 0] > 0).long() if binary else outputs.argmax(1)
    jobs.report({"test_accuracy": (taken == labels["test"]).double().mean().item(),
                 "test_macro_f1": macro_f1(taken, labels["test"], classes)})


main()
