"""The probabilities of an exported S1 net by PyTorch, beside those that `hone predict` gave: prints the differences as a JSON list.

    model_in_torch.py MODEL PICTURE PREDICTED

MODEL is a model's folder, PREDICTED the last line of `hone predict --top 10 --output json`.
"""
import json
import pathlib
import struct
import sys
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file


def grey_png(path):
    """The pixels [height, width] of an 8-bit grey PNG without interlacing."""
    data, at, header, packed = pathlib.Path(path).read_bytes(), 8, None, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        header = body if kind == b"IHDR" else header
        packed += body if kind == b"IDAT" else b""
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    assert (depth, colour) == (8, 0), "an 8-bit grey picture is wanted"
    raw = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, width + 1).astype(np.int64)
    rows = np.zeros((height, width), np.int64)
    for y in range(height):
        above = rows[y - 1] if y else np.zeros(width, np.int64)
        for x in range(width):
            left, corner = (rows[y, x - 1], above[x - 1]) if x else (0, 0)
            guess = left + above[x] - corner
            paeth = min((left, above[x], corner), key=lambda value: abs(guess - value))
            rows[y, x] = (raw[y, x + 1] + (0, left, above[x], (left + above[x]) // 2, paeth)[raw[y, 0]]) % 256
    return rows


def main():
    model, picture, predicted = map(pathlib.Path, sys.argv[1:4])
    w = load_file(model / "model.safetensors")
    x = torch.tensor(grey_png(picture) / 255.0, dtype=torch.float32)[None, None]
    x = F.max_pool2d(F.relu(F.conv2d(x, w["conv2d_1.weight"], w["conv2d_1.bias"])), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, w["conv2d_2.weight"], w["conv2d_2.bias"])), 2)
    x = F.relu(x.flatten(1) @ w["dense_1.weight"] + w["dense_1.bias"])
    theirs = torch.softmax(x @ w["dense_2.weight"] + w["dense_2.bias"], 1)[0].tolist()
    prediction = json.loads(predicted.read_text(encoding="utf-8").splitlines()[-1])["predictions"][0]
    ours = {entry["name"]: entry["probability"] for entry in prediction["classification"]["classes"]}
    print(json.dumps([f"class {i}: {ours.get(str(i))} by hone, {p} by torch" for i, p in enumerate(theirs)
                      if not abs(ours.get(str(i), -1) - p) <= 1e-5]))  # so that NaN differs, too


main()
