#!/usr/bin/env python3
"""The event files of a job, whose server is killed in between, as TensorBoard's own reader sees them.

    tensorboard.py HONED HONE

TensorBoard comes from a virtual environment outside the checkout (HONE_TENSORBOARD_VENV, else the user's cache). Without it: exit code 77.
"""
import csv
import io
import json
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path = [path for path in sys.path if path != str(pathlib.Path(__file__).resolve().parent)]  # this file has the package's name
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import environments  # noqa: E402
from honed import SKIPPED, Honed, wait_until  # noqa: E402

environments.add_to_path("tensorboard")
try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as missing:
    print(f"SKIPPED: {missing}. To run this test:\n    {environments.how_to_make('tensorboard')}")
    sys.exit(SKIPPED)

HONED, HONE = sys.argv[1], sys.argv[2]
# Endless: on no machine is it over before it is killed.
JOB = """
display_name: curves
regression: {}
data: {dataset: table, validation_fraction: 0.2}
model: {layers: [{dense: {units: 64, activation: RELU}}, {dense: {units: 1}}]}
training: {epochs: 1000000, batch_size: 32, checkpoints: {every_seconds: 0.3}}
"""
# Leaves a picture of its way at each evaluation.
AGENT = """
display_name: walks
reinforcement_learning: {maze: {height: 4, width: 4}, learning_starts: 64, evaluate_every: 200}
model: {layers: [{dense: {units: 8, activation: RELU}}, {dense: {units: 4}}]}
training: {steps: 600, batch_size: 16}
"""


class EventFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="hone-tensorboard-")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        cls.addClassCleanup(lambda: cls.server.stop(signal.SIGKILL))
        cls.server = Honed(HONED, cls.folder)
        (cls.folder / "table.csv").write_text("a,b,price\n" + "".join(f"{i % 7},{i % 11},{i % 7 + 2 * (i % 11)}\n" for i in range(4000)),
                                            encoding="utf-8")
        (cls.folder / "job.yaml").write_text(JOB, encoding="utf-8")
        cls.hone("data", "put", "table", cls.folder / "table.csv")
        cls.job = cls.submit()
        checkpoints = cls.folder / "data" / "runs" / cls.job / "attempt-1" / "checkpoints"
        wait_until("the first attempt has a checkpoint", lambda: any(checkpoints.glob("*/manifest.json")) and cls.step() > 0)
        cls.server.stop(signal.SIGKILL)
        cls.server = Honed(HONED, cls.folder)
        # The second attempt tells more than the first did.
        told = cls.step()
        wait_until("the second attempt makes progress", lambda: cls.state()["attempt"] == 2 and any(
            int(row["step"]) > told and row.get("validation_loss") for row in cls.points()))
        cls.hone("jobs", "cancel", cls.job)
        wait_until("the job is cancelled", lambda: cls.state()["state"] == "CANCELLED")
        cls.events = cls.event_files(cls.job)
        cls.history = cls.points()

    @classmethod
    def hone(cls, *arguments, json_output=True):
        command = [HONE, "--server", cls.server.address, *(["--output", "json"] if json_output else []), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @classmethod
    def submit(cls, *options, file="job.yaml"):
        job = json.loads(cls.hone("submit", cls.folder / file, *options).splitlines()[-1])
        return job["name"].removeprefix("jobs/")

    @classmethod
    def event_files(cls, job):
        events = EventAccumulator(str(cls.folder / "data" / "runs" / job / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
        events.Reload()
        return events

    @classmethod
    def points(cls):
        return list(csv.DictReader(io.StringIO(cls.hone("metrics", cls.job, "--csv", json_output=False))))

    @classmethod
    def state(cls):
        return json.loads(cls.hone("jobs", "show", cls.job).splitlines()[-1])

    @classmethod
    def step(cls):
        return int(cls.state().get("progress", {}).get("step", 0))

    def test_the_job_was_resumed_and_each_attempt_has_a_file(self):
        self.assertEqual(self.state()["attempt"], 2)
        files = sorted(path.name for path in (self.folder / "data" / "runs" / self.job / "tensorboard").iterdir())
        self.assertEqual([name[-len("attempt-000001"):] for name in files], ["attempt-000001", "attempt-000002"])

    def test_every_curve_is_the_one_of_the_history(self):
        compared = set(self.history[0]) & set(self.events.Tags()["scalars"])
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

    def test_the_evaluation_of_a_job_that_was_trained_to_its_end_is_there(self):
        job = self.submit("--set", "training.epochs=2", "--follow")
        self.assertLessEqual({"loss", "validation_loss", "learning_rate", "test_loss"}, set(self.event_files(job).Tags()["scalars"]))

    def test_the_pictures_of_a_job_are_there_as_its_files_are(self):
        (self.folder / "agent.yaml").write_text(AGENT, encoding="utf-8")
        job = self.submit("--follow", file="agent.yaml")
        events = self.event_files(job)
        self.assertEqual(events.Tags()["images"], ["path"])
        shown = events.Images("path")
        folder = self.folder / "data" / "runs" / job / "attempt-1" / "artifacts" / "paths"
        files = [*sorted(folder.glob("step-*.png")), folder / "final.png"]
        self.assertEqual(len(files), 4)
        self.assertEqual([image.encoded_image_string for image in shown], [file.read_bytes() for file in files])
        for image, file in zip(shown, files):
            self.assertEqual((image.width, image.height), struct.unpack(">II", file.read_bytes()[16:24]))


unittest.main(argv=sys.argv[:1])
