#!/usr/bin/env python3
"""The boards and alert rules of deploy/ against the real Prometheus, which reads a real server while a job runs.

    dashboards.py HONED HONE SOURCE_DIR [Names | Prometheus]

Without Prometheus its tests are skipped: exit code 77 where no others were asked for.
"""
import io
import json
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import LONGEST_SECONDS, Honed, free_port, run_tests, wait_until  # noqa: E402

HONED, HONE, SOURCE = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
DEPLOY = SOURCE / "deploy"
# Expressions that rightly have no series while a sound job runs, and why.
MAY_BE_EMPTY = {
    'hone_job_layer_verdict{training_job="$job"}': "a series only for a layer that is not sound",
    "sum by (end_reason) (increase(hone_jobs_finished_total[1h])) > 0": "no job has ended yet",
    'sum by (end_reason) (increase(hone_jobs_finished_total{task=~"$task"}[1h])) > 0': "no job has ended yet",
}
JOB = """
display_name: board
regression: {}
data: {dataset: board, validation_fraction: 0.2}
model: {layers: [{dense: {units: 64, activation: RELU}}, {dense: {units: 1}}]}
training: {epochs: 1000000, batch_size: 32, layer_statistics_every: 100, checkpoints: {every_seconds: 1}}
"""
# Tells what only a generator tells.
DRAWING_JOB = """
display_name: drawings
image_generation: {latent: 4, evaluation: {drawings: 0}}
data: {dataset: drawings, test_fraction: 0.2}
model: {preset: {gan: {generator_units: [8], discriminator_units: [8]}}}
training: {epochs: 1000000, batch_size: 32}
"""


def write_pictures(path):
    """A tar of 100 grey pictures of 8×8 in two classes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with tarfile.open(path, "w") as tar:
        for i in range(100):
            rows = b"".join(bytes([0] + [(40 * x + 7 * i if i % 2 else 40 * y + 5 * i) % 256 for x in range(8)]) for y in range(8))
            png = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
            entry = tarfile.TarInfo(f"{'ab'[i % 2]}/{i}.png")
            entry.size = len(png)
            tar.addfile(entry, io.BytesIO(png))


def board_expressions():
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.name}, {panel['title']}", target["expr"]


def rule_expressions():
    for expr in re.findall(r"^ *expr: (.*)$", (DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"), re.M):
        yield "alerts.yaml", expr


def catalogue():
    """The labels of each metric by its name."""
    text = (SOURCE / "server" / "metrics" / "catalog.cc").read_text(encoding="utf-8")
    specs = re.findall(r'"(hone_[a-z0-9_]+)",\s*MetricType::k(\w+),(?:\s*"[^"]*")+,\s*\{([^}]*)\}', text)
    known = {name: set(re.findall(r'"(\w+)"', labels)) | ({"le"} if kind == "Histogram" else set()) for name, kind, labels in specs}
    assert len(known) == text.count('"hone_'), "catalog.cc is not written as this test reads it"
    return known


def metrics_in(text):
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bhone_[a-z0-9_]+", text)}


def labels_in(expr):
    """Labels that an expression chooses or groups by."""
    listed = ",".join(re.findall(r"\b(?:by|on|ignoring|without) \(([^)]*)\)", expr))
    return set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", "".join(re.findall(r"{([^}]*)}", expr)))) | set(re.findall(r"\w+", listed))


class Names(unittest.TestCase):
    def test_boards_and_rules_use_metrics_and_labels_of_the_catalogue_only(self):
        known = catalogue()
        for place, expr in [*board_expressions(), *rule_expressions()]:
            self.assertLessEqual(metrics_in(expr), known.keys(), f"{place}: {expr}")
            labels = {"job", "instance"}.union(*(known[name] for name in metrics_in(expr)))
            self.assertLessEqual(labels_in(expr), labels, f"{place}: {expr}")

    def test_legends_name_labels_that_their_expression_leaves(self):
        for path in (DEPLOY / "grafana" / "dashboards").glob("*.json"):
            for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
                for target in panel["targets"]:
                    grouped = re.search(r"by \(([^)]*)\)", target["expr"])
                    left = set(re.findall(r"\w+", grouped[1])) if grouped else set().union(
                        *(catalogue()[name] for name in metrics_in(target["expr"])))
                    self.assertLessEqual(set(re.findall(r"{{ *(\w+) *}}", target["legendFormat"])), left, panel["title"])

    def test_every_metric_of_the_catalogue_is_on_a_board_or_in_a_rule(self):
        shown = set().union(*(metrics_in(expr) for _, expr in [*board_expressions(), *rule_expressions()]))
        self.assertEqual(set(catalogue()) - shown, set())

    def test_the_manual_lists_every_metric_and_explains_every_alert(self):
        manual = (DEPLOY / "README.md").read_text(encoding="utf-8")
        self.assertEqual(set(catalogue()), {name for row in re.findall(r"^\| `hone_.*$", manual, re.M) for name in metrics_in(row)})
        alerts = re.findall(r"alert: (\w+)", (DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
        self.assertEqual(sorted(alerts), sorted(re.findall(r"^\| `(Hone\w+)` \|", manual, re.M)))


@unittest.skipUnless(shutil.which("prometheus") and shutil.which("promtool"), "prometheus is not installed")
class Prometheus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        folder = pathlib.Path(cls.scratch.name)
        (folder / "table.csv").write_text("a,b,price\n" + "".join(f"{i % 7},{i % 11},{i % 7 + 2 * (i % 11)}\n" for i in range(500)),
                                            encoding="utf-8")
        write_pictures(folder / "pictures.tar")
        (folder / "job.yaml").write_text(JOB, encoding="utf-8")
        (folder / "drawings.yaml").write_text(DRAWING_JOB, encoding="utf-8")
        cls.server = Honed(HONED, folder, "--jobs", 2)
        cls.addClassCleanup(cls.server.stop)
        port = free_port()
        config = (DEPLOY / "prometheus" / "compose.yml").read_text(encoding="utf-8")
        config = config.replace("hone:9464", f"127.0.0.1:{cls.server.metrics_port}").replace("scrape_interval: 5s", "scrape_interval: 500ms")
        (folder / "prometheus.yml").write_text(config, encoding="utf-8")
        shutil.copy(DEPLOY / "prometheus" / "alerts.yaml", folder)
        with open(folder / "prometheus.log", "ab") as log:
            process = subprocess.Popen(["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
                                        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"], stdout=log, stderr=log)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.terminate)
        cls.api = f"http://127.0.0.1:{port}/api/v1/query?"
        wait_until("Prometheus is ready", lambda: cls.answers(f"http://127.0.0.1:{port}/-/ready"))
        hone = [HONE, "--server", cls.server.address, "--output", "json"]
        jobs = []
        for data, file, job in (("board", "table.csv", "job.yaml"), ("drawings", "pictures.tar", "drawings.yaml")):
            subprocess.run([*hone, "data", "put", data, folder / file], capture_output=True, check=True)
            done = subprocess.run([*hone, "submit", folder / job], capture_output=True, text=True, check=True)
            jobs.append(json.loads(done.stdout.splitlines()[-1])["name"].removeprefix("jobs/"))
        cls.job, cls.drawing_job = jobs
        wait_until("the generator is told of", lambda: 'metric="variety"' in cls.server.metrics())

    @staticmethod
    def answers(url):
        try:
            with urllib.request.urlopen(url, timeout=LONGEST_SECONDS):
                return True
        except urllib.error.URLError:
            return False

    def query(self, expr):
        url = self.api + urllib.parse.urlencode({"query": re.sub(r"\$(task|project)\b", ".*", expr.replace("$job", self.job))})
        try:
            with urllib.request.urlopen(url, timeout=LONGEST_SECONDS) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            self.fail(f"{expr}: {error.read().decode()}")

    def test_every_panel_has_data_while_a_job_runs(self):
        missing = {expr: place for place, expr in board_expressions() if expr not in MAY_BE_EMPTY}
        deadline = time.monotonic() + 2 * LONGEST_SECONDS
        while missing and time.monotonic() < deadline:
            missing = {expr: place for expr, place in missing.items() if not self.query(expr)}
            time.sleep(0.5)
        self.assertEqual(missing, {})

    def test_every_rule_and_every_other_expression_is_understood(self):
        for _, expr in [*board_expressions(), *rule_expressions()]:
            self.query(expr)

    def promtool(self, *arguments, stdin=None):
        done = subprocess.run(["promtool", *arguments], capture_output=True, input=stdin, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_rules_do_what_their_tests_say(self):
        self.promtool("test", "rules", DEPLOY / "prometheus" / "alerts_test.yaml")

    def test_the_rules_tests_are_fed_with_what_the_server_says(self):
        told = {}
        for name, labels in re.findall(r"^(hone_\w+)(?:{(.*)})? ", self.server.metrics(), re.M):
            told.setdefault(name, []).append(dict(re.findall(r'(\w+)="([^"]*)"', labels)))
        fed = re.findall(r"series: '(hone_\w+){(.*?)}'", (DEPLOY / "prometheus" / "alerts_test.yaml").read_text(encoding="utf-8"))
        self.assertTrue(fed)
        for name, labels in fed:
            labels = {key: value for key, value in re.findall(r'(\w+)="([^"]*)"', labels) if key != "instance"}
            if "training_job" in labels:
                labels["training_job"] = self.drawing_job if labels.get("metric") == "variety" else self.job
            if labels.get("code") == "INTERNAL":
                labels["code"] = "OK"  # a sound server has no such series, but one like it
            self.assertIn(labels, told[name], name)

    def test_promtool_finds_nothing_wrong_with_rules_and_configurations(self):
        self.promtool("check", "rules", DEPLOY / "prometheus" / "alerts.yaml")
        self.promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")
        self.promtool("check", "config", DEPLOY / "prometheus" / "compose.yml")

    def test_promtool_finds_nothing_wrong_with_what_the_server_says(self):
        self.promtool("check", "metrics", stdin=self.server.metrics())


run_tests(*sys.argv[4:])
