#!/usr/bin/env python3
"""Masked words as their users meet them: a small net is pretrained here and by the server, fills masks, and serves a classification of texts; a
pretraining that is killed and resumed ends with the same bits.

    masking.py HONED HONE SOURCE_DIR
"""
import json
import pathlib
import random
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import LONGEST_SECONDS  # noqa: E402
from learned import EXAMPLES, HONE, AtServer, here, hone, last_json  # noqa: E402

PRETRAIN, FINETUNE, LISTING = (EXAMPLES / name for name in ("bert-pretrain.yaml", "bert-finetune.yaml", "listing-transformer.yaml"))
KINDS = [("dog", "barks", "yard"), ("bird", "sings", "tree"), ("fish", "swims", "pond")]
NET = "model.preset.transformer_encoder"
SMALL = ["--set", f"{NET}.layers=1", "--set", f"{NET}.heads=2", "--set", f"{NET}.width=32", "--set", f"{NET}.dropout=0",
         "--set", "data.text.max_tokens=16", "--set", "training.epochs=40", "--set", "training.batch_size=16",
         "--set", "training.optimizer.adamw.learning_rate=0.005", "--set", "training.schedule.warmup_steps=5",
         "--set", "training.checkpoints.every_seconds=0"]
QUICK = ["--set", "data.limit=0", "--set", "training.epochs=6", "--set", "training.optimizer.adamw.learning_rate=0.003",
         "--set", "training.schedule.warmup_steps=5", "--set", "training.checkpoints.every_seconds=0"]


def texts():
    """400 of three kinds: any of three words tells the other two."""
    rng = random.Random(3)
    for number in range(400):
        kind = number % len(KINDS)
        words = [word for told in KINDS[kind] for word in (told, rng.choice(["the", "a", "with", "of"]))]
        yield "abc"[kind], " ".join(words)


class Masking(AtServer):
    @classmethod
    def prepare(cls):
        rows = list(texts())
        cls.table, cls.lines = cls.folder / "texts.tsv", cls.folder / "lines.txt"
        cls.table.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")
        cls.lines.write_text("".join(f"{text}\n" for _, text in rows), encoding="utf-8")
        cls.ran = cls.begin(hone("--output", "json", "run", PRETRAIN, *here(cls.table), *SMALL, "--run-dir", cls.folder / "bert"))

    def finished(self, done):
        return last_json(self.succeeds(done))

    def fills(self, model, text, at=hone):
        (answer,) = self.predictions(at("--output", "json", "predict", model, "--text", text))
        return [mask["tokens"][0]["name"] for mask in answer["filled"]["masks"]]

    def test_the_run_ends_with_how_well_masked_words_are_found(self):
        metrics = last_json(self.ran)["evaluation"]["metrics"]
        self.assertLess(metrics["test_loss"], 1.2)
        self.assertGreater(metrics["test_perplexity"], 1)
        self.assertGreater(metrics["test_masked_accuracy"], 0.35)

    def test_masks_are_filled_here(self):
        self.assertEqual(self.fills(self.folder / "bert", "dog the [MASK] a yard of"), ["barks"])
        first, second = self.fills(self.folder / "bert", "[MASK] the swims a pond [MASK]")
        self.assertEqual(first, "fish")
        self.assertIn(second, ["the", "a", "with", "of"])

    def test_fills_are_printed_by_how_probable_they_are(self):
        done = self.succeeds(hone("predict", self.folder / "bert", "--text", "bird the [MASK] a tree of", "--top", 2))
        lines = [line for line in done.stdout.splitlines() if "%" in line]
        self.assertEqual(len(lines), 2, done.stdout)
        self.assertIn("sings", lines[0])

    def test_a_question_without_a_mask_is_refused(self):
        done = hone("predict", self.folder / "bert", "--text", "a dog")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("[MASK]", done.stderr)

    def test_a_classification_goes_on_from_it_with_its_vocabulary(self):
        done = hone("--output", "json", "run", FINETUNE, *here(self.table), *QUICK, "--set", f"model.pretrained.path={self.folder / 'bert'}",
                    "--run-dir", self.folder / "classes")
        self.assertGreater(self.finished(done)["evaluation"]["metrics"]["test_accuracy"], 0.9)
        (answer,) = self.predictions(hone("--output", "json", "predict", self.folder / "classes", "--text", "fish the swims a pond of"))
        self.assertEqual(answer["classification"]["classes"][0]["name"], "c")

    def test_a_server_pretrains_and_goes_on(self):
        job = self.finished(self.at_server("--output", "json", "submit", PRETRAIN, "--follow", *here(self.table), *SMALL))
        self.assertEqual(self.fills(job["model"], "dog the [MASK] a yard of", at=self.at_server), ["barks"])
        classes = self.finished(self.at_server("--output", "json", "submit", FINETUNE, "--follow", *here(self.table), *QUICK,
                                               "--set", f"model.pretrained.model={job['model']}"))
        self.assertGreater(classes["evaluation"]["metrics"]["test_accuracy"], 0.9)

    def test_lines_and_a_running_text_are_learned_too(self):
        for name, settings in (("lines", []), ("running", ["--set", "masked_language_modeling.window=12", "--set", "data.text={}"])):
            done = hone("--output", "json", "run", PRETRAIN, *here(self.lines), *SMALL, *settings, "--set", "training.epochs=15",
                        "--run-dir", self.folder / name)
            self.assertLess(self.finished(done)["evaluation"]["metrics"]["test_loss"], 2.7, name)

    def test_parts_of_words_are_learned_and_filled_in(self):
        run = self.folder / "pieces"
        done = hone("--output", "json", "run", PRETRAIN, *here(self.table), *SMALL, "--set", "training.epochs=3", "--set",
                    "data.text.tokenizer={sentencepiece: {model: BPE, vocabulary: 60}}", "--run-dir", run)
        self.finished(done)
        filled = hone("predict", run, "--text", "dog the [MASK], yard")
        self.assertEqual(filled.returncode, 0, filled.stdout + filled.stderr)

    def test_other_tokens_than_the_earlier_models_are_refused(self):
        done = hone("run", FINETUNE, *here(self.table), *QUICK, "--set", f"model.pretrained.path={self.folder / 'bert'}",
                    "--set", "data.text.tokenizer.characters={}", "--run-dir", self.folder / "other")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("other tokens", done.stdout + done.stderr)

    def test_an_earlier_model_without_a_mask_is_refused(self):
        self.succeeds(hone("run", LISTING, *here(self.table), "--set", "classification.binary=false", "--set", "training.epochs=1",
                           "--run-dir", self.folder / "listing"))
        done = hone("run", PRETRAIN, *here(self.table), "--set", "data.text={}", "--set", f"model={{pretrained: {{path: {self.folder / 'listing'}}}}}",
                    "--run-dir", self.folder / "unmasked")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no mask token", done.stdout + done.stderr)

    def test_killed_and_resumed_it_ends_with_the_same_bits(self):
        job = {"display_name": "killed", "masked_language_modeling": {}, "data": {"path": str(self.table), "text": {"max_tokens": 16}},
               "model": {"preset": {"transformer_encoder": {"layers": 1, "heads": 2, "width": 32}}},
               "training": {"epochs": 150, "batch_size": 16, "seed": 3, "schedule": {"cosine": {}}}}
        (self.folder / "killed.json").write_text(json.dumps(job), encoding="utf-8")
        script = pathlib.Path(__file__).resolve().parent / "kill_and_resume.py"
        self.succeeds(subprocess.run([sys.executable, script, HONE, "--job", self.folder / "killed.json", "--kills", "4", "--every-steps", "50",
                                      "--seed", "11"], capture_output=True, text=True, timeout=6 * LONGEST_SECONDS, check=False))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
