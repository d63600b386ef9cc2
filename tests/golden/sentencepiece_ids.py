#!/usr/bin/env python3
"""Makes sentencepiece_ids.json, the golden numbers of tests/engine/text_sentencepiece_test.cc: the ids that SentencePiece itself gives for texts, by
small models that stand in the file, too. What the file does not have yet is trained; with --train all are made anew.

    ~/.cache/hone/sentencepiece/bin/python tests/golden/sentencepiece_ids.py [--train] > sentencepiece_ids.json
"""
import base64
import io
import json
import pathlib
import random
import sys
import tempfile

import sentencepiece

SUBJECTS = ["the cat", "a dog", "the old house", "my friend", "her sister", "l'été", "a café"]
VERBS = ["sees", "likes", "visited", "was watching", "painted", "is repainting"]
LINES = [f"{a} {verb} {b}{end}" for a in SUBJECTS for verb in VERBS for b in SUBJECTS for end in (" .", ", too!", "\nand so on")]
SAME = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
RULES = {"\n": " ", "\t": " ", "é": "e", "e\u0301": "e", "ß": "ss", "!": "", "日": "to"}
MODELS = {
    "bpe": {"model_type": "bpe", "vocab_size": 100, "control_symbols": ["[MASK]"], "user_defined_symbols": ["\n"], **SAME},
    "unigram": {"model_type": "unigram", "vocab_size": 50, "control_symbols": ["[MASK]"], "user_defined_symbols": ["\n"], **SAME},
    "bpe of bytes": {"model_type": "bpe", "vocab_size": 340, "byte_fallback": True, **SAME},
    "unigram of single spaces": {"model_type": "unigram", "vocab_size": 48, "normalization_rule_name": "identity", "remove_extra_whitespaces": True},
    "bpe with spaces inside pieces": {"model_type": "bpe", "vocab_size": 120, "split_by_whitespace": False, **SAME},
    "bpe of unused pieces": {"model_type": "bpe", "vocab_size": 100, **SAME},
    "unigram of bytes": {"model_type": "unigram", "vocab_size": 300, "byte_fallback": True, **SAME},
    "unigram of a map": {"model_type": "unigram", "vocab_size": 46, "rules": RULES},
    "bpe of a map": {"model_type": "bpe", "vocab_size": 80, "rules": RULES},
}
TEXTS = ["the cat was watching a café .", "", " ", "  two  spaces  ", "her sister's 2nd house", "repainted\n\nthe old\tfriend\n", "我们 like the été 😀!", "<s> </s> <unk> [MASK]",
         "Ωmega ΩΩ Ω", "the▁cat▁", "visitedwatchingsees", "é", "tttthhhheeee"]


def drawn():
    draw = random.Random(5)
    parts = ["the", "cat", "is", "re", "paint", "ing", " ", " ", " ", "  ", "é", "ß", "\n", ",", "watch", "ed", "o", "s", "日本"]
    return ["".join(draw.choice(parts) for _ in range(draw.randint(1, 14))) for _ in range(60)]


def train(options):
    options, model = dict(options), io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as table:
        if rules := options.pop("rules", None):
            table.writelines("\t".join(" ".join(f"{ord(c):X}" for c in side) for side in rule) + "\n" for rule in rules.items())
            table.flush()
            options["normalization_rule_tsv"] = table.name
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=model, minloglevel=2, num_threads=1, **options)
    return model.getvalue()


def with_unused(model, every):
    """The same model, whose n-th piece and every one of so many behind it is unused: in protocol buffers a field that comes again replaces what it was."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    first = 8
    at, number, out = 0, 0, b""
    while at < len(model) and model[at] == 0x0A:  # the pieces come first; each is shorter than 128 bytes
        size = model[at + 1]
        body = model[at + 2:at + 2 + size]
        if number >= first and (number - first) % every == 0 and len(processor.id_to_piece(number)) > 1:
            body += b"\x18\x05"
        out += b"\x0a" + bytes([len(body)]) + body
        at, number = at + 2 + size, number + 1
    return out + model[at:]


def models():
    made = {}
    if "--train" not in sys.argv:
        stored = json.loads(pathlib.Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
        made = {model["name"]: base64.b64decode(model["model"]) for model in stored["models"]}
    for name, options in MODELS.items():
        if name not in made:
            made[name] = with_unused(train(options), 5) if name == "bpe of unused pieces" else train(options)
    return made


def main():
    texts = TEXTS + drawn()
    result = {"texts": texts, "models": []}
    for name, model in models().items():
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        result["models"].append({"name": name, "model": base64.b64encode(model).decode(), "ids": [processor.encode(text) for text in texts]})
    print(json.dumps(result, ensure_ascii=False, separators=(",", ":")).replace('{"name"', '\n{"name"').replace('"ids"', '\n"ids"'))


main()
