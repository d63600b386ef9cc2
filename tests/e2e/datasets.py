#!/usr/bin/env python3
"""Data sets as their users meet them: an upload over a connection that is cut, refusals, one copy, jobs that need one.

    datasets.py HONED HONE SOURCE_DIR [--bytes N] [--seed N]

--bytes is the size of the upload that is cut 20 times (default 32 MiB).
"""
import argparse
import contextlib
import hashlib
import io
import json
import pathlib
import random
import select
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import Honed, wait_until  # noqa: E402

PARSER = argparse.ArgumentParser()
PARSER.add_argument("honed")
PARSER.add_argument("hone")
PARSER.add_argument("source")
PARSER.add_argument("--bytes", type=int, default=32 << 20)
PARSER.add_argument("--seed", type=int, default=1)
ARGUMENTS, REST = PARSER.parse_known_args()
CUTS = 20


class Server(Honed):
    def __init__(self, folder, *options, **more):
        super().__init__(ARGUMENTS.honed, folder, *options, **more)

    def hone(self, *arguments):
        return hone("--server", self.address, *arguments)

    def files(self, kind):
        return sorted(path.name for path in (self.folder / "data" / kind).iterdir())


class CuttingProxy:
    """Passes bytes from a client to the server and ends the connection after so many each time: every other time with a reset,
    which may take back what the server has not read, or lets it hang (`stall`)."""

    def __init__(self, port, cuts, stall=False):
        self.port = port
        self.cuts = list(cuts)
        self.stall = stall
        self.done = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.carry, args=(client, server), daemon=True).start()

    def carry(self, client, server):
        left = self.cuts.pop(0) if self.cuts else None
        other = {client: server, server: client}
        while True:
            for ready in select.select([client, server], [], [])[0]:
                try:
                    data = ready.recv(1 << 16)
                except OSError:
                    data = b""
                if data and left is not None and ready is client:
                    data = data[:left]
                    left -= len(data)
                if data:
                    with contextlib.suppress(OSError):
                        other[ready].sendall(data)
                if not data or left == 0:
                    self.done += left == 0
                    if self.stall:
                        threading.Event().wait()
                    if self.done % 2:
                        server.shutdown(socket.SHUT_WR)
                        with contextlib.suppress(OSError):
                            while server.recv(1 << 16):
                                pass
                    client.close()
                    server.close()
                    return


def hone(*arguments):
    return subprocess.run([ARGUMENTS.hone, *map(str, arguments)], capture_output=True, text=True, timeout=900, check=False)


def write_table(path, size, seed):
    """At least `size` bytes of numbers with a class each."""
    rng = random.Random(seed)
    head = "a,b,c,kind\n"
    block = "".join(f"{rng.random():.6f},{rng.random():.6f},{rng.random():.6f},{rng.choice('xyz')}\n" for _ in range(4000))
    with open(path, "w", encoding="ascii") as file:
        file.write(head)
        for number in range(size // len(block) + 1):
            file.write(f"{number % 97}.5,0,0,x\n" + block)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class DatasetTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.server = Server(self.folder)
        self.addCleanup(lambda: self.server.stop())
        self.table = self.folder / "table.csv"
        write_table(self.table, 100_000, ARGUMENTS.seed)

    def put(self, name, path=None):
        done = self.server.hone("--output", "json", "data", "put", name, path or self.table)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def submit(self, dataset, epochs=1, *options):
        example = pathlib.Path(ARGUMENTS.source) / "client" / "examples" / "wine-classification.yaml"
        return self.server.hone("submit", example, "--set", f"data.dataset={dataset}", "--set", f"training.epochs={epochs}",
                                "--set", "data.table.target=kind", *options)


class Uploads(DatasetTest):
    def test_an_upload_that_is_cut_20_times_is_whole(self):
        big = self.folder / "big.csv"
        write_table(big, ARGUMENTS.bytes, ARGUMENTS.seed)
        size = big.stat().st_size
        rng = random.Random(ARGUMENTS.seed)
        # The last connection has something left to carry.
        proxy = CuttingProxy(self.server.port, [rng.randrange(2000, 2 * size // (CUTS + 8)) for _ in range(CUTS)])
        done = hone("--server", proxy.address, "--output", "json", "data", "put", "big", big)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(proxy.done, CUTS)
        stored = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((stored["sha256"], int(stored["bytes"])), (sha256(big), size))
        self.assertEqual(sha256(self.folder / "data" / "datasets" / (stored["sha256"] + ".csv")), stored["sha256"])
        self.assertEqual(self.server.files("uploads"), [])

    def test_an_upload_goes_on_after_the_server_was_killed(self):
        big = self.folder / "big.csv"
        write_table(big, 4 << 20, ARGUMENTS.seed)
        proxy = CuttingProxy(self.server.port, [3 << 20], stall=True)
        port = self.server.port
        uploads = self.folder / "data" / "uploads"
        with subprocess.Popen([ARGUMENTS.hone, "--server", proxy.address, "data", "put", "big", big]) as put:
            try:
                wait_until("a megabyte is there", lambda: sum(path.stat().st_size for path in uploads.iterdir()) >= 1 << 20)
            finally:
                put.kill()
        self.server.stop(signal.SIGKILL)
        kept = sum(path.stat().st_size for path in uploads.iterdir())
        self.assertGreaterEqual(kept, 1 << 20)
        self.server = Server(self.folder, listen=f"127.0.0.1:{port}")
        kept_after = sum(path.stat().st_size for path in uploads.iterdir())
        self.assertEqual(kept_after, kept)
        self.assertEqual(self.put("big", big)["sha256"], sha256(big))

    def test_the_same_bytes_under_two_names_are_one_file(self):
        self.put("one")
        self.put("two")
        self.assertEqual(self.server.files("datasets"), [sha256(self.table) + ".csv"])
        self.assertEqual(self.server.hone("data", "delete", "one").returncode, 0)
        self.assertEqual(len(self.server.files("datasets")), 1)
        self.assertEqual(self.server.hone("data", "delete", "two").returncode, 0)
        self.assertEqual(self.server.files("datasets"), [])

    def test_the_same_upload_twice_is_one_data_set(self):
        self.assertEqual(self.put("one"), self.put("one"))

    def test_other_bytes_under_a_name_that_exists_are_refused(self):
        self.put("one")
        other = self.folder / "other.csv"
        write_table(other, 1000, 99)
        refused = self.server.hone("data", "put", "one", other)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn("exists with other bytes", refused.stderr)

    def test_names_that_lead_out_or_have_control_characters_are_refused(self):
        for name in ("../../etc/passwd", "a/b", ".hidden", "tab\there", "bell\a", "x" * 65):
            refused = self.server.hone("data", "put", "--", name, self.table)
            self.assertEqual(refused.returncode, 2, name)
            self.assertIn("dataset_id: must be 1 to 64 letters", refused.stderr)
        self.assertEqual(self.server.files("datasets") + self.server.files("uploads"), [])

    def test_a_type_that_differs_from_the_bytes_is_refused(self):
        wrong = self.folder / "wrong.tar"
        wrong.write_bytes(self.table.read_bytes())
        refused = self.server.hone("data", "put", "wrong", wrong)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn("format: TAR was declared, but the bytes are text", refused.stderr)
        self.assertEqual(self.server.files("uploads"), [])

    def test_the_quota_is_refused_with_its_numbers(self):
        self.server.stop()
        self.server = Server(self.folder, "--dataset-quota-bytes", "1000")
        refused = self.server.hone("data", "put", "one", self.table)
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("of at most 1000 bytes", refused.stderr)

    def test_the_floor_of_free_disk_is_refused(self):
        self.server.stop()
        self.server = Server(self.folder, "--disk-floor-bytes", str(1 << 50))
        refused = self.server.hone("data", "put", "one", self.table)
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("the floor of", refused.stderr)
        self.assertEqual(json.loads(self.server.hone("--output", "json", "data", "list").stdout), {})


class Contents(DatasetTest):
    def test_show_has_the_columns_and_the_first_rows(self):
        self.put("one")
        shown = self.server.hone("--output", "json", "data", "show", "one", "--rows", "2")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        report = json.loads(shown.stdout.splitlines()[-1])
        self.assertEqual(report["columns"], ["a", "b", "c", "kind"])
        self.assertEqual(len(report["rows"]), 2)

    def test_check_names_every_wrong_line(self):
        wrong = self.folder / "wrong.csv"
        wrong.write_text("a,b,kind\n1,2,x\n1,2\n3,4,y\n5,6,7,8\n", encoding="ascii")
        self.put("wrong", wrong)
        checked = self.server.hone("--output", "json", "data", "check", "wrong")
        self.assertEqual(checked.returncode, 2, checked.stdout)
        report = json.loads(checked.stdout.splitlines()[-1])
        self.assertEqual([int(problem["line"]) for problem in report["problems"]], [3, 5])
        self.assertNotIn(str(self.folder), checked.stdout + checked.stderr)

    def test_check_names_every_damaged_picture(self):
        picture = (pathlib.Path(ARGUMENTS.source) / "client" / "examples" / "seven.png").read_bytes()
        pictures = self.folder / "pictures.tar"
        with tarfile.open(pictures, "w") as tar:
            for name in ["sound/1.png", "sound/2.png", *(f"broken/{i:02}.png" for i in range(25)), "broken/whole.png"]:
                data = picture if name in ("sound/1.png", "sound/2.png", "broken/whole.png") else picture[:60]
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        self.put("pictures", pictures)
        checked = self.server.hone("--output", "json", "data", "check", "pictures")
        self.assertEqual(checked.returncode, 2, checked.stdout)
        report = json.loads(checked.stdout.splitlines()[-1])
        self.assertFalse(report.get("valid", False))
        self.assertEqual([problem["file"] for problem in report["problems"]], [f"broken/{i:02}.png" for i in range(20)])
        self.assertEqual(int(report["examples"]), 3)
        self.assertIn("25 left out: damaged picture", report["notes"][0])

    def test_a_name_that_is_not_there_ends_with_2(self):
        for command in ("show", "check", "delete"):
            missing = self.server.hone("data", command, "nothing")
            self.assertEqual(missing.returncode, 2, command)
            self.assertIn("there is no data set datasets/nothing", missing.stderr)


class Jobs(DatasetTest):
    def submit_path(self, *options):
        example = pathlib.Path(ARGUMENTS.source) / "client" / "examples" / "wine-classification.yaml"
        return self.server.hone("--output", "json", "submit", example, "--set", f"data.path={self.table}", "--set", "training.epochs=1",
                                "--set", "data.table.target=kind", *options)

    def test_a_job_file_with_a_path_brings_its_data_along_once(self):
        first = self.submit_path("--follow")
        self.assertEqual(first.returncode, 0, first.stdout[-2000:] + first.stderr)
        job = json.loads(first.stdout.splitlines()[-1])
        self.assertEqual(job["spec"]["data"]["dataset"], f"table-{sha256(self.table)[:12]}")
        self.assertNotIn(str(self.folder), json.dumps(job["spec"]))
        self.assertEqual(self.submit_path().returncode, 0)
        listed = json.loads(self.server.hone("--output", "json", "data", "list").stdout)
        self.assertEqual(len(listed["datasets"]), 1)

    def test_a_path_to_bytes_that_the_server_has_takes_their_name(self):
        self.put("mine")
        job = json.loads(self.submit_path().stdout.splitlines()[-1])
        self.assertEqual(job["spec"]["data"]["dataset"], "mine")

    def test_a_job_trains_on_an_uploaded_data_set(self):
        self.put("mine")
        done = self.submit("mine", 1, "--follow")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)

    def test_a_job_calls_its_data_by_name_and_not_by_the_servers_path(self):
        self.put("mine")
        events = [json.loads(line) for line in self.submit("mine", 1, "--follow", "--output", "json").stdout.splitlines()]
        self.assertEqual([event["data_report"]["source"] for event in events if "data_report" in event], ["mine"])

    def test_an_unknown_data_set_is_refused_with_what_exists(self):
        self.put("mine")
        refused = self.submit("yours")
        self.assertEqual(refused.returncode, 2, refused.stdout)
        self.assertIn("uploaded to the project default: mine", refused.stderr)
        self.assertIn("mnist", refused.stderr)

    def test_a_data_set_that_a_job_needs_is_deleted_by_force_alone_and_goes_with_the_job(self):
        self.put("mine")
        blocker = self.submit("mine", 1_000_000)
        self.assertEqual(blocker.returncode, 0, blocker.stderr)
        queued = self.submit("mine", 1)
        self.assertEqual(queued.returncode, 0, queued.stderr)
        first, second = blocker.stdout.split()[0], queued.stdout.split()[0]
        refused = self.server.hone("data", "delete", "mine")
        self.assertEqual(refused.returncode, 2, refused.stdout)
        self.assertIn("is needed by jobs/", refused.stderr)
        self.assertEqual(self.server.hone("data", "delete", "mine", "--force").returncode, 0)
        self.assertEqual(json.loads(self.server.hone("--output", "json", "data", "list").stdout), {})
        self.assertEqual(len(self.server.files("datasets")), 1)
        self.assertEqual(self.server.hone("jobs", "cancel", first).returncode, 0)
        self.assertEqual(self.server.hone("watch", second).returncode, 0)
        other = self.folder / "other.csv"
        write_table(other, 1000, 99)
        self.put("other", other)  # which sweeps
        self.assertEqual(self.server.files("datasets"), [sha256(other) + ".csv"])


unittest.main(argv=[sys.argv[0], *REST])
