"""The probabilities of a model of pictures as ONNX, by ONNX Runtime, beside those that `hone predict` gave: prints the differences as a JSON list.

    model_in_onnxruntime.py MODEL.onnx PICTURE PREDICTED
"""
import json
import pathlib
import struct
import sys
import zlib

import numpy as np
import onnx
import onnxruntime


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
    return rows.astype(np.uint8)


def main():
    model, picture, predicted = map(pathlib.Path, sys.argv[1:4])
    onnx.checker.check_model(str(model), full_check=True)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    # Two pictures: the batch is of any size.
    pixels = np.stack([grey_png(picture)[None], np.zeros_like(grey_png(picture))[None]])
    logits = session.run(["logits"], {"pixels": pixels})[0][0].astype(np.float64)
    theirs = np.exp(logits - logits.max())
    theirs /= theirs.sum()
    prediction = json.loads(predicted.read_text(encoding="utf-8").splitlines()[-1])["predictions"][0]
    ours = {entry["name"]: entry["probability"] for entry in prediction["classification"]["classes"]}
    print(json.dumps([f"class {i}: {ours.get(str(i))} by hone, {p} by ONNX Runtime" for i, p in enumerate(theirs.tolist())
                      if not abs(ours.get(str(i), -1) - p) <= 1e-5]))  # so that NaN differs, too


main()
