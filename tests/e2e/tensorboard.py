#!/usr/bin/env python3
"""The event files of a job, whose server is killed in between, as TensorBoard's own reader sees them.

    tensorboard.py HONED HONE

TensorBoard comes from a virtual environment outside the checkout (HONE_TENSORBOARD_VENV, else the user's cache). Without it: exit code 77.
"""
import csv
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SKIPPED = 77
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "hone"
VENV = pathlib.Path(os.environ.get("HONE_TENSORBOARD_VENV") or CACHE / "tensorboard")
sys.path = [path for path in sys.path if path != str(pathlib.Path(__file__).resolve().parent)]  # this file has the package's name
sys.path += map(str, VENV.glob("lib/python3*/site-packages"))
try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as missing:
    print(f"SKIPPED: {missing}. To run this test:\n    python3 -m venv {VENV} && {VENV}/bin/pip install tensorboard")
    sys.exit(SKIPPED)

HONED, HONE = sys.argv[1], sys.argv[2]
JOB = """
display_name: curves
regression: {}
data: {dataset: table, validation_fraction: 0.2}
model: {layers: [{dense: {units: 64, activation: RELU}}, {dense: {units: 1}}]}
training: {steps: 8000, batch_size: 32, checkpoints: {every_seconds: 0.3}}
"""


class EventFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="hone-tensorboard-")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        cls.addClassCleanup(lambda: cls.stop(signal.SIGKILL))
        cls.start()
        (cls.folder / "table.csv").write_text("a,b,price\n" + "".join(f"{i % 7},{i % 11},{i % 7 + 2 * (i % 11)}\n" for i in range(4000)),
                                            encoding="utf-8")
        (cls.folder / "job.yaml").write_text(JOB, encoding="utf-8")
        cls.hone("data", "put", "table", cls.folder / "table.csv")
        cls.job = json.loads(cls.hone("submit", cls.folder / "job.yaml").splitlines()[-1])["name"].removeprefix("jobs/")
        checkpoints = cls.folder / "data" / "runs" / cls.job / "attempt-1" / "checkpoints"
        cls.wait(lambda: any(checkpoints.glob("*/manifest.json")) and int(cls.state().get("progress", {}).get("step", 0)) > 0)
        cls.stop(signal.SIGKILL)
        cls.start()
        cls.wait(lambda: cls.state()["state"] == "SUCCEEDED")
        cls.events = EventAccumulator(str(cls.folder / "data" / "runs" / cls.job / "tensorboard"), size_guidance={"scalars": 0})
        cls.events.Reload()
        cls.history = list(csv.DictReader(io.StringIO(cls.hone("metrics", cls.job, "--csv", json_output=False))))

    @classmethod
    def start(cls):
        log = cls.folder / "log"
        with open(log, "wb") as file:
            cls.process = subprocess.Popen([HONED, "--data-dir", cls.folder / "data", "--listen", "127.0.0.1:0", "--metrics-listen",
                                            "127.0.0.1:0", "--disk-floor-bytes", "0"], stderr=file)
        cls.wait(lambda: b"gRPC, port" in log.read_bytes())
        cls.address = "127.0.0.1:" + re.search(rb"gRPC, port (\d+)", log.read_bytes())[1].decode()

    @classmethod
    def stop(cls, how):
        cls.process.send_signal(how)
        cls.process.wait()

    @classmethod
    def hone(cls, *arguments, json_output=True):
        command = [HONE, "--server", cls.address, *(["--output", "json"] if json_output else []), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @classmethod
    def state(cls):
        return json.loads(cls.hone("jobs", "show", cls.job).splitlines()[-1])

    @classmethod
    def wait(cls, wanted):
        deadline = time.monotonic() + 60
        while not wanted():
            if time.monotonic() > deadline:
                raise RuntimeError((cls.folder / "log").read_text(encoding="utf-8"))
            time.sleep(0.02)

    def test_the_job_was_resumed_and_each_attempt_has_a_file(self):
        self.assertEqual(self.state()["attempt"], 2)
        files = sorted(path.name for path in (self.folder / "data" / "runs" / self.job / "tensorboard").iterdir())
        self.assertEqual([name[-len("attempt-000001"):] for name in files], ["attempt-000001", "attempt-000002"])

    def test_every_curve_is_the_one_of_the_history(self):
        names = {row["metric"] for row in self.history} if "metric" in self.history[0] else set(self.history[0]) - {"step", "epoch", "samples"}
        compared = names & set(self.events.Tags()["scalars"])
        self.assertLessEqual({"loss", "validation_loss", "learning_rate"}, compared)
        for name in sorted(compared):
            points = [(point.step, point.value) for point in self.events.Scalars(name)]
            self.assertEqual(points, sorted(points, key=lambda point: point[0]), name)
            # The history has one point a step, the newest.
            points = dict(points)
            wanted = {int(row["step"]): float(row[name]) for row in self.history if row[name]}
            self.assertTrue(wanted, name)
            self.assertEqual(list(points), list(wanted), name)
            for step, value in wanted.items():
                self.assertAlmostEqual(points[step], value, delta=1e-4 * abs(value), msg=f"{name} at step {step}")

    def test_the_losses_and_the_evaluation_are_there(self):
        self.assertLessEqual({"loss", "validation_loss", "learning_rate", "test_loss"}, set(self.events.Tags()["scalars"]))


unittest.main(argv=sys.argv[:1])
