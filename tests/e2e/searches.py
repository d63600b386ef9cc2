#!/usr/bin/env python3
"""Evaluations, comparisons and sweeps with the real programs, on a server and here.

    searches.py HONED HONE
"""
import json
import math
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from bars import write_mnist  # noqa: E402
from honed import Honed, free_port, run_tests, write_mirror  # noqa: E402

HONED, HONE = sys.argv[1], sys.argv[2]
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "client" / "examples"
JOB = """
classification: {}
data: {dataset: wine}
model: {layers: [{repeat: {times: 1, layers: [{dense: {units: 8, activation: RELU}}]}}, {dense: {units: 3}}]}
training: {epochs: %d, threads: 1, seed: %d}
"""
SWEEP = """
job_file: job.yaml
axes:
  - {field: "model.layers[0].repeat.layers[0].dense.units", values: [4, 8]}
  - {field: "model.layers[0].repeat.times", range: {from: 1, to: 2}}
  - {field: training.optimizer.adam.learning_rate, log_range: {from: 0.001, to: 0.01, count: 2}}
objective: {metric: test_accuracy}
"""
# 3 × 3 × 3 trials on points in four rings: the smallest rate learns next to nothing in nine epochs, and some of the nets learn all there is.
RINGS = """
job:
  classification: {}
  data: {path: rings.csv, validation_fraction: 0.25}
  model: {layers: [{repeat: {times: 1, layers: [{dense: {units: 8, activation: RELU}}]}}, {dense: {units: 4}}]}
  training: {epochs: 9, batch_size: 32, threads: 1, schedule: {cosine: {}}}
axes:
  - {field: "model.layers[0].repeat.layers[0].dense.units", values: [8, 16, 32]}
  - {field: "model.layers[0].repeat.times", range: {from: 1, to: 3}}
  - {field: training.optimizer.adam.learning_rate, log_range: {from: 0.0005, to: 0.02, count: 3}}
objective: {metric: validation_accuracy}
"""
SECONDS = 120


def rings(points):
    """A table of x, y and the ring that they lie in."""
    draw = random.Random(7)
    lines = ["x,y,ring"]
    for i in range(points):
        angle, radius = draw.uniform(0, 2 * math.pi), i % 4 + draw.uniform(0.39, 1.11)
        lines.append(f"{radius * math.cos(angle):.4f},{radius * math.sin(angle):.4f},ring {i % 4}")
    return "\n".join(lines) + "\n"


def steps(sweep):
    return sum(int(trial.get("steps", 0)) for trial in sweep["trials"])


class Searches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="hone-searches-")
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name)
        mirror = write_mirror(cls.folder / "mirror")
        write_mnist(mirror / "mnist", random.Random(5))
        cls.server = Honed(HONED, cls.folder, "--data-mirror", mirror)
        cls.addClassCleanup(cls.server.stop)
        cls.environment = dict(os.environ, HONE_DATA_DIR=str(mirror), HONE_SERVER=cls.server.address)
        (cls.folder / "job.yaml").write_text(JOB % (9, 1), encoding="utf-8")
        (cls.folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")

    @classmethod
    def hone(cls, *arguments, code=0):
        done = subprocess.run([HONE, *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS, check=False, cwd=cls.folder,
                              env=cls.environment)
        if done.returncode != code:
            raise AssertionError(f"hone {' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr}")
        return done.stdout if code == 0 else done.stdout + done.stderr

    @classmethod
    def json(cls, *arguments, code=0):
        return json.loads(cls.hone("--output", "json", *arguments, code=code).splitlines()[-1])

    def trained(self, epochs, seed=1):
        file = self.folder / f"job-{epochs}-{seed}.yaml"
        file.write_text(JOB % (epochs, seed), encoding="utf-8")
        return self.json("submit", file, "--follow")

    def test_an_evaluation_of_the_test_part_has_the_trainings_own_numbers(self):
        job = self.trained(20)
        again = self.json("evaluate", job["model"], "--data", "wine", "--part", "TEST")
        self.assertEqual(again["state"], "SUCCEEDED")
        for name in ("test_accuracy", "test_macro_f1"):
            self.assertEqual(again["evaluation"]["metrics"][name], job["evaluation"]["metrics"][name])
        self.assertAlmostEqual(again["evaluation"]["metrics"]["test_loss"], job["evaluation"]["metrics"]["test_loss"], places=5)
        self.assertEqual(again["evaluation"]["confusion"], job["evaluation"]["confusion"])
        self.assertNotIn("model", again)

    def test_two_models_are_compared_on_the_same_rows_on_a_server_and_here(self):
        good, bad = self.trained(60), self.trained(1)
        there = self.json("evaluate", good["model"], "--data", "wine", "--against", bad["model"])["evaluation"]["comparison"]
        self.assertEqual(sum(there.get(key, 0) for key in ("both_right", "only_first", "only_second", "both_wrong")), there["examples"])
        self.assertLess(there["p_value"], 0.05)
        self.assertEqual(there["verdict"], "the first model is better")
        for name, job in (("good", good), ("bad", bad)):
            self.hone("models", "export", job["model"], self.folder / name)
        here = self.json("evaluate", "./good", "--data", "wine", "--against", "./bad")["evaluation"]["comparison"]
        self.assertEqual({k: v for k, v in here.items() if k != "other_metrics"}, {k: v for k, v in there.items() if k != "other_metrics"})
        self.assertIn("McNemar's test", self.hone("evaluate", "./good", "--data", "wine", "--against", "./bad"))

    def test_data_that_the_model_cannot_read_and_models_that_are_not_there_are_refused(self):
        model = self.trained(2)["model"]
        (self.folder / "other.csv").write_text("a,kind\n1,x\n2,y\n", encoding="utf-8")
        text = self.hone("evaluate", model, "--data", "other.csv", code=2)
        self.assertIn("there is no column", text)
        self.assertIn("there is no model models/nobody", self.hone("evaluate", "models/nobody", "--data", "wine", code=2))
        self.assertIn("nosuch", self.hone("evaluate", model, "--data", "nosuch", code=2))
        self.assertIn("there is no such folder", self.hone("evaluate", "./nosuch", "--data", "wine", code=2))

    def test_a_sweep_finds_the_same_best_trial_on_a_server_and_here(self):
        there = self.json("sweep", "sweep.yaml", "--follow", "--set", "job.training.epochs=5")
        here = self.json("sweep", "sweep.yaml", "--here", "--threads", 1, "--set", "job.training.epochs=5")
        for sweep in (there, here):
            self.assertEqual(sweep["state"], "SUCCEEDED", sweep)
            self.assertEqual(len(sweep["trials"]), 8)
        self.assertEqual(there["best_trial"], here["best_trial"])
        self.assertEqual([t["objective"] for t in there["trials"]], [t["objective"] for t in here["trials"]])
        shown = self.hone("sweeps", "show", there["name"])
        self.assertIn("8 of 8 trials have ended", shown)
        self.assertIn("test accuracy over learning_rate", shown)
        compared = self.hone("jobs", "compare", there["trials"][0]["job"], there["trials"][1]["job"])
        self.assertIn("training.optimizer.adam.learning_rate", compared)
        self.assertIn(there["name"], self.hone("sweeps", "list"))

    def test_the_example_is_a_sweep_over_width_depth_and_rate(self):
        sweep = self.json("sweep", EXAMPLES / "mlp-sweep.yaml", "--here", "--threads", 1, "--set", "job.data.limit=300", "--set", "job.training.epochs=2",
                          "--set", "random={trials: 4, seed: 1}")
        self.assertEqual([t["state"] for t in sweep["trials"]], ["SUCCEEDED"] * 4)
        self.assertEqual({len(t["settings"]) for t in sweep["trials"]}, {3})
        self.assertEqual(sweep["best_objective"], max(t["objective"] for t in sweep["trials"]))

    def test_halving_ends_with_the_weights_of_a_whole_run_and_takes_fewer_steps(self):
        halved = self.json("sweep", "sweep.yaml", "--follow", "--set", "halving={keep_one_in: 3}")
        best = next(t for t in halved["trials"] if t["number"] == halved["best_trial"])
        job = self.json("jobs", "show", best["job"])
        self.assertTrue(job["retry_of"])
        settings = [part for field, value in zip(halved["spec"]["axes"], best["settings"]) for part in ("--set", f"{field['field']}={value}")]
        self.hone("run", "job.yaml", *settings, "--run-dir", "whole")
        whole = (self.folder / "whole" / "model" / "model.safetensors").read_bytes()
        self.hone("models", "export", job["model"], self.folder / "halved")
        self.assertEqual((self.folder / "halved" / "model.safetensors").read_bytes(), whole)
        self.assertLess(steps(halved), 0.5 * len(halved["trials"]) * int(best["steps"]))

    def test_halving_finds_as_good_a_trial_as_the_grid_with_half_its_steps(self):
        (self.folder / "rings.csv").write_text(rings(4000), encoding="utf-8")
        (self.folder / "rings.yaml").write_text(RINGS, encoding="utf-8")
        grid = self.json("sweep", "rings.yaml", "--here")
        halved = self.json("sweep", "rings.yaml", "--here", "--set", "halving={keep_one_in: 3}")
        self.assertEqual([t["state"] for t in grid["trials"]], ["SUCCEEDED"] * 27)
        self.assertLess(min(t["objective"] for t in grid["trials"]), 0.5)
        self.assertGreaterEqual(halved["best_objective"], grid["best_objective"] - 0.002)
        self.assertLessEqual(steps(halved), steps(grid) / 2)

    def test_a_sweep_here_goes_on_after_it_was_killed(self):
        command = [HONE, "--output", "json", "sweep", "sweep.yaml", "--here", "--threads", "1", "--run-dir", "killed", "--set", "job.training.epochs=200"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self.folder, env=self.environment) as process:
            for _ in range(2):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        time.sleep(0.5)  # its worker notices
        sweep = self.json("sweep", "--resume", "killed")
        self.assertEqual(sweep["state"], "SUCCEEDED")
        self.assertEqual([t["state"] for t in sweep["trials"]], ["SUCCEEDED"] * 8)

    def test_a_sweep_is_watched_to_its_end_although_the_server_is_killed(self):
        address = f"127.0.0.1:{free_port()}"

        def start():
            started = Honed(HONED, self.folder / "watched", "--data-mirror", self.folder / "mirror", listen=address)
            self.addCleanup(started.stop)
            return started

        server = start()
        command = [HONE, "--server", address, "--output", "json", "sweep", "sweep.yaml", "--follow", "--set", "job.training.epochs=200"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self.folder, env=self.environment) as process:
            lines = [process.stdout.readline() for _ in range(2)]
            server.stop(signal.SIGKILL)
            start()
            lines += process.stdout.read().splitlines()
            self.assertEqual(process.wait(timeout=SECONDS), 0)
        *trials, sweep = map(json.loads, lines)
        self.assertEqual(sweep["state"], "SUCCEEDED")
        self.assertEqual(sorted(trial["number"] for trial in trials), list(range(1, 9)))

    def test_a_cancelled_sweep_begins_no_more_trials_and_cancels_those_that_run(self):
        name = self.json("sweep", "sweep.yaml", "--set", "job.training.epochs=1000000", "--set", "parallelism=1")["name"]
        self.assertIn(f"{name} is stopping", self.hone("sweeps", "cancel", name))
        sweep = self.json("sweeps", "watch", name, code=4)
        self.assertEqual(sweep["state"], "CANCELLED")
        self.assertEqual([trial["state"] for trial in sweep["trials"]], ["CANCELLED"] * 8)
        for trial in sweep["trials"]:
            if "job" in trial:
                self.assertEqual(self.json("jobs", "show", trial["job"])["state"], "CANCELLED")

    def test_a_sweep_that_has_ended_is_not_cancelled(self):
        name = self.json("sweep", "sweep.yaml", "--follow", "--set", "job.training.epochs=1")["name"]
        self.assertIn(f"{name} has ended already: SUCCEEDED", self.hone("sweeps", "cancel", name, code=2))

    def test_a_wrong_sweep_is_refused(self):
        for setting, words in (("axes[0].field=model.layers[0].dens", "there is no field model.layers[0].dens"),
                               ("random={trials: 1000000}", "random.trials: must be between 1 and 1000"),
                               ("axes[0].values=[4, x]", "must be a whole number"),
                               ("job.data.dataset=nosuch", "nosuch")):
            for where in ((), ("--here",)):
                if where and "dataset" in setting:
                    continue  # each trial says so
                self.assertIn(words, self.hone("sweep", "sweep.yaml", *where, "--set", setting, code=2))
        failed = self.hone("sweep", "sweep.yaml", "--follow", "--set", "objective.metric=tset_accuracy", "--set", "parallelism=1", code=1)
        self.assertIn("reports no metric `tset_accuracy`", failed)
        self.assertIn("test_accuracy", failed)

    def test_five_folds_have_a_mean_and_a_deviation(self):
        (self.folder / "folds.yaml").write_text("job_file: job.yaml\naxes: [{field: data.fold.index, range: {from: 1, to: 5}}]\n"
                                                "objective: {metric: test_accuracy}\n", encoding="utf-8")
        shown = self.hone("sweep", "folds.yaml", "--here", "--set", "job.data.fold={count: 5, index: 1}")
        self.assertIn("mean test accuracy", shown)
        self.assertIn("5 of 5 trials have ended", shown)


run_tests(*sys.argv[3:])
