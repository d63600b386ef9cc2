#!/usr/bin/env python3
"""The unit of deploy/systemd by systemd's own tools, and its filter of system calls by what a server and its workers really call.

    systemd_test.py BIN SOURCE_DIR

The tools are systemd-analyze and strace; a test without its tool is skipped. systemd itself need not run.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import LONGEST_SECONDS, free_port, run_tests, wait_until, wine_rows  # noqa: E402

BIN, SOURCE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
UNIT = SOURCE / "deploy" / "systemd" / "honed.service"
SETTINGS = SOURCE / "deploy" / "systemd" / "honed.ini"
MOST_EXPOSURE = 2.0
JOB = """
display_name: wine
classification: {}
data: {path: wine.csv}
model: {layers: [{dense: {units: 24, activation: RELU}}, {dense: {units: 3}}]}
training: {epochs: 3, checkpoints: {every_seconds: 1}}
"""


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", "--no-pager", *map(str, arguments)], capture_output=True, text=True, check=False)


def settings_of(name):
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.M)


def calls_of(group):
    """The system calls of a group such as @file-system, and of the groups in it."""
    text = analyze("syscall-filter", group).stdout
    words = set(re.findall(r"^ {4}(@?[\w-]+)$", text, re.M)) - {group}
    return set().union(*(calls_of(word) if word.startswith("@") else {word} for word in words))


def allowed_calls():
    """As systemd reads SystemCallFilter=: line after line, a line with ~ takes away."""
    allowed = set()
    for line in settings_of("SystemCallFilter"):
        calls = set().union(*(calls_of(word) if word.startswith("@") else {word} for word in line.lstrip("~").split()))
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed | calls_of("@default")


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Unit(unittest.TestCase):
    def test_its_exposure_is_at_most_two(self):
        done = analyze("security", "--offline=true", f"--threshold={round(10 * MOST_EXPOSURE)}", UNIT)
        self.assertEqual(done.returncode, 0, done.stdout[-300:] + done.stderr)

    def test_systemd_understands_all_of_it(self):
        said = analyze("verify", UNIT).stderr.splitlines()
        # Of the program that is not installed here it may say so.
        self.assertEqual([line for line in said if "/usr/bin/honed is not executable" not in line], [])

    def test_a_misspelt_setting_is_noticed(self):
        with tempfile.TemporaryDirectory() as folder:
            wrong = pathlib.Path(folder) / "honed.service"
            wrong.write_text(UNIT.read_text(encoding="utf-8").replace("PrivateTmp=", "PrivatTmp="), encoding="utf-8")
            self.assertIn("PrivatTmp", analyze("verify", wrong).stderr)

    def test_code_that_is_written_at_run_time_may_run_and_amx_may_be_asked_for(self):
        self.assertEqual(settings_of("MemoryDenyWriteExecute"), ["no"])
        self.assertIn("arch_prctl", allowed_calls())

    def test_stopping_takes_longer_than_the_grace_of_workers(self):
        grace = float(re.search(r"grace = absl::Seconds\((\d+)\)", (SOURCE / "server" / "config" / "config.h").read_text(encoding="utf-8"))[1])
        self.assertGreaterEqual(float(settings_of("TimeoutStopSec")[0]), grace + 10)

    @unittest.skipUnless(shutil.which("strace") and subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0,
                         "strace is not installed, or may not trace here")
    def test_what_a_server_and_its_workers_call_is_allowed(self):
        with tempfile.TemporaryDirectory(prefix="hone-strace-") as name:
            folder = pathlib.Path(name)
            (folder / "wine.csv").write_text("\n".join(wine_rows()) + "\n", encoding="utf-8")
            (folder / "wine.yaml").write_text(JOB, encoding="utf-8")
            listen, log = f"127.0.0.1:{free_port()}", folder / "log"
            with open(log, "wb") as said:
                server = subprocess.Popen(["strace", "-f", "-qq", "-o", folder / "calls", BIN / "honed", "--data-dir", folder / "data", "--listen", listen,
                                           "--metrics-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--disk-floor-bytes", "0"], stdout=said, stderr=said)
                try:
                    wait_until("the server listens, under strace", lambda: server.poll() is not None or b"listening on" in log.read_bytes())
                    self.assertIsNone(server.poll(), log.read_text(encoding="utf-8")[-1000:])
                    done = subprocess.run([BIN / "hone", "--server", listen, "submit", "--follow", folder / "wine.yaml"], cwd=folder, capture_output=True,
                                          text=True, timeout=5 * LONGEST_SECONDS, check=False)
                    self.assertEqual(done.returncode, 0, done.stdout[-1000:] + done.stderr[-1000:])
                finally:
                    honed = next((line.split()[0] for line in (folder / "calls").read_text(errors="replace").splitlines() if line.split()), "")
                    subprocess.run(["kill", honed], check=False)
                    server.wait(timeout=LONGEST_SECONDS)
            called = set(re.findall(r"^\d+ +(\w+)\(", (folder / "calls").read_text(errors="replace"), re.M))
        self.assertIn("clone3", called)
        # SQLite gives its files to the owner of the folder, where it is root: the service is not.
        self.assertEqual(called - allowed_calls() - ({"fchown"} if os.geteuid() == 0 else set()), set())


class Settings(unittest.TestCase):
    def test_the_server_reads_them(self):
        with tempfile.TemporaryDirectory(prefix="hone-ini-") as name:
            folder = pathlib.Path(name)
            notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.addCleanup(notified.close)
            notified.bind(str(folder / "notify"))
            notified.settimeout(LONGEST_SECONDS)
            ini = folder / "honed.ini"
            ini.write_text(SETTINGS.read_text(encoding="utf-8").replace("/var/lib/hone", str(folder / "data")) + 'metrics-listen = "127.0.0.1:0"\n'
                           'listen = "127.0.0.1:0"\nhttp-listen = "127.0.0.1:0"\n', encoding="utf-8")
            with open(folder / "log", "wb") as log:
                server = subprocess.Popen([BIN / "honed", "--config", ini], stdout=log, stderr=log, env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")})
                try:
                    self.assertEqual(notified.recv(100), b"READY=1", (folder / "log").read_text(encoding="utf-8"))
                    server.terminate()
                    self.assertEqual(notified.recv(100), b"STOPPING=1")
                finally:
                    server.terminate()
                    code = server.wait(timeout=LONGEST_SECONDS)
            self.assertEqual(code, 0)

    def test_what_is_commented_out_would_be_read(self):
        text = re.sub(r"^# (\S+ = )", r"\1", SETTINGS.read_text(encoding="utf-8"), flags=re.M)
        names = re.findall(r"^([a-z-]+) = \S", text, re.M)
        self.assertIn("tls-key", names)
        declared = (SOURCE / "server" / "config" / "config.cc").read_text(encoding="utf-8")
        for name in names:
            self.assertIn(f'"--{name}"', declared)

    def test_the_folder_is_the_one_that_systemd_makes(self):
        self.assertIn(f'data-dir = "/var/lib/{settings_of("StateDirectory")[0]}"', SETTINGS.read_text(encoding="utf-8"))


run_tests(*sys.argv[3:])
