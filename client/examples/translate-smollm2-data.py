#!/usr/bin/env python3
"""Makes conversations for translate-smollm2-lora.yaml of pairs of sentences.

    translate-smollm2-data.py PAIRS OUT

PAIRS  a file, or a .gz, with a pair a line, English, a tab, French; further columns are not read. Tatoeba's, as
       https://www.manythings.org/anki/ has them (fra-eng.zip, fra.txt; CC BY 2.0).
OUT    a folder: train.jsonl, validation.jsonl and test.jsonl are written into it.

Pairs whose English has 4 to 12 words, between white space, are taken, each once. h is the SHA-256 of the English in UTF-8 as
a number: the test part has the pairs with h mod 100 = 0, the validation part those with 1, the training part all others, so
that all translations of a sentence are in one part. Each part is in the order of the SHA-256 of English and French, one
behind the other, of which the first 300, 100 and 2,000 are written.
"""
import gzip, hashlib, json, pathlib, sys

PARTS = {"test": 300, "validation": 100, "train": 2000}


def part_of(english):
    remainder = int(hashlib.sha256(english.encode()).hexdigest(), 16) % 100
    return {0: "test", 1: "validation"}.get(remainder, "train")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    pairs = {name: set() for name in PARTS}
    open_pairs = gzip.open if sys.argv[1].endswith(".gz") else open
    with open_pairs(sys.argv[1], "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            columns = line.rstrip("\r\n").split("\t")
            if len(columns) > 1 and 4 <= len(columns[0].split()) <= 12:
                pairs[part_of(columns[0])].add((columns[0], columns[1]))
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name, count in PARTS.items():
        chosen = sorted(pairs[name], key=lambda pair: hashlib.sha256("".join(pair).encode()).hexdigest())[:count]
        with open(out / f"{name}.jsonl", "w", encoding="utf-8", newline="\n") as file:
            for english, french in chosen:
                turns = [{"role": "user", "content": f"Translate to French: {english}"},
                         {"role": "assistant", "content": french}]
                file.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
        print(f"{out / name}.jsonl: {len(chosen)} conversations of {len(pairs[name])} pairs")


if __name__ == "__main__":
    main()
