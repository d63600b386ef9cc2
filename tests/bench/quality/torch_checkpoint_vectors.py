#!/usr/bin/env python3
"""A BERT of Hugging Face's that goes on learning vectors of sentences in PyTorch, by a job file of Hone: the same checkpoint, tokens, pairs and their
order, optimizer, clipping and schedule. The loss is sentence-transformers' MultipleNegativesRankingLoss.

    torch_checkpoint_vectors.py JOB --seed N [--set a.b=c …]

BF16 is torch.autocast. Prints one line of JSON.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import checkpoints  # noqa: E402
import fine_tuning  # noqa: E402
import job as jobs  # noqa: E402
from checkpoint_nets import Bert  # noqa: E402


def read(spec, folder):
    """{part: (first texts, second texts)} as tokens, of "train" and "test"."""
    given = spec["text"]
    assert set(spec) == {"path", "text"} and set(given) == {"columns", "second_columns", "max_tokens"}, spec
    (first,), (second,), tokenizer, parts = given["columns"], given["second_columns"], checkpoints.tokenizer_of(folder), {}
    for part in ("train", "test"):
        head, *rows = [line.split("\t") for line in pathlib.Path(spec["path"], f"{part}.tsv").read_text(encoding="utf-8").splitlines()]
        parts[part] = tuple(checkpoints.encode(tokenizer, [row[head.index(column)] for row in rows], given["max_tokens"])
                            for column in (first, second))
    return parts


def vectors(net, rows):
    """Of length 1."""
    tokens = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return F.normalize(net.mean(tokens, torch.tensor([len(row) for row in rows])), dim=1)


@torch.no_grad()
def evaluate(job, net, firsts, seconds):
    """Of each first text the place of its own second one among all, by the cosine: recall@1 and the mean of 1 ÷ place."""
    net.eval()
    both = []
    for texts in (firsts, seconds):
        with fine_tuning.autocast(job):
            both.append(torch.cat([vectors(net, texts[i:i + 64]).float() for i in range(0, len(texts), 64)]))
    cosines = both[0] @ both[1].T
    ranks = 1 + (cosines > cosines.diagonal()[:, None]).sum(1).double()
    net.train()
    return {"recall_at_1": (ranks == 1).double().mean().item(), "mrr": (1 / ranks).mean().item()}


def main():
    options, job = jobs.arguments(__doc__)
    task = job["text_embedding"]
    assert set(task) == {"pooling", "scale"} and task["pooling"] == "MEAN" and set(job["model"]["pretrained"]) == {"path"}, job
    folder = job["model"]["pretrained"]["path"]
    parts = read(job["data"], folder)
    net = Bert.of(checkpoints.config_of(folder), checkpoints.tensors_of(folder), pooler=False)
    firsts, seconds = parts["train"]

    def loss_of(rows):
        both = vectors(net, [firsts[i] for i in rows] + [seconds[i] for i in rows])
        return F.cross_entropy(task["scale"] * both[:len(rows)] @ both[len(rows):].T, torch.arange(len(rows)))

    start = evaluate(job, net, *parts["test"])
    losses = fine_tuning.train(job, net.parameters(), len(firsts), loss_of, options.seed)
    jobs.report({**evaluate(job, net, *parts["test"]), **{f"start_{name}": value for name, value in start.items()}, "first_losses": losses})


if __name__ == "__main__":
    main()
