#!/usr/bin/env python3
"""Translation as its users meet it: pairs learned here and by the server, sentences translated here and there, and pairs that are none refused.

    translation.py HONED HONE SOURCE_DIR
"""
import json
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from learned import EXAMPLES, AtServer, here, hone, last_json  # noqa: E402

JOB = EXAMPLES / "translation-gru.yaml"
WORDS = {"one": "un", "two": "deux", "three": "trois", "four": "quatre", "five": "cinq"}
SMALL = [part for setting in (
    "translation.evaluation_sentences=20", "translation.attention_maps=2", "translation.longest=10",
    "data.validation_fraction=0.1", "data.test_fraction=0.1", "training.epochs=15", "training.batch_size=16",
    "training.optimizer.adam.learning_rate=0.01", "training.checkpoints.every_seconds=0") for part in ("--set", setting)]
SMALL_GRU = [*SMALL, "--set", "model.preset.seq2seq.units=32", "--set", "model.preset.seq2seq.dropout=0"]


def translated(words):
    return " ".join(WORDS[word] for word in words)


class Translation(AtServer):
    @classmethod
    def prepare(cls):
        cls.pairs = cls.folder / "pairs.txt"
        rng = random.Random(4)
        sentences = [rng.choices(list(WORDS), k=rng.randrange(2, 5)) for _ in range(500)]
        cls.pairs.write_text("".join(f"{' '.join(words).capitalize()}\t{translated(words)}\n" for words in sentences), encoding="utf-8")
        cls.ran = cls.begin(hone("--output", "json", "run", JOB, *here(cls.pairs), *SMALL_GRU, "--run-dir", cls.folder / "run"))

    def ask(self, model, *arguments, at=None):
        answer = (at or hone)("--output", "json", "predict", model, *arguments)
        return [prediction["translated"]["translations"] for prediction in self.predictions(answer)]

    def test_pairs_are_learned_here(self):
        metrics = last_json(self.ran)["evaluation"]["metrics"]
        self.assertLess(metrics["test_loss"], 0.5)
        self.assertGreater(metrics["test_bleu"], 50)
        self.assertGreater(metrics["test_chrf"], 50)
        self.assertGreater(metrics["test_beam_bleu"], 50)

    def test_translations_are_shown_while_it_learns(self):
        shown = [json.dumps(json.loads(line), ensure_ascii=False) for line in self.ran.stdout.splitlines()]
        # At the end of each of the 15 epochs.
        self.assertGreaterEqual(sum(" → " in line for line in shown), 15)

    def test_what_was_looked_at_is_left_as_pictures(self):
        folder = self.folder / "run" / "artifacts" / "attention"
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["1.png", "1.txt", "2.png", "2.txt"])
        self.assertEqual((folder / "1.png").read_bytes()[:4], b"\x89PNG")

    def test_a_sentence_is_translated_here(self):
        (best,), = self.ask(self.folder / "run", "--text", "Two three one", "--beams", 1)
        self.assertEqual(best.get("text", ""), "deux trois un")
        self.assertTrue(best["ended"])

    def test_beams_give_several_translations_the_best_first(self):
        (found,) = self.ask(self.folder / "run", "--text", "Two three one", "--beams", 3)
        self.assertEqual(len(found), 3)
        self.assertEqual(found[0]["text"], "deux trois un")
        scores = [translation["score"] for translation in found]
        self.assertEqual(scores, sorted(scores, reverse=True))
        # As the job says: four.
        self.assertEqual(len(self.ask(self.folder / "run", "--text", "Two three one")[0]), 4)

    def test_the_lines_of_a_file_are_translated_and_printed(self):
        lines = self.folder / "lines.txt"
        lines.write_text("One two\nFour five\n", encoding="utf-8")
        done = self.succeeds(hone("predict", self.folder / "run", "--text-file", lines, "--beams", 1))
        self.assertIn("un deux", done.stdout)
        self.assertIn("quatre cinq", done.stdout)

    def test_a_server_learns_and_translates_as_it_is_done_here(self):
        job = last_json(self.succeeds(self.at_server("--output", "json", "submit", JOB, "--follow", *here(self.pairs), *SMALL_GRU)))
        self.assertGreater(job["evaluation"]["metrics"]["test_bleu"], 50)
        listed = self.at_server("jobs", "artifacts", job["name"])
        self.assertIn("attention/1.png", listed.stdout)
        exported = self.folder / "exported"
        self.succeeds(self.at_server("models", "export", job["model"], exported))
        options = ("--text", "Five four", "--text", "One", "--beams", 2)
        self.assertEqual([[t.get("text", "") for t in found] for found in self.ask(job["model"], *options, at=self.at_server)],
                         [[t.get("text", "") for t in found] for found in self.ask(exported, *options)])

    def test_a_transformer_learns_from_files_beside_each_other(self):
        folder = self.folder / "parallel"
        folder.mkdir()
        rng = random.Random(5)
        for part, count in (("train", 400), ("dev", 40), ("test", 40)):
            sentences = [rng.choices(list(WORDS), k=rng.randrange(2, 4)) for _ in range(count)]
            (folder / f"{part}.en").write_text("".join(" ".join(words) + "\n" for words in sentences), encoding="utf-8")
            (folder / f"{part}.fr").write_text("".join(translated(words) + "\n" for words in sentences), encoding="utf-8")
        done = hone("--output", "json", "run", EXAMPLES / "translation-transformer.yaml", *here(folder), *SMALL, "--set", "data.pairs.source=en",
                    "--set", "data.pairs.target=fr", "--set", "model.preset.transformer_translation.width=32", "--set",
                    "model.preset.transformer_translation.heads=2", "--set", "model.preset.transformer_translation.layers=1", "--set",
                    "training.schedule.warmup_steps=20", "--set", "training.optimizer.adam.learning_rate=0.003", "--run-dir",
                    self.folder / "transformer")
        metrics = last_json(self.succeeds(done))["evaluation"]["metrics"]
        self.assertLess(metrics["test_loss"], 1.2)
        self.assertIn("test_beam_chrf", metrics)

    def test_parts_of_words_are_learned_and_written_as_words(self):
        run = self.folder / "pieces"
        sides = [f"data.pairs.{side}_tokenizer={{sentencepiece: {{model: BPE, vocabulary: {size}}}}}" for side, size in (("source", 45), ("target", 55))]
        done = hone("--output", "json", "run", JOB, *here(self.pairs), *SMALL_GRU, "--set", sides[0], "--set", sides[1], "--set",
                    "translation.longest=20", "--set", "data.pairs.max_source_tokens=20", "--set", "data.pairs.max_target_tokens=20", "--run-dir", run)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertGreater(json.loads(done.stdout.splitlines()[-1])["evaluation"]["metrics"]["test_bleu"], 50)
        (best,), = self.ask(run, "--text", "Two three one", "--beams", 1)
        self.assertRegex(best.get("text", ""), r"^\w+( \w+)+$")

    def test_a_model_is_measured_on_other_pairs(self):
        others = self.folder / "others.txt"
        others.write_text("one two\tun deux\nthree four\ttrois quatre\n", encoding="utf-8")
        done = self.succeeds(hone("--output", "json", "evaluate", self.folder / "run", "--data", others))
        self.assertIn("test_bleu", done.stdout)
        shown = self.succeeds(hone("evaluate", self.folder / "run", "--data", others))
        self.assertIn("2 sentences: BLEU ", shown.stdout)

    def test_questions_that_cannot_be_answered_are_refused_with_what_is_wrong(self):
        for arguments, said in (["--text", "one", "--beams", 17], "--beams"), (["--text", "one " * 600], "600 tokens"):
            done = hone("predict", self.folder / "run", *arguments)
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertIn(said, done.stderr)

    def test_bad_pairs_and_jobs_are_refused_with_what_is_wrong(self):
        bad = self.folder / "bad.txt"
        bad.write_text("one\tun\nno tab here\n", encoding="utf-8")
        unequal = self.folder / "unequal"
        unequal.mkdir()
        (unequal / "train.en").write_text("one\ntwo\n", encoding="utf-8")
        (unequal / "train.fr").write_text("un\n", encoding="utf-8")
        sides = ["--set", "data.pairs.source=en", "--set", "data.pairs.target=fr"]
        cases = [([*here(bad)], "line 2"), ([*here(unequal), *sides], "train."), ([*here(self.pairs), "--set", "translation.beams=0"], "translation.beams"),
                 ([*here(self.pairs), "--set", "model={preset: {gpt: {}}}"], "model.preset")]
        for number, (arguments, said) in enumerate(cases):
            done = hone("run", JOB, *SMALL, *arguments, "--run-dir", self.folder / f"bad-{number}")
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertIn(said, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
