#!/usr/bin/env python3
"""`tests/bench/quality/run` with programs that stand in for ours and for PyTorch's: what both sides are given, and what is said of it."""
import gzip
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import checkpoints
from linear_schedule import rate_factor
from rows import ROWS

RUN = pathlib.Path(__file__).resolve().parent / "run"
EXAMPLES = RUN.parents[3] / "client" / "examples"
# What every run of a side ends with.
OURS = {"test_accuracy": 0.85, "validation_accuracy": 0.83, "test_loss": 2.2, "wall_seconds": 1.0}
PYTORCHS = {"test_accuracy": 0.84, "validation_accuracy": 0.84, "test_loss": 2.1}


def stand_in(path, answer):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nimport json, sys\nopen({str(path.parent / 'calls')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
                    f"a = sys.argv[1:]\n{answer}\n", encoding="utf-8")
    path.chmod(0o755)


def the_runner():
    loader = importlib.machinery.SourceFileLoader("quality_run", str(RUN))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("quality_run", loader))
    loader.exec_module(module)
    return module


class Runs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        stand_in(self.folder / "bin" / "hone", f"print('hone 0' if a == ['--version'] else json.dumps({{'evaluation': {{'metrics': {OURS!r}}}}}))")
        # The interpreter, which is asked for pip, the modules and the version first.
        stand_in(self.folder / "venv" / "bin" / "python",
                 "print('0.0' if a[0] in ('-m', '-c') else "
                 f"json.dumps({{'metrics': {PYTORCHS!r}, 'seconds': 1.0, 'processor_seconds': 1.0}}))")
        for name in ("minilm-l6", "smollm2-135m"):
            for file in checkpoints.FILES:
                self.write(f"checkpoints/{name}/{file}", b"a")
        for part in ("train", "dev", "test"):
            self.write(f"data/sst2/{part}.tsv", b"a")
        self.write("data/eng-fra/fra.txt.gz", gzip.compress("I see the man.\tJe vois l'homme.\n".encode()))

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def run_row(self, name):
        return subprocess.run([sys.executable, RUN, self.folder / "bin", "--row", name, "--store", self.folder / "results"], text=True,
                              capture_output=True, check=False,
                              env={**os.environ, "HONE_TORCH_VENV": str(self.folder / "venv"), "HONE_TOKENIZERS_VENV": str(self.folder / "venv"),
                                   "HONE_DATA_DIR": str(self.folder / "data"),
                                   "HONE_CHECKPOINT_DIR": str(self.folder / "checkpoints"), "XDG_CACHE_HOME": str(self.folder / "cache")})

    def calls(self, of):
        return (self.folder / of / "calls").read_text(encoding="utf-8")

    def test_both_sides_go_on_from_the_checkpoint(self):
        self.assertEqual(self.run_row("sst2-minilm").returncode, 0)
        for side in ("bin", "venv/bin"):
            self.assertIn(f"model.pretrained.path={self.folder}/checkpoints/minilm-l6", self.calls(side))

    def test_without_the_checkpoint_a_row_says_so_and_is_skipped(self):
        (self.folder / "checkpoints/minilm-l6/tokenizer.json").unlink()
        done = self.run_row("sst2-minilm")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("sst2-minilm: checkpoint not here", done.stdout)
        self.assertFalse((self.folder / "bin" / "calls").exists())

    def test_another_checkpoint_of_the_name_is_run_anew(self):
        self.run_row("translate-smollm2")
        self.write("checkpoints/smollm2-135m/model.safetensors", b"b")
        self.assertIn("translate-smollm2, pytorch, seed 1", self.run_row("translate-smollm2").stdout)

    def test_data_that_a_script_makes_are_the_same_for_both_sides(self):
        self.assertEqual(self.run_row("translate-smollm2").returncode, 0)
        given = [next(word for word in self.calls(side).split() if word.startswith("data.path=")) for side in ("bin", "venv/bin")]
        self.assertEqual(given[0], given[1])
        made = pathlib.Path(given[0].removeprefix("data.path="))
        self.assertIn("Je vois l'homme.", "".join(path.read_text(encoding="utf-8") for path in made.iterdir()))

    def test_a_further_metric_that_is_worse_than_pytorchs_is_missed(self):
        self.assertIn("mean validation_accuracy 83 MISSED (PyTorch's 84, 0 allowed)", self.run_row("sst2-minilm").stdout)

    def test_a_row_that_must_be_near_another_one_says_by_how_much(self):
        self.run_row("translate-smollm2")
        self.assertIn("ok (within 0.02 of translate-smollm2's, 2.2)", self.run_row("translate-smollm2-bf16").stdout)

    def test_results_say_what_was_measured(self):
        self.run_row("translate-smollm2")
        stored = json.loads((self.folder / "results" / "translate-smollm2.json").read_text(encoding="utf-8"))
        self.assertEqual([stored[side]["runs"][0]["metrics"]["test_loss"] for side in ("ours", "pytorch")], [2.2, 2.1])


class Rows(unittest.TestCase):
    def test_each_name_is_there_once(self):
        self.assertEqual(len({row.name for row in ROWS}), len(ROWS))

    def test_what_a_row_names_is_there(self):
        known = {row.name for row in ROWS} | {""}
        for row in ROWS:
            with self.subTest(row=row.name):
                self.assertLessEqual({row.above, row.near, row.half_of}, known)
                for file in filter(None, (row.job, row.first, row.made_by)):
                    self.assertTrue((EXAMPLES / file).is_file(), file)

    def test_each_script_has_a_list_of_what_its_results_hang_on(self):
        scripts = the_runner().SCRIPTS
        for name in {row.torch for row in ROWS} - {""}:
            for script in (name, *scripts[name]):
                self.assertTrue((RUN.parent / script).is_file(), script)


class Rate(unittest.TestCase):
    def test_it_rises_then_falls_to_zero_at_the_last_step(self):
        schedule = {"warmup_steps": 1, "linear": {"final_factor": 0}}
        self.assertEqual([rate_factor(schedule, step, 6) for step in range(6)], [0.5, 1, 0.75, 0.5, 0.25, 0])


unittest.main()
