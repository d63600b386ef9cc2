"""A server on a folder of its own, and what tests give it to work on. The calls of foreign clients: wire.py."""
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.request

SKIPPED = 77  # the exit code that ctest takes for it
# A machine that is busy with other things may take long; whoever waits goes on as soon as what is awaited is there.
LONGEST_SECONDS = 60


def wait_until(what, there, seconds=LONGEST_SECONDS):
    """What `there` gives, once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := there()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s still not: {what}")
        time.sleep(0.02)
    return found


def run_tests(*arguments):
    """unittest's main. What was skipped is said with its reason; where every test was, the exit code says so."""
    result = unittest.main(argv=[sys.argv[0], *arguments], exit=False).result
    for test, reason in result.skipped:
        print(f"skipped {test}: {reason}", file=sys.stderr)
    if result.skipped and len(result.skipped) >= result.testsRun:
        sys.exit(SKIPPED)
    sys.exit(not result.wasSuccessful())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wine_rows():
    """178 rows like those of the catalogue's `wine`: 13 numbers and a class that they tell."""
    rng = random.Random(7)
    rows = []
    for i in range(178):
        numbers = [rng.gauss(2.0 * ((i % 3 + column) % 3), 1.0) for column in range(13)]
        rows.append(",".join([f"{v:.3f}" for v in numbers] + [str(i % 3 + 1)]))
    return rows


def write_mirror(folder):
    """A folder in the place of the network, with `wine`."""
    path = pathlib.Path(folder) / "tabular" / "wine.csv"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(wine_rows()) + "\n", encoding="utf-8")
    return folder


def write_sleeper(folder, worker):
    """A worker that trains nothing where the job's name has SLEEPS: it takes the slot, says nothing and ends with the server. Other
    jobs and calls go to the real one."""
    path = pathlib.Path(folder) / "sleeper"
    path.write_text('#!/bin/sh\n# Descriptor 4 ends when the server does.\n'
                    '[ "$1" = train ] && grep -q -a SLEEPS "$3" && exec cat <&4\n'
                    f'exec "{worker}" "$@"\n')
    path.chmod(0o755)
    return path


class Honed:
    """honed, ready. Its data are in FOLDER/data, its log is FOLDER/honed.log."""

    def __init__(self, binary, folder, *options, listen="127.0.0.1:0", environment=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = open(self.folder / "honed.log", "ab+")
        start = self.log.seek(0, os.SEEK_END)
        began = time.monotonic()
        self.process = subprocess.Popen(
            [binary, "--data-dir", self.folder / "data", "--listen", listen, "--metrics-listen", "127.0.0.1:0",
             "--http-listen", "127.0.0.1:0", "--disk-floor-bytes", "0", *map(str, options)],
            stdout=self.log, stderr=self.log, env=environment)
        while True:
            self.log.seek(start)
            text = self.log.read().decode()
            ports = re.search(r"gRPC, port (\d+)\).*metrics, port (\d+)\)(?:.*HTTP, port (\d+)\))?", text)
            if ports:
                break
            if time.monotonic() > began + LONGEST_SECONDS or self.process.poll() is not None:
                self.process.kill()
                self.process.wait()
                raise RuntimeError(f"honed did not start: {text}")
            time.sleep(0.001)
        self.ready_seconds = time.monotonic() - began
        self.address = f"127.0.0.1:{ports[1]}"
        self.port = int(ports[1])
        self.metrics_port = int(ports[2])
        self.metrics_url = f"http://127.0.0.1:{ports[2]}"
        self.http_url = f"http://127.0.0.1:{ports[3]}"

    def stop(self, how=signal.SIGTERM):
        """Its exit code; None where it has been stopped before."""
        if self.log.closed:
            return None
        self.process.send_signal(how)
        try:
            return self.process.wait(timeout=LONGEST_SECONDS)
        finally:
            self.process.kill()
            self.log.close()

    def page(self, path):
        with urllib.request.urlopen(self.metrics_url + path, timeout=LONGEST_SECONDS) as page:
            return page.read().decode()

    def metrics(self):
        return self.page("/metrics")

    def resident_bytes(self, line="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(rf"{line}:\s+(\d+) kB", status)[1]) * 1024

    def peak_bytes(self):
        return self.resident_bytes("VmHWM")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
