#!/usr/bin/env python3
"""A language model as its users meet it: a text learned here and by the server, planned, measured on another text, and refused where it is none.

    language.py HONED HONE SOURCE_DIR
"""
import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from learned import EXAMPLES, AtServer, here, hone  # noqa: E402

JOB = EXAMPLES / "shakespeare-gpt.yaml"
RHYME = "to be, or not to be, that is the question. "
SMALL = ["--set", "language_modeling.window=16", "--set", "model.preset.gpt.layers=1", "--set", "model.preset.gpt.width=32",
         "--set", "training.steps=300", "--set", "training.optimizer.adamw.learning_rate=0.01", "--set", "training.schedule.warmup_steps=10",
         "--set", "training.checkpoints.every_seconds=0"]


class Language(AtServer):
    @classmethod
    def prepare(cls):
        cls.text = cls.folder / "rhyme.txt"
        cls.text.write_text(RHYME * 100, encoding="utf-8")
        cls.ran = cls.begin(hone("--output", "json", "run", JOB, *here(cls.text), *SMALL, "--run-dir", cls.folder / "run"))

    def test_a_text_is_learned_here(self):
        metrics = json.loads(self.ran.stdout.splitlines()[-1])["evaluation"]["metrics"]
        self.assertLess(metrics["validation_loss"], 1)
        self.assertLess(metrics["validation_bits_per_byte"], 1.5)
        self.assertGreater(metrics["validation_perplexity"], 1)

    def test_a_text_is_brought_to_the_server_and_learned_there(self):
        done = self.at_server("--output", "json", "submit", JOB, "--follow", *here(self.text), *SMALL)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertLess(json.loads(done.stdout.splitlines()[-1])["evaluation"]["metrics"]["validation_loss"], 1)

    def generate(self, *arguments, at=None):
        done = (at or hone)("generate", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_model_writes_on_from_a_prompt_here(self):
        wish = (self.folder / "run", "--prompt", "to be, or", "--count", 22, "--temperature", 0)
        written = self.generate(*wish)
        self.assertTrue(written.startswith("to be, or"))
        self.assertEqual(len(written), len("to be, or") + 22 + 1)
        self.assertEqual(self.generate(*wish), written)
        stopped = self.generate(*wish, "--stop", written[15:18])
        self.assertEqual(stopped, written[:written.index(written[15:18], len("to be, or"))] + "\n")
        drawn = [self.generate(self.folder / "run", "--prompt", "", "--count", 60, "--temperature", 2, "--seed", seed) for seed in (1, 1, 2)]
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])

    def test_a_server_writes_what_is_written_here(self):
        submitted = self.at_server("--output", "json", "submit", JOB, "--follow", *here(self.text), *SMALL)
        model = json.loads(submitted.stdout.splitlines()[-1])["model"]
        exported = self.folder / "exported"
        self.assertEqual(self.at_server("models", "export", model, exported).returncode, 0)
        options = ("--prompt", "that is", "--count", 50, "--seed", 3, "--top-k", 5, "--top-p", 0.9, "--repetition-penalty", 1.1)
        self.assertEqual(self.generate(model, *options, at=self.at_server), self.generate(exported, *options))

    def test_parts_of_words_are_learned_and_written(self):
        run = self.folder / "pieces"
        done = hone("--output", "json", "run", JOB, *here(self.text), *SMALL, "--set", "data.text.tokenizer={sentencepiece: {model: BPE, vocabulary: 45}}",
                    "--run-dir", run)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertLess(json.loads(done.stdout.splitlines()[-1])["evaluation"]["metrics"]["validation_bits_per_byte"], 1.5)
        self.assertTrue(self.generate(run, "--prompt", "to be, or", "--count", 10, "--temperature", 0).startswith("to be, or not to be"))

    def test_wishes_that_cannot_be_met_are_refused_with_what_is_wrong(self):
        cases = [(["--prompt", "to \u20ac"], "\u20ac"), (["--prompt", "to", "--top-p", 0], "top_p"), (["--prompt", "to", "--stop", ""], "stop[0]"),
                 (["--prompt", "to", "--temperature", -1], "temperature"), ([], "--prompt")]
        for arguments, said in cases:
            done = hone("generate", self.folder / "run", *arguments)
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertIn(said, done.stderr)

    def test_an_upload_is_looked_at(self):
        put = self.at_server("data", "put", "rhyme", self.text)
        self.assertEqual(put.returncode, 0, put.stdout + put.stderr)
        checked = self.at_server("data", "check", "rhyme")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_a_packed_running_text_is_known_for_one(self):
        parts = self.folder / "parts"
        parts.mkdir()
        for name in ("train", "validation"):
            (parts / f"{name}.txt").write_text(RHYME * 20, encoding="utf-8")
        packed = self.folder / "parts.tar"
        subprocess.run(["tar", "-cf", packed, "-C", parts, "train.txt", "validation.txt"], check=True)
        put = self.at_server("data", "put", "rhyme-in-parts", packed)
        self.assertEqual(put.returncode, 0, put.stdout + put.stderr)
        checked = self.at_server("--output", "json", "data", "check", "rhyme-in-parts")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        self.assertEqual(json.loads(checked.stdout.splitlines()[-1])["format"], "a running text in parts")

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
