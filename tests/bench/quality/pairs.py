"""Sentences and their translations as tokens, read, cleaned, divided and numbered as Hone does it (engine/data/sentence_pairs.h)."""
import dataclasses
import gzip
import re
import unicodedata

import texts
from data_files import find

UNKNOWN, BEGIN, END = range(texts.SPECIAL)


@dataclasses.dataclass
class Pairs:
    """Of a part: [(source tokens, target tokens)], without begin and end."""
    train: list
    validation: list
    test: list
    references: list  # of each source sentence of the test part, in its order: (source tokens, [translations as texts])
    vocabularies: tuple  # of both sides: token → number


def clean(text, cleaning):
    assert not set(cleaning) - {"normalization", "lower_case", "white_space"} and cleaning.get("normalization", "NONE") in ("NONE", "NFC"), cleaning
    text = unicodedata.normalize("NFC", text) if cleaning.get("normalization") == "NFC" else text
    text = texts.lower(text) if cleaning.get("lower_case") else text
    return re.sub(r"\s+", " ", text).strip() if cleaning.get("white_space") else text


def divide(sentences, pairs_of, spec, seed):
    """Numbers of the sentences of each part; the limit counts pairs."""
    import hone_random  # which needs NumPy
    share = lambda fraction, rows: int(fraction * len(rows) + 0.5)  # noqa: E731
    numbers = list(range(sentences))
    rest, test = hone_random.take(numbers, share(spec.get("test_fraction", 0.1), numbers), None, hone_random.Stream(seed, "split test"))
    order, stream = list(rest), hone_random.Stream(seed, "split limit")
    for i in range(len(order), 1, -1):
        j = stream.below(i)
        order[i - 1], order[j] = order[j], order[i - 1]
    chosen, left = set(), spec.get("limit") or sum(pairs_of)
    for sentence in order:
        if pairs_of[sentence] <= left:
            chosen.add(sentence)
            left -= pairs_of[sentence]
    rest = sorted(chosen)
    train, validation = hone_random.take(rest, share(spec.get("validation_fraction", 0.1), rest), None, hone_random.Stream(seed, "split validation"))
    return train, validation, test


def read(spec, seed):
    given = spec["pairs"]
    assert not set(spec) - {"dataset", "pairs", "limit", "test_fraction", "validation_fraction"}, spec
    assert not set(given) - {"cleaning", "first", "max_source_tokens", "max_target_tokens", "source_tokenizer", "target_tokenizer"}, given
    tokenizers = [given.get(side, {"words": {}}) for side in ("source_tokenizer", "target_tokenizer")]
    split = [texts.splitter(tokenizer)[0] for tokenizer in tokenizers]
    most = [given.get(f"max_{side}_tokens") or float("inf") for side in ("source", "target")]
    rows, numbers, pairs_of = [], {}, []
    with gzip.open(find(spec["dataset"])[0], "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            sides = [clean(text, given.get("cleaning", {})) for text in line.rstrip("\r\n").split("\t")[:2]]
            if any(len(cut(text)) > longest for cut, text, longest in zip(split, sides, most)):
                continue
            if len(rows) == given.get("first"):
                break
            number = numbers.setdefault(sides[0], len(numbers))
            pairs_of += [0] * (len(numbers) - len(pairs_of))
            pairs_of[number] += 1
            rows.append((number, *sides))
    parts = [set(part) for part in divide(len(numbers), pairs_of, spec, seed)]
    of_part = [[row for row in rows if row[0] in part] for part in parts]
    vocabularies = tuple(texts.make_vocabulary([row[side + 1] for row in of_part[0]], tokenizers[side]) for side in (0, 1))

    def encode(text, side):
        return [vocabularies[side].get(token, UNKNOWN) for token in split[side](text)]

    references = {}
    for number, source, target in of_part[2]:
        known = references.setdefault(number, (encode(source, 0), []))[1]
        if target not in known:
            known.append(target)
    return Pairs(*([(encode(source, 0), encode(target, 1)) for _, source, target in part] for part in of_part), list(references.values()), vocabularies)
