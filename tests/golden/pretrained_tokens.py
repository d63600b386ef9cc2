#!/usr/bin/env python3
"""Makes pretrained_tokens.json, the golden numbers of tests/engine/text_pretrained_test.cc: what the Python package tokenizers makes of texts by small
tokenizers of every kind that is read, in ids, bytes of the text, segments, and the text that comes back.

    ~/.cache/hone/tokenizers/bin/python tests/golden/pretrained_tokens.py > pretrained_tokens.json
"""
import base64
import json
import struct

from tokenizers import Tokenizer

TEXTS = ["The cat's 2nd café, isn't it?", "", " ", "\n", "  two  spaces \t tab\n\nnewline \r\n  end  ", "'", "''s 's 'S don't I'll", "3.14 1,000,000 v2.0",
         "<s> [MASK] [CLS] <|im_start|>user\nhi<|im_end|>[mask]", "nbsp\u00a0em\u2003zero\u200bbom\ufeffsoft\u00ad", "naïve—résumé…", "\x00\x01nul\x7f\x85",
         "e\u0301 a\u0323\u0307 q\u0307\u0323 \u1e9b\u0323 İ ǅ ß ẞ", "ﬁne ﬂoor ½ ² ™ ℃ １２３", "Съешь же ещё", "我们今天去北京，天气很好！", "안녕하세요 각\u1100\u1161\u11a8",
         "أهلا وسهلا", "Ξεσκεπάζω τὴν", "मैं हिन्दी", "ประเทศไทย", "👩‍👩‍👧 🇫🇷 👍🏽 ok", "\u0345\u0301\u0323", "\U0001d15e\U0001d1bb \u302e\u3099か\u3099", "the▁cat▁ ▁", "a" * 120, "ab " * 30]

# Tokens that are added to each tokenizer, and texts with them: of another case, within words, beside one another, and one of several words.
NEW_TOKENS = ["<NEW>", "qu", "été", "two words", "天气"]
NEW_TEXTS = ["The <NEW> cat", "a<NEW><NEW>b <new>", "qu queue Quelle acqua", "été Été l'été ete", "in two words, two  words twowords", "今天天气很好 天气", "<NEW> qu été two words天气", ""]


def drawn():
    """Texts of any characters of Unicode 9: a generator that every Python has alike."""
    state = 1
    def number(below):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % below
    ranges = [(32, 127), (32, 127), (0xA0, 0x500), (0x300, 0x370), (0x900, 0xA00), (0x1E00, 0x2000), (0x2000, 0x2190), (0x3040, 0x3100), (0xAC00, 0xAD00), (0x1F600, 0x1F640)]
    for _ in range(60):
        text = ""
        for _ in range(1 + number(12)):
            first, end = ranges[number(len(ranges))]
            text += chr(first + number(end - first))
        yield text


def byte_characters():
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    return [chr(byte if byte in itself else next(others)) for byte in range(256)]


def added(*tokens):
    return [{"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **more} for id, content, more in tokens]


def tokenizer(model, **parts):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None, **parts,
            "model": model}


def joined(alphabet, words):
    """A vocabulary and the merges that lead to the words, from the left."""
    vocabulary, merges = {token: id for id, token in enumerate(alphabet)}, []
    for word in words:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append([word[:end - 1], word[end - 1]])
    return vocabulary, merges


def wordpiece():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,'?!-[]<>|_éñ—…我们今天去北京"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters), "the", "cat", "##fe", "##me", "two", "space", "##spaces", "же", "isn"]
    return {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {word: id for id, word in enumerate(words)}}


def bert(**normalizer):
    return tokenizer(wordpiece(), added_tokens=added(*((id, name, {}) for id, name in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")))),
                     normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True, **normalizer},
                     pre_tokenizer={"type": "BertPreTokenizer"},
                     post_processor={"type": "TemplateProcessing",
                                     "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                                     "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                                              {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
                                     "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
                     decoder={"type": "WordPiece", "prefix": "##", "cleanup": True})


def byte_level(**more):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **more}


def byte_bpe(specials, pre_tokenizer, **parts):
    vocabulary, merges = joined([*specials, *byte_characters()], ["the", "Ġthe", "Ġcat", "cat", "Ġspaces", "user", "ĠĠ", "Ã©", "ä»¬", "000", "'s"])
    bpe = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary,
           "merges": merges}
    return tokenizer(bpe, pre_tokenizer=pre_tokenizer, decoder=byte_level(), **parts)


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def llama(**parts):
    vocabulary, merges = joined(["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcdefghijklmnopqrstuvwxyzTé.,'"], ["▁the", "▁The", "▁cat", "▁▁", "space", "ab", "aaaa"])
    bpe = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "vocab": vocabulary,
           "merges": [" ".join(merge) for merge in merges]}
    return tokenizer(bpe, **{"added_tokens": added((0, "<unk>", {}), (1, "<s>", {}), (2, "</s>", {})),
                             "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
                             "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                                                                          {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}, **parts})


def metaspace(scheme, split=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def unigram(normalizer, split, byte_fallback):
    pieces = [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0], ["▁", -2.0], *([c, -4.0 - i / 10] for i, c in enumerate("etaoinshrdlucmfwypvbgk'.,é")), ["▁the", -3.5], ["▁cat", -5.0], ["he", -5.5], ["th", -5.25],
              ["▁spaces", -8.0], ["space", -7.0], ["ab", -6.0], ["▁ab", -6.5], *([f"<0x{byte:02X}>", -20.0] for byte in range(256 if byte_fallback else 0))]
    return tokenizer({"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": byte_fallback}, added_tokens=added((1, "<s>", {}), (2, "</s>", {})), normalizer=normalizer,
                     pre_tokenizer=metaspace("always", split), decoder=metaspace("always"))


def precompiled(rules):
    """SentencePiece's precompiled_charsmap of these rules: a trie as darts-clone's double array, and what its keys become."""
    replacements, values = b"", {}
    for key, value in rules.items():
        values[key.encode()] = len(replacements)
        replacements += value.encode() + b"\0"
    units, used, bases = {}, {0}, set()

    def place(at, label, prefix):
        labels = {key[len(prefix)] if len(key) > len(prefix) else 0 for key in values if key.startswith(prefix)}
        base = next(base for base in range(1, 1 << 16) if base not in bases and not used & {base ^ next_label for next_label in labels})
        bases.add(base)
        used.update(base ^ next_label for next_label in labels)
        units[at] = (at ^ base) << 10 | (0 in labels) << 8 | label
        for next_label in sorted(labels):
            if next_label == 0:
                units[base] = 1 << 31 | values[prefix]
            else:
                place(base ^ next_label, next_label, prefix + bytes([next_label]))

    place(0, 0, b"")
    size = (max(units) // 256 + 1) * 256
    trie = struct.pack(f"<{size}I", *(units.get(at, 0) for at in range(size)))
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(struct.pack("<I", len(trie)) + trie + replacements).decode()}


# Longer and shorter ones than what they replace, none at all, keys of several characters, and one that is the beginning of another.
RULES = {"\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u2003": " ", "\u200b": "", "\x01": "", "T": "t", "ﬁ": "fi", "½": "1/2", "²": "2", "…": "...", "™": "tm", "１": "1", "e\u0301": "é", "ß": "ss",
         "q": "k", "q\u0307": "w", "か\u3099": "ga", "र": "ra", "👍": "up", "İ": "i", "Ξ": "", "\u0301": "'"}


def tokenizers():
    roberta_mask = {"lstrip": True, "rstrip": True}
    odd = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Contiguous"}, {"type": "Digits", "individual_digits": False},
                                                 {"type": "Split", "pattern": {"String": "e"}, "behavior": "MergedWithNext", "invert": False},
                                                 {"type": "Split", "pattern": {"Regex": "[aeiou]+"}, "behavior": "MergedWithPrevious", "invert": True}]}
    yield "BERT in lower case", bert()
    yield "BERT with case", bert(lowercase=False)
    yield "BERT that cleans nothing", bert(lowercase=False, clean_text=False, strip_accents=True, handle_chinese_chars=False)
    yield "WordPiece between odd splits", tokenizer(wordpiece(), normalizer={"type": "StripAccents"}, pre_tokenizer=odd)
    yield "WordPiece of words and runs", tokenizer(wordpiece(), normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]}, pre_tokenizer={"type": "Whitespace"})
    yield "GPT-2", byte_bpe(["<|endoftext|>"], byte_level(), post_processor=byte_level(trim_offsets=False), added_tokens=added((0, "<|endoftext|>", {"normalized": True})))
    yield "RoBERTa", byte_bpe(["<s>", "<pad>", "</s>", "[MASK]"], byte_level(add_prefix_space=True), normalizer={"type": "NFC"},
                              post_processor={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": True},
                              added_tokens=added((0, "<s>", {}), (2, "</s>", {}), (3, "[MASK]", roberta_mask), (400, "ok", {"single_word": True, "normalized": True, "special": False})))
    yield "Llama 3", byte_bpe(["<|im_start|>", "<|im_end|>"], {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
                                                                                                 byte_level(use_regex=False)]}, added_tokens=added((0, "<|im_start|>", {}), (1, "<|im_end|>", {})))
    yield "SmolLM", byte_bpe([], {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level()]}, post_processor=byte_level(add_prefix_space=True))
    yield "Llama 2", llama()
    yield "BPE behind Metaspace, first", llama(normalizer={"type": "Strip", "strip_left": True, "strip_right": False}, pre_tokenizer=metaspace("first"), decoder=metaspace("first"))
    yield "BPE behind Metaspace, never", llama(normalizer={"type": "NFD"}, pre_tokenizer=metaspace("never", False), decoder=metaspace("never"))
    yield "Unigram", unigram({"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}, True, False)
    yield "Unigram of bytes", unigram(None, False, True)
    yield "Unigram behind a map of characters", unigram({"type": "Sequence", "normalizers": [precompiled(RULES), {"type": "Strip", "strip_left": False, "strip_right": True},
                                                                                             {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]}, True, False)
    yield "Unigram of bytes behind a map alone", unigram(precompiled(RULES), False, True)


def main():
    texts = TEXTS + list(drawn())
    lines = []
    for name, described in tokenizers():
        made = Tokenizer.from_str(json.dumps(described))
        ids, ends, back = [], [], []
        for text in texts:
            encoded = made.encode(text)
            places = [0]
            for character in text:
                places.append(places[-1] + len(character.encode()))
            ids.append(encoded.ids)
            ends.append([places[at] for pair in encoded.offsets for at in pair])
            back.append(made.decode(encoded.ids))
        pair = made.encode(TEXTS[0], TEXTS[4])
        made.add_tokens(NEW_TOKENS)
        grown = [made.encode(text).ids for text in NEW_TEXTS]
        new = {"tokens": [made.token_to_id(token) for token in NEW_TOKENS], "ids": grown, "decoded": [made.decode(ids) for ids in grown]}
        lines.append(json.dumps({"name": name, "tokenizer": json.dumps(described, ensure_ascii=False, separators=(",", ":")), "ids": ids, "bytes": ends, "decoded": back,
                                 "pair": {"ids": pair.ids, "types": pair.type_ids}, "new": new}, ensure_ascii=False, separators=(",", ":")))
    print('{"texts":' + json.dumps(texts, ensure_ascii=False, separators=(",", ":")) + ',"new_tokens":' + json.dumps(NEW_TOKENS, ensure_ascii=False, separators=(",", ":")) +
          ',"new_texts":' + json.dumps(NEW_TEXTS, ensure_ascii=False, separators=(",", ":")) + ',"tokenizers":[\n' + ",\n".join(lines) + "\n]}")


main()
