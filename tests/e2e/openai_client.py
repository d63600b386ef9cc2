#!/usr/bin/python3
"""OpenAI's own client (the Python package `openai`) against honed: a model that chats and one that makes vectors of texts, both made here.

    openai_client.py BIN DESCRIPTORS

The package comes from an environment outside the checkout (tests/support/environments.py openai); without it exit code 77.
"""
import argparse
import math
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import environments  # noqa: E402
from honed import LONGEST_SECONDS, SKIPPED, Honed, run_tests  # noqa: E402
from kill_and_resume import write_bert, write_llama, OTHER_WORDS  # noqa: E402

environments.add_to_path("openai")
try:
    import openai
except ImportError:
    print(f"skipped: no Python environment with openai; make it by {environments.how_to_make('openai')}", file=sys.stderr)
    sys.exit(SKIPPED)

EMBEDDER = """
display_name: embedder
text_embedding: {pooling: MEAN}
data: {path: PAIRS, text: {columns: [text], second_columns: [other]}}
model: {pretrained: {model: bert}}
training: {epochs: 1, batch_size: 8}
"""
CHAT = {"model": "chatty", "messages": [{"role": "user", "content": "say abc"}], "temperature": 0}


class OpenAi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="hone-openai-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.server = Honed(OPTIONS.bin / "honed", cls.folder)
        cls.addClassCleanup(cls.server.stop)
        rng = random.Random(5)
        write_llama(cls.folder / "llama", rng)
        write_bert(cls.folder / "bert", rng)
        cls.hone("models", "import", cls.folder / "llama", "--name", "chatty")
        cls.hone("models", "import", cls.folder / "bert", "--name", "bert")
        words = ["good", "bad", *OTHER_WORDS]
        pairs = ["text\tother"] + ["\t".join([" ".join(rng.choices(words, k=4))] * 2) for _ in range(80)]
        (cls.folder / "pairs.tsv").write_text("\n".join(pairs) + "\n", encoding="utf-8")
        (cls.folder / "embedder.yaml").write_text(EMBEDDER.replace("PAIRS", str(cls.folder / "pairs.tsv")), encoding="utf-8")
        cls.hone("submit", cls.folder / "embedder.yaml", "--follow")
        cls.client = openai.OpenAI(base_url=f"{cls.server.http_url}/v1", api_key="any", max_retries=0, timeout=LONGEST_SECONDS)
        cls.addClassCleanup(cls.client.close)

    @classmethod
    def hone(cls, *options):
        done = subprocess.run([OPTIONS.bin / "hone", "--server", cls.server.address, *map(str, options)], capture_output=True, text=True,
                              timeout=4 * LONGEST_SECONDS, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"hone {options} ends with {done.returncode}: {done.stdout}{done.stderr}")

    def test_a_chat_is_answered(self):
        answer = self.client.chat.completions.create(**CHAT, max_tokens=5)
        self.assertEqual((answer.object, answer.model), ("chat.completion", "chatty"))
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        self.assertLessEqual(answer.usage.completion_tokens, 5)

    def test_a_chat_in_pieces_is_the_same_text(self):
        whole = self.client.chat.completions.create(**CHAT, max_completion_tokens=8).choices[0]
        pieces = list(self.client.chat.completions.create(**CHAT, max_completion_tokens=8, stream=True, stream_options={"include_usage": True}))
        self.assertEqual("".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices), whole.message.content)
        self.assertEqual(pieces[0].choices[0].delta.role, "assistant")
        self.assertEqual([piece.choices[0].finish_reason for piece in pieces if piece.choices][-1], whole.finish_reason)
        self.assertGreater(pieces[-1].usage.completion_tokens, 0)
        self.assertEqual(len({piece.id for piece in pieces}), 1)

    def test_the_length_is_said_where_it_ended_the_text(self):
        answer = self.client.chat.completions.create(**{**CHAT, "temperature": 1.5}, max_tokens=1, seed=3)
        self.assertEqual((answer.choices[0].finish_reason, answer.usage.completion_tokens), ("length", 1))

    def test_a_stream_that_its_client_leaves_ends(self):
        stream = self.client.chat.completions.create(**{**CHAT, "temperature": 1}, max_tokens=100_000, stream=True)
        next(iter(stream))
        stream.close()
        self.client.chat.completions.create(**CHAT, max_tokens=1)

    def test_texts_become_vectors(self):
        for more in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
            with self.subTest(**more):
                answer = self.client.embeddings.create(model="embedder", input=["good", "bad good"], **more)
                self.assertEqual([one.index for one in answer.data], [0, 1])
        one = self.client.embeddings.create(model="embedder", input="good").data[0].embedding
        same = self.client.embeddings.create(model="embedder", input=["good"], encoding_format="float").data[0].embedding
        self.assertAlmostEqual(math.sqrt(sum(x * x for x in one)), 1, places=4)
        self.assertEqual([round(x, 6) for x in one], [round(x, 6) for x in same])

    def test_what_is_wrong_is_told_in_openais_words(self):
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(**{**CHAT, "model": "none"})
        with self.assertRaises(openai.NotFoundError):
            self.client.embeddings.create(model="models/aaaaaaaaaaaaaaaa", input="a")
        with self.assertRaises(openai.BadRequestError) as raised:
            self.client.chat.completions.create(**CHAT, tools=[{"type": "function", "function": {"name": "f"}}])
        self.assertEqual(raised.exception.param, "tools")
        with self.assertRaises(openai.BadRequestError) as raised:
            self.client.chat.completions.create(**CHAT, top_p=5)
        self.assertIn("top_p", raised.exception.message)
        with self.assertRaises(openai.BadRequestError):
            self.client.chat.completions.create(**{**CHAT, "model": "embedder"})
        with self.assertRaises(openai.BadRequestError):
            self.client.embeddings.create(model="chatty", input="a")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("descriptors", type=pathlib.Path)
    OPTIONS, rest = parser.parse_known_args()
    run_tests(*rest)
