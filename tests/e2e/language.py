#!/usr/bin/env python3
"""A language model as its users meet it: a text learned here and by the server, planned, measured on another text, and refused where it is none.

    language.py HONED HONE SOURCE_DIR
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import LONGEST_SECONDS, Honed  # noqa: E402

HONED, HONE, SOURCE = sys.argv[1:4]
JOB = pathlib.Path(SOURCE) / "client" / "examples" / "shakespeare-gpt.yaml"
RHYME = "to be, or not to be, that is the question. "
SMALL = ["--set", "language_modeling.window=16", "--set", "model.preset.gpt.layers=1", "--set", "model.preset.gpt.width=32",
         "--set", "training.steps=300", "--set", "training.optimizer.adamw.learning_rate=0.01", "--set", "training.schedule.warmup_steps=10",
         "--set", "training.checkpoints.every_seconds=0"]


def hone(*arguments):
    return subprocess.run([HONE, *map(str, arguments)], capture_output=True, text=True, timeout=3 * LONGEST_SECONDS, check=False)


def here(path):
    return ["--set", "data.dataset=", "--set", f"data.path={path}"]


class Language(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.text = cls.folder / "rhyme.txt"
        cls.text.write_text(RHYME * 100, encoding="utf-8")
        cls.server = Honed(HONED, cls.folder, environment=dict(os.environ))
        cls.ran = hone("--output", "json", "run", JOB, *here(cls.text), *SMALL, "--run-dir", cls.folder / "run")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.scratch.cleanup()

    def setUp(self):
        self.assertEqual(self.ran.returncode, 0, self.ran.stdout[-2000:] + self.ran.stderr)

    def at_server(self, *arguments):
        return hone("--server", self.server.address, *arguments)

    def test_a_text_is_learned_here(self):
        metrics = json.loads(self.ran.stdout.splitlines()[-1])["evaluation"]["metrics"]
        self.assertLess(metrics["validation_loss"], 1)
        self.assertLess(metrics["validation_bits_per_byte"], 1.5)
        self.assertGreater(metrics["validation_perplexity"], 1)

    def test_a_text_is_brought_to_the_server_and_learned_there(self):
        done = self.at_server("--output", "json", "submit", JOB, "--follow", *here(self.text), *SMALL)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertLess(json.loads(done.stdout.splitlines()[-1])["evaluation"]["metrics"]["validation_loss"], 1)

    def test_an_upload_is_looked_at(self):
        put = self.at_server("data", "put", "rhyme", self.text)
        self.assertEqual(put.returncode, 0, put.stdout + put.stderr)
        checked = self.at_server("data", "check", "rhyme")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_the_plan_has_a_row_for_each_part_of_a_block(self):
        plan = hone("plan", JOB, *here(self.text), *SMALL, "--no-measure", "--output", "json")
        self.assertEqual(plan.returncode, 0, plan.stderr)
        layers = {layer["name"]: layer for layer in json.loads(plan.stdout.splitlines()[-1])["layers"]}
        self.assertEqual(int(layers["block_1.attention"]["weights"]), 4 * 32 * 32)
        self.assertEqual(int(layers["token_embedding"]["weights"]), (3 + len(set(RHYME))) * 32)

    def test_bad_texts_are_refused_with_what_is_wrong(self):
        cases = {b"": "is empty", b"short": "language_modeling.window", b"aaaa" * 50: "nothing to learn",
                 b"caf\xe9" * 50: "not UTF-8"}
        for number, (text, said) in enumerate(cases.items()):
            (self.folder / "bad.txt").write_bytes(text)
            done = hone("run", JOB, *here(self.folder / "bad.txt"), *SMALL, "--run-dir", self.folder / f"bad-{number}")
            self.assertNotEqual(done.returncode, 0, text)
            self.assertIn(said, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
