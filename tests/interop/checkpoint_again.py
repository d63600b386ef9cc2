"""A checkpoint and what Hone wrote of it, both loaded by transformers: prints where tokens or logits differ as a JSON list.

    checkpoint_again.py CHECKPOINT EXPORTED
"""
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = ["The capital of France is", "def add(a, b):"]


def logits(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    found = []
    with torch.no_grad():
        for text in TEXTS:
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            found.append((ids.tolist(), model(ids).logits[0, -1]))
    return found


def main():
    different = []
    for text, (ids, theirs), (ids_again, ours) in zip(TEXTS, logits(sys.argv[1]), logits(sys.argv[2])):
        if ids != ids_again:
            different.append(f"{text!r}: {ids} are now {ids_again}")
        elif not (theirs - ours).abs().max() <= 1e-4 * theirs.abs().max():  # so that NaN differs, too
            different.append(f"{text!r}: logits differ by {(theirs - ours).abs().max()}")
    print(json.dumps(different))


main()
