#!/usr/bin/env python3
"""Kills honed and hone-worker, fills the disk and breaks fsync at counted events, sets the clock, stops workers, and counts what is left: every job that was
acknowledged ends SUCCEEDED exactly once with the weights of an undisturbed run, every watcher saw every event once, a webhook was told of every
end at least once and always with the same id, and every sweep has each of its trials once.

    kill_and_count.py HONED HONE SHIM SOURCE_DIR [--seed 1] [--server-kills 200] [--worker-kills 200] [--full 20] [--broken 20]
                      [--worker-disks 20] [--drains 20] [--clocks 20] [--stops 10] [--sweep-kills 10] [--drain-seconds 25]

The seed gives the list of faults (which process, which event, which count): the same seed, the same list. While it goes on, seven
jobs are kept queued or running, two at a time; each is submitted with a request id until a server acknowledges it. `--watchers` of them (3) are watched
at any time.
"""
import argparse
import contextlib
import hashlib
import http.server
import itertools
import json
import os
import pathlib
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import free_port, write_mirror  # noqa: E402

UNFINISHED = 7
UNREACHABLE = 3  # exit code of hone
AT_ITS_EVENT = "server killed at its event"
SWEEP = """
job:
  classification: {}
  data: {dataset: wine}
  model: {layers: [{dense: {units: 8, activation: RELU}}, {dense: {units: 3}}]}
  training: {epochs: 40, threads: 1}
axes:
  - {field: "model.layers[0].dense.units", values: [8, 16, 24]}
  - {field: training.optimizer.adam.learning_rate, log_range: {from: 0.001, to: 0.01, count: 3}}
  - {field: training.seed, range: {from: 1, to: 3}}
objective: {metric: test_accuracy}
"""
RECIPES = 4  # jobs differ by their seed; each seed has one right result
# Five times what it takes where nothing else runs: what has not happened by then will not.
MOST_SECONDS_TO_A_FAULT = 20
MOST_SECONDS_TO_THE_END = 600  # of all jobs that are there; reached only where something hangs


class Receiver:
    """Keeps the ids of what a webhook tells of each job. Every fourth post is taken, and answered as if it were not."""

    def __init__(self):
        ids = self.ids = {}  # job → ids
        posts = itertools.count(1)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                ids.setdefault(told["job"], set()).add(told["id"])
                self.send_response(500 if next(posts) % 4 == 0 else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Harness:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.random = random.Random(options.seed)
        self.address = f"127.0.0.1:{free_port()}"
        write_mirror(folder / "mirror")
        self.environment = dict(os.environ, HONE_DATA_DIR=str(folder / "mirror"), HONE_SERVER=self.address)
        for name in ("HONE_FAULT", "LD_PRELOAD"):
            self.environment.pop(name, None)
        self.job_file = pathlib.Path(options.source) / "client" / "examples" / "wine-classification.yaml"
        # The worker's fault is read at each start, so that it can change while the server runs.
        self.worker_fault = folder / "worker-fault"
        self.worker_fault.write_text("")
        self.worker = folder / "hone-worker"
        self.worker.write_text("#!/bin/sh\n"
                               f'HONE_FAULT=$(cat "{self.worker_fault}") LD_PRELOAD="{options.shim}" '
                               f'exec "{pathlib.Path(options.honed).parent / "hone-worker"}" "$@"\n')
        self.worker.chmod(0o755)
        self.server, self.data = None, folder / "data"
        self.log = open(folder / "honed.log", "ab")
        self.acknowledged = {}  # request id → job
        self.submitted = 0
        self.watchers = {}  # job → the process that watches it, or did
        (folder / "watch").mkdir()
        self.counts = {}
        self.receiver = Receiver()

    def hone(self, *arguments, timeout=180):
        return subprocess.run([self.options.hone, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                              env=self.environment, check=False)

    def start(self, fault="", *arguments, environment=None):
        environment = dict(self.environment, **(environment or {}))
        if fault or "HONE_CLOCK" in environment:
            environment.update(HONE_FAULT=fault, LD_PRELOAD=str(self.options.shim))
        self.server = subprocess.Popen(
            [self.options.honed, "--data-dir", self.data, "--listen", self.address, "--metrics-listen", "127.0.0.1:0", "--http-listen", "",
             "--jobs", "2", "--worker", self.worker, "--webhook-allow", "127.0.0.1", *map(str, arguments)], stdout=self.log, stderr=self.log, env=environment)

    def recipe(self, number, run_directory=None):
        settings = {"training.seed": number % RECIPES + 1, "training.epochs": self.options.epochs,
                    "training.checkpoints.every_seconds": 0.2, "training.threads": 1}
        return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]

    def expected(self):
        """The weights of each recipe, undisturbed."""
        sums = []
        for number in range(RECIPES):
            folder = self.folder / f"alone-{number}"
            done = self.hone("run", self.job_file, *self.recipe(number), "--run-dir", folder)
            if done.returncode != 0:
                sys.exit(f"an undisturbed run failed: {done.stderr}{done.stdout[-500:]}")
            sums.append(hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest())
        return sums

    def top_up(self):
        """Submits until UNFINISHED jobs wait or run. What is not acknowledged is sent again with the same request id."""
        self.tend_watchers()
        listed = self.hone("--output", "json", "jobs", "list", "--limit", 1000)
        if listed.returncode != 0:
            return
        jobs = json.loads(listed.stdout).get("jobs", [])
        unfinished = sum(job["state"] in ("QUEUED", "RUNNING") for job in jobs)
        while unfinished < UNFINISHED:
            request = f"job-{self.submitted}"
            done = self.hone("--output", "json", "submit", self.job_file, *self.recipe(self.submitted), "--request-id", request)
            if done.returncode != 0:
                return
            name = json.loads(done.stdout.splitlines()[-1])["name"]
            self.acknowledged[request] = name
            self.submitted += 1
            unfinished += 1
            if sum(process.poll() is None for process in self.watchers.values()) < self.options.watchers:
                self.watch(name)

    def watch(self, name):
        with open(self.seen(name), "w", encoding="utf-8") as out, open(self.complaints(name), "a", encoding="utf-8") as complaints:
            self.watchers[name] = subprocess.Popen([self.options.hone, "--output", "json", "watch", name], stdout=out, stderr=complaints,
                                                   env=self.environment)

    def tend_watchers(self):
        """A watcher that found no server when it started has ended without an event; one that has begun must go on by itself."""
        for name, process in list(self.watchers.items()):
            if process.poll() == UNREACHABLE and not self.events_seen(name):
                self.watch(name)

    def seen(self, name):
        return self.folder / "watch" / name.removeprefix("jobs/")

    def complaints(self, name):
        return self.seen(name).with_suffix(".err")

    def events_seen(self, name):
        lines = self.seen(name).read_text(encoding="utf-8").splitlines()
        return [int(line["sequence"]) for line in map(json.loads, lines) if "sequence" in line]

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def until_it_dies(self, work):
        """Keeps the server busy until its fault; what has not died in time is killed."""
        end = time.monotonic() + MOST_SECONDS_TO_A_FAULT
        while self.server.poll() is None and time.monotonic() < end:
            work()
            time.sleep(0.02)
        in_time = self.server.poll() is not None
        if not in_time:
            self.server.kill()
        code = self.server.wait()
        if code != -signal.SIGKILL:
            sys.exit(f"honed ended with {code} instead of being killed; see {self.log.name}")
        self.count(AT_ITS_EVENT if in_time else "server killed by the clock")

    def kill_server(self):
        event, most = self.random.choice([("sync", 25), ("write", 90), ("frame", 60), ("rename", 8)])
        self.start(f"kill@{event}:{self.random.randint(1, most)}")
        self.until_it_dies(self.top_up)

    def kill_during_sweeps(self):
        """Servers of their own data and address, killed at counted events while a sweep goes on: each of its 27 trials is a job, made once.
        Those who watch the other server's jobs wait for that one."""
        others = self.data, self.address
        self.data, self.address = self.folder / "sweep-data", f"127.0.0.1:{free_port()}"
        self.environment["HONE_SERVER"] = self.address
        file = self.folder / "sweep.yaml"
        file.write_text(SWEEP, encoding="utf-8")
        sweeps = {}  # request id → name

        def keep_one_going():
            if sweeps:
                shown = self.hone("--output", "json", "sweeps", "show", list(sweeps.values())[-1])
                if shown.returncode != 0 or json.loads(shown.stdout)["state"] in ("RUNNING", "STOPPING"):
                    return
            request = f"sweep-{len(sweeps)}"
            done = self.hone("--output", "json", "sweep", file, "--request-id", request)
            if done.returncode == 0:
                sweeps[request] = json.loads(done.stdout.splitlines()[-1])["name"]

        for _ in range(self.options.sweep_kills):
            event, most = self.random.choice([("sync", 40), ("write", 150), ("frame", 60), ("rename", 8)])
            self.start(f"kill@{event}:{self.random.randint(1, most)}")
            self.until_it_dies(keep_one_going)
        self.start()
        end = time.monotonic() + MOST_SECONDS_TO_THE_END
        while not sweeps and time.monotonic() < end:
            keep_one_going()
            time.sleep(0.2)
        for name in sweeps.values():
            self.check_sweep(name, end)
        self.counts["sweep, each of its 27 trials once"] = len(sweeps)
        self.stop("server stopped")
        self.data, self.address = others
        self.environment["HONE_SERVER"] = self.address

    def check_sweep(self, name, end):
        while True:
            shown = self.hone("--output", "json", "sweeps", "show", name)
            sweep = json.loads(shown.stdout) if shown.returncode == 0 else {}
            if sweep.get("state") not in (None, "RUNNING", "STOPPING"):
                break
            if time.monotonic() > end:
                sys.exit(f"{name} does not end: {shown.stdout[-2000:]}{shown.stderr}")
            time.sleep(0.2)
        listed = self.hone("--output", "json", "jobs", "list", "--limit", 1000, "--label", f"sweep={name.removeprefix('sweeps/')}")
        jobs = {job["name"]: job for job in json.loads(listed.stdout).get("jobs", [])}
        trials = sweep["trials"]
        wrong = [f"trial {t['number']}: {t['state']}, {t.get('message')}" for t in trials if t["state"] != "SUCCEEDED"]
        if sweep["state"] != "SUCCEEDED" or len(trials) != 27 or len(jobs) != 27 or {t["job"] for t in trials} != jobs.keys():
            wrong.append(f"{sweep['state']} ({sweep.get('message')}), {len(trials)} trials, {len(jobs)} jobs")
        for trial in trials:
            training = jobs.get(trial["job"], {}).get("spec", {}).get("training", {})
            if str(training.get("seed")) != trial["settings"][2]:
                wrong.append(f"trial {trial['number']} has seed {trial['settings'][2]}, its job {training.get('seed')}")
        if wrong:
            sys.exit(f"{name}: " + "\n".join(wrong))

    def log_size(self):
        return (self.folder / "honed.log").stat().st_size

    def said(self, start):
        return (self.folder / "honed.log").read_bytes()[start:].decode(errors="replace")

    def workers(self):
        """The server's processes that train and have not been stopped."""
        for thread in pathlib.Path(f"/proc/{self.server.pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                with contextlib.suppress(OSError):
                    process = pathlib.Path("/proc") / child
                    stopped = (process / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
                    if b"\0train\0" in (process / "cmdline").read_bytes() and not stopped:
                        yield int(child)

    def fail_writes(self, action):
        event, most = ("write", 90) if action == "full" else ("sync", 25)
        start = self.log_size()
        self.start(f"{action}@{event}:{self.random.randint(1, most)}+{self.random.randint(0, 8)}")
        self.keep_busy(2)
        self.check_errors_are_counted(start)
        self.stop(f"server with the disk {action}")

    def fail_writes_of_workers(self, action):
        """The disk that a worker writes to; its jobs wait for a better time and are charged nothing."""
        event, most = ("write", 40) if action == "full" else ("sync", 20)
        self.worker_fault.write_text(f"{action}@{event}:{self.random.randint(1, most)}+{self.random.randint(0, 3)}")
        self.start()
        self.keep_busy(2)
        self.worker_fault.write_text("")
        self.stop(f"worker with the disk {action}")

    def keep_busy(self, seconds):
        end = time.monotonic() + seconds
        while self.server.poll() is None and time.monotonic() < end:
            self.top_up()
            time.sleep(0.02)

    def check_errors_are_counted(self, start):
        """What the log says of the store's disk, hone_store_errors_total has counted."""
        said = self.said(start)
        lines = re.findall(r"^.*(?:database or disk is full|disk I/O error).*$", said, re.M)
        port = re.search(r"metrics, port (\d+)", said)
        if not lines or port is None or self.server.poll() is not None:
            return
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/metrics", timeout=10) as page:
            counted = re.search(r"^hone_store_errors_total (\d+)$", page.read().decode(), re.M)
        if int(counted[1]) == 0:
            sys.exit(f"no error of the store was counted, and: {lines}")
        self.count("server that counted lost writes")

    def stop(self, what):
        # A server whose store could not even be opened has ended by itself, with a reason.
        if self.server.poll() is None:
            begin = time.monotonic()
            self.server.terminate()
            code = self.server.wait(timeout=300)
            if code != 0 or time.monotonic() - begin > self.options.drain_seconds:
                sys.exit(f"honed ended with {code} after {time.monotonic() - begin:.1f} s; see {self.log.name}")
        self.count(what)

    def set_the_clock(self):
        """One server, whose clock jumps by up to two days to either side while jobs run: nobody is taken for hung, nothing waits for
        a time that will not come."""
        clock = self.folder / "clock"
        clock.write_bytes(struct.pack("<q", 0))
        start = self.log_size()
        self.start(environment={"HONE_CLOCK": str(clock)})
        for _ in range(self.options.clocks):
            self.keep_busy(1)
            with open(clock, "r+b") as file:
                file.write(struct.pack("<q", self.random.randint(-2 * 86400, 2 * 86400)))
            self.count("clock set")
        # Jobs still come to their ends.
        end, said = time.monotonic() + MOST_SECONDS_TO_THE_END, ""
        while "state=SUCCEEDED" not in said and time.monotonic() < end:
            self.keep_busy(1)
            said = self.said(start)
        self.stop("server stopped")
        said = self.said(start)
        if "for too long and was killed" in said or "reason=DEADLINE" in said or "state=SUCCEEDED" not in said:
            sys.exit(f"the clock was set, and: {said[-2000:]}")

    def stop_workers(self):
        """Workers are stopped (SIGSTOP) and never continued: they are found silent, killed, and their jobs go on."""
        # A worker tells at least every second that it is there.
        self.start("", "--silence-seconds", 10)
        done, end = 0, time.monotonic() + MOST_SECONDS_TO_THE_END + 30 * self.options.stops
        while done < self.options.stops:
            if time.monotonic() > end:
                sys.exit(f"{done} of {self.options.stops} workers were stopped; see {self.log.name}")
            self.top_up()
            time.sleep(self.random.uniform(0, 1))
            if workers := list(self.workers()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.random.choice(workers), signal.SIGSTOP)
                    done += 1
        self.counts["worker stopped"] = done
        self.until_done()
        self.stop("server stopped")

    def until_done(self):
        """Nobody submits; what is there comes to an end. Gives all jobs."""
        end = time.monotonic() + MOST_SECONDS_TO_THE_END
        while True:
            self.tend_watchers()
            listed = self.hone("--output", "json", "jobs", "list", "--limit", 100000)
            jobs = json.loads(listed.stdout).get("jobs", []) if listed.returncode == 0 else []
            if jobs and all(job["state"] not in ("QUEUED", "RUNNING", "CANCELLING") for job in jobs):
                return jobs
            if time.monotonic() > end:
                sys.exit(f"still unfinished: {[(j['name'], j['state'], j.get('message')) for j in jobs if j['state'] != 'SUCCEEDED']}")
            time.sleep(0.2)

    def kill_workers(self):
        """One server; each worker that it starts dies at its event, every third one lives."""
        start = self.log_size()
        self.start()
        done, end = 0, time.monotonic() + MOST_SECONDS_TO_THE_END + 5 * self.options.worker_kills
        while done < self.options.worker_kills:
            if time.monotonic() > end:
                sys.exit(f"{done} of {self.options.worker_kills} workers were killed; see {self.log.name}")
            event, most = self.random.choice([("frame", 30), ("sync", 30), ("write", 60), ("rename", 10)])
            lives = self.random.random() < 1 / 3
            self.worker_fault.write_text("" if lives else f"kill@{event}:{self.random.randint(1, most)}")
            self.top_up()
            time.sleep(0.05)
            done = self.said(start).count("killed from outside")
        self.worker_fault.write_text("")
        self.counts["worker killed"] = done
        self.stop("server stopped")

    def run(self):
        expected = self.expected()
        self.start()
        self.add_webhook()
        self.stop("server stopped")
        for _ in range(self.options.server_kills):
            self.kill_server()
        if (hit := self.counts.get(AT_ITS_EVENT, 0)) < self.options.server_kills / 2:
            sys.exit(f"{hit} of {self.options.server_kills} servers died at their event: does {self.options.shim} do anything?")
        if self.options.sweep_kills > 0:
            self.kill_during_sweeps()
        for _ in range(self.options.full):
            self.fail_writes("full")
        for _ in range(self.options.broken):
            self.fail_writes("broken")
        for i in range(self.options.worker_disks):
            self.fail_writes_of_workers("full" if i % 2 == 0 else "broken")
        for _ in range(self.options.drains):
            self.start()
            self.keep_busy(self.random.uniform(0.3, 2))
            self.stop("server drained")
        if self.options.clocks > 0:
            self.set_the_clock()
        if self.options.stops > 0:
            self.stop_workers()
        if self.options.worker_kills > 0:
            self.kill_workers()
        self.start()
        self.check(expected)
        self.stop("server stopped")
        for what, count in sorted(self.counts.items()):
            print(f"{count:5d} × {what}")
        print(f"{len(self.acknowledged):5d} jobs acknowledged, each SUCCEEDED once with the weights of an undisturbed run")
        print(f"{len(self.watchers):5d} watchers saw every event once")
        print(f"{len(self.receiver.ids):5d} ends told to a webhook, each with one id")

    def add_webhook(self):
        end = time.monotonic() + MOST_SECONDS_TO_THE_END
        while (added := self.hone("webhooks", "add", "all", self.receiver.url)).returncode != 0:
            if time.monotonic() > end:
                sys.exit(f"no webhook can be added: {added.stderr}")
            time.sleep(0.1)

    def check_webhooks(self, jobs):
        end = time.monotonic() + MOST_SECONDS_TO_THE_END
        while not jobs <= self.receiver.ids.keys() and time.monotonic() < end:
            time.sleep(0.2)
        return [f"{job}: its end was told with the ids {sorted(self.receiver.ids.get(job, ()))}"
                for job in jobs if len(self.receiver.ids.get(job, ())) != 1]

    def check(self, expected):
        jobs = self.until_done()
        by_name = {job["name"]: job for job in jobs}
        wrong = []
        for request, name in self.acknowledged.items():
            job = by_name.get(name)
            if job is None or job["state"] != "SUCCEEDED":
                wrong.append(f"{request} {name}: {job and (job['state'], job.get('end_reason'), job.get('message'))}")
                continue
            weights = self.folder / "data" / job["model"] / "model.safetensors"
            if hashlib.sha256(weights.read_bytes()).hexdigest() != expected[int(request.removeprefix("job-")) % RECIPES]:
                wrong.append(f"{request} {name}: other weights than an undisturbed run")
        wrong += self.check_webhooks(by_name.keys())
        # A submit whose answer was lost may have made a job; the next one with its request id then got the same.
        if len(set(self.acknowledged.values())) != len(self.acknowledged) or len(by_name) - len(self.acknowledged) not in (0, 1):
            wrong.append(f"{len(by_name)} jobs for {len(self.acknowledged)} acknowledged requests")
        for name in list(by_name)[:self.options.checked_logs]:
            events = [json.loads(line) for line in self.hone("--output", "json", "watch", name).stdout.splitlines()]
            ends = [e for e in events if e.get("state") and isinstance(e["state"], dict) and e["state"].get("end_reason")]
            if len(ends) != 1:
                wrong.append(f"{name}: {len(ends)} ends in its log")
        for name, process in self.watchers.items():
            try:
                process.wait(timeout=180)
            except subprocess.TimeoutExpired:
                process.kill()
                wrong.append(f"the watcher of {name} did not end")
            sequences = self.events_seen(name)
            if sequences != list(range(1, int(by_name[name]["last_sequence"]) + 1)):
                wrong.append(f"the watcher of {name} saw {len(sequences)} events, {len(set(sequences))} different ones, "
                             f"of {by_name[name]['last_sequence']}: {self.complaints(name).read_text(encoding='utf-8')[-500:]}")
        if wrong:
            sys.exit("\n".join(wrong))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("honed", "hone", "shim", "source"):
        parser.add_argument(name)
    for name, default in (("seed", 1), ("server-kills", 200), ("worker-kills", 200), ("full", 20), ("broken", 20), ("worker-disks", 20),
                          ("drains", 20), ("clocks", 20), ("stops", 10), ("sweep-kills", 10),
                          ("epochs", 1500), ("watchers", 3), ("checked-logs", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--drain-seconds", type=float, default=25, help="what a server may take to end, at most")
    parser.add_argument("--keep", help="work in this folder and leave it")
    options = parser.parse_args()
    if options.keep:
        folder = pathlib.Path(options.keep)
        folder.mkdir(parents=True)
        Harness(options, folder.resolve()).run()
        return
    with tempfile.TemporaryDirectory() as scratch:
        Harness(options, pathlib.Path(scratch)).run()


main()
