#!/usr/bin/env python3
"""A BERT of Hugging Face's, fine-tuned as a classifier of texts in PyTorch by a job file of Hone: the same checkpoint, tokens, examples and their
order, first weights of the last layer, optimizer, clipping and schedule.

    torch_checkpoint_texts.py JOB --seed N [--set a.b=c …]

BF16 is torch.autocast. The weights of the epoch with the lowest validation loss are tested; what is said of the validation part is the last epoch's,
as Hone has both. Prints one line of JSON.
"""
import copy
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import checkpoints  # noqa: E402
import fine_tuning  # noqa: E402
import hone_random  # noqa: E402
import job as jobs  # noqa: E402
import texts  # noqa: E402
from checkpoint_nets import Bert  # noqa: E402


def read(spec, seed, folder):
    """{part: (tokens, classes)} of "train", "validation" and "test", and how many classes there are."""
    assert not set(spec) - {"dataset", "limit", "text"} and spec["dataset"] == "sst2" and not set(spec["text"]) - {"max_tokens"}, spec
    rows = dict(zip(("train", "validation", "test"), (texts.read_table(path, "sst2") for path in texts.find("sst2"))))
    known = sorted({label for part in rows.values() for _, label in part})
    if spec.get("limit", len(rows["train"])) < len(rows["train"]):
        labels = [known.index(label) for _, label in rows["train"]]
        _, taken = hone_random.take(list(range(len(labels))), spec["limit"], labels, hone_random.Stream(seed, "split limit"))
        rows["train"] = [rows["train"][i] for i in taken]
    tokenizer = checkpoints.tokenizer_of(folder)
    return {part: (checkpoints.encode(tokenizer, [text for text, _ in part_rows], spec["text"]["max_tokens"]),
                   [known.index(label) for _, label in part_rows]) for part, part_rows in rows.items()}, len(known)


class Classifier(nn.Module):
    def __init__(self, folder, classes, seed):
        super().__init__()
        config = checkpoints.config_of(folder)
        self.bert = Bert.of(config, checkpoints.tensors_of(folder), pooler=True)
        self.dropout, self.last = nn.Dropout(config["hidden_dropout_prob"]), nn.Linear(self.bert.width, classes)
        with torch.no_grad():
            self.last.weight.copy_(fine_tuning.normal(self.last.weight.shape, 0.02, seed, "classifier.weight"))
            self.last.bias.zero_()

    def forward(self, rows):
        """Logits of texts, lists of tokens."""
        tokens = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        return self.last(self.dropout(self.bert.pooled(tokens, torch.tensor([len(row) for row in rows]))))


@torch.no_grad()
def evaluate(job, net, tokens, classes, part):
    """Texts of about a length are asked together."""
    net.eval()
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    right, loss = 0, 0.0
    for first in range(0, len(order), 64):
        at = order[first:first + 64]
        with fine_tuning.autocast(job):
            logits = net([tokens[i] for i in at]).float()
        targets = torch.tensor([classes[i] for i in at])
        right += (logits.argmax(1) == targets).sum().item()
        loss += F.cross_entropy(logits, targets, reduction="sum").item()
    net.train()
    return {f"{part}_accuracy": right / len(order), f"{part}_loss": loss / len(order)}


def main():
    options, job = jobs.arguments(__doc__)
    assert job["classification"] == {} and set(job["model"]) == {"pretrained"} and set(job["model"]["pretrained"]) == {"path"}, job
    folder = job["model"]["pretrained"]["path"]
    parts, classes = read(job["data"], options.seed, folder)
    net = Classifier(folder, classes, options.seed)
    tokens, labels = parts["train"]

    def loss_of(rows):
        return F.cross_entropy(net([tokens[i] for i in rows]), torch.tensor([labels[i] for i in rows]))

    last, best, best_weights = {}, math.inf, None

    def validate():
        nonlocal last, best, best_weights
        last = evaluate(job, net, *parts["validation"], "validation")
        if last["validation_loss"] < best:
            best, best_weights = last["validation_loss"], copy.deepcopy(net.state_dict())

    net.train()
    losses = fine_tuning.train(job, net.parameters(), len(tokens), loss_of, options.seed, validate)
    net.load_state_dict(best_weights)
    jobs.report({**last, **evaluate(job, net, *parts["test"], "test"), "first_losses": losses})


if __name__ == "__main__":
    main()
