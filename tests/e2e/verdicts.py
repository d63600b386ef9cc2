#!/usr/bin/env python3
"""What Hone says of nets that cannot learn: `hone run`'s view, `honed`'s Prometheus page, and the end of a job that is not finite.

    verdicts.py HONED HONE JOBS_DIR

Needs the real data sets, HONE_DATA_DIR. Without them: exit code 77.
"""
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import LONGEST_SECONDS, Honed, run_tests, wait_until  # noqa: E402

HONED, HONE, JOBS = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])


def run(folder, name):
    done = subprocess.run([HONE, "--output", "json", "run", JOBS / name, "--run-dir", folder], capture_output=True, text=True,
                          timeout=300, check=False)
    return done, [json.loads(line) for line in done.stdout.splitlines()]


def verdicts(lines):
    """Layer → its last verdict."""
    return {layer["name"]: layer.get("verdict", "") for line in lines if "layer_statistics" in line
            for layer in line["layer_statistics"]["layers"]}


@unittest.skipUnless(os.environ.get("HONE_DATA_DIR"), "HONE_DATA_DIR names no folder with the real data sets")
class Verdicts(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def test_thirty_sigmoid_layers_are_named_as_vanishing(self):
        done, lines = run(self.folder / "run", "vanishing-sigmoid-30.yaml")
        self.assertEqual(done.returncode, 0, done.stderr)
        named = verdicts(lines)
        self.assertEqual(named["dense_1"], "vanishing")
        self.assertEqual(named["dense_30"], "")

    def test_thirty_relu_layers_with_kaiming_are_sound(self):
        done, lines = run(self.folder / "run", "relu-30.yaml")
        self.assertEqual(done.returncode, 0, done.stderr)
        named = verdicts(lines)
        self.assertEqual(len(named), 30)
        self.assertEqual({name: verdict for name, verdict in named.items() if verdict == "vanishing"}, {})

    def test_a_job_that_is_not_finite_fails_with_its_step_and_leaves_a_finite_checkpoint(self):
        done, lines = run(self.folder / "run", "nonfinite-regression.yaml")
        self.assertEqual(done.returncode, 1, done.stdout[-1000:])
        job = lines[-1]
        self.assertEqual((job["state"], job["end_reason"]), ("FAILED", "NON_FINITE"))
        self.assertRegex(job["message"], r"step \d+")
        for path in (self.folder / "run" / "checkpoints").rglob("*.safetensors"):
            raw = path.read_bytes()
            head = struct.unpack("<Q", raw[:8])[0]
            for name, tensor in json.loads(raw[8:8 + head]).items():
                if name != "__metadata__" and tensor["dtype"] == "F32":
                    begin, end = tensor["data_offsets"]
                    numbers = struct.unpack(f"<{(end - begin) // 4}f", raw[8 + head + begin:8 + head + end])
                    self.assertTrue(all(abs(x) < float("inf") for x in numbers), f"{path}: {name}")

    def test_prometheus_reads_which_layers_vanish(self):
        server = Honed(HONED, self.folder)
        self.addCleanup(server.stop)
        # Endless, so that it still runs when the page is read.
        submit = subprocess.run([HONE, "--server", server.address, "submit", JOBS / "vanishing-sigmoid-30.yaml", "--set",
                                 "training.steps=1000000"], capture_output=True, text=True, timeout=2 * LONGEST_SECONDS, check=False)
        self.assertEqual(submit.returncode, 0, submit.stderr)
        told = re.compile(r'^hone_job_layer_verdict\{[^}]*layer="dense_1"[^}]*verdict="vanishing"[^}]*\} 1$', re.M)
        wait_until("dense_1 vanishes", lambda: told.search(server.metrics()))


run_tests()
