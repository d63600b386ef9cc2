#!/usr/bin/env python3
"""What is kept of a server and told of it: a backup made under load and restored elsewhere, webhooks through kills, the audit log.

    kept.py HONED HONE
"""
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import LONGEST_SECONDS, Honed, wait_until, write_mirror  # noqa: E402

HONED, HONE = sys.argv[1], sys.argv[2]
# Endless: on no machine is it over before it is killed.
JOB = """
display_name: endless
classification: {}
data: {dataset: wine}
model: {layers: [{dense: {units: 32, activation: RELU}}, {dense: {units: 3}}]}
training: {epochs: 1000000, batch_size: 16, checkpoints: {every_seconds: 0.3}}
"""
SHORT = JOB.replace("endless", "short").replace("1000000", "2")
SECRET = "a secret of the tests"


class Server(Honed):
    def __init__(self, folder, *options):
        self.token = None
        super().__init__(HONED, folder, *options, environment=dict(os.environ, HONE_DATA_DIR=str(folder.parent / "mirror")))

    def run(self, *arguments, **environment):
        """What became of it."""
        known = dict(os.environ, **environment, **({"HONE_TOKEN": self.token} if self.token else {}))
        return subprocess.run([HONE, "--server", self.address, "--output", "json", *map(str, arguments)], capture_output=True, text=True,
                              timeout=3 * LONGEST_SECONDS, check=False, env=known)

    def hone(self, *arguments, **environment):
        """The last line of what it says, as JSON."""
        done = self.run(*arguments, **environment)
        if done.returncode != 0:
            raise RuntimeError(f"{arguments}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def jobs(self):
        return {job["name"]: job for job in self.hone("jobs", "list", "--limit", 10000)["jobs"]}


class Receiver:
    """Keeps what it is sent."""

    def __init__(self, port=0):
        received = self.received = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                received.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Scene(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="hone-kept-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        write_mirror(self.folder / "mirror")
        (self.folder / "endless.yaml").write_text(JOB, encoding="utf-8")
        (self.folder / "short.yaml").write_text(SHORT, encoding="utf-8")

    def start(self, name, *options):
        server = Server(self.folder / name, *options)
        self.addCleanup(lambda: server.stop(signal.SIGKILL))
        return server


class Backup(Scene):
    def test_a_backup_under_load_is_restored_with_every_job_acknowledged_before_it_and_jobs_go_on_from_checkpoints(self):
        backups = self.folder / "backups"
        backups.mkdir()
        server = self.start("first", "--backup-dir", backups)
        ended = server.hone("submit", self.folder / "short.yaml", "--follow")
        endless = server.hone("submit", self.folder / "endless.yaml")["name"]
        (self.folder / "table.csv").write_text("a,b,kind\n" + "".join(f"{i % 7},{i % 5},{'xy'[i % 2]}\n" for i in range(4000)), encoding="utf-8")
        run = self.folder / "first" / "data" / "runs" / endless.split("/")[1]
        wait_until("the endless job has a checkpoint", lambda: list(run.glob("attempt-1/checkpoints/step-*")))
        acknowledged, stop = [], threading.Event()

        def submit():
            while not stop.is_set():
                acknowledged.append(server.hone("submit", self.folder / "short.yaml")["name"])

        def upload():
            number = 0
            while not stop.is_set():
                number += 1
                data = self.folder / f"table-{number}.csv"
                data.write_text((self.folder / "table.csv").read_text(encoding="utf-8") + f"{number},1,x\n", encoding="utf-8")
                server.hone("data", "put", f"table-{number}", data)

        threads = [threading.Thread(target=what) for what in (submit, upload)]
        for thread in threads:
            thread.start()
        wait_until("there is load", lambda: len(acknowledged) >= 3)
        before = list(acknowledged)
        made = server.run("admin", "backup", "under-load")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
        self.assertEqual(json.loads(made.stdout.splitlines()[-1])["state"], "SUCCEEDED")
        server.stop(signal.SIGKILL)

        looked = subprocess.run([HONED, "doctor", "--data-dir", backups / "under-load"], capture_output=True, text=True, check=False)
        self.assertEqual((looked.returncode, looked.stdout), (0, "all is well\n"), looked.stderr)
        checked = subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST"], cwd=backups / "under-load", capture_output=True, text=True,
                                 check=False)
        self.assertEqual((checked.returncode, checked.stdout), (0, ""))

        # The first server's folder is lost; what it shared with the backup must not matter.
        data = self.folder / "second" / "data"
        restored = subprocess.run([HONED, "restore", backups / "under-load", "--data-dir", data], capture_output=True, text=True, check=False)
        self.assertEqual(restored.returncode, 0, restored.stderr)
        looked = subprocess.run([HONED, "doctor", "--data-dir", data], capture_output=True, text=True, check=False)
        self.assertEqual((looked.returncode, looked.stdout), (0, "all is well\n"), looked.stderr)
        second = self.start("second")
        jobs = second.jobs()
        self.assertLessEqual({*before, endless, ended["name"]}, set(jobs))
        self.assertEqual(jobs[ended["name"]]["model"], ended["model"])

        events = subprocess.Popen([HONE, "--server", second.address, "--output", "json", "watch", endless], stdout=subprocess.PIPE, text=True)
        self.addCleanup(events.stdout.close)
        self.addCleanup(events.wait)
        self.addCleanup(events.kill)
        for line in events.stdout:
            event = json.loads(line)
            if "started" in event and event.get("attempt", 0) >= 2:
                self.assertGreater(int(event["started"]["resumed_from_step"]), 0)
                break

    def test_a_second_backup_at_the_same_time_or_of_the_same_name_is_refused(self):
        backups = self.folder / "backups"
        backups.mkdir()
        server = self.start("first", "--backup-dir", backups)
        server.hone("admin", "backup", "one")
        again = server.run("admin", "backup", "one")
        self.assertNotEqual(again.returncode, 0)
        self.assertIn("backups/one", again.stderr)

    def test_a_server_without_a_folder_for_backups_says_so(self):
        refused = self.start("first").run("admin", "backup")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("--backup-dir", refused.stderr)


class Webhooks(Scene):
    def test_what_a_killed_server_had_not_told_is_told_by_the_next_one_with_the_same_id(self):
        receiver = Receiver()
        port = receiver.port
        receiver.stop()
        server = self.start("first", "--webhook-allow", "127.0.0.1")
        server.hone("webhooks", "add", "ci", receiver.url, HONE_WEBHOOK_SECRET=SECRET)
        job = server.hone("submit", self.folder / "short.yaml", "--follow")["name"]
        server.stop(signal.SIGKILL)
        receiver = Receiver(port)
        self.addCleanup(receiver.stop)
        server = self.start("first", "--webhook-allow", "127.0.0.1")
        wait_until("it is told", lambda: receiver.received)
        headers, body = receiver.received[0]
        told = json.loads(body)
        self.assertEqual((told["event"], told["job"]), ("job.succeeded", job))
        stamp, signature = (part.split("=")[1] for part in headers["Hone-Signature"].split(","))
        self.assertEqual(signature, hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest())
        shown = wait_until("it is known to be told", lambda: [
            one for one in server.hone("webhooks", "show", "ci")["deliveries"] if one["state"] == "DELIVERED"])
        self.assertEqual([one["id"] for one in shown], [told["id"]])
        self.assertEqual({json.loads(body)["id"] for _, body in receiver.received}, {told["id"]})

    def test_an_address_that_is_private_is_refused(self):
        refused = self.start("first").run("webhooks", "add", "ci", "http://127.0.0.1:9/")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--webhook-allow", refused.stderr)

    def test_a_test_says_whether_it_was_taken(self):
        receiver = Receiver()
        server = self.start("first", "--webhook-allow", "127.0.0.1")
        server.hone("webhooks", "add", "ci", receiver.url)
        self.assertEqual(server.run("webhooks", "test", "ci").returncode, 0)
        self.assertEqual(json.loads(receiver.received[0][1])["event"], "test")
        receiver.stop()
        self.assertEqual(server.run("webhooks", "test", "ci").returncode, 1)

    def test_one_that_is_removed_is_not_there(self):
        server = self.start("first", "--webhook-allow", "127.0.0.1")
        server.hone("webhooks", "add", "ci", "http://127.0.0.1:9/")
        server.hone("webhooks", "remove", "ci")
        self.assertEqual(server.hone("webhooks", "list").get("webhooks", []), [])


class Audit(Scene):
    def test_says_who_did_what_and_who_was_refused_and_no_secret(self):
        server = self.start("first")

        def token(name, role):
            return subprocess.run([HONED, "token", "--data-dir", self.folder / "first" / "data", "create", "--name", name, "--role", role],
                                  capture_output=True, text=True, check=True).stdout.strip()
        admin, submitter = token("boss", "admin"), token("ci", "submitter")
        server.token = submitter
        job = server.hone("submit", self.folder / "endless.yaml", "--request-id", "once")["name"]
        self.assertNotEqual(server.run("jobs", "delete", job).returncode, 0)
        self.assertNotEqual(server.run("audit", "list").returncode, 0)
        server.token = admin
        server.hone("jobs", "cancel", job)
        listed = wait_until("refused calls are stored", lambda: (
            found := server.hone("audit", "list")["entries"]) and any(entry["code"] == "PERMISSION_DENIED" for entry in found) and found)
        calls = [(entry.get("caller", ""), entry["rpc"], entry.get("resource", ""), entry["code"]) for entry in listed]
        for expected in (("owner", "CreateToken", "tokens/ci", "OK"), ("token:ci", "CreateJob", job, "OK"), ("token:boss", "CancelJob", job, "OK")):
            self.assertEqual(calls.count(expected), 1, calls)
        self.assertIn(("", "DeleteJob", job, "PERMISSION_DENIED"), calls)
        for secret in (admin, submitter):
            self.assertNotIn(secret, json.dumps(listed))
        of_job = server.hone("audit", "list", "--resource", job, "--caller", "token:ci")["entries"]
        self.assertEqual([entry["request_id"] for entry in of_job], ["once"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
