#!/usr/bin/env python3
"""Makes first_step_of_heads.json: the first training step of the tasks text_embedding (of pairs and of triples), token_tagging and
multi_label_classification by PyTorch in float64, the truth of tests/engine/heads_golden_test.cc. Numbers and measures are those of first_step.py.

    ~/.cache/hone/torch/bin/python tests/golden/first_step_of_heads.py > tests/golden/first_step_of_heads.json

Each net begins with a table of the tokens; token i of all texts one behind the other is number i of its stream.
"""
import torch
import torch.nn.functional as F

import first_step

VOCABULARY, WIDTH, CLASSES, SCALE = 50, 24, 5, 20
LENGTHS = [5, 1, 9, 3, 4, 1, 2, 6]
LENGTHS_OF_TRIPLES = [*LENGTHS, 3]


def tokens(lengths):
    return torch.tensor((first_step.stream(first_step.PIXELS, sum(lengths)) % VOCABULARY).astype("int64"))


def labels(count, classes):
    return torch.tensor((first_step.stream(first_step.LABELS, count) % classes).astype("int64"))


def embedded(net, lengths=LENGTHS):
    return net.parameter("embedding_1.weight", (VOCABULARY, WIDTH), 0, 1)[tokens(lengths)]


def pooled(x, lengths=LENGTHS):
    return torch.stack([rows.mean(0) for rows in x.split(lengths)])


def ranking(net, lengths, examples):
    """The first text of each example, then what it is to choose from."""
    vectors = F.normalize(pooled(net.dense(embedded(net, lengths), "dense_1", WIDTH), lengths), dim=1)
    return F.cross_entropy(SCALE * vectors[:examples] @ vectors[examples:].T, torch.arange(examples), reduction="sum")


def text_embedding(net):
    """The first texts of all pairs, then the second ones."""
    return ranking(net, LENGTHS, len(LENGTHS) // 2)


def text_embedding_of_triples(net):
    """And the negatives behind them."""
    return ranking(net, LENGTHS_OF_TRIPLES, len(LENGTHS_OF_TRIPLES) // 3)


def token_tagging(net):
    """Two of seven tokens are no first ones of a word."""
    tags = labels(sum(LENGTHS), CLASSES + 2)
    tags[tags >= CLASSES] = -100
    return F.cross_entropy(net.dense(embedded(net), "dense_1", CLASSES), tags, reduction="sum")


def multi_label_classification(net):
    truth = labels(len(LENGTHS) * CLASSES, 2).double().reshape(len(LENGTHS), CLASSES)
    return F.binary_cross_entropy_with_logits(net.dense(pooled(embedded(net)), "dense_1", CLASSES), truth, reduction="sum")


def first_step_of(build, lengths=LENGTHS):
    net = first_step.Net()
    loss = build(net)
    loss.backward()
    for row in net.rows:
        row["gradient"] = first_step.measure(net.tensors[row["name"]].grad)
    return {"lengths": lengths, "loss_sum": loss.item(), "parameters": net.rows}


def main():
    torch.set_num_threads(1)
    first_step.write({**{build.__name__: first_step_of(build) for build in (text_embedding, token_tagging, multi_label_classification)},
                      "text_embedding_of_triples": first_step_of(text_embedding_of_triples, LENGTHS_OF_TRIPLES)})


main()
