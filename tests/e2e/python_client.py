#!/usr/bin/env python3
"""The Python client with a real server: jobs are followed while the server is killed again and again, a file is uploaded through kills, models are asked, and
the example notebook is run.

    python_client.py BIN PROTOC [--jobs N] [--kills N] [--epochs N] [--seed N] [TEST…]

The full form is `--jobs 100 --kills 20 Kills`. The Python packages come from an environment outside the checkout (tests/support/environments.py client); exit
code 77 without it.
"""
import argparse
import asyncio
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))
import client_wheel  # noqa: E402
from honed import Honed, run_tests, wine_rows, write_mirror  # noqa: E402

PARSER = argparse.ArgumentParser()
PARSER.add_argument("bin", type=pathlib.Path)
PARSER.add_argument("protoc")
PARSER.add_argument("--jobs", type=int, default=6)
PARSER.add_argument("--kills", type=int, default=3)
PARSER.add_argument("--epochs", type=int, default=400)
PARSER.add_argument("--seed", type=int, default=1)
PARSER.add_argument("tests", nargs="*")
OPTIONS = PARSER.parse_intermixed_args()
WHEEL = client_wheel.enter(OPTIONS.protoc)
import hone  # noqa: E402
import nbclient  # noqa: E402
import nbformat  # noqa: E402

EVENTS_A_JOB = 10  # at least
LONGEST_SECONDS = 300  # a busy machine may take long
READMES = (client_wheel.ROOT / "README.md", client_wheel.ROOT / "client" / "python" / "README.md")
NOTEBOOK = client_wheel.ROOT / "client" / "python" / "examples" / "first_steps.ipynb"


def wine_job(name, epochs=OPTIONS.epochs, **training):
    return {"display_name": name, "classification": {}, "data": {"dataset": "wine"},
            "model": {"layers": [{"dense": {"units": 16, "activation": "RELU"}}, {"dense": {"units": 3}}]},
            "training": {"epochs": epochs, "threads": 1, **training}}


class Server(unittest.TestCase):
    """A server that a test may kill and start again, on the same data and the same port."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="hone-python-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.mirror = write_mirror(self.folder / "mirror")
        self.server = Honed(OPTIONS.bin / "honed", self.folder, "--data-mirror", self.mirror)
        self.addCleanup(lambda: self.server.stop())

    def kill_and_start(self):
        address = self.server.address
        self.server.stop(signal.SIGKILL)
        self.server = Honed(OPTIONS.bin / "honed", self.folder, "--data-mirror", self.mirror, listen=address)


class Followers:
    """Submits jobs and follows each: one half blocking, a thread each, the other by asyncio."""

    def __init__(self, address, count):
        self.told = {}  # by the job's name: its events, as they came
        self.infos = {}
        self.errors = []
        self.seen = 0
        self._lock = threading.Lock()
        self._client = hone.Client(address)
        self._address = address
        half = count // 2
        self._threads = [threading.Thread(target=self._guard, args=(self._follow, number)) for number in range(half)]
        self._threads.append(threading.Thread(target=self._guard, args=(self._follow_all, range(half, count))))
        for thread in self._threads:
            thread.start()

    def running(self):
        return any(thread.is_alive() for thread in self._threads)

    def _guard(self, function, argument):
        try:
            function(argument)
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(f"{function.__name__}({argument}): {error!r}")

    def _take(self, job, event):
        with self._lock:
            self.told.setdefault(job.name, []).append(event)
            self.infos[job.name] = job
            self.seen += 1

    def _follow(self, number):
        job = self._client.submit(wine_job(f"blocking {number}"))
        for event in job.follow():
            self._take(job, event)

    def _follow_all(self, numbers):
        async def one(client, number):
            job = await client.submit(wine_job(f"asyncio {number}"))
            async for event in job.follow():
                self._take(job, event)

        async def all_of_them():
            async with hone.AsyncClient(self._address) as client:
                await asyncio.gather(*(one(client, number) for number in numbers))

        asyncio.run(all_of_them())


class Kills(Server):
    def test_jobs_followed_while_the_server_is_killed_tell_every_event_once_and_in_order(self):
        rng = random.Random(OPTIONS.seed)
        followers = Followers(self.server.address, OPTIONS.jobs)
        # So many events between two kills that the jobs have enough of them.
        most = max(1, OPTIONS.jobs * EVENTS_A_JOB // (OPTIONS.kills + 1))
        kills = 0
        while followers.running():
            until = followers.seen + rng.randint(1, most)
            while followers.running() and (followers.seen < until or kills == OPTIONS.kills):
                time.sleep(0.002)
            if followers.running():
                self.kill_and_start()
                kills += 1
        self.assertEqual(followers.errors, [])
        self.assertEqual(kills, OPTIONS.kills)
        with hone.Client(self.server.address) as client:
            kept = list(client.jobs())
            self.assertEqual(sorted(job.name for job in kept), sorted(followers.told), "each submit made one job")
            resumed = 0
            for job in kept:
                with self.subTest(job=job.info.display_name):
                    told = followers.told[job.name]
                    self.assertEqual(job.info.state, "SUCCEEDED", job.info.message)
                    self.assertEqual([event.sequence for event in told], list(range(1, job.info.last_sequence + 1)))
                    self.assertEqual(told, list(job.follow()), "who follows it later is told the same")
                    self.assertFalse([event for event in told if isinstance(event, hone.Gap)])
                    self.assertEqual(told[-1].state, "SUCCEEDED")
                    self.assertEqual(followers.infos[job.name].info.state, "SUCCEEDED", "the job knows its end")
                    resumed += job.info.attempt > 1
        print(f"{OPTIONS.jobs} jobs, {kills} kills, {followers.seen} events, each once; {resumed} jobs had more than one attempt", file=sys.stderr)

    def test_an_upload_goes_on_through_kills_and_is_made_once(self):
        path = self.folder / "wine.csv"
        path.write_text("\n".join(wine_rows()) * 2000, encoding="ascii")
        client = hone.Client(self.server.address)
        client.server_info()
        size = path.stat().st_size
        due = [size // 3, 2 * size // 3]
        reached = threading.Event()

        def on_sent(sent, of):
            self.assertEqual(of, size)
            if due and sent > due[0]:
                due.pop(0)
                reached.set()

        found = []
        upload = threading.Thread(target=lambda: found.append(client.upload(path, on_sent=on_sent)))
        upload.start()
        for _ in range(2):
            self.assertTrue(reached.wait(60))
            reached.clear()
            self.kill_and_start()
        upload.join(120)
        self.assertEqual(found[0].bytes, size)
        self.assertEqual([known.id for known in client.datasets()], [found[0].id])
        self.assertEqual(client.upload(path).id, found[0].id, "the server has these bytes")


class Use(Server):
    def test_a_job_with_data_of_this_machine_is_planned_trained_asked_and_exported(self):
        path = self.folder / "my wine.csv"
        header = ",".join([*(f"c{i}" for i in range(13)), "kind"])
        path.write_text("\n".join([header, *wine_rows()]), encoding="ascii")
        job_file = self.folder / "job.yaml"
        job_file.write_text("classification: {}\ndata: {path: PATH}\nmodel: {layers: [{dense: {units: 3}}]}\ntraining: {epochs: 2e1}\n".replace("PATH", str(path)),
                            encoding="utf-8")
        with hone.Client(self.server.address) as client:
            self.assertEqual(client.plan(job_file).parameters, 13 * 3 + 3)
            job = client.submit(job_file, request_id="once")
            self.assertEqual(client.submit(job_file, request_id="once").name, job.name)
            info = job.wait()
            self.assertEqual((info.display_name, info.state), ("job", "SUCCEEDED"))
            self.assertEqual(info.spec["data"], {"dataset": next(client.datasets()).id})
            history = job.history(["loss"])
            self.assertEqual(list(history), ["loss"])
            self.assertEqual(len(history["loss"]), len(history.steps))
            self.assertEqual(list(history.to_pandas().columns), ["epoch", "active_seconds", "loss"])
            model = client.model("job")
            self.assertEqual(model.name, job.model().name)
            row = dict(zip(header.split(","), wine_rows()[0].split(",")))
            (answer,) = model.predict(row)
            self.assertAlmostEqual(sum(one.probability for one in answer.classes), 1, places=5)
            model.export(self.folder / "out")
            self.assertEqual(sum(file.stat().st_size for file in (self.folder / "out").iterdir()), model.info.bytes)
            with self.assertRaises(FileExistsError):
                model.export(self.folder / "out")

    def test_wrong_fields_come_as_problems_and_a_job_that_is_cancelled_can_be_tried_again(self):
        with hone.Client(self.server.address) as client:
            with self.assertRaises(hone.HoneError) as refused:
                client.submit(wine_job("wrong", batch_size=-4))
            self.assertEqual([problem.field for problem in refused.exception.problems], ["training.batch_size"])
            with self.assertRaises(hone.HoneError) as unknown:
                client.job("nobody")
            self.assertEqual((unknown.exception.code, unknown.exception.reason), ("NOT_FOUND", "JOB_NOT_FOUND"))
            long = client.submit(wine_job("long", epochs=1_000_000))
            long.cancel()
            self.assertEqual(long.wait().state, "CANCELLED")
            with self.assertRaises(LookupError):
                long.model()
            again = long.retry()
            self.assertEqual(again.info.retry_of, long.name)
            again.pause()
            again.cancel()
            self.assertEqual({job.name for job in client.jobs(states=["CANCELLED"])} | {again.name}, {long.name, again.name})

    def test_a_text_comes_piece_by_piece_and_the_same_from_both_clients(self):
        path = self.folder / "song.txt"
        path.write_text("row, row, row your boat, gently down the stream.\n" * 400, encoding="ascii")
        job = {"language_modeling": {"window": 16}, "data": {"path": path, "text": {"tokenizer": {"characters": {}}}},
               "model": {"preset": {"gpt": {"layers": 1, "heads": 2, "width": 16}}},
               "training": {"steps": 50}}
        with hone.Client(self.server.address) as client:
            submitted = client.submit(job)
            self.assertEqual(submitted.wait().state, "SUCCEEDED", submitted.info.message)
            model = submitted.model()
            pieces = list(model.generate("row", count=20, seed=3))
            self.assertEqual((pieces[-1].end, pieces[-1].tokens), ("COUNT", 20))
            written = "".join(map(str, pieces))

            async def ask():
                async with hone.AsyncClient(self.server.address) as twin:
                    return "".join([piece.text async for piece in twin.generate(model.name, "row", count=20, seed=3)])

            self.assertEqual(asyncio.run(ask()), written)

    def test_a_wrong_address_is_told_soon_and_a_loop_that_is_left_leaves_the_job(self):
        with hone.Client("127.0.0.1:1") as nobody, self.assertRaises(hone.ServerUnreachable):
            nobody.server_info()
        with hone.Client(self.server.address) as client:
            job = client.submit(wine_job("left"))
            for _ in job.follow():
                break
            self.assertEqual(job.wait().state, "SUCCEEDED")

    def test_the_python_of_the_readmes_runs(self):
        (self.folder / "client").symlink_to(client_wheel.ROOT / "client")
        for readme in READMES:
            blocks = re.findall(r"^```python\n(.*?)^```", readme.read_text(encoding="utf-8"), re.M | re.S)
            (self.folder / "readme.py").write_text("\n".join(blocks), encoding="utf-8")
            done = subprocess.run([sys.executable, "readme.py"], cwd=self.folder, env={**os.environ, "HONE_SERVER": self.server.address},
                                  capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, "models/|SUCCEEDED")

    def test_the_example_notebook_runs(self):
        os.environ["HONE_SERVER"] = self.server.address
        self.addCleanup(os.environ.pop, "HONE_SERVER")
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        nbclient.NotebookClient(notebook, timeout=LONGEST_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(self.folder)}}).execute()
        shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        pages = [output["data"]["text/html"] for output in shown if "text/html" in output.get("data", {})]
        self.assertTrue(any("<progress" in page and "<polyline" in page for page in pages), "a bar and a curve are shown")


run_tests(*OPTIONS.tests)
