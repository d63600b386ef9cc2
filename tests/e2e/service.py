#!/usr/bin/env python3
"""The whole service as its users meet it: honed, submit, watch, metrics, predict, export, a restart, and the exit codes.

    service.py HONED HONE SOURCE_DIR

The data set is a table made here in the place of the catalogue's `wine`, so that nothing is downloaded.
"""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

HONED, HONE, SOURCE = sys.argv[1:4]


class Server:
    def __init__(self, folder, *options):
        self.log = open(folder / "honed.log", "ab+")
        start = self.log.tell()
        environment = dict(os.environ, HONE_DATA_DIR=str(folder / "mirror"))
        self.process = subprocess.Popen(
            [HONED, "--data-dir", folder / "data", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *options],
            stdout=self.log, stderr=self.log, env=environment)
        deadline = time.monotonic() + 20
        while True:
            self.log.seek(start)
            text = self.log.read().decode()
            ports = re.search(r"gRPC, port (\d+).*metrics, port (\d+)", text)
            if ports:
                break
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"honed did not start: {text}")
            time.sleep(0.02)
        self.address = f"127.0.0.1:{ports[1]}"
        self.http = f"http://127.0.0.1:{ports[2]}"

    def get(self, path):
        with urllib.request.urlopen(self.http + path, timeout=10) as answer:
            return answer.read().decode()

    def hone(self, *arguments):
        return hone("--server", self.address, *arguments)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=40)
        self.log.close()
        return code


def hone(*arguments):
    return subprocess.run([HONE, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


def write_wine(path):
    """178 rows like the catalogue's: 13 numbers and a class that they tell."""
    rng = random.Random(7)
    path.parent.mkdir(parents=True)
    rows = []
    for i in range(178):
        grower = i % 3
        numbers = [rng.gauss(2.0 * ((grower + column) % 3), 1.0) for column in range(13)]
        rows.append(",".join([f"{v:.3f}" for v in numbers] + [str(grower + 1)]))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return rows


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.rows = write_wine(cls.folder / "mirror" / "tabular" / "wine.csv")
        cls.job_file = pathlib.Path(SOURCE) / "client" / "examples" / "wine-classification.yaml"
        cls.server = Server(cls.folder)
        done = cls.server.hone("--output", "json", "submit", cls.job_file, "--follow", "--request-id", "first")
        cls.submitted = done
        cls.job = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.scratch.cleanup()

    def setUp(self):
        self.assertEqual(self.submitted.returncode, 0, self.submitted.stdout[-2000:] + self.submitted.stderr)

    def test_the_last_line_of_a_followed_job_is_the_job_with_its_final_metrics(self):
        self.assertEqual(self.job["state"], "SUCCEEDED")
        final = self.job["evaluation"]["metrics"]
        self.assertGreater(final["test_accuracy"], 0.9)
        for name in ("test_loss", "samples_per_second", "wall_seconds", "peak_memory_bytes"):
            self.assertGreater(final[name], 0, name)

    def test_the_same_request_id_gives_the_same_job(self):
        again = self.server.hone("submit", self.job_file, "--request-id", "first")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn(self.job["name"], again.stdout)

    def test_the_same_request_id_for_another_job_is_refused(self):
        other = self.server.hone("submit", self.job_file, "--request-id", "first", "--set", "training.seed=9")
        self.assertEqual(other.returncode, 2, other.stdout + other.stderr)

    def test_a_job_that_has_ended_can_be_watched_from_its_first_event_without_a_gap(self):
        watched = self.server.hone("--output", "json", "watch", self.job["name"])
        self.assertEqual(watched.returncode, 0, watched.stderr)
        lines = [json.loads(line) for line in watched.stdout.splitlines()]
        sequences = [int(line["sequence"]) for line in lines if "sequence" in line]
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))
        self.assertGreater(len(sequences), 3)

    def test_the_history_is_a_table_with_a_head(self):
        table = self.server.hone("metrics", self.job["name"], "--csv")
        self.assertEqual(table.returncode, 0, table.stderr)
        lines = table.stdout.splitlines()
        self.assertIn("loss", lines[0])
        self.assertEqual({line.count(",") for line in lines}, {lines[0].count(",")})

    def test_prometheus_reads_the_end_of_the_job(self):
        self.assertIn('hone_jobs_finished_total{task="classification",end_reason="COMPLETED"} 1', self.server.get("/metrics"))
        self.assertEqual(self.server.get("/readyz").strip(), "ready")

    def test_the_model_answers_rows_of_a_table(self):
        table = self.folder / "rows.csv"
        names = ",".join(f"column_{i + 1}" for i in range(13))
        table.write_text("\n".join([names] + [row.rsplit(",", 1)[0] for row in self.rows[:30]]) + "\n", encoding="utf-8")
        asked = self.server.hone("--output", "json", "predict", self.job["model"], "--csv", table)
        self.assertEqual(asked.returncode, 0, asked.stderr)
        predictions = json.loads(asked.stdout)["predictions"]
        right = sum(p["classes"][0]["name"] == row[-1] for p, row in zip(predictions, self.rows))
        self.assertGreater(right, 26)

    def serving(self):
        """The processes of this server that keep a model loaded."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1])
                if parent == self.server.process.pid and b"\0serve\0" in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def test_a_model_stays_loaded_and_its_death_or_damage_is_not_the_servers(self):
        model = self.job["model"]
        table = self.folder / "stays.csv"
        names = ",".join(f"column_{i + 1}" for i in range(13))
        table.write_text(names + "\n" + self.rows[0].rsplit(",", 1)[0] + "\n", encoding="utf-8")
        for process in self.serving():
            os.kill(process, signal.SIGKILL)

        def ask():
            return self.server.hone("predict", model, "--csv", table)

        self.assertEqual(ask().returncode, 0)
        started = self.serving()
        self.assertEqual(len(started), 1)
        self.assertEqual(ask().returncode, 0)
        self.assertEqual(self.serving(), started)
        os.kill(started[0], signal.SIGKILL)
        again = ask()
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertNotEqual(self.serving(), started)
        os.kill(self.serving()[0], signal.SIGKILL)
        weights = self.folder / "data" / model / "model.safetensors"
        whole = weights.read_bytes()
        weights.write_bytes(b"\xff" * len(whole))
        damaged = ask()
        weights.write_bytes(whole)
        self.assertNotEqual(damaged.returncode, 0)
        self.assertIn(model, damaged.stderr)
        self.assertNotIn(str(self.folder), damaged.stderr)
        self.assertEqual(self.server.get("/healthz").strip().lower()[:2], "ok")

    def test_an_exported_model_answers_without_the_server(self):
        target = self.folder / "exported"
        exported = self.server.hone("models", "export", self.job["model"], target)
        self.assertEqual(exported.returncode, 0, exported.stderr)
        text = self.folder / "text.png"
        text.write_text("no picture", encoding="utf-8")
        refused = hone("predict", target, text)
        self.assertEqual(refused.returncode, 2, refused.stdout + refused.stderr)

    def test_a_wrong_field_is_named_with_its_range(self):
        refused = self.server.hone("submit", self.job_file, "--set", "training.batch_size=0")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("training.batch_size: must be between 1 and 65536, got 0", refused.stderr)

    def test_a_second_server_on_the_same_folder_refuses_to_start(self):
        second = subprocess.run([HONED, "--data-dir", self.folder / "data", "--listen", "127.0.0.1:0", "--metrics-listen",
                                 "127.0.0.1:0"], capture_output=True, text=True, timeout=20, check=False)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(str(self.folder / "data"), second.stdout + second.stderr)

    def test_a_second_server_on_the_same_port_refuses_to_start(self):
        second = subprocess.run([HONED, "--data-dir", self.folder / "other", "--listen", self.server.address, "--metrics-listen",
                                 "127.0.0.1:0"], capture_output=True, text=True, timeout=20, check=False)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(self.server.address, second.stdout + second.stderr)

    def test_a_running_job_can_be_cancelled(self):
        name = self.server.hone("submit", self.job_file, "--set", "training.epochs=1000000").stdout.split()[0]
        cancelled = self.server.hone("jobs", "cancel", name)
        self.assertEqual(cancelled.returncode, 0, cancelled.stderr)
        self.assertEqual(self.server.hone("watch", name).returncode, 4)

    def test_without_a_server_the_exit_code_is_3(self):
        self.assertEqual(hone("--server", "127.0.0.1:9", "jobs", "list").returncode, 3)

    def test_jobs_and_models_outlive_the_server_which_ends_with_0(self):
        folder = self.folder / "restart"
        folder.mkdir()
        (folder / "mirror").symlink_to(self.folder / "mirror")
        server = Server(folder)
        done = server.hone("--output", "json", "submit", self.job_file, "--follow")
        name = json.loads(done.stdout.splitlines()[-1])["name"]
        self.assertEqual(server.stop(), 0)
        server = Server(folder)
        try:
            self.assertIn("SUCCEEDED", server.hone("--output", "json", "jobs", "show", name).stdout)
            self.assertIn(name.replace("jobs/", "models/"), server.hone("models", "list").stdout)
        finally:
            self.assertEqual(server.stop(), 0)


unittest.main(argv=sys.argv[:1] + sys.argv[4:])
