#!/usr/bin/env python3
"""Makes the pairs of similar-minilm.yaml: English sentences that share a French translation.

    python3 client/examples/similar_pairs.py FRA.txt.gz FOLDER

FRA.txt.gz is the file of the data set tatoeba-eng-fra (`hone data list`): a line is an English sentence, a tabulator and its French translation. What
counts are French sentences that have several English ones, in the order of their SHA-256. The first 1,000 give a pair each to test, those two English
sentences whose SHA-256 is lowest; the others give all their pairs, both ways round, the first 10,000 of which are to train: FOLDER/test.tsv and
FOLDER/train.tsv, with the columns `text` and `other`.
"""
import gzip
import hashlib
import itertools
import pathlib
import sys

TEST, TRAIN = 1000, 10000


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def read(path):
    """The English sentences of each French one."""
    groups = {}
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
        for line in file:
            english, french = line.rstrip("\n").split("\t")[:2]
            groups.setdefault(french, set()).add(english)
    return groups


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    groups = read(sys.argv[1])
    shared = [sorted(groups[french], key=sha256) for french in sorted(groups, key=sha256) if len(groups[french]) > 1]
    test = [tuple(english[:2]) for english in shared[:TEST]]
    train = [pair for english in shared[TEST:] for pair in itertools.permutations(english, 2)][:TRAIN]
    if len(test) + len(train) < TEST + TRAIN:
        sys.exit(f"{sys.argv[1]} gives {len(test) + len(train)} pairs; {TEST + TRAIN} are needed")
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("test", test), ("train", train)):
        rows = ["text\tother"] + ["\t".join(pair) for pair in part]
        (folder / f"{name}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
