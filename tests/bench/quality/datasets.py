"""The data sets of the catalogue as tensors, divided as Hone divides them."""
import csv
import gzip
import statistics

import numpy as np
import torch

import hone_random
from data_files import find


def read_idx(path):
    data = gzip.decompress(path.read_bytes())
    rank = data[3]
    dims = np.frombuffer(data, ">u4", rank, 4)
    return torch.tensor(np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(*dims))


def pictures(name, classes=()):
    """(train, labels, test, labels): u8 [n, 1, 28, 28] and i64 [n]; of these classes alone, numbered from 0, where some are named."""
    parts = [read_idx(path) for path in find(name)]
    images, labels = (parts[0][:, None], parts[2][:, None]), (parts[1].long(), parts[3].long())
    if classes:
        wanted = torch.tensor([int(c) for c in classes])
        keep = [torch.isin(part, wanted) for part in labels]
        images = [part[kept] for part, kept in zip(images, keep)]
        labels = [torch.searchsorted(wanted, part[kept]) for part, kept in zip(labels, keep)]
    return images[0], labels[0], images[1], labels[1]


def number(cell):
    try:
        return float(cell)
    except ValueError:
        return None


def table(name, spec, seed, classification):
    """{part: (features f32, targets)} of "train", "validation" and "test", and how a target is brought back: (mean, deviation).

    Numbers get the mean 0 and the deviation 1 of the training rows, their median where a cell is empty; a category is a column of each value.
    """
    rows = list(csv.reader(find(name)[0].read_text(encoding="utf-8").splitlines()))
    head = rows.pop(0) if all(number(cell) is None for cell in rows[0]) else None
    target = head.index("median_house_value") if head else len(rows[0]) - 1
    known = sorted({row[target] for row in rows}, key=float)
    labels = [known.index(row[target]) for row in rows] if classification else None
    parts = dict(zip(("train", "validation", "test"), hone_random.split(
        len(rows), seed, labels, spec.get("test_fraction", 0.2), spec.get("validation_fraction", 0.0))))
    columns = []
    for c in range(len(rows[0])):
        cells = [row[c] for row in rows]
        train = [cells[i] for i in parts["train"] if cells[i] != ""]
        if c == target:
            continue
        if all(number(cell) is not None for cell in train):
            present = np.array([float(cell) for cell in train])
            values = np.array([float(cell) if cell else statistics.median(present) for cell in cells])
            columns.append((values - present.mean()) / present.std())
        else:
            columns += [np.array([cell == value for cell in cells], float) for value in sorted(set(train))]
    x = torch.tensor(np.stack(columns, 1), dtype=torch.float32)
    if classification:
        y, back = torch.tensor(labels), (0.0, 1.0)
    else:
        y = np.array([float(row[target]) for row in rows])
        back = (y[parts["train"]].mean(), y[parts["train"]].std())
        y = torch.tensor((y - back[0]) / back[1], dtype=torch.float32)[:, None]
    return {part: (x[at], y[at]) for part, at in parts.items()}, back
