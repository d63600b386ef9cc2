"""Texts with classes as tokens, read, cleaned, divided and numbered as Hone does it (engine/data/texts.h, engine/text/)."""
import collections
import csv
import html.entities
import re

from data_files import find

SPECIAL = 3  # tokens of every vocabulary, of which the first, 0, is the unknown one
# Where the columns of the tables' texts and labels are.
COLUMNS = {"ag-news-test": ((1, 2), 0)}
# A word with the apostrophes inside of it, or a single character. Those who write without spaces between words are in none of these data sets.
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_")
HTML = re.compile(r"<!--.*?(?:-->|\Z)|<![^>]*>|<(/?[A-Za-z][A-Za-z0-9]*)[^>]*>|&([^;]{0,30});", re.DOTALL)
BREAKS = set("address article aside blockquote br dd div dl dt footer form h1 h2 h3 h4 h5 h6 head hr header li main nav ol p pre td th tr table "
             "tbody thead title ul option section".split())


def strip_html(text):
    """Without tags, references as what they stand for; script and style, which no data set here has, are not known."""
    def change(match):
        tag, name = match.group(1), match.group(2)
        if tag is not None:
            assert tag.lower() not in ("script", "style")
            return " " if tag.lower().lstrip("/") in BREAKS else ""
        if name is None:
            return ""
        if name == "apos" or name in html.entities.name2codepoint:
            return "'" if name == "apos" else chr(html.entities.name2codepoint[name])
        number = re.fullmatch(r"#([0-9]+)|#[xX]([0-9a-fA-F]+)", name)
        return (chr(int(number.group(1)) if number.group(1) else int(number.group(2), 16))) if number else match.group(0)
    return HTML.sub(change, text)


def lower(text):
    """Letter by letter: those whose small form is several characters are left to the first of them."""
    return "".join(character.lower()[0] for character in text)


def clean(text, cleaning):
    assert not set(cleaning) - {"html", "lower_case"}, cleaning
    text = strip_html(text) if cleaning.get("html") else text
    return lower(text) if cleaning.get("lower_case") else text


def splitter(tokenizer):
    """What a text is cut into, and how many tokens there may be at most (None: all)."""
    (kind, given), = tokenizer.items()
    if kind == "characters":
        return list, None
    assert kind == "words" and not set(given) - {"vocabulary", "split"}, tokenizer
    split = str.split if given.get("split", "PUNCTUATION") == "SPACES" else WORD.findall
    return split, given.get("vocabulary", 10_000) - SPECIAL


def make_vocabulary(texts, tokenizer):
    """Token → number: characters in the order of Unicode, words by how often they come, then by their bytes."""
    split, most = splitter(tokenizer)
    if most is None:
        tokens = sorted(set("".join(texts)))
    else:
        counts = collections.Counter(word for text in texts for word in split(text))
        tokens = sorted(counts, key=lambda word: (-counts[word], word.encode()))[:most]
    return {token: SPECIAL + number for number, token in enumerate(tokens)}


def read_table(path, name):
    """(text, label) of each row; what tabs separate has a header and no quotes."""
    with open(path, encoding="utf-8", newline="") as table:
        if path.suffix == ".tsv":
            rows = [line.rstrip("\r\n").split("\t") for line in table][1:]
        else:
            rows = list(csv.reader(table))
    columns, label = COLUMNS.get(name, ((0,), 1))
    return [(" ".join(row[column] for column in columns), row[label].strip()) for row in rows if row]


def read_lines(path):
    with open(path, encoding="utf-8", newline="\n") as lines:
        return [(line.rstrip("\n").removesuffix("\r"), path.stem) for line in lines]


def split_parts(rows, spec, seed):
    """A data set without parts of its own, divided by chance and by class."""
    import hone_random  # which needs NumPy
    known = sorted({label for _, label in rows})
    numbers = hone_random.split(len(rows), seed, [known.index(label) for _, label in rows], spec.get("test_fraction", 0.2),
                                spec.get("validation_fraction", 0.0))
    return {part: [rows[i] for i in at] for part, at in zip(("train", "validation", "test"), numbers)}


def read(spec, seed):
    """{part: ([tokens], [class])} of "train", "validation" and "test", how many tokens there are and how many classes."""
    name, text = spec["dataset"], spec["text"]
    assert not set(text) - {"cleaning", "tokenizer", "max_tokens"}, text
    assert not set(spec) - {"dataset", "text", "test_fraction", "validation_fraction"}, spec
    files = find(name)
    if name == "sst2":
        parts = dict(zip(("train", "validation", "test"), (read_table(path, name) for path in files)))
    elif files[0].suffix == ".txt":
        parts = split_parts([row for path in files for row in read_lines(path)], spec, seed)
    else:
        parts = split_parts(read_table(files[0], name), spec, seed)
    parts = {part: [(clean(row, text.get("cleaning", {})), label) for row, label in rows] for part, rows in parts.items()}
    known = sorted({label for rows in parts.values() for _, label in rows})
    vocabulary = make_vocabulary([row for row, _ in parts["train"]], text["tokenizer"])
    split, most = splitter(text["tokenizer"])[0], text.get("max_tokens")
    encoded = {part: ([[vocabulary.get(token, 0) for token in split(row)][:most] or [0] for row, _ in rows],
                      [known.index(label) for _, label in rows]) for part, rows in parts.items()}
    return encoded, SPECIAL + len(vocabulary), len(known)
