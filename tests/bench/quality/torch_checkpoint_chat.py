#!/usr/bin/env python3
"""A chat model of Hugging Face's (Llama's kind) that learns answers by adapters in PyTorch, by a job file of Hone: the same checkpoint, conversations
and their order, tokens, first weights of the adapters, optimizer, clipping and schedule.

    torch_checkpoint_chat.py JOB --seed N [--set a.b=c …]

A batch is padded to its longest conversation; the loss is the mean over the tokens of all its answers. BF16 is torch.autocast. Prints one line of
JSON.
"""
import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import checkpoints  # noqa: E402
import fine_tuning  # noqa: E402
import job as jobs  # noqa: E402
from checkpoint_nets import Adapted, Llama  # noqa: E402

OUR_NAMES = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "output"}


def writer(folder):
    """Turns → the text that the checkpoint's own template makes of them; with `asks` up to where an answer begins."""
    import jinja2  # which comes with PyTorch
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(
        pathlib.Path(folder, "chat_template.jinja").read_text(encoding="utf-8"))
    return lambda turns, asks=False: template.render(messages=turns, add_generation_prompt=asks)


def read(path, folder, most):
    """{part: [(tokens, of each whether it is learned)]} of "train" and "test"; a conversation is a question and its answer."""
    tokenizer, write, parts = checkpoints.tokenizer_of(folder), writer(folder), {}
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids  # noqa: E731
    for part in ("train", "test"):
        parts[part] = []
        for line in pathlib.Path(path, f"{part}.jsonl").read_text(encoding="utf-8").splitlines():
            turns = json.loads(line)["messages"]
            assert [turn["role"] for turn in turns] == ["user", "assistant"], turns
            tokens, given = encode(write(turns)), len(encode(write(turns[:1], asks=True)))
            assert len(tokens) <= most, f"{len(tokens)} tokens; nothing is cut off here"
            parts[part].append((tokens, [i >= given for i in range(len(tokens))]))
    return parts


def adapt(net, given, seed):
    """Nothing but adapters beside the named products learns."""
    assert not set(given) - {"rank", "alpha", "targets"}, given
    net.requires_grad_(False)
    rank = given["rank"]
    for i, block in enumerate(net.blocks):
        for target in given["targets"]:
            product = getattr(block, target)
            units, width = product.weight.shape
            name = f"block_{i + 1}.attention.{OUR_NAMES[target]}.lora_A.weight"
            # As torch.nn.Linear begins; the other factor is zero.
            a = fine_tuning.uniform((rank, width), (6 / (6 * width)) ** 0.5, seed, name)
            setattr(block, target, Adapted(product, a, torch.zeros(units, rank), given["alpha"] / rank))


def loss_of(net, rows, reduction="mean"):
    """Of the tokens that are learned, each foretold by those before it."""
    tokens, learned = (nn.utils.rnn.pad_sequence([torch.tensor(part) for part in parts], batch_first=True) for parts in zip(*rows))
    at = learned[:, 1:]
    return F.cross_entropy(net.logits(net(tokens[:, :-1])[at]).float(), tokens[:, 1:][at], reduction=reduction)


@torch.no_grad()
def evaluate(job, net, rows):
    """Nats for each token of the answers."""
    rows = sorted(rows, key=lambda row: len(row[0]))
    with fine_tuning.autocast(job):
        loss = sum(loss_of(net, rows[first:first + 8], "sum").item() for first in range(0, len(rows), 8))
    return loss / sum(sum(learned) for _, learned in rows)


def main():
    options, job = jobs.arguments(__doc__)
    task, given = job["language_modeling"], job["model"]["pretrained"]
    assert set(task) == {"window"} and set(given) == {"path", "lora"} and not set(job["data"]) - {"path", "chat", "limit"}, job
    assert job["data"]["chat"] == {}, job
    parts = read(job["data"]["path"], given["path"], task["window"] + 1)
    net = Llama.of(checkpoints.config_of(given["path"]), checkpoints.tensors_of(given["path"]))
    adapt(net, given["lora"], options.seed)
    train = parts["train"]
    if "limit" in job["data"]:
        train = limited(train, job["data"]["limit"], options.seed)
    start = evaluate(job, net, parts["test"])
    losses = fine_tuning.train(job, net.parameters(), len(train), lambda rows: loss_of(net, [train[i] for i in rows]), options.seed)
    jobs.report({"test_loss": evaluate(job, net, parts["test"]), "start_test_loss": start, "first_losses": losses})


def limited(rows, count, seed):
    """So many of them, drawn as Hone draws them."""
    import hone_random
    _, taken = hone_random.take(list(range(len(rows))), count, None, hone_random.Stream(seed, "split limit"))
    return [rows[i] for i in taken]


if __name__ == "__main__":
    main()
