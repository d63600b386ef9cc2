#!/usr/bin/env python3
"""Texts as their users meet them: a table uploaded and learned by the server, a folder of files by class learned here, both asked for sentences.

    texts.py HONED HONE SOURCE_DIR
"""
import json
import pathlib
import random
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from learned import EXAMPLES, AtServer, here, hone  # noqa: E402

JOB = EXAMPLES / "sst2-average.yaml"
GOOD, BAD = ["good", "great", "moving"], ["bad", "dull", "empty"]
OF_OWN = ["--set", "data.text.tokenizer.words.vocabulary=100", "--set", "training.epochs=20", "--set", "training.batch_size=16",
          "--set", "training.optimizer.adam.learning_rate=0.01", "--set", "training.checkpoints.every_seconds=0"]


def reviews():
    """160 of them, for and against in turn, one word of each says which."""
    rng = random.Random(7)
    for number in range(160):
        liked = number % 2 == 0
        words = [rng.choice(["the", "a", "film", "actor", "story", "with", "of"]) for _ in range(rng.randrange(1, 12))]
        words.insert(rng.randrange(len(words) + 1), rng.choice(GOOD if liked else BAD))
        yield "pos" if liked else "neg", " ".join(words)


class Texts(AtServer):
    @classmethod
    def prepare(cls):
        rows = [f"{label}\t{text}" for label, text in reviews()]
        (cls.folder / "reviews.tsv").write_text("label\tsentence\n" + "\n".join(rows) + "\n", encoding="utf-8")
        for number, (label, text) in enumerate(reviews()):
            file = cls.folder / "reviews" / label / f"{number}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        cls.job = cls.submit(JOB, *here(cls.folder / "reviews.tsv"), *OF_OWN)

    def answers(self, answer):
        return [prediction["classification"]["classes"][0]["name"] for prediction in self.predictions(answer)]

    def test_the_job_ends_with_its_accuracy(self):
        self.assertGreater(self.job["evaluation"]["metrics"]["test_accuracy"], 0.9)

    def test_the_model_is_asked_for_sentences(self):
        answer = self.at_server("--output", "json", "predict", self.job["model"], "--text", "a great story", "--text", "dull film")
        self.assertEqual(self.answers(answer), ["pos", "neg"])

    def test_the_model_is_asked_for_the_lines_of_a_file(self):
        lines = self.folder / "lines.txt"
        lines.write_text("good actor\nempty\n\nmoving\n", encoding="utf-8")
        answer = self.at_server("--output", "json", "predict", self.job["model"], "--text-file", lines)
        self.assertEqual(self.answers(answer), ["pos", "neg", "pos"])

    def test_a_folder_by_class_is_learned_here_and_answers_too(self):
        done = hone("run", JOB, *here(self.folder / "reviews"), *OF_OWN, "--run-dir", self.folder / "run")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertEqual(self.answers(hone("--output", "json", "predict", self.folder / "run", "--text", "Bad film")), ["neg"])

    def test_the_events_tell_what_the_texts_have_become(self):
        done = hone("run", JOB, *here(self.folder / "reviews"), *OF_OWN, "--set", "training.epochs=1", "--run-dir", self.folder / "told")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertIn("the vocabulary has 16 tokens", done.stdout + done.stderr)

    def test_the_events_tell_how_much_is_changed_at_random(self):
        done = hone("run", JOB, *here(self.folder / "reviews"), *OF_OWN, "--set", "training.epochs=1", "--set", "data.text.augmentation.word_dropout=0.1",
                    "--run-dir", self.folder / "changed")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertIn("augmentation of the training part", done.stdout + done.stderr)

    def test_parts_of_words_are_learned_by_the_server_and_kept_with_the_model(self):
        pieces = "data.text.tokenizer={sentencepiece: {model: BPE, vocabulary: 60}}"
        done = self.at_server("--output", "json", "submit", JOB, "--follow", *here(self.folder / "reviews.tsv"), "--set", pieces, *OF_OWN[2:])
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        job = json.loads(done.stdout.splitlines()[-1])
        self.assertGreater(job["evaluation"]["metrics"]["test_accuracy"], 0.9)
        exported = self.folder / "pieces"
        self.assertEqual(self.at_server("models", "export", job["model"], exported).returncode, 0)
        for ask in (lambda *question: self.at_server("--output", "json", "predict", job["model"], *question),
                    lambda *question: hone("--output", "json", "predict", exported, *question)):
            self.assertEqual(self.answers(ask("--text", "a great story", "--text", "dull film")), ["pos", "neg"])

    def test_a_vocabulary_that_the_texts_cannot_have_is_refused_by_its_field(self):
        done = hone("run", JOB, *here(self.folder / "reviews"), "--set", "data.text.tokenizer={sentencepiece: {vocabulary: 5000}}", "--run-dir",
                    self.folder / "too-many")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("sentencepiece.vocabulary: must be at most", done.stdout + done.stderr)

    def test_pairs_are_learned_and_asked_for(self):
        rows = [f"the film\t{text}\t{label}" for label, text in reviews()]
        table, run = self.folder / "pairs.tsv", self.folder / "pairs"
        table.write_text("sentence\tother\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
        done = hone("run", JOB, *here(table), *OF_OWN, "--set", "data.text.second_columns=[other]", "--run-dir", run)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        asked = hone("--output", "json", "predict", run, "--text", "the film", "--text2", "a great story", "--text", "the film", "--text2", "dull")
        self.assertEqual(self.answers(asked), ["pos", "neg"])
        alone = hone("predict", run, "--text", "a great story")
        self.assertNotEqual(alone.returncode, 0)
        self.assertIn("the model takes pairs of texts", alone.stdout + alone.stderr)
        unequal = hone("predict", run, "--text", "a", "--text", "b", "--text2", "c")
        self.assertIn("there are 2 texts and 1 second ones", unequal.stdout + unequal.stderr)

    def test_the_plan_has_a_row_for_each_token(self):
        plan = hone("plan", JOB, *here(self.folder / "reviews"), "--no-measure", "--output", "json")
        self.assertEqual(plan.returncode, 0, plan.stderr)
        layers = {layer["name"]: layer for layer in json.loads(plan.stdout.splitlines()[-1])["layers"]}
        self.assertEqual(int(layers["embedding_1"]["weights"]), 16 * 64)

    def test_an_upload_is_looked_at(self):
        packed = self.folder / "reviews.tar.gz"
        subprocess.run(["tar", "-czf", packed, "-C", self.folder, "reviews"], check=True)
        put = self.at_server("data", "put", "reviews-packed", packed)
        self.assertEqual(put.returncode, 0, put.stdout + put.stderr)
        checked = self.at_server("data", "check", "reviews-packed")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_json_lines_are_uploaded_and_learned(self):
        lines = [json.dumps({"body": text, "kind": label}) for label, text in reviews()]
        (self.folder / "reviews.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = self.at_server("--output", "json", "submit", JOB, "--follow", *here(self.folder / "reviews.jsonl"), *OF_OWN,
                              "--set", "data.text.columns=[body]", "--set", "data.text.label=kind")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertGreater(json.loads(done.stdout.splitlines()[-1])["evaluation"]["metrics"]["test_accuracy"], 0.9)

    def test_bad_texts_are_refused_with_what_is_wrong(self):
        cases = {
            b"label\tsentence\npos\tgood\nneg\t \n": "line 3: the text is empty",
            b"label\tsentence\npos\tgood\n\tbad\n": "line 3: there is no label",
            b"label\tsentence\npos\tgood\npos\tbad\n": "two classes",
            b"label\tsentence\npos\tcaf\xe9\n": "line 2 is not UTF-8",
            b"label\treview\npos\tgood\nneg\tbad\n": "data.text.columns",
        }
        for number, (text, said) in enumerate(cases.items()):
            (self.folder / "bad.tsv").write_bytes(text)
            done = hone("run", JOB, *here(self.folder / "bad.tsv"), "--run-dir", self.folder / f"bad-{number}")
            self.assertNotEqual(done.returncode, 0, text)
            self.assertIn(said, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
