#!/usr/bin/env python3
"""Makes chat_tokens.json, the golden numbers of tests/engine/text_chat_test.cc: what the Python package tokenizers makes of conversations that are
written as SmolLM2-135M-Instruct has it, and which of the tokens are learned: those behind the tokens of everything before an answer, up to those of
everything up to its end. Needs the checkpoint (../shared/tools/real-checkpoints).

    ~/.cache/hone/tokenizers/bin/python tests/golden/chat_tokens.py > tests/golden/chat_tokens.json
"""
import json, os, pathlib

from tokenizers import Tokenizer

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
PAIRS = [("I'd like to ask you about a student of yours.", "J'aimerais vous interroger au sujet d'un de vos étudiants."),
         ("The train was late again.", "Le train était encore en retard."), ("Tom has 1,000,000 euros in 2024.", "Tom a 1 000 000 d'euros en 2024."),
         ("Write code.", "```python\nfor i in range(10):\n    print(i)\n```"), ("  Two  spaces ", " And\ttabs\n\n"), ("我们今天去北京", "👩‍👩‍👧 ok")]


def main():
    root = os.environ.get("HONE_CHECKPOINT_DIR") or pathlib.Path.home() / ".cache/hone/checkpoints"
    tokenizer = Tokenizer.from_file(str(pathlib.Path(root) / "smollm2-135m/tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    golden = []
    for turns in [[pair] for pair in PAIRS] + [PAIRS[:3]]:
        text, spans = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n", []
        messages = []
        for question, answer in turns:
            question = f"Translate to French: {question}"
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            text += f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
            begin = len(encode(text))
            text += f"{answer}<|im_end|>\n"
            spans.append((begin, len(encode(text))))
        ids = encode(text)
        learned = [int(any(begin <= i < end for begin, end in spans)) for i in range(len(ids))]
        golden.append({"messages": messages, "ids": ids, "learned": learned})
    print(json.dumps(golden, ensure_ascii=False))


main()
