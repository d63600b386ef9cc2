#!/usr/bin/env python3
"""The whole service as its users meet it: honed, submit, watch, metrics, predict, export, a restart, and the exit codes.

    service.py HONED HONE SOURCE_DIR

The data set is a table made here in the place of the catalogue's `wine`, so that nothing is downloaded.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import LONGEST_SECONDS, Honed, wine_rows, write_mirror  # noqa: E402

HONED, HONE, SOURCE = sys.argv[1:4]


class Server(Honed):
    def __init__(self, folder):
        super().__init__(HONED, folder, environment=dict(os.environ, HONE_DATA_DIR=str(folder / "mirror")))

    def hone(self, *arguments):
        return hone("--server", self.address, *arguments)


def hone(*arguments):
    return subprocess.run([HONE, *map(str, arguments)], capture_output=True, text=True, timeout=3 * LONGEST_SECONDS, check=False)


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        write_mirror(cls.folder / "mirror")
        cls.rows = wine_rows()
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
        self.assertIn('hone_jobs_finished_total{task="classification",end_reason="COMPLETED"} 1', self.server.page("/metrics"))
        self.assertEqual(self.server.page("/readyz").strip(), "ready")

    def test_the_model_answers_rows_of_a_table(self):
        table = self.folder / "rows.csv"
        names = ",".join(f"column_{i + 1}" for i in range(13))
        table.write_text("\n".join([names] + [row.rsplit(",", 1)[0] for row in self.rows[:30]]) + "\n", encoding="utf-8")
        asked = self.server.hone("--output", "json", "predict", self.job["model"], "--csv", table)
        self.assertEqual(asked.returncode, 0, asked.stderr)
        predictions = json.loads(asked.stdout)["predictions"]
        right = sum(p["classification"]["classes"][0]["name"] == row[-1] for p, row in zip(predictions, self.rows))
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
        self.assertEqual(self.server.page("/healthz").strip().lower()[:2], "ok")

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
                                 "127.0.0.1:0"], capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(str(self.folder / "data"), second.stdout + second.stderr)

    def test_a_second_server_on_the_same_port_refuses_to_start(self):
        second = subprocess.run([HONED, "--data-dir", self.folder / "other", "--listen", self.server.address, "--metrics-listen",
                                 "127.0.0.1:0"], capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(self.server.address, second.stdout + second.stderr)

    def test_a_running_job_can_be_cancelled(self):
        name = self.server.hone("submit", self.job_file, "--set", "training.epochs=1000000").stdout.split()[0]
        cancelled = self.server.hone("jobs", "cancel", name)
        self.assertEqual(cancelled.returncode, 0, cancelled.stderr)
        self.assertEqual(self.server.hone("watch", name).returncode, 4)

    def test_a_data_set_that_nobody_knows_ends_a_run_with_2(self):
        done = hone("run", self.job_file, "--set", "data.dataset=vine", "--run-dir", self.folder / "unknown")
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("wine", done.stdout + done.stderr)

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
            shown = json.loads(server.hone("--output", "json", "jobs", "show", name).stdout.splitlines()[-1])
            self.assertEqual(shown["state"], "SUCCEEDED")
            self.assertIn(shown["model"], server.hone("models", "list").stdout)
        finally:
            self.assertEqual(server.stop(), 0)


unittest.main(argv=sys.argv[:1] + sys.argv[4:])
